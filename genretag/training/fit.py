"""Embeddings and labels -> a calibrated linear head: its strength by grouped cross-validation, its figures on tracks it never met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.numeric import log_softmax
from genretag.training.head import (
    LinearHead,
    balanced_weights,
    fit_genre_head,
    fit_temperature,
    fold_scaler,
)
from genretag.training.split import Part, assign_folds

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Inverse strengths of the L2 penalty that are tried, the strongest first.
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
_MAX_WORK = 3e6  # tracks x labels x strengths: above, fewer strengths and folds are tried


@dataclass(frozen=True)
class Search:
    """What cross-validation found."""

    c: float
    accuracy: dict[float, float]  # strength -> mean accuracy over folds, labels counting the same


@dataclass(frozen=True)
class Fitted:
    """A head with its calibration."""

    head: LinearHead  # takes embeddings as stored
    temperature: float
    search: Search

    def probabilities(self, x: npt.NDArray[np.floating]) -> FloatArray:
        """Return calibrated probabilities [n, labels] of embeddings [n, dims]."""
        return np.exp(log_softmax(log_softmax(self.head(x)) / self.temperature))


@dataclass(frozen=True)
class LearningPoint:
    """Accuracy with so many tracks to learn from."""

    tracks: int
    train: float
    valid: float


def fit_head(x: npt.NDArray[np.floating], y: IntArray, c: float) -> LinearHead:
    """Fit a class-balanced multinomial logistic regression on standardised embeddings; fold the scaler in.

    The labels are 0 to k - 1, and each of them must occur.
    """
    x = np.asarray(x, np.float64)
    mean, std = x.mean(0), np.maximum(x.std(0), 1e-3)
    return fold_scaler(fit_genre_head((x - mean) / std, y, np.arange(len(y)), c), mean, std)


def search_penalty(
    x: npt.NDArray[np.floating],
    y: IntArray,
    groups: IntArray,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> Search:
    """Choose the penalty's strength by grouped cross-validation; ties go to the stronger penalty."""
    heavy = len(y) * len(np.unique(y)) * len(STRENGTHS) > _MAX_WORK
    strengths, wanted = (STRENGTHS[1:6:2], 3) if heavy else (STRENGTHS, 5)
    folds = assign_folds(y, groups, wanted, seed)
    accuracy: dict[float, float] = {}
    for c in strengths:
        right = np.zeros(len(y))
        for fold in np.unique(folds):
            train, test = folds != fold, folds == fold
            if len(np.unique(y[train])) < 2:
                continue
            said = _predicted(x[train], y[train], x[test], c)
            right[test] = said == y[test]
        accuracy[c] = float(np.mean([right[y == label].mean() for label in np.unique(y)]))
        if on_step:
            on_step(f"penalty {c:g}: {accuracy[c]:.1%} over {len(np.unique(folds))} folds")
    best = max(accuracy.values())
    return Search(next(c for c in strengths if accuracy[c] >= best - 1e-9), accuracy)


def _predicted(
    x: npt.NDArray[np.floating], y: IntArray, unseen: npt.NDArray[np.floating], c: float
) -> IntArray:
    """Fit on (x, y) and return the labels of what was not seen; a label that ``y`` lacks is never said."""
    known, dense = np.unique(y, return_inverse=True)
    out: IntArray = known[fit_head(x, dense, c)(unseen).argmax(1)]
    return out


def fit_calibrated_head(
    x: npt.NDArray[np.floating],
    y: IntArray,
    groups: IntArray,
    part: npt.NDArray[np.int8],
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> Fitted:
    """Fit on the training part, calibrate on the validation part (or by cross-validation where that is empty)."""
    train, valid = part == Part.TRAIN, part == Part.VALID
    found = search_penalty(x[train], y[train], groups[train], seed, on_step)
    head = fit_head(x[train], y[train], found.c)
    if valid.sum() >= 30:
        temperature = calibrate(head(x[valid]), y[valid])
    else:
        temperature = _out_of_fold_temperature(
            x[~(part == Part.TEST)],
            y[~(part == Part.TEST)],
            groups[~(part == Part.TEST)],
            found.c,
            seed,
        )
    return Fitted(head, temperature, found)


def calibrate(logits: FloatArray, y: IntArray) -> float:
    """Return the temperature of logits of tracks that the head never met (Guo et al. 2017); labels count the same."""
    return fit_temperature(log_softmax(logits), y, balanced_weights(y, np.arange(len(y))))


def _out_of_fold_temperature(
    x: npt.NDArray[np.floating], y: IntArray, groups: IntArray, c: float, seed: int
) -> float:
    """Return the temperature of every track's logits by heads that did not meet its group."""
    folds, labels = assign_folds(y, groups, 5, seed + 1), len(np.unique(y))
    logits = np.zeros((len(y), labels))
    seen = np.zeros(len(y), bool)
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        if len(np.unique(y[train])) == labels:
            logits[test], seen[test] = fit_head(x[train], y[train], c)(x[test]), True
    return calibrate(logits[seen], y[seen]) if seen.sum() >= 10 else 1.0


def refit(x: npt.NDArray[np.floating], y: IntArray, fitted: Fitted) -> Fitted:
    """Return the head fitted on everything with what was found: what is given to the user."""
    return Fitted(fit_head(x, y, fitted.search.c), fitted.temperature, fitted.search)


def learning_curve(
    x: npt.NDArray[np.floating],
    y: IntArray,
    groups: IntArray,
    part: npt.NDArray[np.int8],
    c: float,
    seed: int = 0,
) -> list[LearningPoint]:
    """Return accuracy on what was learned and on the rest, with a fifth to all of the training groups."""
    train, rest = np.flatnonzero(part == Part.TRAIN), part != Part.TRAIN
    order = np.random.default_rng(seed).permutation(np.unique(groups[train]))
    out = []
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        chosen = set(order[: max(2, round(share * len(order)))].tolist())
        rows = np.array([i for i in train if int(groups[i]) in chosen])
        if len(rows) < 4 or len(np.unique(y[rows])) < 2 or not rest.any():
            continue
        learned, unseen = (_predicted(x[rows], y[rows], x[m], c) for m in (rows, rest))
        out.append(
            LearningPoint(
                len(rows), float((learned == y[rows]).mean()), float((unseen == y[rest]).mean())
            )
        )
    return out
