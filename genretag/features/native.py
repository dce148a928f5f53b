"""genretag's log-mel from samples at 44.1 kHz, without resampling them to 16 kHz first.

Resampling takes longer than the log-mel itself. All it does here is to take away what lies above
8 kHz, and the bins of a longer Fourier transform can be left out instead. The frames lie where
those at 16 kHz lie, with bins at nearly the same frequencies, so that a model does not notice the
difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

from genretag.features.filters import MelBank, MelFilters
from genretag.features.log_mel import FrontEnd, LogMel

FloatArray = npt.NDArray[np.float32]
_Float64Array = npt.NDArray[np.float64]

#: Hz. At 48 kHz the longer transform takes as long as resampling, which is cheap by a whole number.
NATIVE_RATE = 44_100
# 32 ms are 1411.2 samples. 1408 = 2^7 x 11 is fast, and its bins lie 31.32 instead of 31.25 Hz
# apart. With 1440 (30.63 Hz), a tone would fall on the narrow filters in another way.
_N_FFT = 1_408

# Groups of frames that are collected before they are transformed: 15 s, 2.7 MB, half a window. With
# fewer, decoding and transforming take the CPU's caches from each other too often.
_BUFFER_GROUPS = 188
_BLOCK_GROUPS = 18  # transformed at once: 500 KiB, which fits in L2


@dataclass(frozen=True)
class _Grid:
    """Where the frames of a front end lie in samples at ``NATIVE_RATE``.

    A hop of 256 samples at 16 kHz is 705.6 samples, so frames are handled in groups of five, after
    which their places are whole numbers again. Within a group, the hop is rounded down to 705, and
    the windows are shifted by what is missing.
    """

    hop: int  # samples between the frames of a group
    step: int  # samples between groups
    first: int  # samples from the start of a group to that of its first transform
    windows: FloatArray  # [frames of a group, n_fft]
    filters: MelFilters
    bins: int  # used of a transform

    @property
    def overlap(self) -> int:
        """Samples that a group shares with the next one."""
        return self.first + (len(self.windows) - 1) * self.hop + _N_FFT - self.step

    def view(self, samples: FloatArray, groups: int) -> FloatArray:
        """Return a view [groups, frames of a group, n_fft] of the frames from the first sample."""
        size = samples.itemsize
        return np.lib.stride_tricks.as_strided(
            samples[self.first : groups * self.step + self.overlap],
            (groups, *self.windows.shape),
            (self.step * size, self.hop * size, size),
            writeable=False,
        )


@cache
def _grid(fe: FrontEnd) -> _Grid:
    ratio = Fraction(NATIVE_RATE, fe.sample_rate)
    hop, width = fe.hop_length * ratio, float(fe.n_fft * ratio)
    late = np.arange(hop.denominator) * float(hop % 1)  # samples behind the rounded place
    first = int(width) - _N_FFT  # the most at which no transform leaves its frame at the end
    hann = _hann(np.arange(_N_FFT) + first - late[:, None], width)
    return _Grid(
        int(hop),
        int(hop * hop.denominator),
        first,
        # A spectrum grows with the number of samples; the ratio takes that back.
        (hann / float(ratio)).astype(np.float32),
        MelFilters.of(MelBank(NATIVE_RATE, _N_FFT, fe.n_mels, fe.fmin, fe.fmax)),
        # soxr's filter lets as much white noise through as a steep one at 7,600 Hz (``fmax``), so
        # the energy in these bins is the level after resampling.
        int(fe.fmax * _N_FFT / NATIVE_RATE) + 1,
    )


def _hann(at: _Float64Array, width: float) -> _Float64Array:
    """Return a Hann window of ``width`` samples at places in samples from its start."""
    inside = (at > 0) & (at < width)
    return np.where(inside, 0.5 - 0.5 * np.cos(2 * np.pi * at / width), 0.0)


def takes_native_rate(front_end: FrontEnd) -> bool:
    """Return whether ``NativeLogMel`` can stand for a front end: if it has the default's frames."""
    ours, others = (
        (fe.sample_rate, fe.n_fft, fe.hop_length, fe.fmax) for fe in (FrontEnd(), front_end)
    )
    return ours == others


class NativeLogMel:
    """Collector of samples at ``NATIVE_RATE`` that returns the log-mel of a window."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._log_mel = LogMel(front_end, MelFilters(()))  # for its scale, which needs no filters
        self._grid = _grid(front_end)
        self._buffer = np.empty(
            _BUFFER_GROUPS * self._grid.step + self._grid.overlap, dtype=np.float32
        )
        self._begin()

    def _begin(self) -> None:
        """Begin a window."""
        self._filled = 0  # samples in the buffer
        self._samples = 0  # of the window
        self._energy = 0.0  # sum of their squares
        self._mel = list[FloatArray]()  # power [frames, n_mels]
        self._frames_energy = 0.0  # of the windowed frames, in which samples count up to twice
        self._low_energy = 0.0  # of the bins in use

    def add(self, samples: FloatArray) -> None:
        """Add samples of a window."""
        while len(samples):
            take = min(len(self._buffer) - self._filled, len(samples))
            self._buffer[self._filled : self._filled + take] = samples[:take]
            self._filled, samples = self._filled + take, samples[take:]
            if self._filled == len(self._buffer):
                self._transform_buffer()

    def _transform_buffer(self) -> None:
        """Transform the full buffer, and keep what belongs to the next frames."""
        used = _BUFFER_GROUPS * self._grid.step
        self._count(self._buffer[:used])
        self._transform(_BUFFER_GROUPS)
        self._filled = self._grid.overlap
        self._buffer[: self._filled] = self._buffer[used:]

    def _count(self, samples: FloatArray) -> None:
        """Add samples to the length and energy of the window."""
        self._samples += len(samples)
        self._energy += float(np.vdot(samples, samples))

    def _transform(self, groups: int) -> None:
        """Add the mel power of groups of frames from the start of the buffer."""
        # See ``parameters.spectra``.
        from ducc0 import fft

        grid = self._grid
        mel = np.empty((groups * len(grid.windows), self._front_end.n_mels), np.float32)
        row = 0
        for start in range(0, groups, _BLOCK_GROUPS):
            part = self._buffer[start * grid.step :]
            frames = grid.view(part, min(_BLOCK_GROUPS, groups - start)) * grid.windows
            spectrum = fft.r2c(frames.reshape(-1, _N_FFT), axes=(1,))[:, : grid.bins]
            power = np.square(spectrum.real) + np.square(spectrum.imag)
            grid.filters(power, mel[row : row + len(power)])
            row += len(power)
            self._frames_energy += float(np.vdot(frames, frames))
            # Parseval's theorem; each bin but that of 0 Hz stands for its negative frequency, too.
            self._low_energy += float(2 * power.sum() - power[:, 0].sum()) / _N_FFT
        self._mel.append(mel)

    def _finish(self) -> FloatArray:
        """Transform what is left; return the mel power of the window [frames, n_mels]."""
        self._count(self._buffer[: self._filled])
        fe, per_group = self._front_end, len(self._grid.windows)
        frames = fe.frames(self._samples * fe.sample_rate // NATIVE_RATE)
        groups = -(-(frames - sum(map(len, self._mel))) // per_group)  # rounded up
        # The last group may lack frames.
        self._buffer[self._filled : groups * self._grid.step + self._grid.overlap] = 0
        self._transform(groups)
        return np.concatenate(self._mel)[:frames]

    def result(self) -> FloatArray:
        """Return the log-mel [n_mels, frames] of the samples, and begin the next window."""
        mel = self._finish()
        share = self._low_energy / self._frames_energy if self._frames_energy else 1.0
        rms = np.sqrt(share * self._energy / max(1, self._samples))
        self._begin()
        return np.ascontiguousarray(self._log_mel.scale(mel, self._log_mel.gain_of(rms)).T)
