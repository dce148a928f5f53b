"""Offsets of an MP4 file that lead elsewhere after some edits."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from genretag.errors import TrackError
from genretag.layout.mp4 import neighbours
from genretag.layout.mp4_offsets import Offset
from genretag.tags.edits import Edit


def offset_edits(tables: Iterable[Sequence[Offset]], edits: Sequence[Edit]) -> Iterator[Edit]:
    """Yield the edits of all stored offsets that lead elsewhere after some edits."""
    moved = _Moved(edits)
    for table in tables:
        for offset in (o for o in table if o.is_fixed):
            if moved.number(offset) != offset.target - offset.base:
                raise TrackError("tags", "its index (sidx) spans its tags and cannot be corrected")
        for group in neighbours(table):
            numbers = [moved.number(o) for o in group]
            if numbers != [o.target - o.base for o in group]:
                stored = (_stored(n, o.width) for n, o in zip(numbers, group, strict=True))
                yield Edit(group[0].at, group[-1].end, b"".join(stored))


def _stored(number: int, width: int) -> bytes:
    if not 0 <= number < 1 << 8 * width:
        raise TrackError("tags", "an offset in it would become too large; a genre does not fit")
    return number.to_bytes(width, "big")


class _Moved:
    """Where bytes of the file are after some edits."""

    def __init__(self, edits: Iterable[Edit]) -> None:
        ordered = sorted((e for e in edits if e.growth), key=lambda e: (e.end, e.start))
        self._edits = ordered
        self._ends = [e.end for e in ordered]
        self._shifts = [0, *accumulate(e.growth for e in ordered)]

    def number(self, offset: Offset) -> int:
        """Return the number that leads to the same byte."""
        return self.place(offset.target) - (self.place(offset.base) if offset.base else 0)

    def place(self, at: int) -> int:
        """Return where a byte is; an insertion at its place stands before it."""
        i = bisect.bisect_right(self._ends, at)
        if i < len(self._edits) and self._edits[i].start < at:
            raise TrackError("tags", "an offset in it leads into its tags")
        return at + self._shifts[i]
