"""Compare a model's answers to clips and to changed copies of them, through ``genretag scan``.

Synthetic tones, noises, flutes and drones are judged too.

    python -m models.recipe.robust DATA WORK [--clips 60]

Uses the models of the held-out folds in WORK, which the recipe leaves there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.audio.synthesis import encode
from models.recipe import examine
from models.recipe.corpus import Clip, grouped_folds, path_of, read_clips
from models.recipe.sounds import MUSIC, NOT_MUSIC, SAMPLES, levelled
from models.recipe.teachers import RATE_MN04

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
    "one channel inverted": (["-af", "aresample=48000,pan=stereo|c0=c0|c1=-1*c0"], "wav"),
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
    """Return what became of each clip, for each change.

    The highest label stays the same; it is right; another genre than before is written.
    """
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
        "another written": [
            tops[c.id] != examine.top_of(unchanged[c.id])
            and min(rows[c.id]["confidence"], unchanged[c.id]["confidence"]) >= examine.SURE
            for c in clips
        ],
    }


def synthetic_judged(model: Path, each: int, seed: int = 99) -> dict[str, list[bool]]:
    """Return, for each kind of synthetic sound, whether each was classified rightly.

    Sounds of 2, 5 and 10 s, and noise at -91 dB; the seed is none of the training.
    """
    rng = np.random.default_rng(seed)
    made: list[tuple[str, bool, npt.NDArray[np.floating]]] = []
    for _ in range(each):
        made += [(_name(f), False, f(rng, float(np.exp(rng.uniform(4.1, 8.7))))) for f in NOT_MUSIC]
        made += [(_name(f), True, f(rng)) for f in MUSIC]
        made.append(("noise at -91 dB", False, rng.normal(size=SAMPLES)))
    truth: dict[str, tuple[str, bool]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for k, (name, is_music, x) in enumerate(made):
            level = 10 ** (-91 / 20) if name.startswith("noise at") else 1.0
            cut = levelled(x)[: RATE_MN04 * (2, 5, 10)[k % 3]]
            encode(Path(folder) / f"{k}.wav", cut * (10 * level if level < 1 else 1), RATE_MN04)
            truth[str(k)] = name, is_music
        rows = examine.scanned(sorted(Path(folder).iterdir()), model)
    out: dict[str, list[bool]] = {}
    for stem, (name, is_music) in truth.items():
        out.setdefault(name, []).append((rows[stem]["status"] != "nonmusic") == is_music)
    return out


def _name(source: Callable[..., object]) -> str:
    return getattr(source, "__name__", "").strip("_")


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
            kept = total.setdefault(change, {})
            for name, values in found.items():
                kept.setdefault(name, []).extend(values)
    some = next(iter(sorted(a.work.glob("fold*.onnx"))))
    made = synthetic_judged(some, each=12)
    figures: dict[str, Any] = {
        "synthetic sounds": {name: [sum(v), len(v)] for name, v in made.items()},
    }
    figures |= {
        change: {name: examine.interval(np.array(v)) for name, v in found.items()}
        for change, found in total.items()
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
