"""Replacing byte ranges of a file in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

_MOVE_SIZE = 1 << 20  # bytes read at once


@dataclass(frozen=True)
class Edit:
    """Replace the bytes ``start`` to ``end`` (exclusive) by ``data``; an empty range inserts."""

    start: int
    end: int
    data: bytes

    @property
    def growth(self) -> int:
        """By how many bytes the file grows."""
        return len(self.data) - (self.end - self.start)


def edited(data: bytes | memoryview, edits: Iterable[Edit]) -> bytes:
    """Return the bytes with the edits made; all offsets are those of the old bytes."""
    out, at = [], 0
    for edit in _in_order(edits):
        out += [data[at : edit.start], edit.data]
        at = edit.end
    return b"".join([*out, data[at:]])


def apply_edits(path: Path, edits: Iterable[Edit]) -> None:
    """Make the edits in a file; all offsets are those of the old file.

    Bytes between two edits are moved in place, each once at most.
    """
    ordered = [e for e in _in_order(edits) if e.data or e.end > e.start]
    if not ordered:
        return
    with path.open("r+b") as handle:
        size = handle.seek(0, 2)
        moves = _moves(ordered, size)
        # A span that moves right overwrites the source of the next one that does, so the last
        # goes first; those that move left go in the opposite order. The two kinds never collide.
        for start, length, shift in reversed([m for m in moves if m[2] > 0]):
            _move(handle, start, length, start + shift)
        for start, length, shift in (m for m in moves if m[2] < 0):
            _move(handle, start, length, start + shift)
        growth = 0
        for edit in ordered:
            handle.seek(edit.start + growth)
            handle.write(edit.data)
            growth += edit.growth
        handle.truncate(size + growth)


def _in_order(edits: Iterable[Edit]) -> Sequence[Edit]:
    """Return the edits by offset; raise ``ValueError`` where two overlap."""
    ordered = sorted(edits, key=lambda e: (e.start, e.end))
    if any(b.start < a.end for a, b in pairwise(ordered)):
        raise ValueError("edits overlap")
    return ordered


def _moves(edits: Sequence[Edit], size: int) -> list[tuple[int, int, int]]:
    """Return (start, length, shift) of the spans behind each edit.

    An edit that changes no size does not end a span: thousands of them, as in Ogg, cost one move.
    """
    out: list[tuple[int, int, int]] = []
    shift = 0
    for edit, stop in zip(edits, [*(e.start for e in edits[1:]), size], strict=True):
        shift += edit.growth
        start = out.pop()[0] if out and not edit.growth else edit.end
        out.append((start, stop - start, shift))
    return out


def _move(handle: BinaryIO, start: int, length: int, target: int) -> None:
    """Move bytes within a file; the two places may overlap."""
    offsets = range(0, length, _MOVE_SIZE)
    for offset in reversed(offsets) if target > start else offsets:
        handle.seek(start + offset)
        data = handle.read(min(_MOVE_SIZE, length - offset))
        handle.seek(target + offset)
        handle.write(data)
