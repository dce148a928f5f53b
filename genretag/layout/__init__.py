"""Byte-level layout of the containers that hold music and its tags.

A parser of this package explains every byte of a file as a sequence of regions. It never writes,
and it imports nothing of mutagen: the proof of a write rests on it.
"""
