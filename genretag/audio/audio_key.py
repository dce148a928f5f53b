"""The audio key: a hash of some bytes of the encoded audio, without demuxing it.

The content key needs every packet; on a network share, that means the whole file. The audio key
reads the headers that lead to the audio, and 128 KiB of the audio itself: eight blocks, spread
evenly from its first byte to its last, and its length in bytes. It is equal for files that differ
in tags, pictures, padding or names. A remux changes it as a rule, where the content key does not:
``tests/test_audio_key.py`` has a table. An edit that keeps the length and touches none of the
blocks keeps the key; in compressed audio that takes intent.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, cast

import xxhash

from genretag.audio.regions import Regions, audio_regions
from genretag.errors import TrackError

AUDIO_KEY_PREFIX = "audio:"

_BLOCK = 16 << 10  # bytes
_BLOCKS = 8
_OGG_HEADER = 27
# Fields of a page header that change when a file is retagged: serial, sequence and checksum.
_OGG_DERIVED = slice(14, 26)


def audio_key(path: Path) -> str | None:
    """Return the audio key of a file; None where its container is not known.

    Raises:
        TrackError: the file cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as handle:
            regions = audio_regions(cast(BinaryIO, handle))
            if regions is None:
                return None
            digest = xxhash.xxh3_128(f"{regions.family}|{regions.size}|".encode())
            for block in _blocks(cast(BinaryIO, handle), regions):
                digest.update(block)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise TrackError("read", message) from error
    return AUDIO_KEY_PREFIX + digest.hexdigest()


def audio_sketch(path: Path) -> str:
    """Return a text that is equal for copies of the same audio, and rarely for other files.

    It has the length of the audio in bytes and a hash of its first 16 KiB, so that a disk seeks
    once or twice; for containers that are not known, the size of the file.

    Raises:
        TrackError: the file cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as handle:
            regions = audio_regions(cast(BinaryIO, handle))
            if regions is None:
                return f"file|{handle.seek(0, os.SEEK_END)}"
            read = _ogg_block if regions.family == "ogg" else _read
            first = read(cast(BinaryIO, handle), regions, 0, min(regions.size, _BLOCK))
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise TrackError("read", message) from error
    return f"{regions.family}|{regions.size}|{xxhash.xxh3_64_hexdigest(first)}"


def _blocks(handle: BinaryIO, regions: Regions) -> list[bytes]:
    """Return the blocks of audio that are hashed; short audio is one block."""
    if regions.size <= _BLOCK * _BLOCKS:
        starts, size = [0], regions.size
    else:
        last = regions.size - _BLOCK
        starts, size = [i * last // (_BLOCKS - 1) for i in range(_BLOCKS)], _BLOCK
    if regions.family != "ogg":
        return [_read(handle, regions, start, size) for start in starts]
    return [_ogg_block(handle, regions, start, size) for start in starts]


def _read(handle: BinaryIO, regions: Regions, start: int, size: int) -> bytes:
    """Return ``size`` bytes from ``start``, both counted in the audio alone."""
    parts, at = list[bytes](), 0
    for span in regions.spans:
        length = span.stop - span.start
        begin, end = max(start, at), min(start + size, at + length)
        if begin < end:
            handle.seek(span.start + begin - at)
            parts.append(handle.read(end - begin))
        at += length
    return b"".join(parts)


def _ogg_block(handle: BinaryIO, regions: Regions, start: int, size: int) -> bytes:
    """Return a block without the fields of page headers that retagging changes.

    A header may begin before the block, so a little more is read.
    """
    before = min(start, _OGG_HEADER)
    data = bytearray(_read(handle, regions, start - before, before + size))
    at = data.find(b"OggS\0")
    while at >= 0:
        derived = slice(at + _OGG_DERIVED.start, min(at + _OGG_DERIVED.stop, len(data)))
        data[derived] = bytes(max(0, derived.stop - derived.start))
        at = data.find(b"OggS\0", at + _OGG_HEADER)
    return bytes(data[before:])
