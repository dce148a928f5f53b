"""Sparse analysis: pieces of 5 s, spread evenly over a track, and more where they do not settle it.

Six pieces are analysed first, in tracks of more than ten minutes one for every 30 s; then as many
again, from the middle of the gaps, unless the decision is settled. With k pieces analysed of the n
that would cover the track, the mean over all n differs from theirs by a deviation that falls with
``sqrt(1/k - 1/n)``: a sample without replacement (Cochran 1977, section 2.5). So the decision is
settled if

    T * |logit(confidence) - logit(threshold)| >= z * sqrt(1/k - 1/n)

for the temperature T, and if the first half of the pieces names the same winner as all of them.
Short tracks are analysed whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from genretag.numeric import log_softmax, logit, sigmoid
from genretag.records import PIECE_SECONDS

if TYPE_CHECKING:  # decode workers need only the places
    from genretag.inference.metadata import ModelMetadata

WHOLE_SECONDS = 90.0  # tracks up to this length are analysed whole
_FIRST = 6  # pieces before the first decision
_LONG_SECONDS = 600.0  # longer tracks are mixes, as a rule
_SECONDS_PER_PIECE = 30.0  # of a long track, before the first decision
#: Deviations between confidence and threshold. On whole songs, the log-odds of six pieces differ
#: from those of the whole track by 1.1 times the square root (standard deviation).
_Z = 2.0


def places(seconds: float) -> tuple[list[float], list[float]]:
    """Return where the first pieces of a track begin in s, and where the further ones do.

    Both are empty for a track that is analysed whole.
    """
    if seconds <= WHOLE_SECONDS:
        return [], []
    first = _FIRST if seconds <= _LONG_SECONDS else math.ceil(seconds / _SECONDS_PER_PIECE)
    slot = seconds / (2 * first)
    starts = [(i + 0.5) * slot - PIECE_SECONDS / 2 for i in range(2 * first)]
    return starts[0::2], starts[1::2]


def pieces_in(seconds: float) -> int:
    """Return how many pieces would cover a track."""
    return math.ceil(seconds / PIECE_SECONDS)


def settled(
    logits: npt.NDArray[np.float32],
    music: npt.NDArray[np.float32],
    seconds: float,
    metadata: ModelMetadata,
    min_confidence: float | None = None,
) -> bool:
    """Return whether the first pieces of a track settle its decision.

    Args:
        logits: [pieces, labels], in the order of the track.
        music: [pieces], logits.
        seconds: length of the track.
        metadata: of the model, with its calibration and thresholds.
        min_confidence: the user's threshold; None: the model's.
    """
    count = len(logits)
    from genretag.decisions.vote import piece_temperature

    spread = math.sqrt(max(0.0, 1 / count - 1 / max(count, pieces_in(seconds))))
    if abs(float(music.mean()) - logit(metadata.music_threshold)) < _Z * spread:
        return False
    scores = _log_scores(logits, metadata)
    winner = int(scores.mean(axis=0).argmax())
    if int(scores[0::2].mean(axis=0).argmax()) != winner:
        return False
    temperature = piece_temperature(metadata.calibration, count, seconds)
    confidence = _confidence(scores.mean(axis=0) / temperature, winner, metadata)
    threshold = metadata.confidence_threshold if min_confidence is None else min_confidence
    return temperature * abs(logit(confidence) - logit(threshold)) >= _Z * spread


def _log_scores(
    logits: npt.NDArray[np.float32], metadata: ModelMetadata
) -> npt.NDArray[np.float64]:
    """Return log-probabilities for labels that exclude each other, else log-odds."""
    return log_softmax(logits) if metadata.activation == "softmax" else np.asarray(logits, float)


def _confidence(scores: npt.NDArray[np.float64], winner: int, metadata: ModelMetadata) -> float:
    if metadata.activation == "softmax":
        return float(np.exp(log_softmax(scores)[winner]))
    return float(sigmoid(scores)[winner])
