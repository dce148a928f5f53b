"""DSF: header, format chunk, data, and an ID3v2 tag at an offset (Sony, version 1.01, 2005)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from genretag.layout.account import Account, Kind, Region, UnexplainedError
from genretag.layout.id3 import tag_regions

MAGIC = b"DSD "
HEADER_SIZE = 28
TOTAL_AT, POINTER_AT = 12, 20  # of the file's size and of the tag's offset, eight bytes each
_CHUNK = struct.Struct("<4sQ")  # a chunk's name, and its size with this header


@dataclass(frozen=True)
class Dsf:
    """Where the parts of a DSF file lie."""

    data_end: int
    tag_at: int | None  # of the ID3v2 tag; None where the offset leads to none


def matches(head: bytes) -> bool:
    """Return whether a file begins as a DSF file does."""
    return head[:12] == MAGIC + HEADER_SIZE.to_bytes(8, "little")


def parse_dsf(data: memoryview) -> Dsf:
    """Parse a DSF file.

    Raises:
        UnexplainedError: it is cut off, or its offset leads to something other than a tag.
    """
    if not matches(bytes(data[:HEADER_SIZE])) or len(data) < HEADER_SIZE:
        raise UnexplainedError("it does not begin as a DSF file")
    at = HEADER_SIZE
    for name in (b"fmt ", b"data"):
        if at + _CHUNK.size > len(data):
            raise _cut()
        found, size = _CHUNK.unpack_from(data, at)
        if found != name or size < _CHUNK.size:
            raise UnexplainedError(f"its {name.decode().strip()} chunk is not where it belongs")
        at += size
    if at > len(data):
        raise _cut()
    return Dsf(at, _tag_at(data, at))


def _cut() -> UnexplainedError:
    return UnexplainedError("it is cut off: its DSF data is not whole")


def _tag_at(data: memoryview, data_end: int) -> int | None:
    """Return where the tag begins; None where the offset is zero, or leads to the end or beyond."""
    pointer = int.from_bytes(data[POINTER_AT : POINTER_AT + 8], "little")
    if not pointer or pointer >= len(data):
        return None
    if pointer < data_end or bytes(data[pointer : pointer + 3]) != b"ID3":
        raise UnexplainedError("the offset of its ID3 tag leads to no tag")
    return pointer


def account(data: memoryview, fields: Sequence[str]) -> Account:
    """Return the account of a DSF file.

    The file's size and the tag's offset are derived: one that is wrong before a write is set right.
    The offset is no pointer of the account, since it may come new; that it leads to the tag is
    checked here.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    dsf = parse_dsf(data)
    tag_at = len(data) if dsf.tag_at is None else dsf.tag_at
    regions = [
        Region(Kind.OTHER, 0, TOTAL_AT, "DSF/header"),
        Region(Kind.DERIVED, TOTAL_AT, HEADER_SIZE, "DSF/size and offset"),
        Region(Kind.AUDIO, HEADER_SIZE, dsf.data_end, "DSF/audio"),
        Region(Kind.OTHER, dsf.data_end, tag_at, "behind the DSF data"),
        *(tag_regions(data, tag_at, len(data), fields, "DSF") if dsf.tag_at is not None else ()),
    ]
    return Account("DSF", len(data), tuple(regions))
