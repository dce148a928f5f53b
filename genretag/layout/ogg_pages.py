"""Pages of Ogg (RFC 3533): parse and pack them, with their lacing values and checksums."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from genretag.layout.account import UnexplainedError

MAGIC = b"OggS"
HEADER_SIZE = 27  # of a page, before its lacing values
SEQUENCE_AT, CHECKSUM_AT, COUNT_AT = 18, 22, 26  # within a page's header
MAX_SEGMENTS = 255  # of a page
FULL_SEGMENT = 255  # bytes; a packet ends with a segment of fewer
CONTINUED, FIRST, LAST = 1, 2, 4  # flags of a page
NO_GRANULE = (1 << 64) - 1  # no packet ends on the page
_HEADER = struct.Struct("<4sBBQIII")
_HEADER_AND_COUNT = struct.Struct("<4sBBQIIIB")
_REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))  # each byte with its bits reversed
_CRC_START = 0xFFFFFFFF  # what zlib inverts, so that nothing is inverted
_NO_CHECKSUM = bytes(4)


class Page(NamedTuple):
    """One page; offsets are those of the file. A long recording has a hundred thousand of them."""

    start: int
    flags: int
    granule: int
    serial: int
    sequence: int
    checksum: int
    lacing: bytes
    body: int
    end: int

    @property
    def packets_end(self) -> int:
        """How many packets end on the page."""
        return len(self.lacing) - self.lacing.count(FULL_SEGMENT)


def page_checksum(page: bytes) -> int:
    """Return the checksum of a page whose checksum field is zero.

    Ogg's CRC-32 takes the bits of a byte in the opposite order of zlib's, and inverts nothing.
    """
    # zlib works on reflected bits: reverse them on the way in and out.
    reversed_crc = zlib.crc32(page.translate(_REVERSED), _CRC_START) ^ _CRC_START
    return int.from_bytes(reversed_crc.to_bytes(4, "little").translate(_REVERSED), "big")


def pack_page(
    flags: int, granule: int, serial: int, sequence: int, lacing: bytes, body: bytes
) -> bytes:
    """Return a page with its checksum."""
    head = _HEADER.pack(MAGIC, 0, flags, granule, serial, sequence & 0xFFFFFFFF, 0)
    return with_checksum(head + bytes([len(lacing)]) + lacing + body)


def with_checksum(page: bytes) -> bytes:
    """Return a page with its checksum computed again."""
    blank = page[:CHECKSUM_AT] + bytes(4) + page[COUNT_AT:]
    return blank[:CHECKSUM_AT] + page_checksum(blank).to_bytes(4, "little") + blank[COUNT_AT:]


def parse_pages(data: memoryview, start: int) -> Iterator[Page]:
    """Yield the pages from ``start`` on, up to bytes that begin none.

    Raises:
        UnexplainedError: a page is cut off.
    """
    at, size = start, len(data)
    while at + HEADER_SIZE <= size:
        magic, version, flags, granule, serial, sequence, checksum, count = (
            _HEADER_AND_COUNT.unpack_from(data, at)
        )
        if magic != MAGIC:
            return
        if version:
            raise UnexplainedError(f"its Ogg pages are of version {version}")
        # A page cannot be longer than 255 x 255 bytes, so its end is known from its header alone.
        body = at + HEADER_SIZE + count
        lacing = bytes(data[at + HEADER_SIZE : body])
        end = body + sum(lacing)
        if end > size:
            raise _cut()
        yield Page(at, flags, granule, serial, sequence, checksum, lacing, body, end)
        at = end
    if bytes(data[at : at + len(MAGIC)]) == MAGIC:
        raise _cut()


def _cut() -> UnexplainedError:
    return UnexplainedError("it is cut off: its last Ogg page is not whole")


def packet_sizes(lacing: bytes) -> tuple[int, ...]:
    """Return the sizes of the packets that some lacing values hold."""
    sizes, size = [], 0
    for value in lacing:
        size += value
        if value < FULL_SEGMENT:
            sizes.append(size)
            size = 0
    return tuple(sizes)


def lacing_of(sizes: Sequence[int]) -> bytes:
    """Return the lacing values of some packets."""
    return b"".join(b"\xff" * (n // FULL_SEGMENT) + bytes([n % FULL_SEGMENT]) for n in sizes)


def has_sound_checksum(data: memoryview, page: Page) -> bool:
    """Return whether a page's checksum is right."""
    raw = bytes(data[page.start : page.end]).translate(_REVERSED)
    crc = zlib.crc32(_NO_CHECKSUM, zlib.crc32(raw[:CHECKSUM_AT], _CRC_START))
    stored = int.from_bytes(raw[CHECKSUM_AT:COUNT_AT], "big")
    return zlib.crc32(raw[COUNT_AT:], crc) ^ _CRC_START == stored
