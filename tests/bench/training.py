"""Measure ``genretag train`` on the GTZAN and Emotify parts of a corpus, with and without --deep.

    python tests/bench/training.py DATA WORK [--deep]

DATA is a corpus in the format of ``models.recipe.corpus``. Everything runs through the command
line.
The bundled backbone was distilled on these clips (without their labels), so the figures of the
default are too high.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def tables(data: Path, work: Path) -> dict[str, Path]:
    """Write a table of path, label and artist for each part of the corpus; return them by name."""
    with (data / "clips.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    parts = {
        "GTZAN": [r for r in rows if r["source"] == "gtzan" and r["role"] == "labelled"],
        "Emotify": [r for r in rows if r["source"] == "emotify" and r["genre"]],
    }
    parts["both"] = [r for name in ("GTZAN", "Emotify") for r in parts[name]]
    out = {}
    for name, chosen in parts.items():
        out[name] = work / f"{name}.csv"
        with out[name].open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["path", "label", "artist"])
            writer.writerows(
                [str((data / "clips" / f"{r['id']}.opus").resolve()), r["genre"], r["artist"]]
                for r in chosen
            )
    return out


def train(table: Path, work: Path, *options: str) -> tuple[dict, float]:
    """Train through the command line; return the figures and the seconds it took."""
    command = [
        sys.executable,
        "-m",
        "genretag",
        "train",
        str(table),
        "--json",
        "--db",
        str(work / "g.db"),
        "-O",
        str(work / "m.onnx"),
        *options,
    ]
    began = time.monotonic()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    if not done.stdout:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), time.monotonic() - began


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument(
        "--deep", action="store_true", help="with deep trainings, which take minutes each"
    )
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    made = tables(a.data, a.work)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "genretag",
            "-q",
            "scan",
            str(a.data / "clips"),
            "--dry-run",
            "--db",
            str(a.work / "g.db"),
        ],
        check=False,
    )
    runs = [("GTZAN", ()), ("Emotify", ()), ("both", ()), ("GTZAN", ("--split", "random"))]
    if a.deep:
        deep = ("--deep", "--cache", str(a.work / "cache"))
        runs += [("GTZAN", deep), ("Emotify", deep)]
    print(
        "| data | tracks | artists | options | seconds | accuracy | macro recall | majority"
        " | calibration error |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, options in runs:
        figures, seconds = train(made[name], a.work, *options)
        t = figures["test"]
        intervals = [
            f"{t[k]['value']:.1%} ({t[k]['low']:.1%} to {t[k]['high']:.1%})"
            for k in ("accuracy", "macro_recall")
        ]
        how = "--deep" if "--deep" in options else " ".join(options) or "default"
        cells = [
            name,
            figures["tracks"],
            figures["groups"],
            how,
            f"{seconds:.0f}",
            *intervals,
            f"{t['majority']:.1%}",
            f"{t['ece']:.3f}",
        ]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
