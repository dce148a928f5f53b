"""Numerical helpers that several packages share."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_TINY = 1e-6


def sigmoid(logits: npt.ArrayLike) -> FloatArray:
    """Return the logistic function of logits, 0 to 1, in double precision."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(logits, np.float64))))


def logit(p: float) -> float:
    """Return the log-odds of a probability, which is held a millionth away from 0 and 1."""
    p = min(max(p, _TINY), 1 - _TINY)
    return math.log(p / (1 - p))


def log_softmax(logits: npt.ArrayLike) -> FloatArray:
    """Return log-probabilities over the last axis, in double precision."""
    z = np.asarray(logits, np.float64)
    # Subtract the maximum first, so that the exponentials cannot overflow.
    z = z - z.max(axis=-1, keepdims=True)
    out: FloatArray = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return out
