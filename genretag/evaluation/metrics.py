"""Metrics of a genre classifier, with confidence intervals.

Task: one label per track.

Conventions: predictions are probabilities [n, labels]; truth and groups are integers [n]. Every
figure counts tracks. Intervals are percentiles of a bootstrap over *groups* (artists): tracks of
one artist are not independent, and an interval over tracks would be too narrow (Efron and
Tibshirani 1993).

Metrics: accuracy, macro recall, macro F1, top-2 accuracy, expected calibration error, coverage and
precision at a threshold.
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
_BOOTSTRAP_ROUNDS = 1000
_CHANCE_ROUNDS = 300  # simulations of an exactly calibrated model
_SHUFFLES = 1000  # of the true labels, for the interval of chance


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
    """Metrics of one label; None where they are undefined in the test part."""

    label: str
    train: int  # tracks
    test: int  # tracks
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class ClassifierMetrics:
    """Metrics of a model on one test part."""

    tracks: int
    groups: int
    accuracy: Interval
    macro_recall: Interval
    macro_f1: Interval
    top2: Interval
    ece: float  # expected calibration error
    ece_if_exact: float  # mean error of an exactly calibrated model with as many tracks
    majority: float  # accuracy of always guessing the most frequent label of the training part
    chance: Interval  # accuracy of the same predictions with the true labels shuffled
    classes: list[LabelMetrics]
    confusion: list[list[int]]  # [truth][prediction]
    coverage: float  # share of the tracks at or above the threshold
    precision: float | None  # share of these that is right

    @property
    def calibration(self) -> str:
        """Calibration error beside the error expected by chance, as text."""
        return (
            f"calibration error {self.ece:.3f}"
            f" ({self.ece_if_exact:.3f} expected by chance with this many tracks)"
        )

    @property
    def beats_guessing(self) -> bool:
        """Whether the model is better than chance and than guessing the most frequent label.

        Guessing one label has the accuracy ``majority`` and a macro recall of 1 / labels. A model
        may lose the first comparison on unbalanced music, and still tell the labels apart.
        """
        occurring = sum(c.test > 0 for c in self.classes)
        tells_apart = occurring > 1 and self.macro_recall.low > 1 / occurring
        better_than_majority = self.accuracy.value > self.majority or tells_apart
        return self.accuracy.value > self.chance.high and better_than_majority

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as JSON."""
        out: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Interval):
                out[name] = {k: round(v, 4) for k, v in vars(value).items()}
            elif name == "classes":
                out[name] = [vars(c) for c in value]
            else:
                out[name] = round(value, 4) if isinstance(value, float) else value
        return out


# --- labels -------------------------------------------------------------------------------------


def confusion_matrix(predicted: IntArray, y: IntArray, labels: int) -> IntArray:
    """Return the number of tracks of each label (row) by predicted label (column)."""
    return np.bincount(y * labels + predicted, minlength=labels * labels).reshape(labels, labels)


def per_label_scores(confusion: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (recall, precision, F1) of each label; 0 where a denominator is 0."""
    hits, actual, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    recall, precision = hits / np.maximum(actual, 1), hits / np.maximum(predicted, 1)
    f1: FloatArray = 2 * hits / np.maximum(actual + predicted, 1)
    return recall, precision, f1


def macro_recall(predicted: IntArray, y: IntArray) -> float:
    """Return the mean recall over the labels that occur in ``y`` (balanced accuracy)."""
    hits = np.bincount(y, predicted == y)
    counts = np.bincount(y)
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def macro_f1(predicted: IntArray, y: IntArray, labels: int) -> float:
    """Return the mean F1 over the labels that occur in ``y``."""
    confusion = confusion_matrix(predicted, y, labels)
    return float(per_label_scores(confusion)[2][confusion.sum(1) > 0].mean())


# --- calibration --------------------------------------------------------------------------------


def calibration_error(
    confidence: FloatArray, right: npt.NDArray[np.bool_], bins: int = BINS
) -> float:
    """Return the expected calibration error over bins of equal width, 0 to 1.

    Source: Naeini et al. (2015).
    """
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for b in np.unique(bin_of):
        mine = bin_of == b
        error += abs(confidence[mine].mean() - right[mine].mean()) * mine.mean()
    return float(error)


def exact_calibration_error(confidence: FloatArray, seed: int = 0) -> tuple[float, float]:
    """Return mean and 95th percentile of the calibration error of an exactly calibrated model.

    With few tracks chance alone causes an error; a measured error below it means nothing
    (consistency resampling: Broecker and Smith 2007).
    """
    rng = np.random.default_rng(seed)
    errors = [
        calibration_error(confidence, rng.random(len(confidence)) < confidence)
        for _ in range(_CHANCE_ROUNDS)
    ]
    return float(np.mean(errors)), float(np.percentile(errors, 95))


# --- intervals ----------------------------------------------------------------------------------


def interval(figure: Callable[[IntArray], float], groups: IntArray, seed: int = 0) -> Interval:
    """Return a figure with its interval; ``figure`` takes the indices of the tracks to count."""
    names, number = np.unique(groups, return_inverse=True)
    rows = [np.flatnonzero(number == g) for g in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn = [
        figure(np.concatenate([rows[g] for g in rng.integers(0, len(rows), len(rows))]))
        for _ in range(_BOOTSTRAP_ROUNDS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(figure(np.arange(len(groups))), float(low), float(high))


def chance_interval(predicted: IntArray, y: IntArray, groups: IntArray, seed: int = 0) -> Interval:
    """Return mean and 95 % interval of the accuracy with the true labels shuffled.

    Whole groups are shuffled: the labels of an artist's tracks are alike, and shuffling single
    tracks would make the interval too narrow (permutation test: Ojala and Garriga 2010).
    """
    names, number = np.unique(groups, return_inverse=True)
    rows = [np.flatnonzero(number == g) for g in range(len(names))]
    in_order = predicted[np.concatenate(rows)]
    rng = np.random.default_rng(seed)
    drawn = [
        float((in_order == y[np.concatenate([rows[g] for g in rng.permutation(len(rows))])]).mean())
        for _ in range(_SHUFFLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(np.mean(drawn)), float(low), float(high))


def compute_metrics(
    p: FloatArray,
    y: IntArray,
    groups: IntArray,
    labels: list[str],
    y_train: IntArray,
    threshold: float = 0.7,
) -> ClassifierMetrics:
    """Compute all metrics of probabilities [n, labels] on a test part.

    Args:
        p: probabilities [n, labels].
        y: true labels [n].
        groups: artists [n].
        labels: names of the labels.
        y_train: labels of the training part; empty if the model was not trained here.
        threshold: confidence below which a track is unsure.

    Raises:
        ValueError: the test part is empty.
    """
    if len(y) == 0:
        raise ValueError("the test part is empty")
    predicted, confidence = p.argmax(1), p.max(1)
    right = predicted == y
    top2 = (np.argsort(-p, axis=1)[:, :2] == y[:, None]).any(1)
    confusion = confusion_matrix(predicted, y, len(labels))
    majority = np.bincount(y_train if len(y_train) else y, minlength=len(labels)).argmax()
    sure = confidence >= threshold
    return ClassifierMetrics(
        tracks=len(y),
        groups=len(np.unique(groups)),
        accuracy=interval(lambda rows: float(right[rows].mean()), groups),
        macro_recall=interval(lambda rows: macro_recall(predicted[rows], y[rows]), groups),
        macro_f1=interval(lambda rows: macro_f1(predicted[rows], y[rows], len(labels)), groups),
        top2=interval(lambda rows: float(top2[rows].mean()), groups),
        ece=calibration_error(confidence, right),
        ece_if_exact=exact_calibration_error(confidence)[0],
        majority=float((y == majority).mean()),
        chance=chance_interval(predicted, y, groups),
        classes=_label_metrics(confusion, labels, y_train),
        confusion=confusion.tolist(),
        coverage=float(sure.mean()),
        precision=float(right[sure].mean()) if sure.any() else None,
    )


def _label_metrics(confusion: IntArray, labels: list[str], y_train: IntArray) -> list[LabelMetrics]:
    train = np.bincount(y_train, minlength=len(labels))
    recall, precision, f1 = per_label_scores(confusion)
    actual, predicted = confusion.sum(1), confusion.sum(0)

    def defined(value: float, denominator: int) -> float | None:
        return round(float(value), 4) if denominator else None

    return [
        LabelMetrics(
            label,
            int(train[c]),
            int(actual[c]),
            defined(recall[c], actual[c]),
            defined(precision[c], predicted[c]),
            defined(f1[c], actual[c]),
        )
        for c, label in enumerate(labels)
    ]
