"""Linear heads on embeddings, for the genre and for music or not; class-balanced and calibrated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.inference.metadata import Calibration
from genretag.numeric import log_softmax

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MAX_ITERATIONS = 400  # of the logistic regression
_LOG_TEMPERATURE_BOUNDS = (-2.0, 2.0)  # temperatures of 0.14 to 7.4


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
    """Fold a scaler into a head: ``((x - mean) / std) @ W + b`` becomes ``x @ W' + b'``."""
    weight = head.weight / std[:, None]
    return LinearHead(weight, head.bias - mean @ weight)


def balanced_weights(y: IntArray, clip: IntArray) -> FloatArray:
    """Return weights [n] that balance the classes, and the clips within a class; mean 1."""
    per_clip = dict(zip(*np.unique(clip, return_counts=True), strict=True))
    # First the pieces of a clip, then the labels: a long clip does not count more than a short one.
    weight = np.array([1.0 / per_clip[c] for c in clip])
    for label in np.unique(y):
        weight[y == label] /= weight[y == label].sum()
    out: FloatArray = weight * len(y) / weight.sum()
    return out


def fit_genre_head(
    x: npt.NDArray[np.floating], y: IntArray, clip: IntArray, c: float
) -> LinearHead:
    """Fit a multinomial logistic regression; ``c`` is the inverse strength of its L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=_MAX_ITERATIONS)
    model.fit(x.astype(np.float64), y, sample_weight=balanced_weights(y, clip))
    weight, bias = model.coef_.T, model.intercept_
    if weight.shape[1] == 1:  # for two classes scikit-learn stores one column of log-odds
        weight = np.concatenate([np.zeros_like(weight), weight], axis=1)
        bias = np.concatenate([[0.0], bias])
    return LinearHead(weight, bias)


def fit_music_head(
    x: npt.NDArray[np.floating], is_music: npt.NDArray[np.bool_], clip: IntArray, c: float
) -> LinearHead:
    """Fit a logistic regression with one logit, that of "this is music"."""
    two = fit_genre_head(x, is_music.astype(np.int64), clip, c)
    weight = (two.weight[:, 1] - two.weight[:, 0])[:, None]
    return LinearHead(weight, np.array([two.bias[1] - two.bias[0]]))


# --- calibration --------------------------------------------------------------------------------


def fit_temperature(log_p: FloatArray, y: IntArray, weight: FloatArray | None = None) -> float:
    """Fit the temperature of mean log-probabilities [n, classes] (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    w = np.ones(len(y)) if weight is None else weight

    def loss(log_t: float) -> float:
        # Searching the logarithm keeps the temperature positive.
        return _cross_entropy(log_p / np.exp(log_t), y, w)

    found = minimize_scalar(loss, bounds=_LOG_TEMPERATURE_BOUNDS, method="bounded")
    return float(np.exp(found.x))


def fit_calibration(
    log_p: FloatArray, length: FloatArray, y: IntArray, weight: FloatArray
) -> Calibration:
    """Fit temperature and slope of mean log-probabilities [n, classes].

    ``length`` is that of the tracks, in windows of 30 s.
    """
    from scipy.optimize import minimize

    def loss(parameters: FloatArray) -> float:
        # The best temperature of a mean depends on how many windows it is made of.
        temperature = np.exp(parameters[0] + parameters[1] * np.log(length))
        return _cross_entropy(log_p / temperature[:, None], y, weight)

    log_t, slope = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    return Calibration(round(float(np.exp(log_t)), 3), round(float(slope), 3))


def _cross_entropy(scores: FloatArray, y: IntArray, weight: FloatArray) -> float:
    """Return the weighted mean negative log-likelihood of the true classes."""
    picked = log_softmax(scores)[np.arange(len(y)), y]
    return float(-(weight * picked).sum() / weight.sum())
