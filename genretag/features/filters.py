"""Mel filter banks in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_Float64Array = npt.NDArray[np.float64]

_GROUP_BANDS = 16  # bands multiplied at once; smaller groups are not faster

# Slaney's mel scale is linear up to 1 kHz and logarithmic above (Slaney 1998).
_HZ_PER_MEL = 200 / 3
_BREAK_HZ = 1_000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL  # 15
_LOG_STEP = np.log(6.4) / 27  # per mel, above the break


@dataclass(frozen=True)
class MelBank:
    """Parameters of a mel filter bank.

    ``scale`` is slaney (Slaney 1998), htk (O'Shaughnessy 1987), or kaldi: the HTK scale with
    triangles that are straight in mel instead of Hz (Povey et al. 2011).
    """

    sample_rate: int  # Hz
    n_fft: int
    n_mels: int
    fmin: float  # Hz
    fmax: float  # Hz
    scale: str = "slaney"
    norm: bool = True  # give each filter the same area (not for kaldi)


@dataclass(frozen=True)
class MelFilters:
    """A sparse filter bank: groups of neighbouring bands, each with the bins that it covers."""

    groups: tuple[tuple[slice, slice, FloatArray], ...]  # bins, bands, weights [bins, bands]

    @classmethod
    def of(cls, bank: MelBank) -> MelFilters:
        """Build the filters of a bank."""
        weights = mel_filters(bank)
        groups = []
        for first in range(0, bank.n_mels, _GROUP_BANDS):
            bands = slice(first, min(first + _GROUP_BANDS, bank.n_mels))
            covered = np.flatnonzero(weights[:, bands].any(axis=1))
            # A group of filters narrower than a bin covers nothing: keep one bin of zeros.
            bins = slice(int(covered[0]), int(covered[-1]) + 1) if len(covered) else slice(0, 1)
            groups.append((bins, bands, np.ascontiguousarray(weights[bins, bands])))
        return cls(tuple(groups))

    def __call__(self, spectra: FloatArray, out: FloatArray) -> None:
        """Write the bands [n, n_mels] of spectra [n, n_fft // 2 + 1] to ``out``."""
        for bins, bands, weights in self.groups:
            np.matmul(spectra[:, bins], weights, out=out[:, bands])


def mel_filters(bank: MelBank) -> FloatArray:
    """Return the weights of a mel filter bank, shape [n_fft // 2 + 1, n_mels].

    For slaney and htk they equal the transpose of ``librosa.filters.mel``.
    """
    if bank.scale == "kaldi":
        return _kaldi_filters(bank)
    to_mel, to_hz = (_htk_mel, _htk_hz) if bank.scale == "htk" else (_slaney_mel, _slaney_hz)
    edges = to_hz(np.linspace(to_mel(bank.fmin), to_mel(bank.fmax), bank.n_mels + 2))
    bins = np.fft.rfftfreq(bank.n_fft, 1 / bank.sample_rate).astype(np.float64)
    # Single precision before the normalisation: librosa rounds here too, to the same numbers.
    weights = _triangles(bins, edges).astype(np.float32)
    if bank.norm:
        weights *= 2 / (edges[2:] - edges[:-2])
    return weights


def _triangles(at: _Float64Array, edges: _Float64Array) -> _Float64Array:
    """Return triangles of height 1 [points, edges - 2], each from one edge to the next but one."""
    widths = np.diff(edges)
    rising = (at[:, None] - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - at[:, None]) / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def _kaldi_filters(bank: MelBank) -> FloatArray:
    """Return kaldi's triangles: mel = 1127 ln(1 + f / 700), height 1, nothing at Nyquist."""
    edges = np.linspace(_kaldi_mel(bank.fmin), _kaldi_mel(bank.fmax), bank.n_mels + 2)
    bins = _kaldi_mel(np.arange(bank.n_fft // 2) * bank.sample_rate / bank.n_fft)
    # Kaldi has no bin at Nyquist; a row of zeros keeps the shape of the other banks.
    rows = _triangles(bins, edges)
    return np.concatenate([rows, np.zeros((1, bank.n_mels))]).astype(np.float32)


def _kaldi_mel(hz: npt.ArrayLike) -> _Float64Array:
    return np.asarray(1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0))


def _htk_mel(hz: npt.ArrayLike) -> _Float64Array:
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hz, np.float64) / 700.0))


def _htk_hz(mel: _Float64Array) -> _Float64Array:
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


def _slaney_mel(hz: npt.ArrayLike) -> _Float64Array:
    f = np.asarray(hz, np.float64)
    above = _BREAK_MEL + np.log(np.maximum(f, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(f < _BREAK_HZ, f / _HZ_PER_MEL, above)


def _slaney_hz(mel: _Float64Array) -> _Float64Array:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, _HZ_PER_MEL * mel, above)
