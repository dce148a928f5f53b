"""Where the chunks of samples of an MP4 track lie (ISO/IEC 14496-12, 2022, section 8.7)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

_SIZES_AT = 12  # of stsz: behind version, one size for all samples, and their count
_RUNS_AT = 8  # of stsc: behind version and count
_RUN_COLUMNS = 3  # first chunk, samples in each chunk, description


def chunk_sizes(stsz: memoryview, stsc: memoryview, chunks: int) -> Numbers | None:
    """Return the size in bytes of each chunk of a track; None where the tables disagree."""
    sizes, runs = _sample_sizes(stsz), _numbers(stsc[_RUNS_AT:], _RUN_COLUMNS)
    if sizes is None or runs is None or not len(runs) or not chunks:
        return None
    first = runs[:, 0] - 1
    lengths = np.diff(np.append(first, chunks))
    if first[0] or (lengths < 0).any() or (runs[:, 1] < 0).any():
        return None
    ends = np.cumsum(np.repeat(runs[:, 1], lengths))
    if ends[-1] > len(sizes):
        return None
    upto = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    found: Numbers = np.diff(upto[np.concatenate([np.zeros(1, np.int64), ends])])
    return found


def _sample_sizes(stsz: memoryview) -> Numbers | None:
    """Return the size of each sample; None where the table is cut off, or names no sizes."""
    if len(stsz) < _SIZES_AT:
        return None
    size, count = (int.from_bytes(stsz[at : at + 4], "big") for at in (4, 8))
    if size:
        return None if count > 1 << 28 else np.full(count, size, np.int64)
    table = _numbers(stsz[_SIZES_AT : _SIZES_AT + 4 * count], 1)
    return None if table is None or len(table) != count else table[:, 0]


def _numbers(table: memoryview, columns: int) -> Numbers | None:
    """Return a table of numbers of 32 bits [rows, columns]; None for a part of a row."""
    if len(table) % (4 * columns):
        return None
    return np.frombuffer(table, ">u4").astype(np.int64).reshape(-1, columns)


def are_inside(
    starts: Numbers, sizes: Numbers, parts: Iterable[tuple[int, int]], size: int
) -> bool:
    """Return whether each chunk of samples lies in one of the parts, in order.

    Chunks without a byte, and those that begin at ``size``, where the file ends, or behind it, are
    left out: no program reads anything there.
    """
    begins, ends = np.array(list(parts), np.int64).reshape(-1, 2).T
    part = np.searchsorted(begins, starts, "right") - 1
    inside = (part >= 0) & (starts + sizes <= ends[part])
    return bool((inside | (sizes == 0) | (starts >= size)).all())
