"""Byte differences of a write: small enough to keep, and enough to rebuild the old file.

A tag that grows at the head or at the tail moves everything behind it, so the two files are
compared at the shift that leaves the least: from the start, from the end, or at the shift where
a piece of the old file's middle is found again (tags that changed at both ends).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genretag.layout.mapping import mapped

_MAGIC = b"GTD1"
_BLOCK = 1 << 20  # bytes compared at once
_JOIN = 16  # ranges nearer than this become one: a range costs 16 bytes of its own
_ANCHOR = 64  # bytes of the piece that is looked for
_ANCHORS = 8


@dataclass(frozen=True)
class Delta:
    """Old file = new file moved by ``shift``, with ``ranges`` (offset in the old file, old bytes)
    put in.
    """

    old_size: int
    shift: int  # byte i of the old file is byte i + shift of the new one
    ranges: tuple[tuple[int, bytes], ...]

    @property
    def weight(self) -> int:
        """How many old bytes are kept."""
        return sum(len(data) for _, data in self.ranges)

    def pack(self) -> bytes:
        """Return the delta as compressed bytes."""
        parts = [struct.pack("<QqQ", self.old_size, self.shift, len(self.ranges))]
        parts += [struct.pack("<QQ", at, len(data)) + data for at, data in self.ranges]
        return _MAGIC + zlib.compress(b"".join(parts), 6)

    @classmethod
    def unpack(cls, packed: bytes) -> Delta:
        """Read what ``pack`` wrote."""
        if packed[:4] != _MAGIC:
            raise ValueError("this is no delta")
        data = zlib.decompress(packed[4:])
        size, shift, count = struct.unpack_from("<QqQ", data)
        at, ranges = 24, []
        for _ in range(count):
            offset, length = struct.unpack_from("<QQ", data, at)
            ranges.append((offset, data[at + 16 : at + 16 + length]))
            at += 16 + length
        return cls(size, shift, tuple(ranges))


def _differing(old: memoryview, new: memoryview, shift: int, most: int) -> list[tuple[int, int]]:
    """Return the ranges [start, stop) of ``old`` that differ from ``new`` moved by ``shift``; all
    of it, once they cost over ``most``.
    """
    first, last = max(0, -shift), min(len(old), len(new) - shift)
    if first >= last:
        return [(0, len(old))] if len(old) else []
    ranges = [(0, first)] if first else []
    cost = _cost(ranges)
    for start in range(first, last, _BLOCK):
        stop = min(start + _BLOCK, last)
        a = np.frombuffer(old[start:stop], np.uint8)
        b = np.frombuffer(new[start + shift : stop + shift], np.uint8)
        at = np.flatnonzero(a != b)
        if len(at):
            # Neighbouring differences become one range, at no more than the cost of a header.
            cuts = np.flatnonzero(np.diff(at) > _JOIN)
            begins, ends = at[np.r_[0, cuts + 1]], at[np.r_[cuts, len(at) - 1]] + 1
            found = [(start + int(x), start + int(y)) for x, y in zip(begins, ends, strict=True)]
            ranges += found
            cost += _cost(found)
            if cost > most:
                return [(0, len(old))]
    if last < len(old):
        ranges.append((last, len(old)))
    return _joined(ranges)


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that lie near each other."""
    out: list[tuple[int, int]] = []
    for start, stop in ranges:
        if out and start - out[-1][1] <= _JOIN:
            out[-1] = (out[-1][0], stop)
        else:
            out.append((start, stop))
    return out


def _shifts(old: memoryview, new: memoryview) -> set[int]:
    """Return the shifts worth trying."""
    shifts = {0, len(new) - len(old)}
    reach = abs(len(new) - len(old)) + (1 << 22)
    for k in range(1, _ANCHORS + 1):
        at = len(old) * k // (_ANCHORS + 1)
        piece = bytes(old[at : at + _ANCHOR])
        if len(set(piece)) < 8:  # silence is found everywhere
            continue
        low = max(0, at - reach)
        found = bytes(new[low : at + reach]).find(piece)
        if found >= 0:
            shifts.add(low + found - at)
    return shifts


def _best(
    old: memoryview, new: memoryview, shifts: Iterable[int], best: tuple[int, list[tuple[int, int]]]
) -> tuple[int, list[tuple[int, int]]]:
    """Return the shift that costs least, and its ranges: ``best``, or one of ``shifts``."""
    for shift in dict.fromkeys(shifts):
        ranges = _differing(old, new, shift, _cost(best[1]))
        if _cost(ranges) < _cost(best[1]):
            best = (shift, ranges)
    return best


def compare(old: Path, new: Path) -> Delta:
    """Return the smallest delta that makes ``old`` out of ``new``."""
    with mapped(old) as a, mapped(new) as b:
        shift, ranges = _best(a, b, [len(b) - len(a), 0], (0, [(0, len(a))]))
        # Tags that changed at both ends leave neither shift right; most files never come here.
        if _cost(ranges) > 1 << 16:
            shift, ranges = _best(a, b, _shifts(a, b) - {0, len(b) - len(a)}, (shift, ranges))
        return Delta(len(a), shift, tuple((x, bytes(a[x:y])) for x, y in ranges))


def _cost(ranges: list[tuple[int, int]]) -> int:
    return sum(stop - start + 16 for start, stop in ranges)


def rebuild(delta: Delta, new: Path, out: BinaryIO) -> str:
    """Write the old file, made from the new one and a delta, and return its SHA-256."""
    digest = hashlib.sha256()
    with new.open("rb") as source:
        at = 0
        for start, data in (*delta.ranges, (delta.old_size, b"")):
            left = start - at
            if left > 0:
                source.seek(at + delta.shift)
            while left > 0:
                piece = source.read(min(left, _BLOCK))
                # The hash would tell too, but only after the whole file.
                if not piece:
                    raise ValueError("the file is shorter than it was")
                out.write(piece)
                digest.update(piece)
                left -= len(piece)
            out.write(data)
            digest.update(data)
            at = start + len(data)
    return digest.hexdigest()
