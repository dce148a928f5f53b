"""A track's log-mel as a picture of 12 by 40 shades: small enough to keep for every track."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BANDS, COLUMNS = 12, 40
SHADES = 16
_WINDOW_COLUMNS = 8

FloatArray = npt.NDArray[np.float32]


def _pooled(x: FloatArray, rows: int, columns: int) -> FloatArray:
    """Return the means over a grid of rows and columns; fewer than asked for are repeated."""
    for axis, n in (
        (1, columns),
        (0, rows),
    ):  # along what lies in a row in memory first: it is ten times less work
        have = x.shape[axis]
        if have < n:
            x = np.take(x, np.arange(n) * have // n, axis=axis)
        else:
            edges = np.arange(n) * have // n
            sizes = np.diff([*edges, have])
            x = np.add.reduceat(x, edges, axis=axis) / np.expand_dims(sizes, 1 - axis)
    return np.asarray(x, np.float32)


def pool_window(features: FloatArray) -> FloatArray | None:
    """Return what is kept of one window's log-mel [bands, frames]; None where it is none (a waveform, a summary)."""
    if features.shape[0] < BANDS or features.shape[1] < _WINDOW_COLUMNS * 2:
        return None
    return _pooled(features, BANDS, _WINDOW_COLUMNS)


def pack(windows: list[FloatArray]) -> bytes:
    """Return the picture of a track, two shades a byte, the lowest band first; empty where there is none."""
    if not windows:
        return b""
    x = _pooled(np.concatenate(windows, axis=1), BANDS, COLUMNS)
    # The percentiles 5 and 99; numpy's own function would import a fiftieth of a second's worth of masked arrays.
    low, high = np.interp(
        (0.05 * (x.size - 1), 0.99 * (x.size - 1)), np.arange(x.size), np.sort(x, axis=None)
    )
    shades = (
        np.clip((x - low) / max(float(high - low), 1e-6) * SHADES, 0, SHADES - 1)
        .astype(np.uint8)
        .ravel()
    )
    return bytes(shades[0::2] << 4 | shades[1::2])


def unpack(data: bytes) -> npt.NDArray[np.uint8]:
    """Return a picture's shades [bands, columns], 0 to 15; raise ``ValueError`` for other bytes."""
    pairs = np.frombuffer(data, np.uint8)
    return np.stack([pairs >> 4, pairs & 15], axis=1).reshape(BANDS, COLUMNS)
