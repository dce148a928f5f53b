"""Restore the peaks of clipped recordings, which the log-mel would take for distortion.

A recording that was too loud for its file has many samples at the highest or lowest value, and the
corners of these plateaus add harmonics to every band. Each plateau is replaced by the cubic
polynomial that continues the samples and slopes on both sides (Hermite interpolation; a simple
member of the family that Zaviska, Rajmic, Ozerov and Rencker review in 2021, "A survey and an
extensive evaluation of popular audio declipping methods"). Of music that is clipped by 12 dB, this
halves the error of the log-mel. Plateaus that a lossy codec has made uneven are not found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.audio.looks import Channels, Looks, Pace

FloatArray = npt.NDArray[np.float32]

_LOOKED_AT = 1024  # samples of each channel, spread over a block
# The extremes of a shorter block are a large share of it.
_PACE = Pace(seconds=5.0, min_samples=_LOOKED_AT)
_MIN_SHARE = 0.01  # of them at the highest or lowest value; loud masters have less
_MIN_PEAK = 0.05  # full scale = 1; below, a fade-out has few values anyway
_LONGEST = 0.01  # s of a plateau: half a period of 50 Hz
_DISTANCES = (1, 3, 5)  # samples over which a slope is measured, beside a plateau; their mean
_HEADROOM = 3.0  # of a restored peak above the plateau, as a share of its height: 12 dB in all


class Declipper:
    """Finds clipped parts of a track and restores their peaks, block by block."""

    def __init__(self) -> None:
        self._looks = Looks(_PACE, default=False)

    def restore(self, channels: Channels, rate: int, full_scale: float) -> Channels:
        """Return the channels of a block, as float32 in the same scale where they were clipped.

        ``rate`` is in Hz. Samples of 8 bits are left alone: any sound has few values there.
        """
        if channels[0].dtype == np.uint8:
            return channels

        def look() -> bool:
            return any(_is_clipped(channel, full_scale) for channel in channels)

        if not self._looks.at(len(channels[0]), rate, look):
            return channels
        return [restored(channel, rate) for channel in channels]


def _is_clipped(channel: npt.NDArray[Any], full_scale: float) -> bool:
    some = channel[:: max(1, len(channel) // _LOOKED_AT)]
    highest, lowest = some.max(), some.min()
    if not max(float(highest), -float(lowest)) >= _MIN_PEAK * full_scale:  # false for NaN
        return False
    return bool(((some == highest) | (some == lowest)).mean() >= _MIN_SHARE)


def restored(channel: npt.NDArray[Any], rate: int) -> FloatArray:
    """Return samples [n] as float32, with cubics in place of the plateaus at both extremes."""
    # Float files may hold infinities and NaN, which no comparison finds.
    with np.errstate(invalid="ignore", over="ignore"):
        x = channel.astype(np.float32)
        for sign in (1, -1):
            _restore_above(x, sign, rate)
    return x


def _restore_above(x: FloatArray, sign: int, rate: int) -> None:
    """Replace the plateaus at the highest value (``sign`` 1) or the lowest (-1), in place."""
    top = np.float32((x * sign).max())
    first, end = _plateaus(x * sign == top, rate)
    if not (len(first) and np.isfinite(top) and top > 0):
        return
    before, after = sign * x[first - 1], sign * x[end]
    rise = np.mean([(before - sign * x[first - 1 - d]) / d for d in _DISTANCES], axis=0)
    fall = np.mean([(sign * x[end + d] - after) / d for d in _DISTANCES], axis=0)
    length = end - first
    place = np.repeat(np.arange(len(first)), length)
    step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    span = (length + 1).astype(np.float32)
    peaks = _hermite(
        ((step + 1) / span[place]).astype(np.float32),
        before[place],
        (span * np.maximum(rise, 0))[place],
        after[place],
        (span * np.minimum(fall, 0))[place],
    )
    # Noise makes some slopes far too steep.
    above = np.maximum(peaks / top - 1, 0)
    x[first[place] + step] = sign * top * (1 + _HEADROOM * np.tanh(above / _HEADROOM))


def _plateaus(
    at_top: npt.NDArray[np.bool_], rate: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return (first samples, ends) of the runs of two or more samples that can be restored."""
    edges = np.diff(at_top.astype(np.int8), prepend=0, append=0)
    first, end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    margin = max(_DISTANCES) + 1
    length = end - first
    chosen = (length >= 2) & (length <= _LONGEST * rate)
    chosen &= (first >= margin) & (end < len(at_top) - margin)
    return first[chosen], end[chosen]


def _hermite(
    t: FloatArray, a: FloatArray, rise: FloatArray, b: FloatArray, fall: FloatArray
) -> FloatArray:
    """Return cubics at ``t`` (0 to 1): from a with slope ``rise`` to b with slope ``fall``."""
    square, cube = t * t, t * t * t
    out: FloatArray = (2 * cube - 3 * square + 1) * a + (cube - 2 * square + t) * rise
    out += (3 * square - 2 * cube) * b + (cube - square) * fall
    return out
