"""Temperatures of a model file, fitted on clips that its heads and its network do not know.

For whole clips, and for pieces of 5 s of which a quick scan analyses a few spread over a track.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.features import FrontEnd, LogMel
from genretag.inference.metadata import Calibration, FurtherCalibration, PieceCalibration
from genretag.inference.model import Model, cut_chunks
from genretag.numeric import log_softmax, logit
from models.recipe.answers import log_mels
from models.recipe.corpus import Clip
from models.recipe.examine import true_labels
from models.recipe.heads import fit_temperature, honest_temperature
from models.recipe.pieces import CHUNKS, WINDOW, scaled

FloatArray = npt.NDArray[np.float64]

PIECE_SECONDS = 5.0
PIECE_FRAMES = 312
COUNTS = (1, 2, 3, 6)  # pieces of a clip
_RANKS = 3  # of the scores behind the best one that the calibration of further genres is fitted to


@dataclass(frozen=True)
class Answers:
    """What a model file says of one clip: log-probabilities of the whole and of its pieces."""

    clip: Clip
    whole: FloatArray  # [labels]
    pieces: FloatArray  # [pieces, labels]


def answers_of(path: Path, work: Path, clips: list[Clip], rows: Iterable[int]) -> list[Answers]:
    """Run a model file on clips, as a scan does."""
    model, log_mel, rows = Model(path), LogMel.of(FrontEnd()), list(rows)
    out = []
    for row, (mel, energy) in zip(rows, log_mels(work, rows), strict=True):
        window = scaled(log_mel, mel[:WINDOW], energy[:WINDOW])
        chunks = np.stack(cut_chunks(window, CHUNKS))
        whole = log_softmax(model.run(chunks).logits.mean(0)[None])[0]
        starts = range(0, max(1, min(len(mel), WINDOW) - PIECE_FRAMES + 1), PIECE_FRAMES)
        spans = [slice(s, s + PIECE_FRAMES) for s in starts]
        pieces = [scaled(log_mel, mel[s], energy[s]) for s in spans]
        if len(mel) < PIECE_FRAMES:
            pieces = [window[:, :PIECE_FRAMES]]
        cut = np.stack([c for piece in pieces for c in cut_chunks(piece, CHUNKS)])
        out.append(Answers(clips[row], whole, log_softmax(model.run(cut).logits)))
    return out


def _allowed(answers: list[Answers], labels: tuple[str, ...]) -> FloatArray:
    return np.array([[float(x in true_labels(a.clip)) for x in labels] for a in answers])


def _collections(answers: list[Answers]) -> list[list[Answers]]:
    return [
        [a for a in answers if a.clip.source == "gtzan"],
        [a for a in answers if a.clip.allmusic],
    ]


def _of_pieces(answers: list[Answers], count: int, labels: tuple[str, ...]) -> list[FloatArray]:
    """Return (means [n, labels] over ``count`` pieces, allowed labels [n, labels])."""
    chosen = [a for a in answers if len(a.pieces) >= count]
    means = [
        a.pieces[np.linspace(0, len(a.pieces) - 1, count).round().astype(int)].mean(0)
        for a in chosen
    ]
    return [np.reshape(means, (-1, len(labels))), _allowed(chosen, labels)]


def further_of(
    answers: list[Answers], temperature: float, labels: tuple[str, ...]
) -> FurtherCalibration:
    """Fit the probability that a genre behind the best one is right, too.

    On AllMusic's clips alone: of GTZAN's, one genre is known.
    """
    from sklearn.linear_model import LogisticRegression

    chosen = [a for a in answers if a.clip.allmusic and true_labels(a.clip)]
    p = np.exp(log_softmax(np.stack([a.whole for a in chosen]) / temperature))
    order = np.argsort(-p, axis=1)[:, 1 : 1 + _RANKS]
    allowed = _allowed(chosen, labels)
    x = [logit(float(q)) for q in np.take_along_axis(p, order, 1).ravel()]
    y = np.take_along_axis(allowed, order, 1).ravel() > 0
    fit = LogisticRegression(C=1.0).fit(np.array(x)[:, None], y)
    return FurtherCalibration(round(float(fit.coef_[0, 0]), 3), round(float(fit.intercept_[0]), 3))


def calibration_of(answers: list[Answers], labels: tuple[str, ...]) -> Calibration:
    """Fit the temperatures; GTZAN and AllMusic weigh the same.

    The slope of pieces is fitted to the temperatures that suit each number of them. Six pieces are
    all of a clip of 30 s, so they get the temperature of the whole; too few clips have six to fit
    the promise to them alone.
    """
    whole = [
        (np.stack([a.whole for a in some]), _allowed(some, labels))
        for some in _collections(answers)
    ]
    temperature = honest_temperature(*zip(*whole, strict=True))
    fitted = {}
    for count in COUNTS:
        pairs = [_of_pieces(some, count, labels) for some in _collections(answers)]
        if pairs := [pair for pair in pairs if len(pair[0])]:
            fitted[count] = fit_temperature(*zip(*pairs, strict=True))
    slope = float(np.polyfit(np.log(list(fitted)), np.log(list(fitted.values())), 1)[0])
    one = temperature / COUNTS[-1] ** slope
    pieces = PieceCalibration(PIECE_SECONDS, round(one, 3), round(slope, 3))
    return Calibration(temperature, 0.0, pieces, further_of(answers, temperature, labels))
