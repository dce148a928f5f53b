"""Classify music by its sound, and write the genre into the files' own tags."""

__version__ = "1.3.0"
