"""Compare all baselines on the GTZAN part of a corpus, with an artist split and a random split.

    python tests/bench/baselines.py DATA WORK [--systems NAME,NAME...] [--epochs N]

DATA is a corpus in the format of ``models.recipe.corpus``. Everything runs through the command
line. The random split leaks artists; it shows by how much the figures would be too high.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from training import tables


def compare(table: Path, work: Path, systems: str, epochs: int, split: str) -> dict[str, dict]:
    """Train the systems through the command line; return their figures by name."""
    command = [
        sys.executable,
        "-m",
        "genretag",
        "train",
        str(table),
        "--compare",
        systems,
        "--split",
        split,
        "--json",
    ]
    command += [
        "--epochs",
        str(epochs),
        "--db",
        str(work / "g.db"),
        "--cache",
        str(work / "cache"),
        "-O",
        str(work / f"{split}.onnx"),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"no output from {' '.join(command)}")
    return {row["system"]: row for row in map(json.loads, done.stdout.splitlines())}


def percent(figure: dict) -> str:
    """Return a share with its interval."""
    return f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("--systems", default="all")
    p.add_argument("--epochs", type=int, default=30)
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    table = tables(a.data, a.work)["GTZAN"]
    by_artist, at_random = (
        compare(table, a.work, a.systems, a.epochs, split) for split in ("artist", "random")
    )
    print(
        "| system | artist split | macro recall | random split | parameters | s to train"
        " | ms a window | MB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, row in by_artist.items():
        size = Path(row["model"]).stat().st_size / 1e6
        figures = [
            percent(row["test"]["accuracy"]),
            percent(row["test"]["macro_recall"]),
            percent(at_random[name]["test"]["accuracy"]),
        ]
        cells = [
            name,
            *figures,
            f"{row['parameters']:,}" if row["parameters"] else "-",
            f"{row['seconds']:.0f}",
            f"{row['ms']:.1f}",
            f"{size:.2f}",
        ]
        print("| " + " | ".join(cells) + " |")
    majority = next(iter(by_artist.values()))["test"]["majority"]
    print(f"\nmajority baseline {majority:.1%}")


if __name__ == "__main__":
    main()
