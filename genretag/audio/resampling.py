"""Mono samples at one rate -> at another, block by block.

Downwards, which is nearly always the way, by overlap-save (Oppenheim and Schafer 1989, section 8.7): a block is transformed, multiplied
by a low-pass, and transformed back with the bins alone that the new rate can hold. That takes two thirds of the time of soxr, whose HQ
low-pass it has. Upwards, and between rates that have next to nothing in common, soxr does it.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

FloatArray = npt.NDArray[np.float32]

#: The low-pass: a sinc under a Kaiser window, by its cutoff (in Nyquist frequencies of the new rate), the samples of the new rate that it
#: reaches to both sides, and Kaiser's beta; fitted to what soxr's HQ does: flat to 0.913, -6 dB at 0.957, -130 dB from 1 on.
_CUTOFF, _REACH, _BETA = 0.957, 100, 13.25

_BLOCK = 14_112  # samples, about: so much at once stays in the caches, and it is 2^5 * 3^2 * 7^2
_MOST_SAMPLES = 1 << 16  # of a block
_NOTHING = np.empty(0, np.float32)
_ROWS = 4  # blocks that are transformed at once, for processors take four numbers at once


class Resampler(Protocol):
    """A stream of samples in, a stream of blocks out; the first sample out is at the time of the first one in."""

    def room(self, samples: int) -> FloatArray:
        """Return where the next samples are to be put: so many, or fewer."""
        ...

    def taken(self) -> FloatArray:
        """Take what was put there, all of it, and return what can be said so far."""
        ...

    def rest(self) -> FloatArray:
        """Return what is left, as if silence followed. In all, ``round(samples in * rate / native)`` samples come out."""
        ...


def resampler(native: int, rate: int) -> Resampler:
    """Return what makes ``rate`` Hz of ``native`` Hz."""
    if native == rate:
        return _Same()
    up, down = rate // gcd(native, rate), native // gcd(native, rate)
    if native < rate or _steps(up, down) * down > _MOST_SAMPLES:
        return _Soxr(native, rate)
    return _OverlapSave(up, down)


class _Same:
    def room(self, samples: int) -> FloatArray:
        self._block = np.empty(samples, np.float32)
        return self._block

    def taken(self) -> FloatArray:
        return self._block

    def rest(self) -> FloatArray:
        return _NOTHING


class _Soxr(_Same):
    def __init__(self, native: int, rate: int) -> None:
        import soxr

        self._stream = soxr.ResampleStream(native, rate, 1, dtype="float32", quality="HQ")

    def taken(self) -> FloatArray:
        return np.asarray(self._stream.resample_chunk(self._block), np.float32)

    def rest(self) -> FloatArray:
        return np.asarray(self._stream.resample_chunk(_NOTHING, last=True), np.float32)


class _OverlapSave:
    """``down`` samples in, ``up`` samples out (down > up, nothing in common).

    Both rates meet every ``down`` samples in; a block is a whole number of such steps, of which those at its two ends only lead in and out.
    """

    def __init__(self, up: int, down: int) -> None:
        steps, lead = _steps(up, down), _lead(up)
        self._up, self._down = up, down
        self._length, self._inner = up * steps, slice(up * lead, up * (steps - lead))
        self._overlap, hop = 2 * down * lead, down * (steps - 2 * lead)
        self._buffer = np.zeros(_ROWS * hop + self._overlap, np.float32)
        self._blocks = sliding_window_view(self._buffer, down * steps)[::hop]  # a view: what is put in there is in here
        self._filled = self._due = down * lead  # the silence before the first sample
        self._came = self._gone = 0  # samples in and out

    def room(self, samples: int) -> FloatArray:
        self._due = min(len(self._buffer), self._filled + samples)
        return self._buffer[self._filled : self._due]

    def taken(self) -> FloatArray:
        self._came += self._due - self._filled
        self._filled = self._due
        if self._filled < len(self._buffer):
            return _NOTHING
        out = self._transformed()
        self._buffer[: self._overlap] = self._buffer[-self._overlap :]
        self._filled = self._due = self._overlap
        self._gone += len(out)
        return out

    def rest(self) -> FloatArray:
        left = (2 * self._came * self._up + self._down) // (2 * self._down) - self._gone
        found = [_NOTHING]
        while sum(map(len, found)) < left:
            self.room(len(self._buffer))[:] = 0
            found.append(self.taken())
        return np.concatenate(found)[:left]

    def _transformed(self) -> FloatArray:
        """Return what the blocks [n, samples] become, without their ends."""
        from ducc0 import fft

        spectra = fft.r2c(self._blocks, axes=(1,))[:, : self._length // 2 + 1] * _low_pass(self._up, self._down)
        found: FloatArray = fft.c2r(spectra, axes=(1,), lastsize=self._length, forward=False)
        return found[:, self._inner].reshape(-1)


def _lead(up: int) -> int:
    """Return how many steps the low-pass reaches to one side."""
    return ceil(_REACH / up)


def _steps(up: int, down: int) -> int:
    """Return how many steps a block has: an even number, and little of it is lead."""
    return max(2 * round(_BLOCK / (2 * down)), 8 * _lead(up))


@lru_cache(maxsize=8)
def _low_pass(up: int, down: int) -> FloatArray:
    """Return the response at each bin of a block that the new rate can hold, over the block's samples (the transforms do not divide)."""
    from ducc0 import fft

    samples = down * _steps(up, down)
    reach = _REACH * down // up
    at = np.arange(-reach, reach + 1)
    taps = np.sinc(_CUTOFF * up / down * at) * np.kaiser(2 * reach + 1, _BETA)
    around = np.zeros(samples)
    around[at] = taps / taps.sum()
    response: FloatArray = (fft.r2c(around).real[: up * _steps(up, down) // 2 + 1] / samples).astype(np.float32)
    return response
