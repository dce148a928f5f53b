"""The genre in an ID3v2 tag, wherever the tag stands."""

from __future__ import annotations

from collections.abc import Sequence

from genretag.layout.id3 import parse_tag
from genretag.tags.edits import Edit
from genretag.tags.id3_convert import converted, meanings_of, needs_conversion
from genretag.tags.id3_splice import (
    field_edits,
    genres_of,
    has_frames,
    new_tag,
    texts_of,
)
from genretag.tags.options import TagOptions

__all__ = [
    "genres_of",
    "has_frames",
    "meanings_of",
    "needs_conversion",
    "new_tag",
    "tag_edits",
    "texts_of",
]


def tag_edits(
    data: memoryview, start: int, end: int, values: Sequence[str], options: TagOptions
) -> list[Edit]:
    """Return the edits that give the tag at an offset its genres, within its padding if it can.

    ``end`` is the end of the space that holds the tag, such as a chunk's.
    """
    if needs_conversion(data, start, options):
        tag = parse_tag(data, start)
        return [Edit(start, tag.end, converted(data, start, values, options))]
    return field_edits(data, start, "genre", values)
