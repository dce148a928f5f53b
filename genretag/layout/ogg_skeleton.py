"""Ogg Skeleton, a logical stream that describes the others and states offsets in the file."""

from __future__ import annotations

import struct

from genretag.layout.account import UnexplainedError
from genretag.layout.ogg_comments import Ogg
from genretag.layout.ogg_pages import FIRST, Page, with_checksum

_SKELETON = b"fishead\0"
_INDEX = b"index\0"
SEGMENT_LENGTH_AT, _CONTENT_AT = 64, 72  # in the header of version 4, eight bytes each


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
    length, content = struct.unpack_from("<QQ", data, page.body + SEGMENT_LENGTH_AT)
    starts = {p.start for p in ogg.pages}
    if (length and length != ogg.end - ogg.start) or (content and content not in starts):
        raise UnexplainedError("its Ogg Skeleton states offsets that are wrong")
    return length, content


def moved_skeleton(data: memoryview, page: Page, ogg: Ogg, growth: int) -> bytes:
    """Return a Skeleton's header page for a file that grew by ``growth`` within its headers."""
    length, content = skeleton_offsets(data, page, ogg)
    behind = content > ogg.header.pages[0].start
    raw = bytearray(data[page.start : page.end])
    offset = page.body - page.start + SEGMENT_LENGTH_AT
    new = (length and length + growth, content + growth if behind else content)
    struct.pack_into("<QQ", raw, offset, *new)
    return with_checksum(bytes(raw))
