"""APEv2: the Genre item, in its own containers and beside ID3 in an MP3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mutagen.apev2 import APENoHeaderError, APEv2, APEv2File, APEValue

KEY = "Genre"


def _values(tag: APEv2 | None) -> list[str]:
    """Return the values of a tag's genre; nothing where it has none or not a text."""
    if tag is None or KEY not in tag:
        return []
    value = tag[KEY]
    return [v for v in str(value).split("\0") if v] if value.kind == 0 else []


def _others(tag: APEv2 | None) -> list[Any] | None:
    """Return every item but the genre, as (key, kind, bytes), sorted: APEv2 asks for no order. None: no tag."""
    if tag is None:
        return None
    return sorted((k, v.kind, bytes(v._write())) for k, v in tag.items() if k.lower() != KEY.lower())


def _set(tag: APEv2, genres: list[str]) -> None:
    """Set the genre, keeping the case of a key that is there."""
    key = next((k for k in list(tag) if k.lower() == KEY.lower()), KEY)
    tag[key] = APEValue("\0".join(genres), 0)


def _beside(path: Path) -> APEv2 | None:
    try:
        return APEv2(path)
    except APENoHeaderError:
        return None


def read_beside(path: Path) -> list[str]:
    """Return the genres of an APEv2 tag beside ID3."""
    return _values(_beside(path))


def write_beside(path: Path, genres: list[str]) -> None:
    """Renew the genre of an APEv2 tag beside ID3, where it has one: a stale one would win in some players."""
    tag = _beside(path)
    if tag is not None and KEY in tag:
        _set(tag, genres)
        tag.save(path)


def others_beside(path: Path) -> list[Any] | None:
    """Return the other items of an APEv2 tag beside ID3."""
    return _others(_beside(path))


def read(audio: APEv2File) -> list[str]:
    """Return the genres of a Monkey's Audio, WavPack, Musepack, OptimFROG or TAK file."""
    return _values(audio.tags)


def write(audio: APEv2File, path: Path, genres: list[str]) -> None:
    """Write the genres, as several values of one item."""
    if audio.tags is None:
        audio.add_tags()
    _set(audio.tags, genres)
    audio.tags.save(path)


def others(audio: APEv2File) -> dict[str, Any]:
    """Return everything but the genre."""
    return {"APEv2": _others(audio.tags)}
