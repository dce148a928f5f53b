"""Vorbis comments: the GENRE lines, in FLAC, Ogg Vorbis, Opus, Speex and FLAC in Ogg."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mutagen._vorbis import VComment
from mutagen.flac import FLAC

from genretag.audio import mpeg
from genretag.errors import TrackError

KEY = "GENRE"
_COMMENT_BLOCK, _PADDING_BLOCK = 4, 1
_NOT_UTF8 = "�"


def read(audio: Any) -> list[str]:
    """Return the values of all GENRE lines, in order."""
    return [v for k, v in (audio.tags or []) if k.upper() == KEY and v.strip()]


def write(audio: Any, path: Path, genres: list[str]) -> None:
    """Write one GENRE line a value, where the first one stood; every other line keeps its place."""
    if audio.tags is None:
        audio.add_tags()
    comments: VComment = audio.tags
    if any(_NOT_UTF8 in v for k, v in comments if k.upper() != KEY):
        raise TrackError("tags", "it has comments that are not UTF-8, which writing would change")
    pairs = list(comments)
    old = [i for i, (k, _) in enumerate(pairs) if k.upper() == KEY]
    at = old[0] if old else len(pairs)
    key = pairs[at][0] if old else KEY
    lines = [pair for pair in pairs if pair[0].upper() != KEY]
    lines[at:at] = [(key, g) for g in genres]
    comments[:] = lines
    audio.save(path)


def others(audio: Any, path: Path) -> dict[str, Any]:
    """Return everything but the genre: vendor, other lines in order, and FLAC's other blocks. None: it is not there."""
    comments = audio.tags
    lines = [comments.vendor, *(pair for pair in comments if pair[0].upper() != KEY)] if comments is not None else None
    return {"comments": lines, "blocks": _flac_blocks(path) if isinstance(audio, FLAC) else None}


def _flac_blocks(path: Path) -> list[tuple[int, str]]:
    """Return (type, hash) of a FLAC file's metadata blocks but comments and padding, from the raw bytes."""
    out = []
    with path.open("rb") as handle:
        handle.seek(mpeg.id3v2_size(handle.read(10)))
        if handle.read(4) != b"fLaC":
            return []
        last = False
        while not last and len(head := handle.read(4)) == 4:
            last, kind = bool(head[0] & 0x80), head[0] & 0x7F
            data = handle.read(int.from_bytes(head[1:], "big"))
            if kind not in (_COMMENT_BLOCK, _PADDING_BLOCK):
                out.append((kind, hashlib.blake2b(data, digest_size=16).hexdigest()))
    return out
