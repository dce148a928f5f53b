"""Make the bundled model from the data folder, and print its figures.

    python -m models.recipe DATA WORK OUT.onnx

Ask the teachers, train the student without the folds 0 and 1, judge models whose
heads do not know fold 0 or fold 1 on that fold, and write the model with heads that know all
clips. A step that is done is not done again, so that it can be interrupted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.inference.metadata import Calibration
from genretag.inference.model import Model
from genretag.training.attach_head import replace_metadata
from genretag.training.head import LinearHead
from models.recipe import examine
from models.recipe.answers import ask_clips, ask_mixes
from models.recipe.bundle import AT_MOST, Heads, Material, fit_heads, material_of, write_model
from models.recipe.calibrate import answers_of, calibration_of
from models.recipe.corpus import QUADRANTS, WORDS, Clip, grouped_folds, path_of, read_clips
from models.recipe.distil import Plan, load, merged, train
from models.recipe.quantise import chunks_of
from models.recipe.songs import ask_songs
from models.recipe.styles import as_metadata, judge

HELD_FOLDS = (0, 1)  # that the student never trained
RUNS, STEPS = 1, 20_000  # of the training; steps of each run
MIXES = 4_344  # changed sounds
LABELS = sorted({*WORDS.values(), "Latin", "R&B"})
VERSION = "2.4"
START = Path(__file__).parent.parent / "genretag.onnx"


@dataclass(frozen=True)
class Limits:
    """What to start from, and how much the training may take."""

    start: Path  # the model file whose network is fine-tuned
    minutes: float = float("inf")
    runs: int = RUNS
    mixes: int = MIXES
    songs: Path | None = None  # a folder of music without labels


def student_of(data: Path, work: Path, limits: Limits, held: npt.NDArray[np.bool_]) -> Path:
    """Return the trained student of WORK, trained if there is none: all runs at once."""
    student = work / "student.pt"
    if not student.exists():
        workers = range(limits.runs)
        base = [sys.executable, "-m", "models.recipe", str(data), str(work), "-"]
        base += ["--start", str(limits.start), "--minutes", str(limits.minutes)]
        running = [subprocess.Popen([*base, "--worker", str(w)]) for w in workers]
        if any(run.wait() for run in running):
            raise SystemExit("a training process failed")
        merged(Plan(data, work, limits.start, held, STEPS), workers, student)
    return student


def examined(
    data: Path, work: Path, clips: list[Clip], models: dict[int, Path]
) -> tuple[examine.Rows, Calibration]:
    """Calibrate the model of each fold on the other folds, and scan its fold with it.

    The calibration of all these folds together is returned too.
    """
    folds = grouped_folds(clips)
    answers = {
        k: answers_of(path, work, clips, labelled(clips, folds == k)) for k, path in models.items()
    }
    rows: examine.Rows = {}
    for k, path in models.items():
        others = [a for fold, some in answers.items() if fold != k for a in some]
        calibration = calibration_of(others, tuple(LABELS))
        replace_metadata(path, replace(Model(path).metadata, calibration=calibration), path)
        mine = [path_of(data, c) for c, f in zip(clips, folds, strict=True) if f == k]
        rows |= examine.scanned(mine, path)
    return rows, calibration_of([a for some in answers.values() for a in some], tuple(LABELS))


def labelled(clips: list[Clip], use: npt.NDArray[np.bool_]) -> list[int]:
    """Return the clips of both collections that ``use`` marks."""
    return [int(i) for i in np.flatnonzero(use) if clips[i].source == "gtzan" or clips[i].allmusic]


def moods_right(material: Material, heads: dict[int, Heads]) -> list[float]:
    """Return the accuracy of the quadrants on the folds that heads and student do not know."""
    of, right = grouped_folds(material.clips), []
    for fold, head in heads.items():
        rows = [i for i in np.flatnonzero(of == fold) if material.clips[i].quadrant]
        predicted = head.moods(material.pieces.whole(np.array(rows))).argmax(1)
        truth = [list(QUADRANTS).index(material.clips[i].quadrant) for i in rows]
        right += list(predicted == np.array(truth))
    return examine.interval(np.array(right))


def make(data: Path, work: Path, out: Path, limits: Limits) -> dict[str, Any]:
    """Run every step that is not done; return the figures."""
    work.mkdir(parents=True, exist_ok=True)
    ask_clips(data, work)
    ask_mixes(data, work, limits.mixes)
    if limits.songs is not None:
        ask_songs(data, work, limits.songs)
    clips = read_clips(data)
    folds = grouped_folds(clips)
    held = np.isin(folds, HELD_FOLDS)
    student = student_of(data, work, limits, held)
    material = material_of(data, work, student, clips)
    chunks = chunks_of(work, np.flatnonzero(~held).tolist())
    heads = {k: fit_heads(material, folds != k, LABELS) for k in HELD_FOLDS}
    models = {k: work / f"fold{k}.onnx" for k in HELD_FOLDS}
    for k, path in models.items():
        write_model(student, heads[k], LABELS, Calibration(), chunks, path, VERSION)
    rows, calibration = examined(data, work, clips, models)
    judged = [c for c in clips if c.id in rows]
    own = {
        k: further
        for k, path in models.items()
        if (further := Model(path).metadata.calibration.further) is not None
    }
    fold_of = {c.id: int(f) for c, f in zip(clips, folds, strict=True)}
    layer = load(student).classes
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    tags = LinearHead(weight.T, bias)
    recognised = judge(data, work, clips, material.pieces, tags, folds, ~held)
    styles = [j for j in recognised if j.name not in LABELS or j.name in AT_MOST]
    everything = fit_heads(material, np.ones(len(clips), bool), LABELS)
    off = write_model(
        student, everything, LABELS, calibration, chunks, out, VERSION, as_metadata(styles)
    )
    return {
        **examine.figures(judged, rows),
        "written of each label": examine.written_of_label(judged, rows),
        "second genre": examine.further_figures(judged, rows, lambda c: own[fold_of[c.id]]),
        "moods": moods_right(material, heads),
        "styles": {
            j.name: [j.truth, j.clips, j.threshold.precision, j.threshold.recall] for j in styles
        },
        "calibration": calibration.to_metadata(),
        "quantised: off by": round(off, 4),
        "bytes": out.stat().st_size,
    }


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--start", type=Path, default=START, help="model whose network to start from")
    p.add_argument(
        "--minutes", type=float, default=float("inf"), help="end the training after so many"
    )
    p.add_argument("--runs", type=int, default=RUNS, help=f"of the training (default: {RUNS})")
    p.add_argument(
        "--mixes", type=int, default=MIXES, help="changed sounds to ask the teachers about"
    )
    p.add_argument(
        "--songs", type=Path, help="folder of music without labels that the student learns too"
    )
    p.add_argument("--worker", type=int, default=None, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker is None:
        limits = Limits(a.start, a.minutes, a.runs, a.mixes, a.songs)
        print(json.dumps(make(a.data, a.work, a.out, limits), indent=1))
        return
    clips = read_clips(a.data)
    held = np.isin(grouped_folds(clips), HELD_FOLDS)
    train(Plan(a.data, a.work, a.start, held, STEPS, 60 * a.minutes, a.worker))


if __name__ == "__main__":
    main()
