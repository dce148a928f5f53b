"""Artist and title of a file, for people to read; nothing decides by them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

#: Names of fields in the containers' own tags, the preferred one first.
_TITLES = ("TIT2", "TT2", "\xa9nam", "title", "Title")
_ARTISTS = ("TPE1", "TP1", "\xa9ART", "artist", "Artist", "Author")


class Title(NamedTuple):
    """Artist and title; empty where the file has none."""

    artist: str
    title: str


def read_title(path: Path) -> Title:
    """Return a file's artist and title. Never raises for what is in the file."""
    import mutagen

    try:
        tags = mutagen.File(path)
        return Title(_first(tags, _ARTISTS), _first(tags, _TITLES))
    except Exception:  # mutagen raises anything on damaged tags, and these are only for display
        return Title("", "")


def _first(tags: Any, names: tuple[str, ...]) -> str:
    """Return the first value of the first of these fields."""
    for name in names:
        value = None
        with contextlib.suppress(ValueError, KeyError):  # a name that this kind of tag cannot have
            value = tags.get(name) if tags is not None else None
        values = getattr(value, "text", value)
        values = values if isinstance(values, list) else [values]
        if values and values[0] is not None and str(values[0]).strip():
            return str(values[0]).strip()
    return ""
