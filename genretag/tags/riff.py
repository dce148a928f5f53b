"""RIFF: the genre of a WAV's LIST INFO chunk (IGNR), and the chunks that must stay.

mutagen knows only the ID3 chunk. INFO's genre is renewed where there is one, so that the two do
not disagree; it is never added. RIFF: Microsoft and IBM, Multimedia Programming Interface 1.0 (1991).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mutagen._util import resize_bytes

_HEADER = 8


@dataclass(frozen=True)
class Chunk:
    """A chunk: its name, where its data begins, and how long the data is (without the pad byte)."""

    name: bytes
    at: int
    size: int


def chunks(handle: BinaryIO, at: int, stop: int) -> Iterator[Chunk]:
    """Yield the chunks between two offsets; stops where a header makes no sense."""
    while at + _HEADER <= stop:
        handle.seek(at)
        head = handle.read(_HEADER)
        if len(head) < _HEADER:
            return
        size = int.from_bytes(head[4:], "little")
        yield Chunk(head[:4], at + _HEADER, min(size, stop - at - _HEADER))
        at += _HEADER + size + (size & 1)


def _top(handle: BinaryIO) -> Iterator[Chunk]:
    """Yield a WAV's chunks."""
    handle.seek(0)
    if handle.read(4) not in (b"RIFF", b"RF64"):
        return
    yield from chunks(handle, 12, handle.seek(0, 2))


def _info(handle: BinaryIO) -> Chunk | None:
    """Return the LIST chunk that holds INFO."""
    for chunk in list(_top(handle)):
        handle.seek(chunk.at)
        if chunk.name == b"LIST" and handle.read(4) == b"INFO":
            return chunk
    return None


def _genre(handle: BinaryIO) -> tuple[Chunk, Chunk] | None:
    """Return (LIST, IGNR)."""
    info = _info(handle)
    if info is None:
        return None
    items = chunks(handle, info.at + 4, info.at + info.size)
    item = next((c for c in items if c.name == b"IGNR"), None)
    return (info, item) if item else None


def read_info_genre(path: Path) -> list[str]:
    """Return INFO's genre."""
    with path.open("rb") as handle:
        found = _genre(handle)
        if found is None:
            return []
        handle.seek(found[1].at)
        text = handle.read(found[1].size).split(b"\0")[0]
    try:
        word = text.decode("utf-8")
    except UnicodeDecodeError:
        word = text.decode("latin-1")
    return [word.strip()] if word.strip() else []


def write_info_genre(path: Path, genres: list[str]) -> None:
    """Renew INFO's genre where there is one; INFO has one value, so several are joined."""
    with path.open("r+b") as handle:
        found = _genre(handle)
        if found is None:
            return
        info, item = found
        text = "; ".join(genres).encode() + b"\0"
        old, new = item.size + (item.size & 1), len(text) + (len(text) & 1)
        resize_bytes(handle, old, new, item.at)
        _put(handle, item.at - 4, len(text).to_bytes(4, "little") + text.ljust(new, b"\0"))
        _put(handle, info.at - 4, (info.size + new - old).to_bytes(4, "little"))
        length = handle.seek(0, 2)
        _put(handle, 4, (length - _HEADER).to_bytes(4, "little"))


def _put(handle: BinaryIO, at: int, data: bytes) -> None:
    handle.seek(at)
    handle.write(data)


def others(path: Path) -> list[tuple[bytes, int, str]]:
    """Return (name, size, hash) of every chunk that holds neither the ID3 tag nor the genre, in order."""
    out = []
    with path.open("rb") as handle:
        for chunk in list(_top(handle)):
            if chunk.name.lower() == b"id3 ":
                continue
            if chunk.name == b"LIST" and (found := _genre(handle)) and found[0] == chunk:
                items = chunks(handle, chunk.at + 4, chunk.at + chunk.size)
                out += [(c.name, c.size, _digest(handle, c)) for c in list(items) if c.name != b"IGNR"]
            else:
                out.append((chunk.name, chunk.size, _digest(handle, chunk)))
    return out


def _digest(handle: BinaryIO, chunk: Chunk) -> str:
    """Return a hash of a chunk's data, read in pieces."""
    digest, left = hashlib.blake2b(digest_size=16), chunk.size
    handle.seek(chunk.at)
    while left > 0 and (piece := handle.read(min(left, 1 << 20))):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()
