"""Figures of models through ``genretag scan --json``, for both collections side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.decisions.genre import MIN_FURTHER
from genretag.evaluation.metrics import calibration_error, exact_calibration_error
from genretag.inference.metadata import FurtherCalibration
from models.recipe.corpus import ALLMUSIC, WORDS, Clip

Rows = dict[str, dict[str, Any]]  # of a scan, by the clip's id

SURE = 0.7
#: AllMusic's words of the macro recall; Pop/Rock counts as right if called Pop, Rock or Metal.
NINE = tuple(w for w in ALLMUSIC if w != "Classical")
_AT_ONCE = 300  # paths a call of the program
_RESAMPLES = 1000


def scanned(files: list[Path], model: Path) -> Rows:
    """Return the rows of a scan of files, by their names without the extension."""
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(files), _AT_ONCE):
            paths = [str(path) for path in files[start : start + _AT_ONCE]]
            command = [sys.executable, "-m", "genretag", "scan", *paths, "--dry-run", "--json"]
            options = ["--model", str(model), "--db", f"{folder}/x.db"]
            done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
            rows |= {
                Path(row["path"]).stem: row for row in map(json.loads, done.stdout.splitlines())
            }
    return rows


def true_labels(clip: Clip) -> set[str]:
    """Return the labels that count as right."""
    return {label for choice in clip.choices or [] for label in choice}


def top_of(row: dict[str, Any]) -> str:
    """Return the label with the highest score."""
    return max(row["scores"], key=row["scores"].get) if row["scores"] else ""


def interval(right: npt.NDArray[np.bool_]) -> list[float]:
    """Return [share, low, high] with Wilson's interval of 95 %."""
    n, z = len(right), 1.96
    if not n:
        return [0.0, 0.0, 1.0]
    p = float(right.mean())
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return [round(v, 3) for v in (p, middle - half, middle + half)]


def macro(groups: list[str], right: npt.NDArray[np.bool_]) -> list[float]:
    """Return [mean of the groups' recalls, low, high] with a bootstrap interval of 95 %."""
    of = {g: right[np.array([x == g for x in groups])] for g in sorted(set(groups))}
    rng = np.random.default_rng(0)
    drawn = [
        np.mean([rng.choice(r, len(r)).mean() for r in of.values()]) for _ in range(_RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return [round(float(np.mean([r.mean() for r in of.values()])), 3), *np.round([low, high], 3)]


def confidence_figures(clips: list[Clip], rows: Rows) -> dict[str, Any]:
    """Return precision and coverage at 0.7, calibration error and reliability of a collection."""
    found = [rows[c.id] for c in clips]
    confidence = np.array([r["confidence"] for r in found])
    music = np.array([r["status"] != "nonmusic" for r in found])
    right = np.array([top_of(r) in true_labels(c) for r, c in zip(found, clips, strict=True)])
    right &= music
    supported = np.array([bool(true_labels(c)) for c in clips])
    written = (confidence >= SURE) & music
    bins = np.minimum((confidence * 10).astype(int), 9)
    chance = exact_calibration_error(confidence)
    return {
        "precision at 0.7": interval(right[written]),
        "written": int(written.sum()),
        "coverage": interval(written[supported]),
        "calibration error": round(calibration_error(confidence, right), 3),
        "chance makes": round(float(chance[0]), 3),
        "reliability": {
            f"{b / 10:.1f}": [
                int((bins == b).sum()),
                round(float(confidence[bins == b].mean()), 2),
                round(float(right[bins == b].mean()), 2),
            ]
            for b in np.unique(bins)
        },
    }


def _recalls(groups: list[str], right: npt.NDArray[np.bool_]) -> dict[str, list[float]]:
    return {
        g: [round(float(right[m].mean()), 2), int(m.sum())]
        for g in sorted(set(groups))
        if (m := np.array([x == g for x in groups])).any()
    }


def figures(clips: list[Clip], rows: Rows) -> dict[str, Any]:
    """Return the figures of GTZAN, of AllMusic, and of what is not music."""
    clips = [c for c in clips if c.id in rows and rows[c.id]["error"] is None]
    gtzan = [c for c in clips if c.source == "gtzan"]
    allmusic = [c for c in clips if c.allmusic]
    right = _judge(gtzan, rows, lambda c, top: top == WORDS[c.genre])
    any_right = _judge(
        [c for c in allmusic if true_labels(c)], rows, lambda c, top: top in true_labels(c)
    )
    one = [c for c in allmusic if len([w for w in c.genres if w in NINE]) == 1]
    words = [next(w for w in c.genres if w in NINE) for c in one]
    one_right = _judge(
        one, rows, lambda c, top: top in ALLMUSIC[next(w for w in c.genres if w in NINE)]
    )
    other = [c for c in clips if c.role == "nonmusic"]
    return {
        "GTZAN": {
            "clips": len(gtzan),
            "accuracy": interval(right),
            "macro": macro([c.genre for c in gtzan], right),
            "recall": _recalls([WORDS[c.genre] for c in gtzan], right),
            **confidence_figures(gtzan, rows),
        },
        "AllMusic": {
            "clips": len(allmusic),
            "any true genre": interval(any_right),
            "one word": interval(one_right),
            "macro of nine": macro(words, one_right),
            "recall": _recalls(words, one_right),
            **confidence_figures(allmusic, rows),
        },
        "not music": interval(np.array([rows[c.id]["status"] == "nonmusic" for c in other])),
        "music lost": interval(
            np.array([rows[c.id]["status"] == "nonmusic" for c in gtzan + allmusic])
        ),
    }


def _judge(
    clips: list[Clip], rows: Rows, rule: Callable[[Clip, str], bool]
) -> npt.NDArray[np.bool_]:
    """Return for each clip whether it is taken for music and its top label passes a rule."""
    return np.array(
        [rows[c.id]["status"] != "nonmusic" and rule(c, top_of(rows[c.id])) for c in clips],
        dtype=bool,
    )


def further_figures(
    clips: list[Clip], rows: Rows, further: Callable[[Clip], FurtherCalibration]
) -> dict[str, Any]:
    """Judge the second genre of AllMusic's clips: its probability, and what --top 2 would add.

    ``further`` returns the calibration of the model that classified a clip.
    """
    chosen = [c for c in clips if c.allmusic and true_labels(c) and rows[c.id]["error"] is None]
    second = [list(rows[c.id]["scores"].items())[1] for c in chosen]
    p = np.array([further(c).probability(s) for c, (_, s) in zip(chosen, second, strict=True)])
    right = np.array([name in true_labels(c) for c, (name, _) in zip(chosen, second, strict=True)])
    sure = np.array([rows[c.id]["confidence"] >= SURE for c in chosen])
    added = p >= MIN_FURTHER
    return {
        "calibration error": round(calibration_error(p, right), 3),
        "chance makes": round(float(exact_calibration_error(p)[0]), 3),
        "mean probability": round(float(p.mean()), 3),
        "right": interval(right),
        "right, of those that --top 2 would add": interval(right[added]),
        "and where the first is written": interval(right[added & sure]),
    }


def written_of_label(clips: list[Clip], rows: Rows) -> dict[str, list[int]]:
    """Return, for each label, [clips that it is written to, those of them where it is right]."""
    out: dict[str, list[int]] = {}
    for clip in (c for c in clips if c.allmusic or c.labelled):
        row = rows[clip.id]
        if row["status"] == "nonmusic" or row["error"] or row["confidence"] < SURE:
            continue
        count = out.setdefault(top_of(row), [0, 0])
        count[0] += 1
        count[1] += top_of(row) in true_labels(clip)
    return dict(sorted(out.items()))
