"""Random training batches: every label equally often, excerpts from anywhere in a track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.features import FrontEnd, LogMel
from genretag.features.filters import MelFilters
from genretag.training import augment
from genretag.training.cache import FeatureCache

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

CHUNK_FRAMES = 312  # 5 s
BATCH_ROWS = 28
LABEL_SMOOTHING = 0.1  # Szegedy et al. 2016
MIXUP_SHARE = 0.5  # of the batches
_MIXUP_ALPHA = 0.4  # Zhang et al. 2018
_MASK_SHARE = 0.7  # of the excerpts
_LEVEL_DB = 2.0  # deviation of the level


class BalancedSampler:
    """Draw tracks ``rows`` with labels ``y`` at random, every label equally often."""

    def __init__(self, rows: IntArray, y: IntArray, labels: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self._rows_of_label = [rows[y == c] for c in range(labels)]

    def draw(self, count: int) -> tuple[IntArray, IntArray]:
        """Return (tracks, labels) of ``count`` random tracks."""
        labels = self.rng.integers(0, len(self._rows_of_label), count)
        tracks = [int(self.rng.choice(self._rows_of_label[c])) for c in labels]
        return np.array(tracks), labels


def random_window(
    windows: Sequence[npt.NDArray[np.float16]], rng: np.random.Generator
) -> npt.NDArray[np.float16]:
    """Return one of a track's windows."""
    return windows[int(rng.integers(len(windows)))]


@dataclass(frozen=True)
class Batch:
    """Log-mels [n, bands, frames] and soft labels [n, labels]."""

    x: FloatArray
    y: FloatArray


class BatchSampler:
    """Make augmented batches from the feature cache; the same seed gives the same batches."""

    def __init__(
        self, cache: FeatureCache[FrontEnd], keys: list[str], y: IntArray, labels: int, seed: int
    ) -> None:
        self.cache, self.keys, self.labels = cache, keys, labels
        self.log_mel = LogMel(cache.front_end, MelFilters(()))  # only for its scale
        self.rng = np.random.default_rng(seed)
        self._sampler = BalancedSampler(np.arange(len(y)), y, labels, self.rng)

    def batch(self) -> Batch:
        """Return a batch whose excerpts are all as long as its shortest window.

        Nothing is padded or looped: a network would learn which tracks are short, and not the
        music.
        """
        tracks, labels = self._sampler.draw(BATCH_ROWS)
        windows = [random_window(self.cache.windows(self.keys[t]), self.rng) for t in tracks]
        frames = min(CHUNK_FRAMES, *map(len, windows))
        x = np.stack([self.random_excerpt(w, frames) for w in windows])
        y = np.full((BATCH_ROWS, self.labels), LABEL_SMOOTHING / self.labels, np.float32)
        y[np.arange(BATCH_ROWS), labels] += 1 - LABEL_SMOOTHING
        # The other batches stay unmixed, as all tracks are later.
        if self.rng.random() < MIXUP_SHARE:
            x, y = self._mix_up(x, y)
        return Batch(x, y)

    def random_excerpt(self, window: npt.NDArray[np.float16], frames: int) -> FloatArray:
        """Return an augmented log-mel [bands, frames] from a window [frames or more, bands]."""
        rng, fe = self.rng, self.cache.front_end
        need = frames + augment.spare_frames(frames)
        start = int(rng.integers(0, max(1, len(window) - need + 1)))
        x = np.asarray(window[start : start + need], np.float32)
        # The cache holds standardised log-mels; filters and mixing act on power.
        power = np.exp(x * np.float32(fe.std) + np.float32(fe.mean))
        augmented = augment.augment_mel(rng, power, frames)
        out = self.log_mel.scale(augmented, float(10 ** (rng.normal(0, _LEVEL_DB) / 20)))
        if rng.random() < _MASK_SHARE:
            augment.mask(rng, out, float(out.mean()))
        return out.T

    def _mix_up(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mix each excerpt with another one of the batch (mixup: Zhang et al. 2018)."""
        other = self.rng.permutation(BATCH_ROWS)
        drawn = self.rng.beta(_MIXUP_ALPHA, _MIXUP_ALPHA, BATCH_ROWS)
        # At least half of each excerpt stays, so that its label leads.
        share = np.maximum(drawn, 1 - drawn).astype(np.float32)[:, None]
        mixed = augment.mix(x, other, share, self.cache.front_end.std)
        return mixed, share * y + (1 - share) * y[other]
