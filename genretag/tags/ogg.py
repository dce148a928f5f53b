"""Ogg: the fields in the comment header of the first audio stream, with its pages rebuilt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from genretag.errors import TrackError
from genretag.layout import ogg as layout
from genretag.layout import ogg_comments, ogg_pages, ogg_skeleton
from genretag.layout.ogg_comments import CommentHeader, Ogg
from genretag.layout.ogg_pages import Page
from genretag.layout.vorbis import Comments
from genretag.tags.comments import field_edits, growth_of
from genretag.tags.edits import Edit, edited


def read_comments(data: memoryview, start: int) -> list[Comments]:
    """Return the comment list of the first audio stream, without a look at the later pages."""
    return [ogg_comments.parse_header(data, ogg_pages.parse_pages(data, start))[1].comments]


def ogg_edits(data: memoryview, start: int, field: str, values: Sequence[str]) -> list[Edit]:
    """Return the edits that give a field its values in the first audio stream.

    Raises:
        UnexplainedError: the file cannot be explained completely.
        TrackError: later pages would have to be renumbered, and one of them is damaged.
    """
    return _edits(data, ogg_comments.parse_ogg(data, start), field, values)


def try_edits(data: memoryview, values: Sequence[str]) -> None:
    """Raise where an account or the edits of a genre would, without reading the audio for it.

    Only where the genre needs further pages is the audio read, since its pages are renumbered.

    Raises:
        UnexplainedError: the file cannot be explained completely.
        TrackError: as in ``ogg_edits``.
    """
    _edits(data, layout.explained(data, ("genre",)), "genre", values)


def _edits(data: memoryview, ogg: Ogg, field: str, values: Sequence[str]) -> list[Edit]:
    header = ogg.header
    packets, size = _new_packets(header, field_edits(header.comments, field, values))
    pages = list(_paged(header, packets, ogg_pages.lacing_of([size, *header.sizes[1:]])))
    edit = Edit(header.pages[0].start, header.pages[-1].end, b"".join(pages))
    added = len(pages) - len(header.pages)
    return [edit, *_renumbered(data, ogg, added), *_skeleton_edits(data, ogg, edit.growth)]


def _new_packets(header: CommentHeader, edits: list[Edit]) -> tuple[bytes, int]:
    """Return the header packets, joined, and the size of the comment packet.

    Zeros that fill the comment packet take up the change, so that pages and file keep their size.
    """
    size, padding = header.sizes[0], ogg_comments.padding_start(header)
    growth = growth_of(edits)
    if padding < size:
        left = max(0, size - padding - growth)
        edits = [*edits, Edit(padding, size, bytes(left))]
    new_size = size + growth_of(edits)
    if header.codec.name == "FLAC":
        block = new_size - ogg_comments.FLAC_HEADER_SIZE
        if block > ogg_comments.MAX_FLAC_BLOCK_SIZE:
            raise TrackError("tags", "its comments leave no space for a genre")
        edits = [*edits, Edit(1, ogg_comments.FLAC_HEADER_SIZE, block.to_bytes(3, "big"))]
    return edited(header.packets, edits), new_size


def _paged(header: CommentHeader, packets: bytes, lacing: bytes) -> Iterator[bytes]:
    """Yield the packets as pages."""
    first = header.pages[0]
    at = done = 0
    flags = 0
    for number, count in enumerate(_page_lengths(header.pages, len(lacing))):
        values = lacing[done : done + count]
        body = packets[at : at + sum(values)]
        ends = any(v < ogg_pages.FULL_SEGMENT for v in values)
        granule = 0 if ends else _granule_within(header.pages)
        yield ogg_pages.pack_page(
            flags, granule, first.serial, first.sequence + number, values, body
        )
        flags = ogg_pages.CONTINUED if values[-1] == ogg_pages.FULL_SEGMENT else 0
        at, done = at + len(body), done + count


def _granule_within(pages: Sequence[Page]) -> int:
    """Return the granule position of pages on which no packet ends, as the file has it."""
    inner = (p.granule for p in pages if not p.packets_end)
    return next(inner, ogg_pages.NO_GRANULE)


def _page_lengths(pages: Sequence[Page], total: int) -> list[int]:
    """Return how many segments each page gets: as many pages as before, if they can hold them."""
    lengths = [len(p.lacing) for p in pages]
    if not len(pages) <= total <= len(pages) * ogg_pages.MAX_SEGMENTS:
        full, rest = divmod(total, ogg_pages.MAX_SEGMENTS)
        return [ogg_pages.MAX_SEGMENTS] * full + [rest] * bool(rest)
    change = total - sum(lengths)
    for i, length in enumerate(lengths):
        lengths[i] = min(max(length + change, 1), ogg_pages.MAX_SEGMENTS)
        change -= lengths[i] - length
    return lengths


def _renumbered(data: memoryview, ogg: Ogg, added: int) -> Iterator[Edit]:
    """Yield the edits that number the stream's later pages for so many more header pages."""
    if not added:
        return
    for page in layout.numbered_pages(ogg):
        if not ogg_pages.has_sound_checksum(data, page):
            raise TrackError("tags", "an Ogg page is damaged and cannot be renumbered")
        raw = bytearray(data[page.start : page.end])
        number = (page.sequence + added) % (1 << 32)
        raw[ogg_pages.SEQUENCE_AT : ogg_pages.CHECKSUM_AT] = number.to_bytes(4, "little")
        sound = ogg_pages.with_checksum(bytes(raw))
        start, end = page.start + ogg_pages.SEQUENCE_AT, page.start + ogg_pages.COUNT_AT
        yield Edit(start, end, sound[ogg_pages.SEQUENCE_AT : ogg_pages.COUNT_AT])


def _skeleton_edits(data: memoryview, ogg: Ogg, growth: int) -> Iterator[Edit]:
    """Yield the edits that correct the offsets which a Skeleton states."""
    if not growth:
        return
    for page in ogg.pages:
        if ogg_skeleton.is_skeleton(data, page) and any(
            ogg_skeleton.skeleton_offsets(data, page, ogg)
        ):
            yield Edit(page.start, page.end, ogg_skeleton.moved_skeleton(data, page, ogg, growth))
