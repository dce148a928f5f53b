"""What ``--windows adaptive`` costs in truth and saves in time, on songs whose sections differ.

    python tests/bench/adaptive.py DATA WORK [--songs 30]

A song is eight clips of 30 s of one artist in a row, so that each of its windows is another piece of music: no real song is so uneven.
WORK holds the five models of ``python -m models.recipe.folds DATA WORK``; each hears only artists that it never heard.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from speed import GENRETAG, Meter

from genretag.audio import synthesis
from models.recipe.corpus import Clip, Sound, grouped_folds, read_clips

WINDOWS = 8
RATE = 16_000


def songs_of(
    clips: list[Clip], sound: Sound, rows: list[int], folder: Path, count: int, seed: int
) -> int:
    """Write songs of the artists among some clips, MP3 of 192 kb/s; return how many."""
    rng, by_artist = np.random.default_rng(seed), dict[tuple[str, str], list[int]]()
    for i in rows:
        if clips[i].artist.strip() and len(sound.clip(i)) >= 29.5 * RATE:
            by_artist.setdefault((clips[i].group, clips[i].genre), []).append(i)
    artists = [v for v in by_artist.values() if len(v) >= 4]
    how = synthesis.Container("libmp3lame", options=(("b", "192k"),))
    for n in range(count if artists else 0):
        mine = artists[n % len(artists)]
        chosen = rng.permutation(
            np.concatenate([rng.permutation(mine) for _ in range(-(-WINDOWS // len(mine)))])[
                :WINDOWS
            ]
        )
        pieces = [np.resize(sound.clip(int(i)), 30 * RATE) for i in chosen]
        synthesis.encode(
            folder / f"{n:03d}.mp3", np.concatenate(pieces).astype(np.float32), RATE, how
        )
    return count if artists else 0


def scanned(folder: Path, model: Path, windows: str) -> tuple[dict[str, dict[str, Any]], float]:
    """Return a scan's rows, and its CPU seconds."""
    meter = Meter()
    with tempfile.TemporaryDirectory() as databases:
        command = [
            *GENRETAG,
            "scan",
            str(folder),
            "--dry-run",
            "--json",
            "--model",
            str(model),
            "--windows",
            windows,
            "--db",
            f"{databases}/g.db",
        ]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {row["path"]: row for row in map(json.loads, out.splitlines())}, meter.cpu()


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("--songs", type=int, default=30, help="for each of the five models")
    a = p.parse_args()
    clips, sound = read_clips(a.data), Sound.open(a.work)
    folds, told, cpu = grouped_folds(clips, nonmusic=True), Counter[str](), Counter[str]()
    for fold in range(5):
        with tempfile.TemporaryDirectory() as folder:
            rows = [
                i for i in range(len(clips)) if folds[i] == fold and clips[i].role == "labelled"
            ]
            if not songs_of(clips, sound, rows, Path(folder), a.songs, fold):
                continue
            found = {}
            for windows in ("all", "adaptive"):
                found[windows], seconds = scanned(
                    Path(folder), a.work / f"fold{fold}.onnx", windows
                )
                cpu[windows] += seconds
            for path, every in found["all"].items():
                less = found["adaptive"][path]
                told["songs"] += 1
                told["windows"] += less["windows"]
                told["genre"] += next(iter(less["scores"])) != next(iter(every["scores"]))
                told["status"] += less["status"] != every["status"]
                told["wrong"] += (
                    less["status"] == every["status"] == "ok" and less["genre"] != every["genre"]
                )
        print(f"fold {fold}: {dict(told)}", file=sys.stderr, flush=True)
    n = told["songs"]
    print(
        f"{n} songs of {WINDOWS} windows; heard {told['windows'] / n / WINDOWS:.0%} of the windows"
    )
    print(
        f"another genre than with all windows: {told['genre']} ({told['genre'] / n:.1%}), of these both times sure: {told['wrong']}"
    )
    print(f"sure with one and not with the other: {told['status']} ({told['status'] / n:.1%})")
    print(f"CPU: {cpu['all'] / cpu['adaptive']:.2f} times that of adaptive, start-up with it")


if __name__ == "__main__":
    main()
