"""Find copies of the same audio within one scan, so that it is decoded once."""

from __future__ import annotations

from collections import defaultdict

import xxhash

from genretag.scan.worker import Reply

# One bit per sketch, so that memory does not grow with the library. With a million files, 3 % of
# the sketches share a bit with another one, which costs a needless identification and no more.
_BITS = 1 << 25


class SketchSet:
    """A set of sketches in constant memory; it may report a sketch that was never added."""

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)

    def add(self, sketch: str) -> bool:
        """Add a sketch; return whether it was (probably) in the set before."""
        index = xxhash.xxh3_64_intdigest(sketch.encode()) % _BITS
        byte, mask = index >> 3, 1 << (index & 7)
        before = bool(self._bits[byte] & mask)
        self._bits[byte] |= mask
        return before


class CopyFinder:
    """Decides which file of equal sketches is decoded first, and which ones wait for it.

    Equal sketches only suggest equal audio: a file that waited is identified afterwards, and is
    decoded if its audio is another, or if the first file failed.
    """

    def __init__(self) -> None:
        self._seen = SketchSet()
        self._first: dict[str, int] = {}  # sketch -> ordinal of the file in flight
        self._sketches: dict[int, str] = {}  # the inverse
        self._waiting: defaultdict[int, list[int]] = defaultdict(list)

    def decide(self, ordinal: int, sketch: str) -> Reply:
        """Return what to do with a file, before anything of it is decoded."""
        first = self._first.get(sketch)
        if first is not None:
            self._waiting[first].append(ordinal)
            return Reply.STOP
        self._first[sketch], self._sketches[ordinal] = ordinal, sketch
        return Reply.IDENTIFY if self._seen.add(sketch) else Reply.DECODE

    def finish(self, ordinal: int) -> list[int]:
        """Note that a file has its result; return the files that waited for it."""
        sketch = self._sketches.pop(ordinal, None)
        if sketch is None:
            return []
        del self._first[sketch]
        return self._waiting.pop(ordinal, [])
