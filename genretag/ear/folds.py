"""Five grouped folds: a model for each that never heard it, and what all of them say of what they never heard.

    python -m genretag.ear.folds DATA WORK

Each fold's backbone is distilled without it (from the first teacher alone, then from both), its heads are fitted without it, its file
is exported, and ``genretag scan --json`` hears the fold with it. The temperature of a fold is fitted on the other four. Steps that are
done are not done again. On two cores a fold takes about 25 minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from genretag.ear.corpus import LABELS, Clip, grouped_folds, path_of, read_clips
from genretag.ear.examine import figures, scanned
from genretag.vote import log_softmax

FOLDS = 5
FIRST_STEPS, BOTH_STEPS = 7_000, 3_500
FIRST_PEAK, BOTH_PEAK = 3e-3, 2e-3  # highest learning rates


def begun(data: Path, work: Path, fold: int) -> Path:
    """Return a checkpoint that learned from the first teacher, without a fold; made if it is not there."""
    from genretag.ear.distill import Plan, distil

    checkpoint = work / f"fold{fold}.begun.pt"
    if not checkpoint.exists():
        part = checkpoint.with_suffix(".going")
        distil(Plan(data, work, part, FIRST_STEPS, fold, peak=FIRST_PEAK, first_alone=True))
        part.rename(checkpoint)
    return checkpoint


def model_of(data: Path, work: Path, fold: int) -> Path:
    """Return a fold's model file, made if it is not there."""
    from genretag.ear.distill import Plan, distil

    checkpoint, out = work / f"fold{fold}.pt", work / f"fold{fold}.onnx"
    if not out.exists():
        distil(Plan(data, work, checkpoint, BOTH_STEPS, fold, seed=1, peak=BOTH_PEAK, begin=begun(data, work, fold)))
        command = [sys.executable, "-m", "genretag.ear.bundle", str(data), str(work), str(checkpoint), str(out), "--hold-out", str(fold)]
        subprocess.run([*command, "--plain"], check=True, stdout=subprocess.DEVNULL)
    return out


def recalibrated(row: dict[str, Any], temperature: float) -> dict[str, Any]:
    """Return a scan's row as another temperature would give it."""
    if not row["scores"]:
        return row
    names = list(row["scores"])
    z = np.log(np.clip([row["scores"][n] for n in names], 5e-5, 1)) / temperature
    p = np.exp(log_softmax(z))
    return {**row, "scores": dict(zip(names, map(float, p), strict=True)), "confidence": float(p.max())}


def temperature_of(clips: list[Clip], rows: dict[str, dict[str, Any]]) -> float:
    """Return the temperature that fits what was said of some clips, every genre counting the same."""
    from genretag.train.head import balanced_weights, fit_temperature

    mine = [c for c in clips if c.role == "labelled" and rows[c.id]["scores"]]
    labels = sorted(LABELS.values())
    log_p = np.log(np.clip([[rows[c.id]["scores"][g] for g in labels] for c in mine], 5e-5, 1))
    y = np.array([labels.index(LABELS[c.genre]) for c in mine])
    return round(fit_temperature(log_p, y, balanced_weights(y, np.arange(len(y)))), 3)


def examined(data: Path, work: Path) -> dict[str, Any]:
    """Make what is not made of the five models, and return what they say of the folds that they never heard."""
    clips = read_clips(data)
    fold_of = grouped_folds(clips, FOLDS, nonmusic=True)
    parts = [[c for c, f in zip(clips, fold_of, strict=True) if f == k and c.role in ("labelled", "nonmusic")] for k in range(FOLDS)]
    rows: dict[str, dict[str, Any]] = {}
    for k, part in enumerate(parts):
        model = model_of(data, work, k)
        rows |= scanned([path_of(data, c) for c in part], model)
    calibrated: dict[str, dict[str, Any]] = {}
    for k, part in enumerate(parts):
        others = [c for j, other in enumerate(parts) if j != k for c in other]
        t = temperature_of(others, rows)
        calibrated |= {c.id: recalibrated(rows[c.id], t) for c in part}
    every = [c for part in parts for c in part]
    each = [figures(part, calibrated)["accuracy, ten genres of GTZAN"] for part in parts]
    return {
        "all folds": figures(every, calibrated),
        "accuracy of each fold, ten genres": each,
        "its deviation": round(float(np.std(each, ddof=1)), 4),
        "temperature of all": temperature_of(every, rows),
    }


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    a = p.parse_args()
    print(json.dumps(examined(a.data, a.work), indent=1))


if __name__ == "__main__":
    main()
