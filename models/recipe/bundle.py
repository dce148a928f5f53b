"""Make a model file: a distilled backbone -> heads, calibration, ONNX.

    python -m models.recipe.bundle DATA CACHE CHECKPOINT OUT.onnx [--hold-out 0]

With ``--hold-out`` the heads never see that fold either, its figures are printed, and the temperature is fitted
on it: the backbone must have been distilled with the same fold held out. Without it the heads learn from
everything, and ``--temperature``, ``--slope`` and ``--figures`` carry over what was found on the folds. The genre head learns from what
the folds' students, CACHE/fold0.pt to fold4.pt, make of the clips that they never heard, and from the teachers' embedding (the
joint one where CACHE holds the second one's answers: then all checkpoints must have learned from both).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.decisions.vote import log_softmax
from models.recipe.corpus import LABELS, Clip, Lessons, Sound, grouped_folds, read_clips
from models.recipe.distill import load
from models.recipe.listener import CHUNKS, Listener
from models.recipe.pieces import Pieces, joined, pieces_of, unheard
from models.recipe.quantise import chunks_of, quantise
from models.recipe.styles import styles_of
from models.recipe.tutor import taught
from genretag.features import FrontEnd
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.training.export import TwoHeadNetwork, export
from genretag.training.head import (
    LinearHead,
    balanced_weights,
    fit_genre_head,
    fit_music_head,
    fit_temperature,
)
from genretag.training.network import Backbone, load_backbone

GENRE_C, MUSIC_C = 0.001, 0.02  # inverse strength of the L2 penalty, on embeddings whose dimensions have variance 1 on average
MUSIC_THRESHOLD = 0.5


def backbone_of(path: Path) -> Backbone:
    """Return the backbone of a checkpoint, or of a model file."""
    if path.suffix == ".onnx":
        return load_backbone(path)[0]
    backbone: Backbone = load(path).backbone
    return backbone


@dataclass(frozen=True)
class Heads:
    """Both heads."""

    genre: LinearHead
    music: LinearHead


def fit_heads(
    clips: list[Clip], heard: Pieces, foreign: Pieces, train: npt.NDArray[np.bool_], labels: list[str], lessons: Lessons
) -> Heads:
    """Fit the heads on pieces of the clips that ``train`` marks.

    The music head learns from what the student itself makes of them, ``heard``. The genre head learns from what students do that
    never heard them, ``foreign``, and from the teachers' embeddings, as of further clips: what a student's would be if it
    had heard more.
    """
    mine = heard.where(train[heard.clip])
    music = fit_music_head(mine.x, np.array([clips[i].role != "nonmusic" for i in mine.clip]), mine.clip, MUSIC_C)
    known = train & np.array([c.role == "labelled" for c in clips])
    theirs = foreign.where(known[foreign.clip])
    told = lessons.where(lessons.clean & known[lessons.clip_a])
    both = joined([theirs, Pieces(told.embedding.mean(1), told.clip_a)])
    own = np.repeat([0, len(clips)], [len(theirs.clip), len(told.clip_a)])  # what the teachers heard weighs as a clip of its own
    y = np.array([labels.index(LABELS[clips[i].genre]) for i in both.clip])
    return Heads(fit_genre_head(both.x, y, both.clip + own, GENRE_C), music)


def judged(heads: Heads, x: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Return accuracy and macro recall of whole embeddings."""
    predicted = heads.genre(x).argmax(1)
    recall = [float((predicted[y == c] == c).mean()) for c in np.unique(y)]
    return {"n": len(y), "accuracy": round(float((predicted == y).mean()), 4), "macro_recall": round(float(np.mean(recall)), 4)}


def evaluate(listener: Listener, clips: list[Clip], heads: Heads, test: npt.NDArray[np.bool_], labels: list[str]) -> dict[str, Any]:
    """Judge the clips that ``test`` marks, as whole clips and as 2 s cuts, and music against the rest."""
    rng = np.random.default_rng(1)
    rows = [i for i, c in enumerate(clips) if test[i] and c.role == "labelled"]
    y = np.array([labels.index(LABELS[clips[i].genre]) for i in rows])
    whole = np.stack([listener.whole(i) for i in rows])
    cuts = np.stack([listener.embed([m])[0] if (m := listener.cut(i, 2.0, rng)) is not None else listener.whole(i) for i in rows])
    gtzan = np.array([clips[i].source == "gtzan" for i in rows])
    predicted = heads.genre(whole).argmax(1)
    music = heads.music(whole)[:, 0]
    outside = [i for i, c in enumerate(clips) if test[i] and c.role == "nonmusic"]
    noise = np.array([heads.music(listener.whole(i)[None])[0, 0] for i in outside])
    return {
        "all": judged(heads, whole, y),
        "ten genres (GTZAN)": judged(heads, whole[gtzan], y[gtzan]),
        "ten genres (GTZAN), 2 s cuts": judged(heads, cuts[gtzan], y[gtzan]),
        "recall": {labels[c]: [round(float((predicted[y == c] == c).mean()), 2), int((y == c).sum())] for c in np.unique(y)},
        "music lost": round(float((music < 0).mean()), 4),
        "non-music told": [round(float((noise < 0).mean()), 4), len(noise)] if len(noise) else None,
    }


def make(a: argparse.Namespace) -> None:
    """Fit, judge, calibrate, export, quantise."""
    clips, sound, front_end = read_clips(a.data), Sound.open(a.cache), FrontEnd()
    labels = sorted(LABELS.values())
    folds = grouped_folds(clips, nonmusic=True)
    listener = Listener(backbone_of(a.checkpoint), sound, front_end)
    lessons = taught(a.data, a.cache, a.hold_out)
    pieces = pieces_of(listener, list(range(len(clips))), a.seed)
    everything = np.ones(len(clips), bool)
    held = folds == a.hold_out if a.hold_out is not None else ~everything
    heads = fit_heads(clips, pieces, unheard(a.cache, clips, a.hold_out, a.seed), ~held, labels, lessons)
    figures: dict[str, Any] = {}
    if a.hold_out is not None:
        figures = evaluate(listener, clips, heads, held, labels)
        figures["temperature"] = _temperature(listener, clips, heads, held, labels)
    calibration = Calibration(a.temperature if a.plain else figures.get("temperature", a.temperature), a.slope)
    metadata = ModelMetadata(
        id="", name="genretag-ear", version=a.version, labels=tuple(labels), front_end=front_end, chunks=CHUNKS,
        music_threshold=MUSIC_THRESHOLD, confidence_threshold=0.7, calibration=calibration, about=_about(a.figures),
        styles=styles_of(a.styles, a.checkpoint) if a.styles is not None else None,
    )  # fmt: skip
    worst = export(TwoHeadNetwork(listener.backbone, heads.genre, heads.music), metadata, a.out)
    off = quantise(a.out, a.out, chunks_of(a.data, a.cache, front_end, CHUNKS, a.hold_out))
    print(json.dumps({**figures, "parity": worst, "quantised: off by": round(off, 4), "bytes": a.out.stat().st_size}, indent=1))


def _about(figures: Path | None) -> dict[str, Any]:
    """Return what the metadata tell about the model."""
    about: dict[str, Any] = {
        "data": "GTZAN (fault-filtered train and valid lists), Emotify, royalty-free and game music, ESC-10, speech; 9.8 h",
        "teachers": "EfficientAT mn04 (Schmid, Koutini and Widmer 2023) and MusiCNN (Pons and Serra 2019): embeddings and logits",
        "licence": "GPL-3.0-or-later",
    }
    if figures is not None:
        about["figures"] = json.loads(figures.read_text(encoding="utf-8"))
    return about


def _temperature(listener: Listener, clips: list[Clip], heads: Heads, held: npt.NDArray[np.bool_], labels: list[str]) -> float:
    """Return the temperature of held-out clips, whole ones, every genre counting the same."""
    rows = [i for i, c in enumerate(clips) if held[i] and c.role == "labelled"]
    y = np.array([labels.index(LABELS[clips[i].genre]) for i in rows])
    log_p = log_softmax(heads.genre(np.stack([listener.whole(i) for i in rows])))
    return round(fit_temperature(log_p, y, balanced_weights(y, np.array(rows))), 3)


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("cache", type=Path)
    p.add_argument("checkpoint", type=Path, help="a distilled student (.pt), or a model file whose backbone gets new heads (.onnx)")
    p.add_argument("out", type=Path)
    p.add_argument("--hold-out", type=int, default=None)
    p.add_argument("--temperature", type=float, default=1.0)
    p.add_argument("--slope", type=float, default=0.0, help="exponent of the length (windows of 30 s) in the temperature")
    p.add_argument("--seed", type=int, default=0, help="of the cuts that the heads learn from")
    p.add_argument("--plain", action="store_true", help="keep --temperature also where the held-out fold suggests another")
    p.add_argument("--version", default="1")
    p.add_argument("--figures", type=Path, default=None, help="JSON of figures that travels in the metadata")
    p.add_argument("--styles", type=Path, default=None, help="what models.recipe.styles judged; the checkpoint must be a student (.pt)")
    make(p.parse_args())


if __name__ == "__main__":
    main()
