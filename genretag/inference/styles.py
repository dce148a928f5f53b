"""Styles beside the genre: what else a track sounds like, by the teachers' words. They are told, never written.

A style is linear in a track's embedding, which the store keeps: what was heard once needs no hearing for them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError


@dataclass(frozen=True, eq=False)
class Styles:
    """Names, from which probability each is told, and what makes the probabilities of an embedding."""

    names: tuple[str, ...]
    thresholds: tuple[float, ...]  # 0 to 1
    weight: npt.NDArray[np.float16]  # [dims, names]
    bias: tuple[float, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Styles) and self.to_metadata() == other.to_metadata()

    def __hash__(self) -> int:
        return hash((self.names, self.thresholds, self.bias))

    def probabilities(self, embedding: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return how likely each style is, 0 to 1, in embeddings [..., dims]."""
        z = embedding.astype(np.float64) @ self.weight.astype(np.float64) + np.array(self.bias)
        out: npt.NDArray[np.float64] = 1 / (1 + np.exp(-z))
        return out

    def above_threshold(self, embedding: npt.NDArray[np.floating]) -> dict[str, float]:
        """Return the styles of one embedding [dims] that reach their thresholds, the likeliest first; none for another network's."""
        if embedding.shape != self.weight.shape[:1]:
            return {}
        found = zip(self.names, self.probabilities(embedding), self.thresholds, strict=True)
        return {
            name: round(float(p), 2)
            for p, name in sorted(((p, n) for n, p, t in found if p >= t), reverse=True)
        }

    def to_metadata(self) -> dict[str, Any]:
        """Return the styles as a model file carries them."""
        weight = base64.b64encode(np.ascontiguousarray(self.weight, "<f2").tobytes()).decode(
            "ascii"
        )
        return {
            "names": list(self.names),
            "thresholds": list(self.thresholds),
            "weight": weight,
            "bias": list(self.bias),
        }

    @classmethod
    def from_metadata(cls, data: dict[str, Any]) -> Styles:
        """Read the styles of a model file; raise ``ModelError`` for what cannot be meant."""
        names, thresholds = tuple(map(str, data["names"])), tuple(map(float, data["thresholds"]))
        bias, raw = tuple(map(float, data["bias"])), base64.b64decode(data["weight"], validate=True)
        if (
            not names
            or not len(set(names)) == len(names) == len(thresholds) == len(bias)
            or len(raw) % (2 * len(names))
        ):
            raise ModelError("its styles do not fit together")
        weight = np.frombuffer(raw, "<f2").astype(np.float16).reshape(-1, len(names))
        if not (
            np.isfinite(weight).all()
            and np.isfinite(bias).all()
            and all(0 <= t <= 1 for t in thresholds)
        ):
            raise ModelError("its styles have numbers that are out of range")
        return cls(names, thresholds, weight, bias)
