"""The album of a track from the texts of its tags."""

from __future__ import annotations

from collections.abc import Iterable

from genretag.tags.records import Album

_TRUE = frozenset({"1", "true", "yes"})


def album_from(texts: Iterable[str]) -> Album:
    """Return the album of artist, album, album artist and, where there is one, compilation flag."""
    artist, album, album_artist, *flag = texts
    return Album(artist, album, album_artist, bool(flag) and flag[0].strip().casefold() in _TRUE)
