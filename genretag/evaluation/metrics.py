"""How well a model does: accuracy, macro recall and F1, top-2, calibration, with confidence intervals.

Every figure is of tracks. Intervals are percentiles of a bootstrap over *groups* (artists): tracks of one artist
are not independent, and an interval over tracks would be too narrow (Efron and Tibshirani 1993).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BINS = 10  # of the calibration error
ROUNDS = 1000  # of the bootstrap
_CHANCE_ROUNDS = 300


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True)
class LabelMetrics:
    """One label's figures; ``recall`` is None where the test part has none of it."""

    label: str
    train: int
    test: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class ClassifierMetrics:
    """All figures of one model on one test part."""

    tracks: int
    groups: int
    accuracy: Interval
    macro_recall: Interval
    macro_f1: Interval
    top2: Interval
    ece: float  # expected calibration error ...
    ece_if_exact: float  # ... and that of exact confidence, by chance alone, on so many tracks
    majority: float  # accuracy of always saying the commonest label of the training part
    classes: list[LabelMetrics]
    confusion: list[list[int]]  # [truth][said]
    coverage: float  # share of the tracks at or above the threshold ...
    precision: float | None  # ... and how many of these are right

    @property
    def calibration(self) -> str:
        """How far confidence and truth are apart, in words."""
        return f"calibration error {self.ece:.3f} ({self.ece_if_exact:.3f} by chance alone on so many tracks)"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON takes them."""
        out: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Interval):
                out[name] = {k: round(v, 4) for k, v in vars(value).items()}
            elif name == "classes":
                out[name] = [vars(c) for c in value]
            else:
                out[name] = round(value, 4) if isinstance(value, float) else value
        return out


def confusion_matrix(said: IntArray, y: IntArray, labels: int) -> IntArray:
    """Return how often each label (row) was taken for each (column)."""
    return np.bincount(y * labels + said, minlength=labels * labels).reshape(labels, labels)


def per_label_scores(confusion: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (recall, precision, F1) a label; 0 where a denominator is 0."""
    hit, there, claimed = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    recall, precision = hit / np.maximum(there, 1), hit / np.maximum(claimed, 1)
    f1: FloatArray = 2 * hit / np.maximum(there + claimed, 1)
    return recall, precision, f1


def macro_recall(confusion: IntArray) -> float:
    """Return the mean recall over the labels that occur."""
    return float(per_label_scores(confusion)[0][confusion.sum(1) > 0].mean())


def macro_f1(confusion: IntArray) -> float:
    """Return the mean F1 over the labels that occur."""
    return float(per_label_scores(confusion)[2][confusion.sum(1) > 0].mean())


def calibration_error(
    confidence: FloatArray, right: npt.NDArray[np.bool_], bins: int = BINS
) -> float:
    """Return the expected calibration error over bins of equal width (Naeini et al. 2015), 0 to 1."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(confidence[bin_of == b].mean() - right[bin_of == b].mean()) * (bin_of == b).mean()
            for b in np.unique(bin_of)
        )
    )


def exact_calibration_error(confidence: FloatArray, seed: int = 0) -> tuple[float, float]:
    """Return the mean calibration error, and its 95th percentile, of one who is exactly as often right as it says, on so many tracks.

    On few tracks chance alone makes an error: what is measured means nothing below this (consistency: Broecker and Smith 2007).
    """
    rng = np.random.default_rng(seed)
    drawn = [
        calibration_error(confidence, rng.random(len(confidence)) < confidence)
        for _ in range(_CHANCE_ROUNDS)
    ]
    return float(np.mean(drawn)), float(np.percentile(drawn, 95))


def interval(figure: Callable[[IntArray], float], groups: IntArray, seed: int = 0) -> Interval:
    """Return a figure of rows with its interval; ``figure`` takes the rows that count."""
    names, number = np.unique(groups, return_inverse=True)
    rows = [np.flatnonzero(number == g) for g in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn = [
        figure(np.concatenate([rows[g] for g in rng.integers(0, len(rows), len(rows))]))
        for _ in range(ROUNDS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(figure(np.arange(len(groups))), float(low), float(high))


def compute_metrics(
    p: FloatArray,
    y: IntArray,
    groups: IntArray,
    labels: list[str],
    y_train: IntArray,
    threshold: float = 0.7,
) -> ClassifierMetrics:
    """Judge probabilities [n, labels] of a test part; ``y_train`` is empty where nothing was learned here.

    Raises:
        ValueError: the test part is empty.
    """
    if len(y) == 0:
        raise ValueError("nothing to judge on")
    said, confidence = p.argmax(1), p.max(1)
    right = said == y
    two = (np.argsort(-p, axis=1)[:, :2] == y[:, None]).any(1)
    confusion = confusion_matrix(said, y, len(labels))
    majority = np.bincount(y_train if len(y_train) else y, minlength=len(labels)).argmax()
    sure = confidence >= threshold
    train, (recall, precision, f1) = (
        np.bincount(y_train, minlength=len(labels)),
        per_label_scores(confusion),
    )
    there, claimed = confusion.sum(1), confusion.sum(0)
    classes = [
        LabelMetrics(
            label,
            int(train[c]),
            int(there[c]),
            round(float(recall[c]), 4) if there[c] else None,
            round(float(precision[c]), 4) if claimed[c] else None,
            round(float(f1[c]), 4) if there[c] else None,
        )
        for c, label in enumerate(labels)
    ]
    return ClassifierMetrics(
        tracks=len(y),
        groups=len(np.unique(groups)),
        accuracy=interval(lambda rows: float(right[rows].mean()), groups),
        macro_recall=interval(
            lambda rows: macro_recall(confusion_matrix(said[rows], y[rows], len(labels))), groups
        ),
        macro_f1=interval(
            lambda rows: macro_f1(confusion_matrix(said[rows], y[rows], len(labels))), groups
        ),
        top2=interval(lambda rows: float(two[rows].mean()), groups),
        ece=calibration_error(confidence, right),
        ece_if_exact=exact_calibration_error(confidence)[0],
        majority=float((y == majority).mean()),
        classes=classes,
        confusion=confusion.tolist(),
        coverage=float(sure.mean()),
        precision=float(right[sure].mean()) if sure.any() else None,
    )
