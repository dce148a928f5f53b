"""Training on labelled music: labelled tracks -> split by artist -> model file and report.

A scan never imports this package.
"""
