"""genretag: hears a music library, and writes the genre into the files' own tags."""

__version__ = "0.1.0"
