"""Embeddings -> genre head and music-or-not head: linear, class-balanced, fitted on pieces that are all cut alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.inference.metadata import Calibration

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearHead:
    """``logits = x @ weight + bias``."""

    weight: FloatArray  # [dims, classes]
    bias: FloatArray  # [classes]

    def __call__(self, x: npt.NDArray[np.floating]) -> FloatArray:
        """Return the logits of embeddings [n, dims]."""
        out: FloatArray = x.astype(np.float64) @ self.weight + self.bias
        return out


def fold_scaler(
    head: LinearHead, mean: npt.NDArray[np.floating], std: npt.NDArray[np.floating]
) -> LinearHead:
    """Return a head for raw embeddings from one for standardised ones: ``((x - mean) / std) @ W + b``."""
    weight = head.weight / std[:, None]
    return LinearHead(weight, head.bias - mean @ weight)


def balanced_weights(y: npt.NDArray[np.int64], clip: npt.NDArray[np.int64]) -> FloatArray:
    """Return weights under which every class counts the same, and every clip within a class."""
    per_clip = dict(zip(*np.unique(clip, return_counts=True), strict=True))
    weight = np.array([1.0 / per_clip[c] for c in clip])
    for label in np.unique(y):
        weight[y == label] /= weight[y == label].sum()
    out: FloatArray = weight * len(y) / weight.sum()
    return out


def fit_genre_head(
    x: npt.NDArray[np.floating], y: npt.NDArray[np.int64], clip: npt.NDArray[np.int64], c: float
) -> LinearHead:
    """Fit a multinomial logistic regression; ``c`` is the inverse strength of its L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=400)
    model.fit(x.astype(np.float64), y, sample_weight=balanced_weights(y, clip))
    weight, bias = model.coef_.T, model.intercept_
    if weight.shape[1] == 1:  # two classes: one column of log-odds
        weight = np.concatenate([np.zeros_like(weight), weight], axis=1)
        bias = np.concatenate([[0.0], bias])
    return LinearHead(weight, bias)


def fit_music_head(
    x: npt.NDArray[np.floating],
    is_music: npt.NDArray[np.bool_],
    clip: npt.NDArray[np.int64],
    c: float,
) -> LinearHead:
    """Fit a logistic regression whose one logit is that of "this is music"."""
    two = fit_genre_head(x, is_music.astype(np.int64), clip, c)
    return LinearHead(
        (two.weight[:, 1] - two.weight[:, 0])[:, None], np.array([two.bias[1] - two.bias[0]])
    )


def fit_temperature(
    log_p: FloatArray, y: npt.NDArray[np.int64], weight: FloatArray | None = None
) -> float:
    """Return the temperature that makes mean log-probabilities [n, classes] most likely (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    from genretag.numeric import log_softmax

    w = np.ones(len(y)) if weight is None else weight

    def loss(log_t: float) -> float:
        picked = log_softmax(log_p / np.exp(log_t))[np.arange(len(y)), y]
        return float(-(w * picked).sum() / w.sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def fit_calibration(
    log_p: FloatArray, length: FloatArray, y: npt.NDArray[np.int64], weight: FloatArray
) -> Calibration:
    """Return the calibration that makes mean log-probabilities [n, classes] of tracks of some lengths (windows of 30 s) most likely."""
    from scipy.optimize import minimize

    from genretag.numeric import log_softmax

    def loss(found: FloatArray) -> float:
        temperature = np.exp(found[0] + found[1] * np.log(length))
        picked = log_softmax(log_p / temperature[:, None])[np.arange(len(y)), y]
        return float(-(weight * picked).sum() / weight.sum())

    log_t, slope = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    return Calibration(round(float(np.exp(log_t)), 3), round(float(slope), 3))
