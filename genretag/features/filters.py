"""Mel filter banks, made once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_GROUP = 16  # bands; fewer save nothing more
_VERSION = (
    3  # of the kept files; one more if librosa should ever make others of the same parameters
)


@dataclass(frozen=True)
class MelBank:
    """What a bank of mel filters is made of."""

    sample_rate: int  # Hz
    n_fft: int
    n_mels: int
    fmin: float  # Hz
    fmax: float  # Hz
    scale: str = "slaney"  # slaney (Slaney 1998), htk (O'Shaughnessy 1987), or kaldi: htk's, with triangles in mel
    norm: bool = True  # each filter of the same area (Slaney's)


@dataclass(frozen=True)
class MelFilters:
    """A filter bank as groups of neighbouring bands, each with the bins that it sees: most of the whole matrix is zeros."""

    groups: tuple[tuple[slice, slice, FloatArray], ...]  # bins, bands, weights [bins, bands]

    @classmethod
    def of(cls, bank: MelBank) -> MelFilters:
        """Build the filters of a bank."""
        weights = mel_filters(bank)
        groups = []
        for first in range(0, bank.n_mels, _GROUP):
            bands = slice(first, min(first + _GROUP, bank.n_mels))
            seen = np.flatnonzero(weights[:, bands].any(axis=1))
            bins = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1)
            groups.append((bins, bands, np.ascontiguousarray(weights[bins, bands])))
        return cls(tuple(groups))

    def __call__(self, spectra: FloatArray, out: FloatArray) -> None:
        """Put the bands [n, n_mels] of spectra [n, n_fft // 2 + 1] into ``out``."""
        for bins, bands, weights in self.groups:
            np.matmul(spectra[:, bins], weights, out=out[:, bands])


def mel_filters(bank: MelBank) -> FloatArray:
    """Return a mel filter bank, shape [n_fft // 2 + 1, n_mels] (transposed for the product).

    It is kept in the platform's cache folder: librosa brings numba along, and importing that takes a second of every start.
    """
    shape = (bank.n_fft // 2 + 1, bank.n_mels)
    path = _kept_filters(bank)
    with contextlib.suppress(OSError, ValueError, EOFError):
        kept = np.load(path, allow_pickle=False)
        if kept.shape == shape and kept.dtype == np.float32 and np.isfinite(kept).all():
            return np.ascontiguousarray(kept)
    made = _made(bank)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs a second, no more
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.npy")
        np.save(part, made)
        part.replace(path)
    return made


def _kept_filters(bank: MelBank) -> Path:
    """Return where a filter bank is kept; its name tells what it was made with."""
    import platformdirs

    told = [_VERSION, *asdict(bank).values()]
    name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("genretag") / f"mel-{name}.npy"


def _made(bank: MelBank) -> FloatArray:
    if bank.scale == "kaldi":
        return _kaldi(bank)
    from librosa.filters import mel

    made = mel(
        sr=bank.sample_rate,
        n_fft=bank.n_fft,
        n_mels=bank.n_mels,
        fmin=bank.fmin,
        fmax=bank.fmax,
        htk=bank.scale == "htk",
        norm="slaney" if bank.norm else None,
    )
    return np.ascontiguousarray(made.T, dtype=np.float32)


def _kaldi(bank: MelBank) -> FloatArray:
    """Return triangles that are straight in mel = 1127 ln(1 + f / 700), of height 1; none at Nyquist (Povey et al. 2011)."""

    def mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return 1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0)

    edges = np.linspace(mel(bank.fmin), mel(bank.fmax), bank.n_mels + 2)
    at = mel(np.arange(bank.n_fft // 2) * bank.sample_rate / bank.n_fft)[:, None]
    up, down = (at - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - at) / np.diff(edges)[1:]
    rows = np.maximum(0.0, np.minimum(up, down))
    return np.concatenate([rows, np.zeros((1, bank.n_mels))]).astype(np.float32)
