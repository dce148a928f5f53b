"""Compare a model's answers to clips and to changed copies of them, through ``genretag scan``.

    python -m models.recipe.robust DATA WORK [--clips 60]

Uses the models of the held-out folds in WORK, which the recipe leaves there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from models.recipe import examine
from models.recipe.corpus import Clip, grouped_folds, path_of, read_clips

#: Name -> (ffmpeg's options, extension). The clips are decoded at 48 kHz, mono.
CHANGES: dict[str, tuple[list[str], str]] = {
    "MP3, 96 kb/s": (["-c:a", "libmp3lame", "-b:a", "96k"], "mp3"),
    "Opus, 64 kb/s": (["-c:a", "libopus", "-b:a", "64k"], "opus"),
    "12 dB louder, clipped": (["-af", "volume=12dB"], "wav"),
    "12 dB softer": (["-af", "volume=-12dB"], "wav"),
    "22.05 kHz": (["-ar", "22050"], "wav"),
    "48 kHz": (["-ar", "48000"], "wav"),
    "3 % faster": (["-af", "aresample=48000,asetrate=49440,aresample=48000"], "wav"),
    "3 % slower": (["-af", "aresample=48000,asetrate=46560,aresample=48000"], "wav"),
    "0.9 ms between channels": (
        ["-af", "aresample=48000,pan=stereo|c0=c0|c1=c0,adelay=0S|43S"],
        "wav",
    ),
    "the middle third": (["-ss", "10", "-t", "10"], "wav"),
    "3 s": (["-ss", "13", "-t", "3"], "wav"),
}


def changed_copy(source: Path, folder: Path, change: str) -> Path:
    """Write a changed copy of a clip; its name without the extension stays."""
    options, extension = CHANGES[change]
    out = folder / f"{source.stem}.{extension}"
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *options, str(out)]
    subprocess.run(command, check=True)
    return out


def chosen(clips: list[Clip], count: int, seed: int = 0) -> list[Clip]:
    """Return random whole clips, half of them of each collection."""
    rng = np.random.default_rng(seed)
    out: list[Clip] = []
    for some in (
        [c for c in clips if c.source == "gtzan" and c.seconds >= 29],
        [c for c in clips if c.allmusic and c.choices and c.seconds >= 29],
    ):
        picked = rng.choice(len(some), min(count // 2, len(some)), replace=False)
        out += [some[i] for i in picked]
    return out


def compared(data: Path, model: Path, clips: list[Clip]) -> dict[str, dict[str, list[bool]]]:
    """Return, for each change, which clips keep their highest label and which have a right one."""
    unchanged = examine.scanned([path_of(data, c) for c in clips], model)
    out = {"unchanged": _judged(clips, unchanged, unchanged)}
    for change in CHANGES:
        with tempfile.TemporaryDirectory() as folder:
            paths = [changed_copy(path_of(data, c), Path(folder), change) for c in clips]
            out[change] = _judged(clips, examine.scanned(paths, model), unchanged)
    return out


def _judged(
    clips: list[Clip], rows: examine.Rows, unchanged: examine.Rows
) -> dict[str, list[bool]]:
    tops = {c.id: examine.top_of(rows[c.id]) for c in clips}
    return {
        "same": [tops[c.id] == examine.top_of(unchanged[c.id]) for c in clips],
        "right": [tops[c.id] in examine.true_labels(c) for c in clips],
    }


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("--clips", type=int, default=60, help="of each fold (default: 60)")
    a = p.parse_args()
    clips = read_clips(a.data)
    folds = grouped_folds(clips)
    total: dict[str, dict[str, list[bool]]] = {}
    for path in sorted(a.work.glob("fold*.onnx")):
        fold = int(path.stem.removeprefix("fold"))
        mine = chosen([c for c, f in zip(clips, folds, strict=True) if f == fold], a.clips)
        for change, found in compared(a.data, path, mine).items():
            kept = total.setdefault(change, {"same": [], "right": []})
            for name, values in found.items():
                kept[name] += values
    figures: dict[str, Any] = {
        change: {name: examine.interval(np.array(v)) for name, v in found.items()}
        for change, found in total.items()
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
