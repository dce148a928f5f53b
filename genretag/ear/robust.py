"""Does the ear say the same of the same music? Clips of a corpus, changed as files in the wild are, through ``genretag scan --json``.

    python -m genretag.ear.robust DATA WORK [--clips 100]                  # the folds' models, each on clips that it never heard
    python -m genretag.ear.robust DATA MODEL.onnx [--clips 100] [--fold 2]

Each change is held against the clip as it is, re-encoded without loss; the same answer is the same genre, whatever its confidence.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from genretag import audio, demo
from genretag.ear.corpus import FOLDS, Clip, grouped_folds, path_of, read_clips
from genretag.ear.examine import scanned

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

    @property
    def heard_at(self) -> int:
        """The rate of the samples that ``sound`` gives: the file's, but Opus' encoder resamples by itself."""
        return RATE if self.extension == ".opus" else self.rate

    @property
    def container(self) -> demo.Container:
        """How it is encoded."""
        usual = demo.CONTAINERS[self.extension]
        options = (*usual.options, ("b", str(self.bit_rate))) if self.bit_rate else usual.options
        return replace(usual, rate=self.rate, options=options)


def _speed(factor: float) -> Callable[[FloatArray], FloatArray]:
    return lambda y: soxr.resample(y, RATE * factor, RATE).astype(np.float32)


def _wide(y: FloatArray) -> FloatArray:
    """Return two channels, one softer than the other."""
    return np.stack([y, y * np.float32(0.5)])


def _combed(y: FloatArray) -> FloatArray:
    """Return two channels of which one is 0.9 ms late: their mean lacks every other band of 550 Hz, as cheap widening does."""
    return np.stack([y, np.roll(y, 40) * np.float32(0.7)])


CHANGES = (
    Change("MP3, 96 kb/s", lambda y: y, ".mp3", bit_rate=96_000),
    Change("Opus, 64 kb/s", lambda y: y, ".opus", 48_000, 64_000),
    Change("12 dB louder (clipped)", lambda y: np.clip(y * np.float32(4), -1, 1)),
    Change("12 dB softer", lambda y: y * np.float32(0.25)),
    Change("two channels", _wide),
    Change("two channels, one 0.9 ms late", _combed),
    Change("22 kHz", lambda y: soxr.resample(y, RATE, 22_050).astype(np.float32), rate=22_050),
    Change("48 kHz", lambda y: soxr.resample(y, RATE, 48_000).astype(np.float32), rate=48_000),
    Change("3 % faster", _speed(1.03)),
    Change("3 % slower", _speed(1 / 1.03)),
    Change("from 1.7 s on", lambda y: y[int(1.7 * RATE) :]),
    Change("the middle third", lambda y: y[len(y) // 3 : 2 * len(y) // 3]),
)


def chosen(clips: list[Clip], count: int, seed: int = 0) -> list[Clip]:
    """Return whole labelled clips, drawn at random with the same seed."""
    whole = [c for c in clips if c.role == "labelled" and c.kind != "cut"]
    return [whole[int(i)] for i in np.random.default_rng(seed).permutation(len(whole))[:count]]


Same = dict[str, list[bool]]  # change -> whether the same is said of each clip


def examine(data: Path, model: Path, count: int, fold: int | None = None) -> Same:
    """Return of which clips the same is said; of one grouped fold alone if one is named."""
    clips = read_clips(data)
    if fold is not None:
        clips = [c for c, f in zip(clips, grouped_folds(clips), strict=True) if f == fold]
    clips = chosen(clips, count)
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            y = np.concatenate(list(audio.decode(path_of(data, clip), RATE, audio.Listening())))
            demo.encode(Path(folder) / f"{clip.id}__plain.flac", y, RATE)
            for n, c in enumerate(CHANGES):
                path = Path(folder) / f"{clip.id}__{n}{c.extension}"
                demo.encode(path, c.sound(y), c.heard_at, c.container)
        rows = scanned(sorted(Path(folder).iterdir()), model)
    said = {stem: next(iter(row["scores"]), None) for stem, row in rows.items()}
    return {c.name: [said[f"{clip.id}__{n}"] == said[f"{clip.id}__plain"] for clip in clips] for n, c in enumerate(CHANGES)}


def of_folds(data: Path, work: Path, count: int) -> Same:
    """Return of which clips the folds' models say the same, ``count`` clips of each fold at most."""
    parts = [examine(data, work / f"fold{fold}.onnx", count, fold) for fold in range(FOLDS)]
    return {name: [same for part in parts for same in part[name]] for name in parts[0]}


def shares(same: Same) -> dict[str, float]:
    """Return the share of the clips by change, and how many clips there were."""
    return {"clips": len(next(iter(same.values()))), **{name: round(float(np.mean(said)), 3) for name, said in same.items()}}


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("model", type=Path, help="a model file, or the folder of the folds' models")
    p.add_argument("--clips", type=int, default=100, help="at most, of each fold where there are several")
    p.add_argument("--fold", type=int, default=None, help="only clips of this grouped fold (0 to 4), that the model should not know")
    a = p.parse_args()
    same = of_folds(a.data, a.model, a.clips) if a.model.is_dir() else examine(a.data, a.model, a.clips, a.fold)
    print(json.dumps(shares(same), indent=1))


if __name__ == "__main__":
    main()
