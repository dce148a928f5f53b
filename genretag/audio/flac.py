"""The key of a FLAC file's samples, which its STREAMINFO holds (RFC 9639)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, cast

from genretag.audio import mpeg
from genretag.audio.regions import audio_regions

_STREAMINFO_BYTES = 34
_BEFORE = 4 + 4  # the signature and the header of the first metadata block
_SYNC = re.compile(rb"\xff[\xf8\xf9]")  # of a frame header; the last bit: of variable size
_VARIABLE = 1
_MIN_TAIL = 32 << 10  # bytes at the end in which the last frame is looked for
_MAX_HEADER = 16  # bytes


def streaminfo_key(path: Path) -> str | None:
    """Return a key of the samples of a FLAC file; None if it has no MD5, or its end is missing.

    The MD5 alone is equal for equal samples at another rate or with other channels, so the key
    also has these fields (RFC 9639, section 8.2). A truncated file still has the MD5 of the whole:
    its analysis must not be taken for that of a complete file, or the other way round.
    """
    with path.open("rb") as handle:
        handle.seek(mpeg.id3v2_size(handle.read(10)))
        head = handle.read(_BEFORE + _STREAMINFO_BYTES)
        if len(head) < _BEFORE + _STREAMINFO_BYTES or head[:4] != b"fLaC" or head[4] & 0x7F != 0:
            return None
        shape, md5 = head[18:26], head[26:42]
        if not any(md5) or not _has_last_frame(cast(BinaryIO, handle), head[_BEFORE:]):
            return None
    return f"flac:{shape.hex()}:{md5.hex()}"


def _has_last_frame(handle: BinaryIO, streaminfo: bytes) -> bool:
    """Return whether one of the frames near the end is the last one that STREAMINFO counts."""
    block_size = int.from_bytes(streaminfo[2:4], "big")  # samples; the largest
    frame_bytes = int.from_bytes(streaminfo[7:10], "big")  # the largest; 0 if unknown
    total = int.from_bytes(streaminfo[10:18], "big") & ((1 << 36) - 1)  # samples of a channel
    regions = audio_regions(handle)
    if regions is None:
        return False
    stop = regions.spans[-1].stop
    start = max(regions.spans[-1].start, stop - max(_MIN_TAIL, frame_bytes + _MAX_HEADER))
    handle.seek(start)
    data = handle.read(stop - start)
    return any(_end_of_frame(data[m.start() :][:_MAX_HEADER], block_size) == total
               for m in _SYNC.finditer(data))  # fmt: skip


def _end_of_frame(header: bytes, block_size: int) -> int | None:
    """Return the sample that follows a frame; None: no frame header (RFC 9639, section 9.1)."""
    samples = header[2] >> 4 if len(header) >= 6 else 0
    if samples == 0 or header[3] & 1:  # both are reserved
        return None
    at, number = _coded_number(header)
    if samples in (6, 7):
        extra = samples - 5
        count = int.from_bytes(header[at : at + extra], "big") + 1
        at += extra
    elif samples == 1:
        count = 192
    else:
        count = 576 << (samples - 2) if samples < 6 else 256 << (samples - 8)
    at += {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)  # bytes of an uncommon sample rate
    if at >= len(header) or _crc8(header[:at]) != header[at]:
        return None
    return count + (number if header[1] & _VARIABLE else number * block_size)


def _coded_number(header: bytes) -> tuple[int, int]:
    """Return where the number of a frame or sample ends, and the number; coded as in UTF-8."""
    first = header[4]
    ones = 8 - (first ^ 0xFF).bit_length()  # leading bits
    if ones == 0:
        return 5, first
    number = first & (0x7F >> ones)
    for byte in header[5 : 4 + ones]:
        number = number << 6 | byte & 0x3F
    return 4 + ones, number


def _crc8(data: bytes) -> int:
    """Return the CRC of a frame header: polynomial x^8 + x^2 + x + 1."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
