"""Find the block of a WavPack file that holds a sample, by reading a few of its headers.

WavPack has no table of places, so FFmpeg reads each block on its way to one. But each header states
the first sample of its block, so a place is found by interpolation between two known blocks, and by
following the last few headers. Header: Bryant, WavPack 4 & 5 Binary File / Block Format (2020).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_HEADER = struct.Struct("<4sIHBBIIIII")
_MAGIC = b"wvpk"
_UNCOUNTED = 8  # bytes of a block that its size leaves out
_MAJOR_VERSION = 4
_MAX_BYTES = 1 << 20  # of a block
_MAX_SAMPLES = 1 << 17  # of a block
#: Of the blocks of several channels at one place, the one that comes first.
_INITIAL = 1 << 11

_READ = 16 << 10  # bytes read at once in search of a header
_PROBES = 12  # an even stream takes one or two
_MARGIN = 2  # blocks by which a probe aims before the place, so that it rarely lands behind it
_NEAR = 4  # blocks that are passed by their headers, which is less work than another probe
_MAX_STEPS = 200  # headers read from the last probe on


@dataclass(frozen=True)
class _Block:
    at: int  # byte of the file
    size: int  # bytes, with its header
    first: int  # sample of the track
    samples: int
    initial: bool

    @property
    def end(self) -> int:
        """The first byte behind the block."""
        return self.at + self.size

    def holds(self, sample: int) -> bool:
        """Return whether a sample lies in the block."""
        return self.first <= sample < self.first + self.samples


def find_block(file: BinaryIO, sample: int, total: int) -> int | None:
    """Return the byte at which the block with a sample begins; the position of the file is kept.

    Args:
        file: the blocks, without tags before them.
        sample: between 0 and ``total``.
        total: samples of the track.

    Returns:
        None if the block was not found, in a damaged or unusual file; at most some megabytes were
        read.
    """
    before = file.tell()
    try:
        return _find(file, sample, total)
    finally:
        file.seek(before)


def _find(file: BinaryIO, sample: int, total: int) -> int | None:
    """Return the byte at which the block with a sample begins, or None."""
    low = next(_blocks_from(file, 0), None)
    if low is None or not low.first <= sample < total:
        return None
    # The block with the sample begins in [low.at, high): nearer with each probe.
    high, high_first = file.seek(0, os.SEEK_END), total
    for _ in range(_PROBES):
        if sample < low.first + _NEAR * low.samples:
            break
        share = (sample - low.first) / (high_first - low.first)
        guess = low.at + int(share * (high - low.at)) - _MARGIN * low.size
        if guess <= low.at:
            break
        block = _search(file, guess, high)
        if block is None:
            high = guess
        elif not low.first <= block.first < high_first:
            return None
        elif block.first <= sample:
            low = block
        else:
            high, high_first = block.at, block.first
    for block, _ in zip(_blocks_from(file, low.at), range(_MAX_STEPS), strict=False):
        if block.initial and block.holds(sample):
            return block.at
    return None


def _blocks_from(file: BinaryIO, at: int) -> Iterator[_Block]:
    """Yield the block that begins at a byte and those that follow it without a gap."""
    while True:
        file.seek(at)
        block = _parse(file.read(_HEADER.size), at)
        if block is None:
            return
        yield block
        at = block.end


def _search(file: BinaryIO, at: int, stop: int) -> _Block | None:
    """Return the first block of samples that begins in [at, stop); None if none does."""
    stop = min(stop, at + _MAX_BYTES + _READ)
    while at < stop:
        file.seek(at)
        data = file.read(_READ + _HEADER.size - 1)
        found = data.find(_MAGIC)
        while 0 <= found < min(_READ, stop - at):
            block = _parse(data[found : found + _HEADER.size], at + found)
            if block is not None and block.initial and block.samples:
                return block
            found = data.find(_MAGIC, found + 1)
        at += _READ
    return None


def _parse(header: bytes, at: int) -> _Block | None:
    """Return the block with a header of 32 bytes; None if it is none, or one that is not known."""
    if len(header) < _HEADER.size:
        return None
    magic, counted, version, first_high, _, _, first, samples, flags, _ = _HEADER.unpack(header)
    size = counted + _UNCOUNTED
    if magic != _MAGIC or version >> 8 != _MAJOR_VERSION or samples > _MAX_SAMPLES:
        return None
    # FFmpeg does not know the upper bits of a place either: 27 h at 44.1 kHz.
    if not _HEADER.size <= size <= _MAX_BYTES or first_high:
        return None
    return _Block(at, size, first, samples, bool(flags & _INITIAL))
