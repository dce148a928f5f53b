"""Window scores -> a verdict on the track, or an abstention.

The default vote is the mean of log-probabilities over windows, a product of experts (Hinton 1999):

    s_c = mean over windows w of ln p_w(c)          p(c) = softmax(s / T)_c

It lets a window that is sure outvote one that is not, and a genre that any window all but rules
out loses, where a mean of probabilities is led by the loudest window. T is the calibration's
temperature (Guo et al. 2017), fitted on the result of this very vote, so that the confidence of a
*track* is what is calibrated. It may fall with the length that was heard: of a minute the same scores are more to be
trusted than of two seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from genretag.decisions.policy import Rule
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.numeric import log_softmax as log_softmax
from genretag.numeric import sigmoid
from genretag.records import Analysis

FloatArray = npt.NDArray[np.float64]


class Status(StrEnum):
    """What the ear says of a track."""

    OK = "ok"
    UNSURE = "unsure"
    NONMUSIC = "nonmusic"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """What the vote says."""

    status: Status
    genre: str  # the winner, also where the status says not to trust it
    confidence: float  # calibrated, 0 to 1
    scores: dict[str, float]  # label -> 0 to 1, sum 1 (softmax), the highest first
    windows: int
    agreement: float  # share of the windows that vote for the winner
    music: float  # 0 to 1
    styles: dict[str, float] = field(
        default_factory=dict
    )  # told beside the genre, the likeliest first; none of what is no music


def window_scores(
    logits: npt.ArrayLike, metadata: ModelMetadata, length: float = 1.0
) -> FloatArray:
    """Return how strongly each window [windows, labels] speaks for each label, 0 to 1: as sure as a track of this one would be.

    ``length`` is that of each window, in windows of 30 s.
    """
    z = np.asarray(logits, np.float64) / metadata.calibration.at(length)
    return sigmoid(z) if metadata.activation == "sigmoid" else np.exp(log_softmax(z))


def calibrated(
    log_probabilities: FloatArray, length: float, calibration: Calibration
) -> FloatArray:
    """Return probabilities of log-probabilities [..., labels] that are means over ``length`` windows of 30 s."""
    return np.exp(log_softmax(log_probabilities / calibration.at(length)))


def _shares(
    window_log_p: FloatArray, rule: Rule, length: float, calibration: Calibration
) -> tuple[FloatArray, int]:
    """Return (score of each label, index of the winner)."""
    mean = calibrated(window_log_p.mean(axis=0), length, calibration)
    if rule is Rule.MEAN:
        return mean, int(mean.argmax())
    if rule is Rule.WEIGHTED:
        p = calibrated(window_log_p, length / len(window_log_p), calibration)
        weight = p.max(axis=1, keepdims=True)
        shares: FloatArray = (weight * p).sum(axis=0) / weight.sum()
        return shares, int(shares.argmax())
    votes = np.bincount(window_log_p.argmax(axis=1), minlength=window_log_p.shape[1])
    return mean, int(np.lexsort((mean, votes))[-1])


def _each_for_itself(
    logits: FloatArray, rule: Rule, length: float, calibration: Calibration
) -> tuple[FloatArray, int]:
    """Return (score of each label, index of the winner) where labels do not exclude each other: mean log-odds."""
    p = sigmoid(logits.mean(axis=0) / calibration.at(length))
    if rule is Rule.WEIGHTED:
        each = sigmoid(logits / calibration.at(length / len(logits)))
        weight = each.max(axis=1, keepdims=True)
        p = (weight * each).sum(axis=0) / weight.sum()
    if rule is not Rule.MAJORITY:
        return p, int(p.argmax())
    votes = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
    return p, int(np.lexsort((p, votes))[-1])


def vote(
    heard: Analysis,
    metadata: ModelMetadata,
    rule: Rule = Rule.MEAN,
    min_confidence: float | None = None,
) -> Verdict:
    """Let a track's windows vote, and abstain below ``min_confidence`` or where it is not music."""
    threshold = metadata.confidence_threshold if min_confidence is None else min_confidence
    log_p = log_softmax(heard.logits)
    if metadata.activation == "sigmoid":
        scores, winner = _each_for_itself(
            np.asarray(heard.logits, np.float64), rule, heard.length, metadata.calibration
        )
    else:
        scores, winner = _shares(log_p, rule, heard.length, metadata.calibration)
    music = float(sigmoid(heard.music.astype(np.float64).mean()))
    confidence = float(scores[winner])
    status = Status.OK if confidence >= threshold else Status.UNSURE
    if music < metadata.music_threshold:
        status = Status.NONMUSIC
    order = np.argsort(-scores, kind="stable")
    return Verdict(
        status=status,
        genre=metadata.labels[winner],
        confidence=confidence,
        scores={metadata.labels[i]: float(scores[i]) for i in order},
        windows=len(log_p),
        agreement=float((log_p.argmax(axis=1) == winner).mean()),
        music=music,
        styles=metadata.styles.above_threshold(heard.embedding)
        if metadata.styles is not None and status is not Status.NONMUSIC
        else {},
    )
