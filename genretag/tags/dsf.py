"""DSF: the fields in the ID3 tag at the file's end."""

from __future__ import annotations

from collections.abc import Sequence

from genretag.layout.dsf import POINTER_AT, TOTAL_AT, parse_dsf
from genretag.layout.id3 import id3v2_end
from genretag.tags import embedded as id3
from genretag.tags.comments import growth_of
from genretag.tags.edits import Edit
from genretag.tags.options import TagOptions


def dsf_edits(
    data: memoryview, values: Sequence[str], options: TagOptions, field: str = "genre"
) -> list[Edit]:
    """Return the edits that give a DSF file the values of a field.

    A file whose offset leads to no tag gets one at its end, behind whatever is there; the file's
    size and the offset are set right.
    """
    dsf = parse_dsf(data)
    at = len(data) if dsf.tag_at is None else dsf.tag_at
    end = id3v2_end(data, at)
    if id3.has_frames(data, at, end):
        edits = id3.tag_edits(data, at, end, values, options, field)
    else:
        edits = id3.filled_edits(data, at, end, values, {}, options, field)
    total = len(data) + growth_of(edits)
    numbers = total.to_bytes(8, "little") + at.to_bytes(8, "little")
    return [Edit(TOTAL_AT, POINTER_AT + 8, numbers), *edits]
