"""Make a model file: a trained student -> heads, calibration, styles, moods, ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.features import FrontEnd
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.inference.styles import Moods, Styles
from genretag.training.export import TwoHeadNetwork, export
from genretag.training.head import LinearHead
from models.recipe.answers import Joint, read_examples_of_clips
from models.recipe.corpus import QUADRANTS, Clip
from models.recipe.distil import load
from models.recipe.heads import fit_genre, fit_moods, fit_music
from models.recipe.pieces import (
    CHUNKS,
    Embedder,
    Pieces,
    changed_pieces,
    joined,
    pieces_of,
    synthetic_pieces,
)
from models.recipe.quantise import quantise
from models.recipe.sounds import synthetic, synthetic_music

MUSIC_THRESHOLD, CONFIDENCE_THRESHOLD = 0.75, 0.7
#: Labels with too few clips to show that they are right at 0.7: never surer than this.
AT_MOST = {"R&B": 0.5}
KINDS_BIAS = -0.25  # to the logits of other kinds of music, found on folds
SYNTHETIC_SOUNDS, SYNTHETIC_MUSIC = 800, 450

ABOUT: dict[str, Any] = {
    "data": (
        "GTZAN (fault-filtered train and valid lists), AllMusic previews (Panda, Malheiro and"
        " Paiva 2018), Emotify, royalty-free, game and generated music, ESC-10, speech"
    ),
    "teachers": (
        "EfficientAT mn04 (Schmid, Koutini and Widmer 2023); three taggers of Won, Ferraro,"
        " Bogdanov and Serra (2020); MusiCNN (Pons and Serra 2019) by way of 1.6"
    ),
    "licence": "GPL-3.0-or-later",
}


@dataclass(frozen=True)
class Material:
    """What the heads are fitted to."""

    clips: list[Clip]
    pieces: Pieces
    teachers: Pieces  # the teachers' joint embeddings of segments, as further pieces
    synthetic: npt.NDArray[np.float32]  # embeddings of synthetic sounds that are not music
    synthetic_music: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """The heads of a model file."""

    genre: LinearHead
    music: LinearHead
    moods: LinearHead


def material_of(data: Path, work: Path, student: Path, clips: list[Clip]) -> Material:
    """Return the embeddings of all clips by a student; the pieces are kept in WORK."""
    embedder, kept = Embedder(load(student).backbone), work / f"pieces-{student.stem}.npz"
    if not kept.exists() or kept.stat().st_mtime < student.stat().st_mtime:
        made = joined(pieces_of(work, clips, embedder), changed_pieces(data, clips, embedder))
        np.savez(kept, **vars(made))
    with np.load(kept) as z:
        pieces = Pieces(z["x"], z["clip"], z["seconds"])
    with np.load(work / "joint.npz") as z:
        joint = Joint(z["mean"], z["scale"], z["vec"], z["far"])
    rows = [(i, e.embedding) for i, es in read_examples_of_clips(data, work) for e in es]
    index = np.array([i for i, _ in rows])
    teachers = Pieces(joint(np.stack([e for _, e in rows])), index, np.full(len(index), 10))
    return Material(
        clips,
        pieces,
        teachers,
        synthetic_pieces(embedder, synthetic, SYNTHETIC_SOUNDS, seed=0),
        synthetic_pieces(embedder, synthetic_music, SYNTHETIC_MUSIC, seed=1),
    )


def fit_heads(material: Material, use: npt.NDArray[np.bool_], labels: list[str]) -> Heads:
    """Fit the heads on the clips that ``use`` marks.

    The genre head also learns from the teachers' own embeddings, as pieces of further clips.
    """
    own, taught, clips = material.pieces, material.teachers, material.clips
    x = np.concatenate([own.x, taught.x])
    clip = np.concatenate([own.clip, taught.clip])
    return Heads(
        fit_genre(x, clip, clips, use, labels),
        fit_music(own.x, own.clip, clips, use, material.synthetic, material.synthetic_music),
        fit_moods(own.x, own.clip, clips, use),
    )


def without_bias_to_kinds(genre: LinearHead, kinds: int) -> LinearHead:
    """Return the genre head with less faith in the other kinds, which it overrates on new clips."""
    bias = genre.bias.copy()
    if kinds:
        bias[-kinds:] += KINDS_BIAS
    return LinearHead(genre.weight, bias)


def write_model(
    student: Path,
    heads: Heads,
    labels: list[str],
    calibration: Calibration,
    chunks: npt.NDArray[np.float32],
    out: Path,
    version: str,
    styles: Styles | None = None,
) -> float:
    """Export and quantise; return how far the embeddings are off, as a share of their deviation.

    ``chunks`` [n, bands, frames] give the ranges of the activations.
    """
    moods = Moods(
        tuple(QUADRANTS.values()),
        heads.moods.weight.astype(np.float16),
        tuple(round(float(b), 4) for b in heads.moods.bias),
    )
    metadata = ModelMetadata(
        id="",
        name="genretag-ear",
        version=version,
        labels=tuple(labels),
        front_end=FrontEnd(),
        chunks=CHUNKS,
        music_threshold=MUSIC_THRESHOLD,
        confidence_threshold=CONFIDENCE_THRESHOLD,
        calibration=calibration,
        about=ABOUT,
        styles=styles,
        moods=moods,
    )
    kinds = len(heads.genre.bias) - len(labels)
    at_most = {labels.index(x): highest for x, highest in AT_MOST.items() if x in labels}
    genre = without_bias_to_kinds(heads.genre, kinds)
    network = TwoHeadNetwork(load(student).backbone, genre, heads.music, kinds, at_most)
    export(network, metadata, out)
    return quantise(out, out, chunks)
