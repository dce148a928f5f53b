"""genretag: hears a music library, and writes the genre into the files' own tags."""

__version__ = "1.1.0"
