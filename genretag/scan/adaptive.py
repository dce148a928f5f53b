"""Adaptive windows: stop analysing a track when more windows would hardly change its genre.

With k of n windows analysed, label c overtakes the winner a only if the mean over all n of
d_w = ln p_w(a) - ln p_w(c) falls below zero. Given the k windows, that mean is taken as normal
around theirs, with the variance of a sample without replacement (Cochran 1977, section 2.5):

    s^2 (1/k - 1/n)

s^2 pools the variance of the windows with the usual one. The analysis stops when the probabilities
of all other winners sum to less than ``MAX_ERROR``. Tracks of a few windows are analysed whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # decode workers ask for windows alone
    from genretag.decisions.vote import FloatArray
    from genretag.inference.metadata import ModelMetadata

MAX_ERROR = 0.02  # of a track's genre being another one than all windows would say
# Deviation of d between windows: 2.03 over different clips of one artist, measured with five models
# that were not trained on them.
_USUAL = 2.0
_USUAL_WEIGHT = 4  # windows that the usual deviation counts for
_FEW = 4  # windows: no more than two minutes
_MAX_PARTS = 16  # windows; if they do not settle the vote, the rest is decoded in one go


def spread(windows: int) -> list[int]:
    """Return window numbers, each as far as possible from those before it.

    That is the middle, the ends, then the middles of the gaps.
    """
    chosen = [windows // 2]
    gaps = np.abs(np.arange(windows) - chosen[0])
    while len(chosen) < min(windows, _MAX_PARTS):
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, np.abs(np.arange(windows) - chosen[-1]))
    return chosen


def first(windows: int) -> tuple[int, ...]:
    """Return the first windows to analyse: one from the middle, or all of a few."""
    return tuple(range(windows)) if windows <= _FEW else tuple(spread(windows)[:1])


def further(windows: int, analysed: int) -> tuple[int, ...]:
    """Return the next windows after ``analysed`` of them: as many again, or all that are left.

    (): decode the whole track in one go.
    """
    if 2 * analysed >= windows:
        done = set(spread(windows)[:analysed])
        return tuple(w for w in range(windows) if w not in done)
    return tuple(spread(windows)[analysed : 2 * analysed]) if 2 * analysed <= _MAX_PARTS else ()


def settled(
    logits: npt.NDArray[np.float32],
    music: npt.NDArray[np.float32],
    windows: int,
    metadata: ModelMetadata,
) -> bool:
    """Return whether k analysed windows settle the vote of all ``windows``.

    ``logits`` is [k, labels], ``music`` [k], logits as well.
    """
    from genretag.numeric import log_softmax

    analysed = len(logits)
    if analysed >= windows:
        return True
    scores = (
        log_softmax(logits) if metadata.activation == "softmax" else np.asarray(logits, np.float64)
    )
    winner = int(scores.mean(axis=0).argmax())
    ahead = np.delete(scores[:, [winner]] - scores, winner, axis=1)
    threshold = (
        math.log(metadata.music_threshold / (1 - metadata.music_threshold))
        if 0 < metadata.music_threshold < 1
        else 0.0
    )
    margin = np.asarray(music, np.float64)[:, None] - threshold
    left = 1 / analysed - 1 / windows
    return _overturned(ahead, left) + _overturned(margin * np.sign(margin.mean()), left) < MAX_ERROR


def _overturned(ahead: FloatArray, left: float) -> float:
    """Return the probability that a positive mean of k windows is negative over all of them.

    ``ahead`` is [k, cases]; the result is summed over the cases.
    """
    spread_out = np.square(ahead - ahead.mean(axis=0)).sum(axis=0)
    variance = (_USUAL_WEIGHT * _USUAL**2 + spread_out) / (_USUAL_WEIGHT + len(ahead) - 1)
    z = ahead.mean(axis=0) / np.sqrt(variance * left)
    return float(sum(0.5 * math.erfc(x / math.sqrt(2)) for x in z))
