"""Ogg: pages of logical streams (RFC 3533), and the comment header of the first audio stream.

Vorbis, Opus (RFC 7845), Speex and FLAC (RFC 9639, section 10.1) are known. Other logical streams,
in parallel or chained, keep their pages as they are. Where the comment header comes to need another
number of pages, the later pages of its stream are renumbered, and nothing else in them changes.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from genretag.layout.account import Account, Kind, Pointer, Region, UnexplainedError
from genretag.layout.vorbis import Comments, comment_regions, parse_comments

MAGIC = b"OggS"
HEADER_SIZE = 27  # of a page, before its lacing values
SEQUENCE_AT, CHECKSUM_AT, COUNT_AT = 18, 22, 26  # within a page's header
MAX_SEGMENTS = 255  # of a page
FULL_SEGMENT = 255  # bytes; a packet ends with a segment of fewer
CONTINUED, FIRST, LAST = 1, 2, 4  # flags of a page
NO_GRANULE = (1 << 64) - 1  # no packet ends on the page
MAX_HEADER_SIZE = 1 << 28  # bytes of header packets held in memory
_HEADER = struct.Struct("<4sBBQIII")
_HEADER_AND_COUNT = struct.Struct("<4sBBQIIIB")
_REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))  # each byte with its bits reversed
FLAC_HEADER_SIZE = 4  # of the metadata block in a packet
MAX_FLAC_BLOCK_SIZE = (1 << 24) - 1
_CRC_START = 0xFFFFFFFF  # what zlib inverts, so that nothing is inverted
_NO_CHECKSUM = bytes(4)
_FLAC_COMMENT = 4  # its type
_MAX_HEADER_PAGES = MAX_HEADER_SIZE // (MAX_SEGMENTS * FULL_SEGMENT)
_FILMS = (b"\x80theora", b"OVP80", b"BBCD\0")  # first packets of video: Theora, VP8, Dirac
_PAGES = "Ogg/pages"  # kept as they are


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


@dataclass(frozen=True)
class Codec:
    """How a codec marks its first two packets."""

    name: str
    magic: bytes  # at the head of the first packet
    prefix: bytes  # in front of the comment list
    framed: bool  # a framing bit follows the comment list


CODECS = (
    Codec("Vorbis", b"\x01vorbis", b"\x03vorbis", framed=True),
    Codec("Opus", b"OpusHead", b"OpusTags", framed=False),
    Codec("Speex", b"Speex   ", b"", framed=False),
    Codec("FLAC", b"\x7fFLAC", b"", framed=False),
)


@dataclass(frozen=True)
class CommentHeader:
    """The pages from the comment header on to the next page that begins with a new packet.

    ``packets`` are the bytes of all packets on these pages, joined, the comment packet first;
    ``sizes`` are the packets' sizes. ``comments`` has its offsets within ``packets``.
    """

    codec: Codec
    first: int  # index of the first page
    pages: tuple[Page, ...]
    packets: bytes
    sizes: tuple[int, ...]
    comments: Comments


@dataclass(frozen=True)
class Ogg:
    """The pages of a file and its comment header."""

    start: int
    pages: tuple[Page, ...]
    end: int  # of the last page
    header: CommentHeader


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


def parse_header(data: memoryview, pages: Iterator[Page]) -> tuple[list[Page], CommentHeader]:
    """Return the pages up to the end of the comment header, and the header.

    Raises:
        UnexplainedError: there is none, or it shares pages with audio.
    """
    seen: list[Page] = []
    found: tuple[Codec, int] | None = None
    run: list[Page] = []
    first = 0
    for index, page in enumerate(pages):
        seen.append(page)
        if found is None:
            codec = _codec(data, page)
            found = (codec, page.serial) if codec else None
        elif page.serial == found[1]:
            first = first if run else index
            run.append(page)
            if _complete(run):
                return seen, _comment_header(data, found[0], first, index, run)
        if not run and not page.flags & FIRST and found is None:
            break
    raise UnexplainedError("it holds no Ogg stream with a comment header that is known")


def _codec(data: memoryview, page: Page) -> Codec | None:
    if not page.flags & FIRST:
        return None
    head = bytes(data[page.body : page.body + 8])
    return next((c for c in CODECS if head.startswith(c.magic)), None)


def _complete(run: Sequence[Page]) -> bool:
    """Return whether the last of some pages ends with the end of a packet."""
    if len(run) > _MAX_HEADER_PAGES:
        raise UnexplainedError("its Ogg comment header is too large")
    return bool(run[-1].lacing) and run[-1].lacing[-1] < FULL_SEGMENT


def _comment_header(
    data: memoryview, codec: Codec, first: int, last: int, run: Sequence[Page]
) -> CommentHeader:
    """Return the comment header on some pages of a stream."""
    # Moving the pages of two streams against each other would need all numbers of both.
    if last - first + 1 != len(run):
        raise UnexplainedError("pages of another Ogg stream stand within its comment header")
    if not all(p.lacing for p in run):
        raise UnexplainedError("a page of its Ogg comment header is empty")
    # Vorbis and Opus forbid it; a reader could not tell where the audio begins.
    if run[0].flags & CONTINUED or any(p.granule not in (0, NO_GRANULE) for p in run):
        raise UnexplainedError("its Ogg comment header shares pages with audio")
    if any(p.flags & (FIRST | LAST) for p in run):
        raise UnexplainedError("its Ogg stream ends with its headers")
    packets = b"".join(bytes(data[p.body : p.end]) for p in run)
    sizes = packet_sizes(b"".join(p.lacing for p in run))
    return CommentHeader(
        codec, first, tuple(run), packets, sizes, _parse_packet(codec, packets, sizes[0])
    )


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


def _parse_packet(codec: Codec, packets: bytes, size: int) -> Comments:
    start = len(codec.prefix)
    if codec.name == "FLAC":
        start = FLAC_HEADER_SIZE
        block = int.from_bytes(packets[1:start], "big")
        if size < start or packets[0] & 0x7F != _FLAC_COMMENT or block + start != size:
            raise UnexplainedError("the second packet of its Ogg FLAC stream holds no comments")
    elif packets[: min(start, size)] != codec.prefix:
        raise UnexplainedError("its Ogg stream has no comment header where one belongs")
    comments = parse_comments(packets, start, size)
    if codec.framed and (comments.end >= size or not packets[comments.end] & 1):
        raise UnexplainedError("the framing bit of its Vorbis comments is not there")
    return comments


def padding_start(header: CommentHeader) -> int:
    """Return where zeros behind the comments begin that fill the comment packet up to its end.

    RFC 7845, section 5.2, lets Opus hold anything there; all but zeros alone stays as it is.
    """
    start = header.comments.end + header.codec.framed
    rest = header.packets[start : header.sizes[0]]
    return header.sizes[0] if header.codec.name == "FLAC" or rest.strip(b"\0") else start


def parse_ogg(data: memoryview, start: int) -> Ogg:
    """Parse all pages of a file from ``start`` on.

    Raises:
        UnexplainedError: it cannot be explained.
    """
    iterator = parse_pages(data, start)
    seen, header = parse_header(data, iterator)
    pages = (*seen, *iterator)
    # Films are no music, and their pages may be interleaved in ways that are not known here.
    if any(p.flags & FIRST and _is_film(data, p) for p in pages):
        raise UnexplainedError("it holds a film")
    later = (_codec(data, p) for p in pages[header.first :] if p.flags & FIRST)
    if any(codec not in (None, header.codec) for codec in later):
        raise UnexplainedError("it is a chain of streams of different codecs")
    end = pages[-1].end
    # A page behind unknown bytes means that the file is damaged there, not that it ends.
    if _find(data, end) >= 0:
        raise UnexplainedError("bytes between its Ogg pages belong to none")
    return Ogg(start, pages, end, header)


def _is_film(data: memoryview, page: Page) -> bool:
    return bytes(data[page.body : page.body + 8]).startswith(_FILMS)


def _find(data: memoryview, start: int) -> int:
    """Return where a page begins behind the last one that was parsed; -1: nowhere."""
    step = 1 << 20
    for at in range(start, len(data), step):
        found = bytes(data[at : at + step + 3]).find(MAGIC + b"\0")
        if found >= 0:
            return at + found
    return -1


def has_sound_checksum(data: memoryview, page: Page) -> bool:
    """Return whether a page's checksum is right."""
    raw = bytes(data[page.start : page.end]).translate(_REVERSED)
    crc = zlib.crc32(_NO_CHECKSUM, zlib.crc32(raw[:CHECKSUM_AT], _CRC_START))
    stored = int.from_bytes(raw[CHECKSUM_AT:COUNT_AT], "big")
    return zlib.crc32(raw[COUNT_AT:], crc) ^ _CRC_START == stored


# --- the account ----------------------------------------------------------------------------------


@dataclass
class _Builder:
    """Collects regions; the bytes between two of them are pages as they are."""

    at: int
    regions: list[Region]
    name: str = _PAGES

    def add(self, region: Region) -> None:
        """Add a region behind the last one."""
        self.fill(region.start)
        self.regions.append(region)
        self.at = region.end

    def fill(self, end: int) -> None:
        """Add the bytes up to ``end`` as pages that are kept."""
        if end > self.at:
            self.regions.append(Region(Kind.AUDIO, self.at, end, self.name))
            self.name = _PAGES
        self.at = end


def ogg_regions(
    data: memoryview, ogg: Ogg, fields: Sequence[str], *, numbers: bool = True
) -> tuple[list[Region], list[Pointer]]:
    """Return the regions of all pages, and the offsets that a Skeleton holds.

    Without ``numbers``, the pages behind the comment header are left whole.

    Raises:
        UnexplainedError: the pages of the comment header are not as they must be.
    """
    builder, pointers = _Builder(ogg.start, []), list[Pointer]()
    header = ogg.header
    numbered = {page.start for page in numbered_pages(ogg)} if numbers else set[int]()
    expected = header.pages[-1].sequence + 1
    _check_numbers(ogg)
    for index, page in enumerate(ogg.pages):
        if index == header.first:
            _add_header(builder, data, header, fields)
        elif header.first < index < header.first + len(header.pages):
            continue
        elif page.start in numbered:
            _add_numbered(builder, data, page, expected)
            expected = page.sequence + 1
        elif is_skeleton(data, page):
            pointers += _add_skeleton(builder, data, page, ogg)
    builder.fill(ogg.end)
    return builder.regions, pointers


def numbered_pages(ogg: Ogg) -> Iterator[Page]:
    """Yield the pages of the first audio stream behind its comment header, as far as it goes."""
    serial = ogg.header.pages[0].serial
    for page in ogg.pages[ogg.header.first + len(ogg.header.pages) :]:
        if page.serial == serial:
            if page.flags & FIRST:
                return  # a stream that is chained with the same serial number
            yield page


def _check_numbers(ogg: Ogg) -> None:
    """Raise unless the stream's pages are numbered in order up to the end of its comment header."""
    header = ogg.header
    before = [p for p in ogg.pages[: header.first] if p.serial == header.pages[0].serial]
    run = [*before, *header.pages]
    if any(b.sequence != (a.sequence + 1) % (1 << 32) for a, b in pairwise(run)):
        raise UnexplainedError("the first pages of its Ogg stream are not numbered in order")


def _add_numbered(builder: _Builder, data: memoryview, page: Page, expected: int) -> None:
    """Add a page whose number follows from the page before; a gap shows in the region's name.

    A page with a wrong checksum is kept as it is, number and all: it cannot be renumbered.
    """
    if not has_sound_checksum(data, page):
        return
    start, end = page.start + SEQUENCE_AT, page.start + COUNT_AT
    if gap := (page.sequence - expected) % (1 << 32):
        builder.fill(page.start)
        builder.name = f"{_PAGES} after a gap of {gap}"
    builder.add(Region(Kind.DERIVED, start, end, "Ogg/number and checksum"))


def _add_header(
    builder: _Builder, data: memoryview, header: CommentHeader, fields: Sequence[str]
) -> None:
    """Add the pages of the comment header: their headers are derived, their packets explained."""
    parts, start = deque(_packet_parts(header, fields)), 0
    continued = False
    for page in header.pages:
        _check_header_page(data, page, continued)
        continued = page.lacing[-1] == FULL_SEGMENT
        builder.add(Region(Kind.DERIVED, page.start, page.body, "Ogg/page header"))
        stop = start + page.end - page.body
        while parts and parts[0].start < stop:
            part = parts.popleft()
            shift = page.body - start
            end = min(part.end, stop)
            builder.add(replace(part, start=part.start + shift, end=end + shift))
            if part.end > stop:
                parts.appendleft(replace(part, start=stop))
        start = stop


def _check_header_page(data: memoryview, page: Page, continued: bool) -> None:
    if bool(page.flags & CONTINUED) != continued:
        raise UnexplainedError("the pages of its Ogg comment header do not follow one another")
    if not has_sound_checksum(data, page):
        raise UnexplainedError("the checksum of its Ogg comment header is wrong")


def _packet_parts(header: CommentHeader, fields: Sequence[str]) -> list[Region]:
    """Return the regions of the packets, with offsets within the packets."""
    above = f"Ogg/{header.codec.name}"
    comments, size = header.comments, header.sizes[0]
    padding = padding_start(header)
    head = [Region(Kind.OTHER, 0, comments.start, f"{above}/prefix")]
    if header.codec.name == "FLAC":
        head = [
            Region(Kind.OTHER, 0, 1, f"{above}/prefix"),
            Region(Kind.DERIVED, 1, comments.start, f"{above}/size"),
        ]
    parts = [
        *head,
        *comment_regions(comments, fields, above),
        Region(Kind.OTHER, comments.end, padding, f"{above}/rest"),
        Region(Kind.PADDING, padding, size, f"{above}/padding"),
    ]
    start = size
    for number, later in enumerate(header.sizes[1:], 3):
        parts.append(Region(Kind.OTHER, start, start + later, f"{above}/packet {number}"))
        start += later
    return [p for p in parts if p.size]


# --- Skeleton -------------------------------------------------------------------------------------

_SKELETON = b"fishead\0"
_INDEX = b"index\0"
_SEGMENT_LENGTH_AT, _CONTENT_AT = 64, 72  # in the header of version 4, eight bytes each


def is_skeleton(data: memoryview, page: Page) -> bool:
    """Return whether a page begins a Skeleton stream (Xiph.Org, Ogg Skeleton 4.0, 2010)."""
    return bool(page.flags & FIRST) and data[page.body : page.body + 8] == _SKELETON


def skeleton_offsets(data: memoryview, page: Page, ogg: Ogg) -> tuple[int, int]:
    """Return the segment's length and the content's offset that a Skeleton states; 0: not stated.

    Raises:
        UnexplainedError: they are wrong, or an index of byte offsets is there.
    """
    if page.end - page.body < _CONTENT_AT + 8 or data[page.body + 8] < 4:
        return 0, 0
    if any(
        p.serial == page.serial and data[p.body : p.body + len(_INDEX)] == _INDEX for p in ogg.pages
    ):
        raise UnexplainedError("its Ogg Skeleton holds an index of byte offsets")
    length, content = struct.unpack_from("<QQ", data, page.body + _SEGMENT_LENGTH_AT)
    starts = {p.start for p in ogg.pages}
    if (length and length != ogg.end - ogg.start) or (content and content not in starts):
        raise UnexplainedError("its Ogg Skeleton states offsets that are wrong")
    return length, content


def moved_skeleton(data: memoryview, page: Page, ogg: Ogg, growth: int) -> bytes:
    """Return a Skeleton's header page for a file that grew by ``growth`` within its headers."""
    length, content = skeleton_offsets(data, page, ogg)
    behind = content > ogg.header.pages[0].start
    raw = bytearray(data[page.start : page.end])
    offset = page.body - page.start + _SEGMENT_LENGTH_AT
    new = (length and length + growth, content + growth if behind else content)
    struct.pack_into("<QQ", raw, offset, *new)
    return with_checksum(bytes(raw))


def _add_skeleton(builder: _Builder, data: memoryview, page: Page, ogg: Ogg) -> list[Pointer]:
    """Add a Skeleton's header; its offsets and its checksum follow from the rest."""
    length, content = skeleton_offsets(data, page, ogg)
    if not (length or content):
        return []
    if not has_sound_checksum(data, page):
        raise UnexplainedError("the checksum of its Ogg Skeleton is wrong")
    offsets = page.body + _SEGMENT_LENGTH_AT
    number = (page.start + CHECKSUM_AT, page.start + COUNT_AT)
    builder.add(Region(Kind.DERIVED, *number, "Ogg/checksum"))
    builder.add(Region(Kind.DERIVED, offsets, offsets + 16, "Ogg/Skeleton/offsets"))
    return [Pointer(offsets + 8, content, "Ogg/Skeleton/content")] if content else []


def matches(head: bytes) -> bool:
    """Return whether a file begins as an Ogg file does."""
    return head.startswith(MAGIC)


def account(data: memoryview, fields: Sequence[str]) -> Account:
    """Return the account of an Ogg file.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    return _account(data, parse_ogg(data, 0), fields)


def explained(data: memoryview, fields: Sequence[str]) -> Ogg:
    """Return the parsed file if it has an account, but of the audio read only the page headers.

    Raises:
        UnexplainedError: it cannot be explained completely, as in ``account``.
    """
    ogg = parse_ogg(data, 0)
    # Checksums of audio pages decide only how their bytes are named; no file fails by them.
    _account(data, ogg, fields, numbers=False)
    return ogg


def _account(data: memoryview, ogg: Ogg, fields: Sequence[str], *, numbers: bool = True) -> Account:
    regions, pointers = ogg_regions(data, ogg, fields, numbers=numbers)
    tail = Region(Kind.OTHER, ogg.end, len(data), "behind the Ogg pages")
    return Account("Ogg", len(data), (*regions, tail), tuple(pointers))
