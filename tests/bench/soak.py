"""Break genretag for a long time, and print what was found. Nothing must be lost.

# SIGKILL at random moments of apply and undo, files over 50 MB too
python tests/bench/soak.py kills --kills 1000
# mutated files of every container through a whole scan
python tests/bench/soak.py mutations --files 6000
# that many made-up tracks through the real store and plan
python tests/bench/soak.py rows --rows 100000
# real encoded files, real decoders, killed in the middle
python tests/bench/soak.py scan --files 5000
# made-up tracks through walk, workers, model, store and plan, killed too
python tests/bench/soak.py stubs --files 100000

scan and stubs print their progress on standard error every ten seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import mmap
import multiprocessing
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path[:0] = [
    str(Path(__file__).parents[1] / "faults"),
    str(Path(__file__).parents[1]),
    str(Path(__file__).parent),
]

from breaking import CONTAINERS, STEPS, Killer, make_library, mutated, sha
from speed import children_of, proportional_memory

from genretag import audio, tags
from genretag.audio import synthesis
from genretag.audio.synthesis import FloatArray
from genretag.decisions.plan import judge
from genretag.decisions.policy import Policy
from genretag.features import FEATURE_VERSION, LogMel
from genretag.records import Analysis, FileRow
from genretag.scan import worker
from genretag.scan.local import LocalEngine
from genretag.scan.options import Options, Progress
from genretag.scan.scanner import Scanner
from genretag.scan.worker import serve
from genretag.storage.cache import AnalysisCache


def kills(a: argparse.Namespace, folder: Path) -> int:
    """Kill apply and undo at random moments."""
    files = make_library(folder / "music", 12, big=not a.small)
    sizes = {p.name: p.stat().st_size / 1e6 for p in files}
    began = time.monotonic()
    found = Killer(files, folder / "g.db", seed=a.seed).run(a.kills)
    print(
        f"{len(files)} files in {len({p.suffix for p in files})} containers, the largest {max(sizes.values()):.1f} MB"
    )
    print("| killed at or after this step | times |\n| --- | --- |")
    for step in STEPS:
        print(f"| {step} | {found.kills[step]} |")
    print(f"| all | {sum(found.kills.values())} |")
    print(f"findings: {found.lost or 'none'}; {time.monotonic() - began:.0f} s; seed {a.seed}")
    return bool(found.lost) or any(found.kills[s] == 0 for s in STEPS)


def mutations(a: argparse.Namespace, folder: Path) -> int:
    """Scan mutated files; no file may change, and every one gets a row."""
    seeds = make_library(folder / "seeds", 3, big=False)
    rng = np.random.default_rng(a.seed)
    music = folder / "music"
    music.mkdir()
    for n in range(a.files):
        seed = seeds[n % len(seeds)]
        (music / f"{n:06d}{seed.suffix}").write_bytes(mutated(seed.read_bytes(), rng))
    before = {p: sha(p) for p in music.iterdir()}
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "genretag",
        "scan",
        str(music),
        "--dry-run",
        "--json",
        "--db",
        str(folder / "g.db"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    import json

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    reasons = Counter(
        (r["status"], "crash" if "crashed" in (r["error"] or "") else "") for r in rows
    )
    changed = sum(sha(p) != was for p, was in before.items())
    print(
        f"{len(before)} mutated files of {len(seeds)} containers in {time.monotonic() - began:.0f} s: {len(rows)} rows, {changed} changed"
    )
    print(
        {" ".join(filter(None, k)): n for k, n in reasons.items()}, "exit status", done.returncode
    )
    return changed or len(rows) != len(before) or "Traceback" in done.stderr


def rows(a: argparse.Namespace, folder: Path) -> int:
    """Store, judge and plan made-up tracks, and watch memory and the database's size."""
    from genretag.inference.model import Model

    store, metadata = AnalysisCache(folder / "g.db"), Model().metadata
    rng = np.random.default_rng(0)
    store.begin_scan(1, metadata.id, Policy().to_dict())
    peaks = []
    for start in range(0, a.rows, 1000):
        with store.transaction():
            plan = []
            for n in range(start, start + 1000):
                windows = int(rng.integers(4, 12))
                analysis = Analysis(
                    f"{n:032x}",
                    None,
                    windows * 30.0,
                    1.0,
                    np.arange(windows, dtype=np.float32) * 30,
                    rng.normal(0, 3, (windows, len(metadata.labels))).astype(np.float16),
                    np.full(windows, 5, np.float16),
                    rng.normal(size=384).astype(np.float16),
                )
                path = Path(f"/music/Artist {n // 100}/Album {n // 10}/{n:06d} Some Title.mp3")
                f = FileRow(
                    path,
                    9_000_000,
                    n,
                    n,
                    1,
                    1,
                    f"{n:064x}",
                    analysis.content_key,
                    tags.Tags([], "TCON"),
                )
                store.save_analysis(analysis, metadata.id, FEATURE_VERSION)
                store.save_file(f)
                row = judge(path, f, analysis, metadata, Policy())
                plan.append((n, path, row.action, row.to_dict()))
            store.save_plan(1, plan)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    store.finish_scan(1)
    read = sum(1 for _ in store.plan(1))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    store.close()
    size = sum(os.path.getsize(p) for p in folder.glob("g.db*"))
    print(
        f"{read:,} rows: {size / read:,.0f} bytes a row; peak memory {peaks[10]:.0f} MB after 11,000 rows, {peaks[-1]:.0f} MB at the end"
    )
    return read != a.rows or peaks[-1] - peaks[10] > 50


class ProgressLine:
    """A line on standard error every ten seconds: what is done, of how much, and since when."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._began = self._printed = time.monotonic()

    def show(self, done: int) -> None:
        """Print the line if the last one is ten seconds old."""
        now = time.monotonic()
        if now - self._printed >= 10:
            self._printed = now
            line = f"{self._what}: {done:,} of {self._total:,} files, {now - self._began:.0f} s"
            print(line, file=sys.stderr, flush=True)


@functools.cache
def long_piece(seed: int) -> FloatArray:
    """Synthesise 15 s of music [2, n]; kept, since this takes twice as long as to encode it."""
    return synthesis.piece(seed, 15)


def encode_one(job: tuple[Path, int]) -> None:
    """Encode 3 to 15 s of one of 8 pieces, distinct by where it begins."""
    path, seed = job
    path.parent.mkdir(exist_ok=True, parents=True)
    rolled = np.roll(long_piece(seed % 8), -97 * seed, axis=1)
    synthesis.encode(
        path,
        rolled[:, : (3 + seed % 13) * 44_100],
        44_100,
        tags={"title": str(seed), "artist": f"A{seed % 97}"},
    )


def real_files(folder: Path, count: int) -> int:
    """Encode ``count`` files over all containers; return how many containers."""
    jobs = [
        (folder / f"{n // 100:03d}" / f"{n:06d}{CONTAINERS[n % len(CONTAINERS)]}", n)
        for n in range(count)
    ]
    line = ProgressLine("encoding", count)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for done, _ in enumerate(pool.imap_unordered(encode_one, jobs, chunksize=20), 1):
            line.show(done)
    return len(CONTAINERS)


def stub_files(folder: Path, count: int) -> int:
    """Make ``count`` empty files for the fake decoder."""
    for n in range(count):
        path = folder / f"{n // 1000:04d}" / f"{n:07d}.mp3"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    return 1


def fake_decoder(connection: Connection, log_mel: LogMel) -> None:
    """Speak as a decode worker does, of a second of noise that the path's hash makes."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            task = connection.recv()
            key = hashlib.sha256(os.fsencode(task.path)).hexdigest()
            identity = audio.Identity(key[:32], None, f"audio:{key[:32]}", f"xxh3:{key[:32]}")
            connection.send(worker.TagsRead(tags.Tags([], "TCON")))
            if task.ask:
                connection.send(identity)
                if not connection.recv():
                    continue
            noise = (
                np.random.default_rng(int(key[:8], 16))
                .normal(size=(log_mel.front_end.n_mels, 61))
                .astype(np.float32)
            )
            connection.send(worker.WindowReady(0.0, noise))
            connection.send(worker.TrackDone(identity, 1.0, 1.0))


def cpu_seconds(root: int) -> float:
    """Return the CPU time (s) of a process, its living children and those that it waited for."""
    ticks = 0
    for pid in [root, *children_of(root)]:
        with contextlib.suppress(OSError):
            # Behind the name in parentheses: utime, stime, cutime and cstime are 12 to 15.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def cpu_per_file(samples: list[tuple[int, float]], first: float, last: float) -> float:
    """Return the CPU seconds per file between two numbers of files."""
    part = [(files, cpu) for files, cpu in samples if first <= files <= last]
    if len(part) < 2 or part[-1][0] == part[0][0]:
        return float("nan")
    return (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])


class LongRun:
    """A scan in a process of its own that is watched, and may be killed."""

    def __init__(self, music: Path, database: Path, decoder: Callable[..., None]) -> None:
        self.music, self.database, self.decoder = music, database, decoder
        self.reported = mmap.mmap(-1, 16)  # files with a row, tracks decoded
        self.memory: list[tuple[int, float]] = []  # (files, MB)
        self.cpu: list[tuple[int, float]] = []  # (files, CPU seconds of all processes so far)

    def _child(self) -> None:
        from genretag.inference.model import Model

        os.setpgid(0, 0)
        store = AnalysisCache(self.database)
        last = store.last_scan()
        scanner = Scanner(
            store,
            LocalEngine(Model(threads=2), self.decoder),
            Options((self.music,), jobs=2),
            (last.run if last else 0) + 1,
        )

        def note(progress: Progress) -> None:
            self.reported[:] = struct.pack("qq", progress.files, scanner.decoded_tracks)

        scanner.scan(note)
        self.reported[:] = struct.pack("qq", sum(scanner.counts.values()), scanner.decoded_tracks)

    @property
    def so_far(self) -> tuple[int, int]:
        """(Files with a row, tracks decoded)."""
        files, decoded = struct.unpack("qq", self.reported[:])
        return files, decoded

    def run(self, kill_at: int | None) -> float:
        """Run to the end, or until so many files were reported, then SIGKILL it; return seconds."""
        self.reported[:] = bytes(16)
        self.cpu = []
        total = sum(len(names) for _, _, names in os.walk(self.music))
        line = ProgressLine("scanning", total)
        began, child = time.monotonic(), os.fork()
        if child == 0:
            try:
                self._child()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if kill_at is not None and self.so_far[0] >= kill_at:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            self.memory.append((self.so_far[0], proportional_memory(child)))
            self.cpu.append((self.so_far[0], cpu_seconds(child)))
            line.show(self.so_far[0])
            time.sleep(0.01 if kill_at is not None else 0.5)
        return time.monotonic() - began

    def analysed(self) -> int:
        """Return the number of analyses in the cache."""
        store = AnalysisCache(self.database)
        (count,) = store._db.execute("SELECT count(*) FROM heard").fetchone()
        store.close()
        return int(count)


def long_scan(a: argparse.Namespace, folder: Path) -> int:
    """Scan many files, kill the scan in the middle, and continue.

    Memory must stay flat, and only tracks in flight may be lost.
    """
    real = a.what == "scan"
    began = time.monotonic()
    containers = (real_files if real else stub_files)(folder / "music", a.files)
    making = time.monotonic() - began
    run = LongRun(folder / "music", folder / "g.db", serve if real else fake_decoder)
    killed = run.run(kill_at=int(a.files * 0.4))
    # From 5 % on: before that the start of Python and of the model counts.
    early_cpu = cpu_per_file(run.cpu, a.files * 0.05, a.files * 0.25)
    reported, kept = run.so_far[1], run.analysed()
    seconds = run.run(kill_at=None)
    files, again = run.so_far
    early = max(m for n, m in run.memory if n <= files * 0.2)
    late = max(m for n, m in run.memory if n >= files * 0.8)
    size = sum(os.path.getsize(p) for p in folder.glob("g.db*"))
    findings = [f"{reported - kept} tracks were reported and not kept"] if kept < reported else []
    if kept + again > files + 2:
        findings.append(f"{kept + again - files} tracks were analysed twice")
    if files != a.files:
        findings.append(f"{files} rows of {a.files} files")
    if late > early * 1.15 + 20:
        findings.append("memory grows")
    late_cpu = cpu_per_file(run.cpu, a.files * 0.8, a.files)
    if late_cpu > early_cpu * 1.5 + 0.01:
        findings.append("CPU time per file grows")
    print(
        f"seconds: {making:,.0f} to make the files, {killed:,.0f} to the kill, {seconds:,.0f} after it; CPU per file {early_cpu * 1000:.0f} ms in the first quarter, {late_cpu * 1000:.0f} ms in the last fifth"
    )
    print(
        f"{a.files:,} {'real files in ' + str(containers) + ' containers' if real else 'stub tracks, fake decoder'}; killed after {reported:,}"
    )
    print(
        f"kept {kept:,}; the next scan decoded {again:,} and took {seconds:,.0f} s; {run.analysed():,} known"
    )
    print(
        f"peak memory of all processes {early:.0f} MB in the first fifth, {late:.0f} MB in the last; {size / files:,.0f} bytes a row"
    )
    print(f"findings: {findings or 'none'}")
    return bool(findings)


def main() -> int:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("what", choices=["kills", "mutations", "rows", "scan", "stubs"])
    p.add_argument("--kills", type=int, default=1000)
    p.add_argument(
        "--small", action="store_true", help="kills: without the files of more than 50 MB"
    )
    p.add_argument("--files", type=int, default=6000)
    p.add_argument("--rows", type=int, default=100_000)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        what = {
            "kills": kills,
            "mutations": mutations,
            "rows": rows,
            "scan": long_scan,
            "stubs": long_scan,
        }
        return int(what[a.what](a, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
