"""Does the ear say the same of the same music? Clips of a corpus, changed as files in the wild are, through ``genretag scan --json``.

    python -m models.recipe.robust DATA WORK [--clips 100]                  # the folds' models, each on clips that it never heard
    python -m models.recipe.robust DATA MODEL.onnx [--clips 100] [--fold 2]

Each change is held against the clip as it is, re-encoded without loss: how often the same genre is said, whatever its confidence,
and how often it is the right one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from genretag import audio
from genretag.audio import synthesis
from models.recipe.corpus import FOLDS, LABELS, Clip, grouped_folds, path_of, read_clips
from models.recipe.examine import scanned

FloatArray = npt.NDArray[np.float32]
RATE = 44_100


@dataclass(frozen=True)
class Change:
    """One way to change a clip: what is done to the samples, and how they are encoded."""

    name: str
    sound: Callable[[FloatArray], FloatArray]
    extension: str = ".flac"
    rate: int = RATE  # of the file, Hz
    bit_rate: int | None = None
    encoder: str | None = None  # None: the usual one of the container

    @property
    def heard_at(self) -> int:
        """The rate of the samples that ``sound`` gives: the file's, but Opus' encoder resamples by itself."""
        return RATE if self.extension == ".opus" else self.rate

    @property
    def container(self) -> synthesis.Container:
        """How it is encoded."""
        usual = synthesis.CONTAINERS[self.extension]
        options = (*usual.options, ("b", str(self.bit_rate))) if self.bit_rate else usual.options
        return replace(usual, rate=self.rate, options=options, encoder=self.encoder or usual.encoder)


def _speed(factor: float) -> Callable[[FloatArray], FloatArray]:
    return lambda y: soxr.resample(y, RATE * factor, RATE).astype(np.float32)


def _wide(y: FloatArray) -> FloatArray:
    """Return two channels, one softer than the other."""
    return np.stack([y, y * np.float32(0.5)])


def _combed(y: FloatArray) -> FloatArray:
    """Return two channels of which one is 0.9 ms late: their mean lacks every other band of 550 Hz, as cheap widening does."""
    return np.stack([y, np.roll(y, 40) * np.float32(0.7)])


CHANGES = (
    Change("as it is", lambda y: y),
    Change("MP3, 96 kb/s", lambda y: y, ".mp3", bit_rate=96_000),
    Change("Opus, 64 kb/s", lambda y: y, ".opus", 48_000, 64_000),
    Change("12 dB louder (clipped)", lambda y: np.clip(y * np.float32(4), -1, 1)),
    Change("12 dB louder (float)", lambda y: y * np.float32(4), ".wav", encoder="pcm_f32le"),
    Change("12 dB softer", lambda y: y * np.float32(0.25)),
    Change("two channels", _wide),
    Change("two channels, one 0.9 ms late", _combed),
    Change("22 kHz", lambda y: soxr.resample(y, RATE, 22_050).astype(np.float32), rate=22_050),
    Change("48 kHz", lambda y: soxr.resample(y, RATE, 48_000).astype(np.float32), rate=48_000),
    Change("3 % faster", _speed(1.03)),
    Change("3 % slower", _speed(1 / 1.03)),
    Change("from 1.7 s on", lambda y: y[int(1.7 * RATE) :]),
    Change("the middle third", lambda y: y[len(y) // 3 : 2 * len(y) // 3]),
    Change("2 s of the middle", lambda y: y[max(0, len(y) // 2 - RATE) : len(y) // 2 + RATE]),
)


def chosen(clips: list[Clip], count: int, seed: int = 0) -> list[Clip]:
    """Return whole labelled clips, drawn at random with the same seed."""
    whole = [c for c in clips if c.role == "labelled" and c.kind != "cut"]
    return [whole[int(i)] for i in np.random.default_rng(seed).permutation(len(whole))[:count]]


@dataclass(frozen=True)
class Said:
    """Whether the genre that is said of a changed clip is what is said of the clip as it is, and whether it is right."""

    same: bool
    right: bool


Answers = dict[str, list[Said]]  # by change


def examine(data: Path, model: Path, count: int, fold: int | None = None) -> Answers:
    """Return what is said of changed clips; of one grouped fold alone if one is named."""
    clips = read_clips(data)
    if fold is not None:
        clips = [c for c, f in zip(clips, grouped_folds(clips), strict=True) if f == fold]
    clips = chosen(clips, count)
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            y = np.concatenate(list(audio.decode(path_of(data, clip), RATE, audio.DecodeLog())))
            for n, c in enumerate(CHANGES):
                path = Path(folder) / f"{clip.id}__{n}{c.extension}"
                synthesis.encode(path, c.sound(y), c.heard_at, c.container)
        rows = scanned(sorted(Path(folder).iterdir()), model)
    genre = {stem: next(iter(row["scores"]), None) for stem, row in rows.items()}

    def said(clip: Clip, n: int) -> Said:
        now, plain = genre[f"{clip.id}__{n}"], genre[f"{clip.id}__0"]
        return Said(now == plain, now == LABELS[clip.genre])

    return {c.name: [said(clip, n) for clip in clips] for n, c in enumerate(CHANGES)}


def of_folds(data: Path, work: Path, count: int) -> Answers:
    """Return what the folds' models say, of ``count`` clips of each fold at most."""
    parts = [examine(data, work / f"fold{fold}.onnx", count, fold) for fold in range(FOLDS)]
    return {name: [said for part in parts for said in part[name]] for name in parts[0]}


def shares(answers: Answers) -> dict[str, Any]:
    """Return how many clips there were, and by change the share of the same and of the right answers."""
    told = {
        name: [round(float(np.mean([getattr(s, what) for s in said])), 3) for what in ("same", "right")] for name, said in answers.items()
    }
    return {"clips": len(next(iter(answers.values()))), "change": ["same", "right"], **told}


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("model", type=Path, help="a model file, or the folder of the folds' models")
    p.add_argument("--clips", type=int, default=100, help="at most, of each fold where there are several")
    p.add_argument("--fold", type=int, default=None, help="only clips of this grouped fold (0 to 4), that the model should not know")
    a = p.parse_args()
    answers = of_folds(a.data, a.model, a.clips) if a.model.is_dir() else examine(a.data, a.model, a.clips, a.fold)
    print(json.dumps(shares(answers), indent=1))


if __name__ == "__main__":
    main()
