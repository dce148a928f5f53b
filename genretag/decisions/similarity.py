"""Similarity of tracks: the cosine of their embeddings, centred and scaled by a library's own.

An embedding's dimensions have different means and spreads, so that plain cosines are all high and
decided by a few dimensions. Each dimension is centred and divided by the root of its variance plus
the mean variance: full whitening finds an artist's other tracks as often, but fewer tracks of the
same genre. The figures are in tests/bench/RESULTS.md, "Similar tracks".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]

MIN_TRACKS = 100  # fewer do not give a mean and a variance to rely on: the plain cosine is used
SAMPLE = 2048  # tracks for mean and variance: the error of a mean is then 2 % of the deviation


@dataclass(frozen=True)
class Space:
    """Mean and scale of each dimension of the embeddings."""

    mean: FloatArray  # [dims]
    scale: FloatArray  # [dims], multiplied

    @classmethod
    def fit(cls, sample: FloatArray) -> Space:
        """Return the space of a sample of embeddings [tracks, dims]."""
        dims = sample.shape[1]
        if len(sample) < MIN_TRACKS:
            return cls(np.zeros(dims, np.float32), np.ones(dims, np.float32))
        variance = sample.var(axis=0, dtype=np.float64)
        spread = np.sqrt(variance + variance.mean())
        scale = 1 / np.where(spread > 0, spread, 1)
        mean = sample.mean(axis=0, dtype=np.float64)
        return cls(mean.astype(np.float32), scale.astype(np.float32))

    def project(self, embeddings: FloatArray) -> FloatArray:
        """Return embeddings [tracks, dims] as vectors of length 1; zero stays zero."""
        vectors = (embeddings - self.mean) * self.scale
        lengths = np.sqrt(np.einsum("td,td->t", vectors, vectors))
        vectors /= np.maximum(lengths, np.float32(1e-12))[:, None]
        return vectors


class Nearest:
    """Keeps the tracks that are most similar to one, of any number that are added.

    Args:
        embedding: the track that the others are compared with [dims].
        space: mean and scale.
        keep: number of tracks to keep.
    """

    def __init__(self, embedding: FloatArray, space: Space, keep: int) -> None:
        self._space, self._keep = space, keep
        self._track = space.project(embedding[None])[0]
        self._keys: list[str] = []
        self._scores: FloatArray = np.zeros(0, np.float32)

    def add(self, keys: Sequence[str], embeddings: FloatArray) -> None:
        """Compare tracks by their embeddings [tracks, dims], and keep the nearest so far."""
        # Not a matrix product: that would wait for the threads of BLAS on a busy machine.
        scores = np.einsum("td,d->t", self._space.project(embeddings), self._track)
        if len(scores) > self._keep:
            best = np.argpartition(-scores, self._keep - 1)[: self._keep]
            keys, scores = [keys[i] for i in best], scores[best]
        merged, all_scores = [*self._keys, *keys], np.concatenate((self._scores, scores))
        # Equal scores are ordered by key, so that the result does not depend on how rows arrive.
        order = sorted(range(len(merged)), key=lambda i: (-all_scores[i], merged[i]))[: self._keep]
        self._keys, self._scores = [merged[i] for i in order], all_scores[order]

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Keys and similarities (-1 to 1), the most similar first."""
        return [(k, float(s)) for k, s in zip(self._keys, self._scores, strict=True)]
