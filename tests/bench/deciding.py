"""Commands that decide on known tracks without decoding: plan, tidy and audit, side by side.

    python tests/bench/deciding.py [TRACKS] [ROUNDS]

The files exist and are empty; their rows and analyses are made through the storage API, so that no
command opens a file. The commands run in turns, as processes of their own; the fastest of each is
compared, in CPU seconds.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from genretag.decisions.plan import judge
from genretag.decisions.policy import Policy
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata, metadata_to_json
from genretag.inference.model import Model
from genretag.library.walk import signed
from genretag.records import Album, Analysis, FileRow, Tags
from genretag.storage.cache import AnalysisCache
from genretag.writing.session import open_databases

DIMS, WINDOWS = 384, 8
GENRES = ("Rock", "Jazz", "Hip-Hop", "Blues", "Other", "", "Zydeco", "Pop", "Metal", "Bebop")
MESSY = ("HipHop", "rock", "Rock; Pop", "Jazz, Funk", "(17)", "Rap/Hip Hop")
EVERY_MESSY = 4  # one file in so many has a genre to tidy
TRACKS_AN_ALBUM = 12


def analysis(rng: np.random.Generator, n: int, labels: int) -> Analysis:
    """Return an analysis as a scan stores it, with the sizes of a track of four minutes."""
    return Analysis(
        *(f"{n:032x}", None, 240.0, 1.0),
        np.arange(WINDOWS, dtype=np.float32) * 30,
        rng.normal(0, 4, (WINDOWS, labels)).astype(np.float16),
        np.full(WINDOWS, 9, np.float16),
        rng.normal(0, 1, DIMS).astype(np.float16),
        bytes(600),
    )


def file_row(folder: Path, n: int) -> FileRow:
    """Make an empty file, and return its row."""
    album = f"Album {n // TRACKS_AN_ALBUM}"
    path = folder / album / f"{n}.flac"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    stat = path.stat()
    genre = (MESSY if n % EVERY_MESSY == 0 else GENRES)[n // EVERY_MESSY % len(MESSY)]
    tags = Tags([genre] if genre else [], "GENRE", Album(f"Artist {n // 100}", album))
    inode, device = signed(stat.st_ino), signed(stat.st_dev)
    return FileRow(
        *(path, stat.st_size, stat.st_mtime_ns, inode, device, stat.st_nlink),
        *(f"{n:064x}", f"{n:032x}", tags),
    )


def fill(store: AnalysisCache, run: int, folder: Path, model: ModelMetadata, tracks: int) -> None:
    """Fill a database with the plan of a scan of so many tracks."""
    rng, policy = np.random.default_rng(0), Policy()
    store.begin_scan(run, model.id, policy.to_dict(), places=[folder])
    for start in range(0, tracks, 5000):
        with store.transaction():
            for n in range(start, min(tracks, start + 5000)):
                made, file = analysis(rng, n, len(model.labels)), file_row(folder, n)
                store.save_analysis(made, model.id, FEATURE_VERSION)
                store.save_file(file)
                row = judge(file.path, file, made, model, policy)
                store.save_plan(run, [(n, file.path, row.action, row.to_dict())])
    store.finish_scan(run)


def cpu_seconds(*arguments: str) -> float:
    """Return the CPU time of a run of genretag."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "genretag", "-q", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    tracks = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as temporary:
        folder, database = Path(temporary) / "music", Path(temporary) / "genretag.db"
        folder.mkdir()
        os.environ["GENRETAG_DB"] = str(database)
        os.environ["GENRETAG_CONFIG"] = str(Path(temporary) / "none.toml")
        model = Model()
        with open_databases(database) as databases:
            run = databases.journal.begin("scan", "bench", {"paths": [str(folder)]})
            databases.store.save_model(model.metadata.id, metadata_to_json(model.metadata))
            fill(databases.store, run, folder, model.metadata, tracks)
            databases.journal.end(run, {"ok": tracks})
        commands = {
            "plan": ("plan",),
            "tidy": ("tidy", str(folder), "--dry-run"),
            "audit": ("audit", str(folder), "--json"),
        }
        costs: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, arguments in commands.items():
                costs[name].append(cpu_seconds(*arguments))
        base = min(costs["plan"])
        for name, values in costs.items():
            print(f"{name}: {min(values):.1f} s of CPU, {min(values) / base:.2f} of plan's")


if __name__ == "__main__":
    main()
