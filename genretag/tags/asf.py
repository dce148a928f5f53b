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


def others(audio: ASF) -> dict[str, Any]:
    """Return every attribute but the genre."""
    pairs = (
        [(k, v) for k, values in audio.tags.items() for v in _listed(values)] if audio.tags else []
    )
    return {
        "attributes": sorted(
            (k, v.TYPE, v.language or 0, v.stream or 0, repr(v.value)) for k, v in pairs if k != KEY
        )
    }


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]
