"""A scan over many machines: the local engine's stages as operators of Ray Data, and its results as
Parquet.
"""
