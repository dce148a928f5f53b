"""Styles and moods: further labels of a track beside the genre, written only on request.

Both are linear in the embedding of a track, which the cache keeps: an analysed track needs no new
analysis to get them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError
from genretag.numeric import log_softmax, sigmoid


@dataclass(frozen=True, eq=False)
class Styles:
    """Linear style classifiers on the embedding, with a threshold for each style."""

    names: tuple[str, ...]
    thresholds: tuple[float, ...]  # 0 to 1
    weight: npt.NDArray[np.float16]  # [dims, names]
    bias: tuple[float, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Styles) and self.to_metadata() == other.to_metadata()

    def __hash__(self) -> int:
        return hash((self.names, self.thresholds, self.bias))

    def probabilities(self, embedding: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the probability of each style, 0 to 1, for embeddings [..., dims]."""
        z = embedding.astype(np.float64) @ self.weight.astype(np.float64) + np.array(self.bias)
        return sigmoid(z)

    def above_threshold(self, embedding: npt.NDArray[np.floating]) -> dict[str, float]:
        """Return the styles of an embedding [dims] that reach their thresholds, likeliest first.

        An embedding of another width comes from another network, and has no styles.
        """
        if embedding.shape != self.weight.shape[:1]:
            return {}
        found = zip(self.names, self.probabilities(embedding), self.thresholds, strict=True)
        return {
            name: round(float(p), 2)
            for p, name in sorted(((p, n) for n, p, t in found if p >= t), reverse=True)
        }

    def to_metadata(self) -> dict[str, Any]:
        """Return the styles as JSON for a model file."""
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
        """Read the styles of a model file.

        Raises:
            ModelError: the parts do not fit together, or a number is out of range.
        """
        names, thresholds = tuple(map(str, data["names"])), tuple(map(float, data["thresholds"]))
        bias, raw = tuple(map(float, data["bias"])), base64.b64decode(data["weight"], validate=True)
        if (
            not names
            or not len(set(names)) == len(names) == len(thresholds) == len(bias)
            or len(raw) % (2 * len(names))
        ):
            raise ModelError("the styles in its metadata are inconsistent")
        weight = np.frombuffer(raw, "<f2").astype(np.float16).reshape(-1, len(names))
        if not (
            np.isfinite(weight).all()
            and np.isfinite(bias).all()
            and all(0 <= t <= 1 for t in thresholds)
        ):
            raise ModelError("the styles in its metadata have numbers out of range")
        return cls(names, thresholds, weight, bias)


@dataclass(frozen=True, eq=False)
class Moods:
    """Linear classifier of exclusive moods on the embedding; its probabilities are calibrated."""

    names: tuple[str, ...]
    weight: npt.NDArray[np.float16]  # [dims, names]
    bias: tuple[float, ...]
    thresholds: tuple[float, ...] = ()  # of each mood, 0 to 1; empty: the model states none

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moods) and self.to_metadata() == other.to_metadata()

    def __hash__(self) -> int:
        return hash((self.names, self.bias))

    def probabilities(self, embedding: npt.NDArray[np.floating]) -> dict[str, float]:
        """Return the probability of each mood of an embedding [dims], likeliest first; sum 1.

        An embedding of another width comes from another network, and has no moods.
        """
        if embedding.shape != self.weight.shape[:1]:
            return {}
        z = embedding.astype(np.float64) @ self.weight.astype(np.float64) + np.array(self.bias)
        p = np.exp(log_softmax(z))
        return {self.names[i]: round(float(p[i]), 3) for i in np.argsort(-p, kind="stable")}

    def threshold_of(self, name: str, default: float) -> float:
        """Return the lowest probability at which a mood is written."""
        return self.thresholds[self.names.index(name)] if self.thresholds else default

    def to_metadata(self) -> dict[str, Any]:
        """Return the moods as JSON for a model file."""
        raw = np.ascontiguousarray(self.weight, "<f2").tobytes()
        weight = base64.b64encode(raw).decode("ascii")
        data = {"names": list(self.names), "weight": weight, "bias": list(self.bias)}
        return data | ({"thresholds": list(self.thresholds)} if self.thresholds else {})

    @classmethod
    def from_metadata(cls, data: dict[str, Any]) -> Moods:
        """Read the moods of a model file.

        Raises:
            ModelError: the parts do not fit together, or a number is not finite.
        """
        names, bias = tuple(map(str, data["names"])), tuple(map(float, data["bias"]))
        raw = base64.b64decode(data["weight"], validate=True)
        n = len(names)
        thresholds = tuple(map(float, data.get("thresholds", ())))
        consistent = len(set(names)) == n == len(bias) and len(thresholds) in (0, n)
        if n < 2 or not consistent or len(raw) % (2 * n):
            raise ModelError("the moods in its metadata are inconsistent")
        weight = np.frombuffer(raw, "<f2").astype(np.float16).reshape(-1, n)
        in_range = all(0 <= t <= 1 for t in thresholds)
        if not (np.isfinite(weight).all() and np.isfinite(bias).all() and in_range):
            raise ModelError("the moods in its metadata have numbers out of range")
        return cls(names, weight, bias, thresholds)
