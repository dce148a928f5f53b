"""Ogg: the account of all pages of a file whose first audio stream has a comment header.

Other logical streams, in parallel or chained, keep their pages as they are. Where the comment
header comes to need another number of pages, the later pages of its stream are renumbered, and
nothing else in them changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from genretag.layout.account import Account, Kind, Pointer, Region, UnexplainedError
from genretag.layout.ogg_comments import CommentHeader, Ogg, padding_start, parse_ogg
from genretag.layout.ogg_pages import (
    CHECKSUM_AT,
    CONTINUED,
    COUNT_AT,
    FIRST,
    FULL_SEGMENT,
    MAGIC,
    SEQUENCE_AT,
    Page,
    has_sound_checksum,
)
from genretag.layout.ogg_skeleton import SEGMENT_LENGTH_AT, is_skeleton, skeleton_offsets
from genretag.layout.vorbis import comment_regions

_PAGES = "Ogg/pages"  # kept as they are


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


def _add_skeleton(builder: _Builder, data: memoryview, page: Page, ogg: Ogg) -> list[Pointer]:
    """Add a Skeleton's header; its offsets and its checksum follow from the rest."""
    length, content = skeleton_offsets(data, page, ogg)
    if not (length or content):
        return []
    if not has_sound_checksum(data, page):
        raise UnexplainedError("the checksum of its Ogg Skeleton is wrong")
    offsets = page.body + SEGMENT_LENGTH_AT
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
