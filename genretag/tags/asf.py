"""ASF (WMA): the attribute WM/Genre."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mutagen.asf import ASF, ASFUnicodeAttribute

KEY = "WM/Genre"


def read(audio: ASF) -> list[str]:
    """Return the genres."""
    return [str(v) for v in audio.tags.get(KEY, []) if str(v).strip()] if audio.tags else []


def write(audio: ASF, path: Path, genres: list[str]) -> None:
    """Write one attribute a value."""
    audio.tags[KEY] = [ASFUnicodeAttribute(g) for g in genres]
    audio.save(path)


def others(audio: ASF) -> list[Any]:
    """Return every attribute but the genre."""
    pairs = audio.tags.items() if audio.tags else []
    return sorted((k, a.TYPE, str(a.language), str(a.stream), repr(a.value)) for k, values in pairs if k != KEY for a in _listed(values))


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]
