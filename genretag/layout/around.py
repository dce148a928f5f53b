"""Tags of the ID3 family around a stream of another format."""

from __future__ import annotations

from collections.abc import Sequence

from genretag.layout.account import Kind, Region, UnexplainedError

_ID3V2_HEADER = 10
_FOOTER_FLAG = 0x10
_ID3V1_SIZE = 128


def id3v2_end(data: memoryview, start: int) -> int:
    """Return where the ID3v2 tag ends that begins at an offset; the offset itself if there is none."""
    header = bytes(data[start : start + _ID3V2_HEADER])
    if header[:3] != b"ID3" or len(header) < _ID3V2_HEADER:
        return start
    size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    footer = _ID3V2_HEADER if header[5] & _FOOTER_FLAG else 0
    end = start + _ID3V2_HEADER + size + footer
    if any(b & 0x80 for b in header[6:]) or end > len(data):
        raise UnexplainedError("the size of its ID3v2 tag leads beyond its end")
    return end


def front_end(data: memoryview) -> int:
    """Return where the ID3v2 tags at the head of a file end."""
    at = 0
    while (end := id3v2_end(data, at)) > at:
        at = end
    return at


def front_regions(data: memoryview, end: int, fields: Sequence[str]) -> list[Region]:
    return [Region(Kind.OTHER, 0, end, "ID3v2")]


def tail_start(data: memoryview, start: int) -> int:
    has_v1 = bytes(data[-_ID3V1_SIZE:][:3]) == b"TAG" and len(data) - _ID3V1_SIZE >= start
    return len(data) - _ID3V1_SIZE if has_v1 else len(data)


def tail_regions(data: memoryview, start: int, fields: Sequence[str]) -> list[Region]:
    return [Region(Kind.OTHER, start, len(data), "tail")]


def id3_regions(
    data: memoryview, start: int, end: int, fields: Sequence[str], above: str
) -> list[Region]:
    return [Region(Kind.OTHER, start, end, above)]
