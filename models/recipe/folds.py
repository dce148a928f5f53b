"""Five grouped folds: a model for each that never heard it, and what all of them say of what they never heard.

    python -m models.recipe.folds DATA WORK [--seeds 3]

Each fold's backbone is distilled without it (from the first teacher alone, then from both), its heads are fitted without it, its file
is exported, and ``genretag scan --json`` hears the fold with it. The calibration of a fold is fitted on the other four. Steps that are
done are not done again. On two cores a fold takes about 40 minutes. With ``--seeds`` the heads are fitted anew on other cuts of the
clips, and the ten genres' accuracy of each seed is told.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genretag.audio import WINDOW_SECONDS
from genretag.decisions.vote import calibrated
from models.recipe.corpus import FOLDS, LABELS, Clip, grouped_folds, path_of, read_clips
from models.recipe.examine import figures, scanned
from models.recipe.pieces import of_seed
from models.recipe.songs import Rows, log_scores, songs_of
from genretag.inference.metadata import Calibration


@dataclass(frozen=True)
class Stage:
    """One part of a backbone's schooling, from a high learning rate down to a low one."""

    ending: str  # of its checkpoint's name
    steps: int
    peak: float  # highest learning rate
    seed: int
    first_alone: bool = False  # by the first teacher alone


SONG_WINDOWS = (2, 4, 8)

FIRST = Stage(".begun", 7_000, 3e-3, 0, first_alone=True)
STAGES = (FIRST, Stage(".mid", 3_500, 2e-3, 1), Stage("", 7_000, 2e-3, 3))


def through(stages: Sequence[Stage], data: Path, work: Path, who: str, fold: int | None, begin: Path | None = None) -> Path:
    """Send a backbone through stages, from the last one on whose checkpoint is there; return the last checkpoint."""
    from models.recipe.distill import Plan, distil

    checkpoints = [work / f"{who}{stage.ending}.pt" for stage in stages]
    done = max((n for n, path in enumerate(checkpoints) if path.exists()), default=-1)
    for stage, checkpoint, before in list(zip(stages, checkpoints, [begin, *checkpoints], strict=False))[done + 1 :]:
        part = checkpoint.with_suffix(".going")
        distil(Plan(data, work, part, stage.steps, fold, stage.seed, stage.peak, before, stage.first_alone))
        part.rename(checkpoint)
    return checkpoints[-1]


def model_of(data: Path, work: Path, fold: int, seed: int) -> Path:
    """Return a fold's model file, made if it is not there, or older than one of the students; those of all folds must be there."""
    out, checkpoint = work / f"fold{fold}{of_seed(seed)}.onnx", work / f"fold{fold}.pt"
    newest = max((work / f"fold{f}.pt").stat().st_mtime for f in range(FOLDS))
    if not out.exists() or out.stat().st_mtime < newest:
        command = [sys.executable, "-m", "models.recipe.bundle", str(data), str(work), str(checkpoint), str(out), "--hold-out", str(fold)]
        subprocess.run([*command, "--plain", "--seed", str(seed)], check=True, stdout=subprocess.DEVNULL)
    return out


def length_of(clip: Clip, row: dict[str, Any]) -> float:
    """Return how much of a clip was heard, in windows of 30 s."""
    return min(clip.seconds / WINDOW_SECONDS, float(row["windows"]))


def recalibrated(clip: Clip, row: dict[str, Any], calibration: Calibration) -> dict[str, Any]:
    """Return a scan's row of a clip as another calibration would give it."""
    if not row["scores"]:
        return row
    names = list(row["scores"])
    p = calibrated(log_scores([row], names)[0], length_of(clip, row), calibration)
    return {**row, "scores": dict(zip(names, map(float, p), strict=True)), "confidence": float(p.max())}


def calibration_of(clips: list[Clip], rows: Rows) -> Calibration:
    """Return the calibration that fits what was said of some clips, every genre counting the same."""
    from genretag.training.head import balanced_weights, fit_calibration

    mine = [c for c in clips if c.role == "labelled" and rows[c.id]["scores"]]
    labels = sorted(LABELS.values())
    log_p = log_scores([rows[c.id] for c in mine], labels)
    y = np.array([labels.index(LABELS[c.genre]) for c in mine])
    length = np.array([length_of(c, rows[c.id]) for c in mine])
    return fit_calibration(log_p, length, y, balanced_weights(y, np.arange(len(y))))


def examined(data: Path, work: Path, seed: int = 0) -> dict[str, Any]:
    """Make what is not made of the five models, and return what they say of the folds that they never heard."""
    clips = read_clips(data)
    fold_of = grouped_folds(clips, FOLDS, nonmusic=True)
    parts = [[c for c, f in zip(clips, fold_of, strict=True) if f == k and c.role in ("labelled", "nonmusic")] for k in range(FOLDS)]
    for k in range(FOLDS):
        through(STAGES, data, work, f"fold{k}", k)
    rows: Rows = {}
    for k, part in enumerate(parts):
        model = model_of(data, work, k, seed)
        rows |= scanned([path_of(data, c) for c in part], model)
    said: Rows = {}
    for k, part in enumerate(parts):
        others = [c for j, other in enumerate(parts) if j != k for c in other]
        found = calibration_of(others, rows)
        said |= {c.id: recalibrated(c, rows[c.id], found) for c in part}
    songs = {f"songs of {n} windows": _of_songs(parts, rows, n) for n in SONG_WINDOWS}
    every = [c for part in parts for c in part]
    each = [figures(part, said)["accuracy, ten genres of GTZAN"] for part in parts]
    return {
        "all folds": figures(every, said),
        "accuracy of each fold, ten genres": each,
        "its deviation": round(float(np.std(each, ddof=1)), 4),
        "calibration of all": asdict(calibration_of(every, rows)),
        **songs,
    }


def _of_songs(parts: list[list[Clip]], rows: Rows, windows: int) -> dict[str, Any]:
    """Return the figures of songs out of each fold's clips, with the calibration of the other folds' clips."""
    every: list[Clip] = []
    said: Rows = {}
    for part in parts:
        songs, voted = songs_of(part, rows, windows)
        found = calibration_of([c for other in parts if other is not part for c in other], rows)
        every += songs
        said |= {song.id: recalibrated(song, voted[song.id], found) for song in songs}
    wanted = ("clips", "accuracy", "at 0.7: precision, coverage", "log-loss", "calibration error")
    told = figures(every, said)
    return {name: told[name] for name in wanted}


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("--seeds", type=int, default=1, help="of the cuts that the heads learn from")
    a = p.parse_args()
    found = [examined(a.data, a.work, seed) for seed in range(a.seeds)]
    each = [f["all folds"]["accuracy, ten genres of GTZAN"] for f in found]
    print(json.dumps({**found[0], "accuracy of each seed, ten genres": each}, indent=1))


if __name__ == "__main__":
    main()
