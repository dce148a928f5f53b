"""Examine a model through the program itself: ``genretag scan --json`` over clips of a corpus, against their labels.

python -m models.recipe.examine DATA MODEL.onnx --fold 0     # the clips of one grouped fold
python -m models.recipe.examine DATA MODEL.onnx              # all labelled and non-music clips
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.recipe.corpus import LABELS, Clip, grouped_folds, path_of, read_clips
from models.recipe.songs import LEAST_SCORE
from genretag.evaluation.metrics import BINS, calibration_error, exact_calibration_error

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FloatArray = npt.NDArray[np.float64]

_LOT = 300  # paths a call of the program


def scanned(paths: list[Path], model: Path) -> dict[str, dict[str, Any]]:
    """Return what a scan says of files, by their stem."""
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(paths), _LOT):
            lot = [str(p) for p in paths[start : start + _LOT]]
            command = [
                sys.executable,
                "-m",
                "genretag",
                "scan",
                *lot,
                "--dry-run",
                "--json",
                "--model",
                str(model),
                "--db",
                f"{folder}/x.db",
            ]
            out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            rows |= {Path(row["path"]).stem: row for row in map(json.loads, out.splitlines())}
    return rows


def figures(clips: list[Clip], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a scan: of the labelled clips, and of what is no music."""
    labelled = [c for c in clips if c.role == "labelled" and rows[c.id]["scores"]]
    truth = np.array([LABELS[c.genre] for c in labelled])
    said = np.array([next(iter(rows[c.id]["scores"])) for c in labelled])  # the highest score comes first
    confidence = np.array([rows[c.id]["confidence"] for c in labelled])
    status = np.array([rows[c.id]["status"] for c in labelled])
    right, sure = said == truth, (confidence >= 0.7) & (status != "nonmusic")
    gtzan, whole = np.array([c.source == "gtzan" for c in labelled]), np.array([c.kind != "cut" for c in labelled])
    recall = {g: (round(float(right[truth == g].mean()), 3), int((truth == g).sum())) for g in np.unique(truth)}
    outside = [c for c in clips if c.role == "nonmusic"]
    told = [rows[c.id]["status"] == "nonmusic" or rows[c.id]["error"] is not None for c in outside]
    return {
        "clips": len(labelled),
        "accuracy": round(float(right.mean()), 4),
        "macro recall": round(float(np.mean([r for r, _ in recall.values()])), 4),
        "accuracy, ten genres of GTZAN": round(float(right[gtzan].mean()), 4),
        "clips of GTZAN": int(gtzan.sum()),
        "accuracy, whole clips and cuts": [round(float(right[m].mean()), 3) if m.any() else None for m in (whole, ~whole)],
        "recall": recall,
        "at 0.7: precision, coverage": [round(float(right[sure].mean()), 3), round(float(sure.mean()), 3)],
        "risk and coverage": risk_coverage(np.where(status == "nonmusic", 0.0, confidence), right),
        "reliability": reliability(confidence, right),
        "log-loss": round(float(np.mean([-np.log(max(LEAST_SCORE, rows[c.id]["scores"][LABELS[c.genre]])) for c in labelled])), 3),
        "calibration error": round(calibration_error(confidence, right), 3),
        "that of exact confidence: mean, 95th percentile": [round(e, 3) for e in exact_calibration_error(confidence)],
        "music taken for none": round(float((status == "nonmusic").mean()), 4),
        "non-music told": [round(float(np.mean(told)), 4), len(told)] if told else None,
    }


def risk_coverage(confidence: FloatArray, right: npt.NDArray[np.bool_]) -> dict[str, list[float]]:
    """Return [precision, coverage] of what is at least so sure, by the threshold."""
    sure = {t: confidence >= t for t in THRESHOLDS if (confidence >= t).any()}
    return {f"{t:.2f}": [round(float(right[s].mean()), 3), round(float(s.mean()), 3)] for t, s in sure.items()}


def reliability(confidence: FloatArray, right: npt.NDArray[np.bool_]) -> dict[str, list[float]]:
    """Return [clips, mean confidence, share that is right] of tenths of the confidence, by where each begins."""
    bins = {b: np.minimum((confidence * BINS).astype(int), BINS - 1) == b for b in range(BINS)}
    return {
        f"{b / BINS:.1f}": [int(rows.sum()), round(float(confidence[rows].mean()), 3), round(float(right[rows].mean()), 3)]
        for b, rows in bins.items()
        if rows.any()
    }


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("model", type=Path)
    p.add_argument("--fold", type=int, default=None, help="only the clips of this grouped fold (0 to 4)")
    a = p.parse_args()
    clips = read_clips(a.data)
    if a.fold is not None:
        folds = grouped_folds(clips, nonmusic=True)
        clips = [c for c, fold in zip(clips, folds, strict=True) if fold == a.fold]
    clips = [c for c in clips if c.role in ("labelled", "nonmusic")]
    paths = [path_of(a.data, c) for c in clips]
    print(json.dumps(figures(clips, scanned(paths, a.model)), indent=1))


if __name__ == "__main__":
    main()
