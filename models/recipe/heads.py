"""The linear heads on the student's embedding: genre, music, moods and styles.

Genre: multinomial logistic regression over the labels and some other kinds of music, whose
probability the exported network spreads over all labels, so that such music gets little confidence.
A word that allows several labels (Pop/Rock) asks for the sum of their probabilities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from genretag.numeric import log_softmax, sigmoid
from genretag.training.head import LinearHead, fit_music_head
from models.recipe.corpus import KINDS, QUADRANTS, Clip

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]

GENRE_L2, MOOD_L2, STYLE_L2 = 9e-3, 1e-2, 1e-2  # penalties on standardised embeddings
BALANCE = 0.25  # exponent of a label's rarity in its weight
ANY_SHARE = 0.3  # of the weight of a clip with several words, which asks for any of them
MUSIC_C = 0.02
CONFIDENCE, PROMISE = 0.7, 0.88  # from the one on, a genre is right with the other
_MAX_TEMPERATURE = 1.6
_ITERATIONS = 60


@dataclass(frozen=True)
class Targets:
    """What clips ask for: rows of (clip, allowed outputs, weight)."""

    clip: npt.NDArray[np.int64]
    allowed: npt.NDArray[np.float64]  # [n, outputs], 0 or 1
    weight: npt.NDArray[np.float64]


def genre_targets(clips: list[Clip], use: BoolArray, labels: list[str]) -> Targets:
    """Return the targets of the clips that ``use`` marks; rarer labels weigh more.

    The outputs are the labels and then the other kinds of music. Most of the weight of a clip
    with several words is shared between them, the rest asks for any of them: a clip is right with
    any, and the second genre should be one of them too.
    """
    outputs = [*labels, *(k for k in KINDS if k not in labels)]
    rows: list[tuple[int, tuple[str, ...], float]] = []
    for index in np.flatnonzero(use).tolist():
        choices = clips[index].choices_among(labels)
        if choices is None:
            continue
        share = 1.0 if len(choices) == 1 else 1 - ANY_SHARE
        rows += [(index, choice, share / len(choices)) for choice in choices]
        if len(choices) > 1:
            rows.append((index, tuple({x for choice in choices for x in choice}), ANY_SHARE))
    allowed = np.array([[float(x in choice) for x in outputs] for _, choice, _ in rows])
    weight = np.array([w for _, _, w in rows])
    count = allowed.sum(1)
    total = (allowed / count[:, None] * weight[:, None]).sum(0)
    rarity = (total.mean() / np.maximum(total, 1)) ** BALANCE
    return Targets(np.array([r[0] for r in rows]), allowed, weight * (allowed @ rarity) / count)


def _fit(
    x: FloatArray, allowed: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], l2: float
) -> LinearHead:
    """Fit a softmax head; each row asks for the sum of its allowed classes' probabilities."""
    a, w = torch.from_numpy(x).float(), torch.from_numpy(weight / weight.sum()).float()
    mean, std = a.mean(0), a.std(0).mean()
    a, may = (a - mean) / std, torch.from_numpy(allowed).float()
    matrix = torch.zeros(a.shape[1], may.shape[1], requires_grad=True)
    bias = torch.zeros(may.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [matrix, bias], max_iter=_ITERATIONS, history_size=12, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        log_p = torch.log_softmax(a @ matrix + bias, 1)
        possible = -torch.logsumexp(log_p + torch.log(may.clamp_min(1e-9)), 1)
        loss = (w * possible).sum()
        loss = loss + l2 * matrix.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        matrix /= std
        bias -= mean @ matrix
    return LinearHead(matrix.detach().double().numpy(), bias.detach().double().numpy())


def _spread(
    clip: npt.NDArray[np.int64], targets: Targets
) -> tuple[list[int], list[int], npt.NDArray[np.float64]]:
    """Return (pieces, rows of the targets, weights): a clip's pieces share its weight."""
    of = defaultdict(list)
    for piece, c in enumerate(clip):
        of[int(c)].append(piece)
    pairs = [(p, k) for k, c in enumerate(targets.clip) for p in of[int(c)]]
    weight = [targets.weight[k] / len(of[int(targets.clip[k])]) for _, k in pairs]
    return [p for p, _ in pairs], [k for _, k in pairs], np.array(weight)


def fit_genre(
    x: FloatArray,
    clip: npt.NDArray[np.int64],
    clips: list[Clip],
    use: BoolArray,
    labels: list[str],
    l2: float = GENRE_L2,
) -> LinearHead:
    """Fit the genre head on pieces [n, dims] of the clips that ``use`` marks."""
    targets = genre_targets(clips, use, labels)
    pieces, rows, weight = _spread(clip, targets)
    return _fit(x[pieces], targets.allowed[rows], weight, l2)


def fit_moods(
    x: FloatArray, clip: npt.NDArray[np.int64], clips: list[Clip], use: BoolArray
) -> LinearHead:
    """Fit a softmax head for the four quadrants on pieces of AllMusic's clips."""
    chosen = np.array([i for i in np.flatnonzero(use) if clips[i].quadrant])
    names = list(QUADRANTS)
    allowed = np.array([[float(clips[i].quadrant == q) for q in names] for i in chosen])
    pieces, rows, weight = _spread(clip, Targets(chosen, allowed, np.ones(len(chosen))))
    return _fit(x[pieces], allowed[rows], weight, MOOD_L2)


def fit_word(
    x: FloatArray, clip: npt.NDArray[np.int64], clips: list[Clip], use: BoolArray, word: str
) -> LinearHead:
    """Fit a head with one logit for a genre word of AllMusic's clips."""
    chosen = np.array([i for i in np.flatnonzero(use) if clips[i].allmusic])
    has = np.array([word in clips[i].genres for i in chosen])
    allowed = np.stack([~has, has], axis=1).astype(np.float64)
    pieces, rows, weight = _spread(clip, Targets(chosen, allowed, np.ones(len(chosen))))
    two = _fit(x[pieces], allowed[rows], weight, STYLE_L2)
    return LinearHead(
        (two.weight[:, 1] - two.weight[:, 0])[:, None], np.array([two.bias[1] - two.bias[0]])
    )


def fit_music(
    x: FloatArray,
    clip: npt.NDArray[np.int64],
    clips: list[Clip],
    use: BoolArray,
    other: FloatArray,
    also: FloatArray,
) -> LinearHead:
    """Fit the music head on pieces of clips and on synthetic sounds.

    ``other`` are synthetic sounds that are not music, ``also`` those that are.
    """
    mine = use[clip]
    music = np.array([clips[c].role != "nonmusic" for c in clip[mine]])
    x = np.concatenate([x[mine], other, also])
    made = len(other) + len(also)
    index = np.concatenate([clip[mine], len(clips) + np.arange(made)])
    music = np.concatenate([music, np.zeros(len(other), bool), np.ones(len(also), bool)])
    return fit_music_head(x, music, index, MUSIC_C)


def fit_temperature(logits: Sequence[FloatArray], allowed: Sequence[FloatArray]) -> float:
    """Fit one temperature on collections that weigh the same.

    ``logits`` [n, labels] and ``allowed`` [n, labels] are one array for each collection; a clip
    without an allowed label asks for equal probabilities.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        means = []
        for z, may in zip(logits, allowed, strict=True):
            log_p = log_softmax(z / np.exp(log_t))
            possible = np.log(np.maximum((np.exp(log_p) * may).sum(1), 1e-12))
            means.append(float(np.where(may.any(1), possible, log_p.mean(1)).mean()))
        return -float(np.mean(means))

    found = minimize_scalar(loss, bounds=(-1.5, 1.5), method="bounded")
    return round(float(np.exp(found.x)), 3)


def honest_temperature(logits: Sequence[FloatArray], allowed: Sequence[FloatArray]) -> float:
    """Return the fitted temperature, or the next higher one that keeps the promise of 0.7.

    That is a precision of ``PROMISE`` among the clips of each collection with at least that
    confidence.
    """
    fitted = fit_temperature(logits, allowed)
    for temperature in np.arange(fitted, _MAX_TEMPERATURE, 0.01):
        precisions = []
        for z, may in zip(logits, allowed, strict=True):
            p = np.exp(log_softmax(z / temperature))
            sure = p.max(1) >= CONFIDENCE
            precisions.append(may[sure, p[sure].argmax(1)].mean() if sure.any() else 1.0)
        if min(precisions) >= PROMISE:
            return round(float(temperature), 3)
    return fitted


@dataclass(frozen=True)
class Threshold:
    """The lowest probability from which a style is right often enough."""

    value: float
    precision: float
    recall: float
    found: int  # clips that reach it


def threshold_of(
    p: FloatArray, has: BoolArray, precision: float = 0.7, recall: float = 0.2, least: int = 5
) -> Threshold | None:
    """Return the lowest threshold with such a precision and recall, or None."""
    order = np.argsort(-p)
    hits, n = np.cumsum(has[order]), np.arange(1, len(p) + 1)
    good = (hits / n >= precision) & (hits / max(1, has.sum()) >= recall) & (n >= least)
    if not good.any():
        return None
    last = int(np.flatnonzero(good)[-1])
    below = p[order[last + 1]] if last + 1 < len(p) else 0.0
    value = round(float(p[order[last]] + below) / 2, 3)
    share, part = hits[last] / (last + 1), hits[last] / has.sum()
    return Threshold(value, round(float(share), 3), round(float(part), 3), last + 1)


def probabilities(head: LinearHead, x: FloatArray) -> FloatArray:
    """Return the independent probability of each output of a head."""
    return sigmoid(head(x))
