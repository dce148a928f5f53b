"""Fit a calibrated linear head to embeddings; choose its penalty by grouped cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.evaluation.metrics import macro_recall
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
Embeddings = npt.NDArray[np.floating]

#: Inverse strengths of the L2 penalty to try, strongest penalty first.
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
_MAX_WORK = 3e6  # tracks x labels x strengths; beyond it, fewer strengths and folds are tried
_FOLDS = 5
_MIN_STD = 1e-3  # limit for near-constant dimensions
_MIN_CALIBRATION_TRACKS = 30  # in the validation part; else cross-validation calibrates
_MIN_FOLD_TRACKS = 10  # in all folds; with fewer the temperature stays 1
_CURVE_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)  # of the training groups


@dataclass(frozen=True)
class Search:
    """Result of the search for the penalty."""

    c: float
    accuracy: dict[float, float]  # strength -> macro recall over the folds


@dataclass(frozen=True)
class Fitted:
    """A head with its calibration."""

    head: LinearHead  # takes embeddings as stored
    temperature: float
    search: Search

    def probabilities(self, x: Embeddings) -> FloatArray:
        """Return calibrated probabilities [n, labels] of embeddings [n, dims]."""
        return np.exp(log_softmax(log_softmax(self.head(x)) / self.temperature))


@dataclass(frozen=True)
class LearningPoint:
    """Accuracy after training on a number of tracks."""

    tracks: int
    train: float
    valid: float


def fit_head(x: Embeddings, y: IntArray, c: float) -> LinearHead:
    """Fit a class-balanced multinomial logistic regression on standardised embeddings.

    The labels are 0 to k - 1, and each must occur. The scaler is folded into the head.
    """
    x = np.asarray(x, np.float64)
    mean, std = x.mean(0), np.maximum(x.std(0), _MIN_STD)
    return fold_scaler(fit_genre_head((x - mean) / std, y, np.arange(len(y)), c), mean, std)


def search_penalty(
    x: Embeddings,
    y: IntArray,
    groups: IntArray,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> Search:
    """Choose the strength of the penalty by grouped cross-validation; a tie takes the stronger."""
    # A large collection tries fewer strengths, so that the search stays a matter of minutes.
    heavy = len(y) * len(np.unique(y)) * len(STRENGTHS) > _MAX_WORK
    strengths, wanted = (STRENGTHS[1:6:2], 3) if heavy else (STRENGTHS, _FOLDS)
    folds = assign_folds(y, groups, wanted, seed)
    accuracy: dict[float, float] = {}
    for c in strengths:
        predicted = np.full(len(y), -1)  # tracks of a skipped fold count as wrong
        for fold in np.unique(folds):
            train, test = folds != fold, folds == fold
            if len(np.unique(y[train])) >= 2:
                predicted[test] = _fit_and_predict(x[train], y[train], x[test], c)
        accuracy[c] = macro_recall(predicted, y)
        if on_step:
            on_step(f"penalty {c:g}: {accuracy[c]:.1%} over {len(np.unique(folds))} folds")
    best = max(accuracy.values())
    # The strengths are in order of rising flexibility, so that a tie takes the more regular head.
    return Search(next(c for c in strengths if accuracy[c] >= best - 1e-9), accuracy)


def _fit_and_predict(x: Embeddings, y: IntArray, unseen: Embeddings, c: float) -> IntArray:
    """Fit a head on (x, y) and return the labels of other embeddings, among those of ``y``."""
    # A fold may lack a label, and the head expects labels without gaps.
    known, dense = np.unique(y, return_inverse=True)
    out: IntArray = known[fit_head(x, dense, c)(unseen).argmax(1)]
    return out


def fit_calibrated_head(
    x: Embeddings,
    y: IntArray,
    groups: IntArray,
    part: npt.NDArray[np.int8],
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> Fitted:
    """Fit a head on the training part and calibrate it on the validation part.

    A validation part of few tracks is calibrated by cross-validation on both parts instead.
    """
    train, valid = part == Part.TRAIN, part == Part.VALID
    found = search_penalty(x[train], y[train], groups[train], seed, on_step)
    head = fit_head(x[train], y[train], found.c)
    if valid.sum() >= _MIN_CALIBRATION_TRACKS:
        temperature = calibrate(head(x[valid]), y[valid])
    else:
        both = part != Part.TEST
        temperature = _cross_validated_temperature(x[both], y[both], groups[both], found.c, seed)
    return Fitted(head, temperature, found)


def calibrate(logits: FloatArray, y: IntArray) -> float:
    """Return the class-balanced temperature of logits of unseen tracks (Guo et al. 2017)."""
    return fit_temperature(log_softmax(logits), y, balanced_weights(y, np.arange(len(y))))


def _cross_validated_temperature(
    x: Embeddings, y: IntArray, groups: IntArray, c: float, seed: int
) -> float:
    """Return the temperature of logits by heads that have not seen the groups of the tracks."""
    folds, labels = assign_folds(y, groups, _FOLDS, seed + 1), len(np.unique(y))
    logits = np.zeros((len(y), labels))
    scored = np.zeros(len(y), bool)
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        # Logits of a head that lacks a label cannot be compared with the others.
        if len(np.unique(y[train])) == labels:
            logits[test], scored[test] = fit_head(x[train], y[train], c)(x[test]), True
    return calibrate(logits[scored], y[scored]) if scored.sum() >= _MIN_FOLD_TRACKS else 1.0


def refit(x: Embeddings, y: IntArray, fitted: Fitted) -> Fitted:
    """Fit the final head on all tracks, with the penalty and temperature already chosen."""
    # The temperature stays: there are no unseen tracks left that could tell a better one.
    return Fitted(fit_head(x, y, fitted.search.c), fitted.temperature, fitted.search)


def learning_curve(
    x: Embeddings,
    y: IntArray,
    groups: IntArray,
    part: npt.NDArray[np.int8],
    c: float,
    seed: int = 0,
) -> list[LearningPoint]:
    """Return the accuracy after training on a fifth to all of the training groups."""
    train, rest = np.flatnonzero(part == Part.TRAIN), part != Part.TRAIN
    # Whole artists are left out, as in the split: fewer artists matter more than fewer tracks.
    order = np.random.default_rng(seed).permutation(np.unique(groups[train]))
    out = []
    for share in _CURVE_SHARES:
        chosen = set(order[: max(2, round(share * len(order)))].tolist())
        rows = np.array([i for i in train if int(groups[i]) in chosen])
        if len(rows) < 4 or len(np.unique(y[rows])) < 2 or not rest.any():
            continue
        seen, unseen = (_fit_and_predict(x[rows], y[rows], x[m], c) for m in (rows, rest))
        train_accuracy, valid_accuracy = (seen == y[rows]).mean(), (unseen == y[rest]).mean()
        out.append(LearningPoint(len(rows), float(train_accuracy), float(valid_accuracy)))
    return out
