"""Compare the engines on one made-up folder, and extrapolate the cost of a million tracks.

python tests/bench/engines.py [--tracks 48] [--seconds 240] [--jobs 2] [--repeat 3]
python tests/bench/engines.py --paper --cpu-seconds 0.45 --rows-a-second 1500 --parquet-bytes 2400
--store-bytes 3100
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from speed import proportional_memory

from genretag.audio import Identity, synthesis
from genretag.cluster.importing import import_results
from genretag.cluster.result_files import part_name, read, write
from genretag.cluster.results import row_of, table_of, track_results
from genretag.decisions.policy import Policy
from genretag.scan.track import TrackResult
from genretag.storage.cache import AnalysisCache

_TICKS = os.sysconf("SC_CLK_TCK")  # a second

_PIECES = 12
_CUT_BYTES = 10_000  # about ten frames

#: Megabytes of a file: four minutes at 256 kb/s. An assumption, not a measurement.
FILE_MEGABYTES = 7.7


@dataclass(frozen=True)
class Run:
    """The cost of one scan."""

    wall: float  # s
    cpu: float  # s, over all processes
    memory: float  # MB at the most, over all processes, shared pages counted once
    rows: list[str]


def family(root: int) -> list[int]:
    """Return a process and all below it."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            todo += [
                int(c)
                for t in os.listdir(f"/proc/{pid}/task")
                for c in Path(f"/proc/{pid}/task/{t}/children").read_text().split()
            ]
        except OSError:
            continue
    return found


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process, without those of its children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def run(command: list[str]) -> Run:
    """Run a scan, and look every 50 ms at all its processes: those of a cluster are nobody's
    children in the end.
    """
    began, cpu, peak, looks = time.monotonic(), {}, 0.0, 0
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            for pid in family(process.pid):
                cpu[pid] = max(cpu.get(pid, 0.0), cpu_of(pid))
            if looks % 10 == 0:
                peak = max(peak, proportional_memory(process.pid))
            looks += 1
            time.sleep(0.05)
        wall = time.monotonic() - began
        out.seek(0)
        rows = [
            json.dumps({k: v for k, v in json.loads(line).items() if k != "mtime_ns"})
            for line in out.read().splitlines()
        ]
    return Run(wall, sum(cpu.values()), peak, rows)


def scan(engine: str, music: Path, work: Path, jobs: int, *more: str) -> tuple[Run, Path]:
    """Scan a folder into a fresh database; return its cost, and the database."""
    database = Path(tempfile.mkdtemp(dir=work)) / "g.db"
    command = [
        sys.executable,
        "-m",
        "genretag",
        "scan",
        str(music),
        "--dry-run",
        "--json",
        "-j",
        str(jobs),
        "--db",
        str(database),
    ]
    return run([*command, "--engine", engine, *more]), database


def median(runs: list[Run]) -> Run:
    """Return the medians of some runs."""
    return Run(
        *(statistics.median(getattr(r, k) for r in runs) for k in ("wall", "cpu", "memory")),
        runs[0].rows,
    )


def spread(values: list[float]) -> str:
    """Return the least and the most."""
    return f"{min(values):.1f} to {max(values):.1f}"


def _another(result: TrackResult, n: int, rng: np.random.Generator) -> TrackResult:
    """Return a track with noisy scores: exact copies would compress to nothing."""
    assert result.analysis is not None
    key = rng.bytes(16).hex()
    numbers = {k: getattr(result.analysis, k) for k in ("logits", "music", "embedding")}
    noisy = {k: (v * rng.uniform(0.9, 1.1, v.shape)).astype(np.float16) for k, v in numbers.items()}
    picture = rng.bytes(len(result.analysis.picture))
    analysis = replace(result.analysis, content_key=key, picture=picture, **noisy)
    identity = Identity(key, None, f"audio:{key}", f"xxh3:{rng.bytes(16).hex()}")
    return replace(result, ordinal=n, identity=identity, analysis=analysis)


def import_rate(results: Path, work: Path, rows: int = 5_000) -> tuple[float, float, float]:
    """Import ``rows`` made-up rows into fresh databases.

    Return rows per second, and the bytes per row of Parquet and of the cache.
    """
    head, table = next(read(results))
    measured = [
        t for t, _ in track_results(table) if t.analysis is not None and t.identity is not None
    ]
    rng, lots, made = np.random.default_rng(0), work / "made", []
    for n in range(rows):
        made.append(
            row_of(
                _another(measured[n % len(measured)], n, rng),
                Path(f"/music/Artist {n // 100}/Album {n // 10}/{n:08d} A Title.mp3"),
            )
        )
    write(str(lots), part_name("made", 0), table_of(made), head)
    store = AnalysisCache(work / "made.db")
    began = time.monotonic()
    import_results(store, lots, Policy(), 1)
    seconds = time.monotonic() - began
    store.close()
    parquet = sum(f.stat().st_size for f in lots.iterdir())
    return rows / seconds, parquet / rows, (work / "made.db").stat().st_size / rows


def paper(
    cpu_seconds: float,
    rows_a_second: float,
    parquet_bytes: float,
    store_bytes: float,
    windows: int = 8,
) -> None:
    """Print what a million and a hundred million tracks of four minutes would cost."""
    window_bytes = 80 * 1874 * 4  # bands x frames x float32 of the bundled model's front end
    print(
        f"by {cpu_seconds:.2f} CPU s a track, {rows_a_second:,.0f} rows a second, files of {FILE_MEGABYTES} MB (assumed)"
    )
    print("| | 1 M tracks | 100 M tracks |\n| --- | --- | --- |")
    counts = (1e6, 1e8)
    core_hours = [n * cpu_seconds / 3600 for n in counts]
    rows = {
        "core-hours": [f"{h:,.0f}" for h in core_hours],
        "hours on 64 cores": [f"{h / 64:,.1f}" for h in core_hours],
        "hours on 1,024 cores": [f"{h / 1024:,.1f}" for h in core_hours],
        "read": [f"{n * FILE_MEGABYTES / 1e6:,.1f} TB" for n in counts],
        "windows from decoder to model": [
            f"{n * windows * window_bytes / 1e12:,.1f} TB" for n in counts
        ],
        "results (Parquet)": [f"{n * parquet_bytes / 1e9:,.1f} GB" for n in counts],
        "databases (SQLite, with the plan)": [f"{n * store_bytes / 1e9:,.1f} GB" for n in counts],
        "hours of writing the databases": [f"{n / rows_a_second / 3600:,.1f}" for n in counts],
        "read at 1,024 cores": [f"{1024 / cpu_seconds * FILE_MEGABYTES / 1e3:,.1f} GB/s"] * 2,
    }
    for what, values in rows.items():
        print(f"| {what} | {' | '.join(values)} |")
    print(f"the databases slow down more than {rows_a_second * cpu_seconds:,.0f} cores")


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--tracks", type=int, default=48)
    p.add_argument("--seconds", type=int, default=240)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument(
        "--paper", action="store_true", help="only the computation, by the figures given"
    )
    p.add_argument(
        "--cpu-seconds",
        type=float,
        help="of a track (tests/bench/speed.py); without it as measured here",
    )
    p.add_argument("--rows-a-second", type=float)
    p.add_argument("--parquet-bytes", type=float)
    p.add_argument("--store-bytes", type=float)
    a = p.parse_args()
    if a.paper:
        paper(a.cpu_seconds, a.rows_a_second, a.parquet_bytes, a.store_bytes)
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        compare(a, Path(folder))


def compare(a: argparse.Namespace, work: Path) -> None:
    """Make the music, run both engines in turns, and print the tables."""
    music = work / "music"
    music.mkdir()
    how = synthesis.Container("libmp3lame", options=(("b", "320k"),))
    for n in range(a.tracks):
        path = music / f"{n:03d}.mp3"
        if n < _PIECES:
            synthesis.encode(path, synthesis.piece(n, a.seconds), 44_100, how)
        else:
            # Without its first frames a copy is other audio, which is not decoded once for all.
            piece = (music / f"{n % _PIECES:03d}.mp3").read_bytes()
            path.write_bytes(piece[n // _PIECES * _CUT_BYTES :])
    runs: dict[str, list[Run]] = {
        "local": [],
        "ray": [],
        "local, one track": [],
        "ray, one track": [],
    }
    for _ in range(a.repeat):
        for engine in ("local", "ray"):
            more = ("--results", str(work / "results")) if engine == "ray" else ()
            runs[engine].append(scan(engine, music, work, a.jobs, *more)[0])
            runs[f"{engine}, one track"].append(
                scan(engine, music, work, a.jobs, "--limit", "1")[0]
            )
    same = all(r.rows == runs["local"][0].rows for r in (*runs["local"], *runs["ray"]))
    print(
        f"{a.tracks} MP3s of {a.seconds} s, {a.jobs} decoders, {a.repeat} runs in turns; rows of the plans {'equal' if same else 'DIFFER'}"
    )
    print(
        "| engine | wall s (spread) | CPU s (spread) | peak memory MB |\n| --- | --- | --- | --- |"
    )
    for name, some in runs.items():
        m = median(some)
        print(
            f"| {name} | {m.wall:.1f} ({spread([r.wall for r in some])}) | {m.cpu:.1f} ({spread([r.cpu for r in some])}) | {m.memory:.0f} |"
        )
    cost = {}
    for engine in ("local", "ray"):
        whole, one = median(runs[engine]), median(runs[f"{engine}, one track"])
        cost[engine] = Run(
            (whole.wall - one.wall) / (a.tracks - 1), (whole.cpu - one.cpu) / (a.tracks - 1), 0, []
        )
    w, c = cost["ray"].wall / cost["local"].wall, cost["ray"].cpu / cost["local"].cpu
    print(
        f"a further track: ray takes {w:.2f} times the wall time and {c:.2f} times the CPU of local ({cost['local'].cpu:.2f} CPU s)\n"
    )
    rate, parquet, store = import_rate(work / "results", work)
    print(
        f"results into databases: {rate:,.0f} rows a second; {parquet:,.0f} bytes a row of Parquet, {store:,.0f} of the databases\n"
    )
    paper(a.cpu_seconds or cost["ray"].cpu, rate, parquet, store)


if __name__ == "__main__":
    main()
