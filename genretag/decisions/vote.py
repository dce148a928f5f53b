"""Turn window scores into a verdict on the track, or an abstention.

The default vote is the mean of log-probabilities over windows, a product of experts (Hinton 1999):

    s_c = mean over windows w of ln p_w(c)          p(c) = softmax(s / T)_c

A sure window outvotes an unsure one, and a genre that any window all but excludes loses; a mean of
probabilities would follow the loudest window. T is the temperature (Guo et al. 2017), fitted on the
result of this vote, so that the confidence of the *track* is calibrated. T may fall with the
analysed length: the same scores are more reliable for a minute than for two seconds.
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
from genretag.records import WINDOW_SECONDS, Analysis

FloatArray = npt.NDArray[np.float64]


class Status(StrEnum):
    """The outcome of a track's analysis."""

    OK = "ok"
    UNSURE = "unsure"
    NONMUSIC = "nonmusic"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """The result of a track's vote."""

    status: Status
    genre: str  # the winner, whatever the status
    confidence: float  # calibrated, 0 to 1
    scores: dict[str, float]  # label -> 0 to 1, highest first; sum 1 for softmax
    windows: int
    agreement: float  # share of the windows that vote for the winner, 0 to 1
    music: float  # probability, 0 to 1
    # Styles above their threshold, likeliest first; empty if it is not music.
    styles: dict[str, float] = field(default_factory=dict)
    # Probability that each of the other genres is right, too, likeliest first; empty if the model
    # has no calibration of them.
    further: dict[str, float] = field(default_factory=dict)
    # Probability of each mood, likeliest first; empty if it is not music.
    moods: dict[str, float] = field(default_factory=dict)


def piece_temperature(calibration: Calibration, pieces: int, seconds: float) -> float:
    """Return the temperature for a track of ``seconds`` that is judged by some pieces of it.

    It is never lower than that of the whole track: pieces say at most as much. A model without a
    calibration of pieces is as sure of them as of the whole, since they are spread over it.
    """
    whole = calibration.at(seconds / WINDOW_SECONDS)
    return whole if calibration.pieces is None else max(whole, calibration.pieces.at(pieces))


def _temperatures(analysis: Analysis, calibration: Calibration) -> tuple[float, float]:
    """Return the temperature of a track's vote and that of one of its windows or pieces."""
    if not analysis.piece:
        return calibration.at(analysis.length), calibration.at(analysis.length_of_window)
    count, seconds = len(analysis.starts), analysis.seconds
    track = piece_temperature(calibration, count, seconds)
    return track, piece_temperature(calibration, 1, analysis.piece)


def window_scores(
    logits: npt.ArrayLike, metadata: ModelMetadata, length: float = 1.0
) -> FloatArray:
    """Return the calibrated score, 0 to 1, of each label in each window [windows, labels].

    A window is as sure as a track of that window alone. ``length`` is the length of each window in
    units of 30 s.
    """
    z = np.asarray(logits, np.float64) / metadata.calibration.at(length)
    return sigmoid(z) if metadata.activation == "sigmoid" else np.exp(log_softmax(z))


def calibrated(
    log_probabilities: FloatArray, length: float, calibration: Calibration
) -> FloatArray:
    """Return calibrated probabilities [..., labels] of mean log-probabilities.

    ``length`` is the length of the mean, in windows of 30 s.
    """
    return _probabilities(log_probabilities, calibration.at(length))


def _probabilities(log_probabilities: FloatArray, temperature: float) -> FloatArray:
    return np.exp(log_softmax(log_probabilities / temperature))


def _exclusive_scores(
    window_log_p: FloatArray, rule: Rule, temperatures: tuple[float, float]
) -> tuple[FloatArray, int]:
    """Return (score of each label, index of the winner) for softmax labels."""
    of_track, of_window = temperatures
    mean = _probabilities(window_log_p.mean(axis=0), of_track)
    if rule is Rule.MEAN:
        return mean, int(mean.argmax())
    if rule is Rule.WEIGHTED:
        p = _probabilities(window_log_p, of_window)
        weight = p.max(axis=1, keepdims=True)
        shares: FloatArray = (weight * p).sum(axis=0) / weight.sum()
        return shares, int(shares.argmax())
    votes = np.bincount(window_log_p.argmax(axis=1), minlength=window_log_p.shape[1])
    return mean, int(np.lexsort((mean, votes))[-1])


def _independent_scores(
    logits: FloatArray, rule: Rule, temperatures: tuple[float, float]
) -> tuple[FloatArray, int]:
    """Return (score of each label, index of the winner) for sigmoid labels: mean log-odds."""
    of_track, of_window = temperatures
    p = sigmoid(logits.mean(axis=0) / of_track)
    if rule is Rule.WEIGHTED:
        each = sigmoid(logits / of_window)
        weight = each.max(axis=1, keepdims=True)
        p = (weight * each).sum(axis=0) / weight.sum()
    if rule is not Rule.MAJORITY:
        return p, int(p.argmax())
    votes = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
    return p, int(np.lexsort((p, votes))[-1])


def vote(
    analysis: Analysis,
    metadata: ModelMetadata,
    rule: Rule = Rule.MEAN,
    min_confidence: float | None = None,
) -> Verdict:
    """Return the vote of a track's windows; abstain below ``min_confidence`` and for non-music."""
    threshold = metadata.confidence_threshold if min_confidence is None else min_confidence
    log_p = log_softmax(analysis.logits)
    temperatures = _temperatures(analysis, metadata.calibration)
    if metadata.activation == "sigmoid":
        logits = np.asarray(analysis.logits, np.float64)
        scores, winner = _independent_scores(logits, rule, temperatures)
    else:
        scores, winner = _exclusive_scores(log_p, rule, temperatures)
    music = float(sigmoid(analysis.music.astype(np.float64).mean()))
    confidence = float(scores[winner])
    status = Status.OK if confidence >= threshold else Status.UNSURE
    if music < metadata.music_threshold:
        status = Status.NONMUSIC
    order = np.argsort(-scores, kind="stable")
    further = metadata.calibration.further
    return Verdict(
        status=status,
        genre=metadata.labels[winner],
        confidence=confidence,
        scores={metadata.labels[i]: float(scores[i]) for i in order},
        windows=len(log_p),
        agreement=float((log_p.argmax(axis=1) == winner).mean()),
        music=music,
        further={
            metadata.labels[i]: further.probability(float(scores[i])) for i in order if i != winner
        }
        if further is not None
        else {},
        styles=metadata.styles.above_threshold(analysis.embedding)
        if metadata.styles is not None and status is not Status.NONMUSIC
        else {},
        moods=metadata.moods.probabilities(analysis.embedding)
        if metadata.moods is not None and status is not Status.NONMUSIC
        else {},
    )
