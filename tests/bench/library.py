"""Scan a large library of real files with the real command: time, memory, progress, rescan.

python tests/bench/library.py --files 30000                # tracks of 1.2 s, whole
python tests/bench/library.py --files 5000 --sparse        # tracks of 95 s, by pieces
python tests/bench/library.py --files 5000 --sparse --kill # SIGKILL after two fifths, and again

The files are copies of a hundred encoded MP3s in which the last bytes of the audio differ, so that
each is decoded. With --kill, a scan is killed and continued instead, and the analyses that the
second one makes are counted by triggers in the database. CPU time is that of all processes; it
shows a growing cost on a busy machine, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import re
import select
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from speed import GENRETAG, WALK, Cost, less, memory_of, row, table, timed

from genretag.audio import synthesis

SEEDS = 100  # encoded tracks, of which the others are copies
FOLDER = 100  # files
#: The bar of a scan on a terminal.
PROGRESS = re.compile(r"(\d+) of (\d+) files \(\d+%\), [^,]*, ([\d:]+|\?) left")
TICKS = os.sysconf("SC_CLK_TCK")


def make_seeds(folder: Path, seconds: float) -> list[bytes]:
    """Return encoded tracks; long ones are small, so that many fit a disk."""
    rate = 44_100 if seconds < 10 else 24_000
    how = synthesis.Container(
        "libmp3lame", rate, options=(("b", "128k" if rate > 40_000 else "32k"),)
    )
    seeds = []
    for n in range(SEEDS if seconds < 10 else SEEDS // 4):
        path = folder / f"seed {n}.mp3"
        synthesis.encode(path, synthesis.piece(n, seconds, rate).mean(0), rate, how)
        seeds.append(path.read_bytes())
        path.unlink()
    return seeds


def make_library(folder: Path, count: int, seconds: float) -> None:
    """Write tracks of which no two have the same audio."""
    folder.mkdir()
    seeds = make_seeds(folder, seconds)
    for n in range(count):
        place = folder / f"{n // FOLDER:05d}"
        place.mkdir(exist_ok=True)
        # LAME fills its last frame with bits that no decoder reads.
        (place / f"{n:07d}.mp3").write_bytes(seeds[n % len(seeds)][:-8] + n.to_bytes(8, "big"))


@dataclass(frozen=True)
class Sample:
    """A look at a running scan."""

    seconds: float  # since its start
    cpu: float  # s, of all processes
    files: int
    total: int
    left: float | None  # s, as the bar shows it
    memory: float  # MB, without files, whose pages other programs may share


def seconds_of(clock: str) -> float | None:
    """Return the seconds of a time as the bar shows it; None while it shows none."""
    if clock == "?":
        return None
    parts = [int(part) for part in clock.split(":")]
    return float(sum(part * 60**i for i, part in enumerate(reversed(parts))))


def cpu_of(root: int) -> float:
    """Return the CPU seconds of a process and all below it, ended children included."""
    total, todo = 0.0, [root]
    while todo:
        pid = todo.pop()
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            for task in os.listdir(f"/proc/{pid}/task"):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                todo += [int(child) for child in children.split()]
        except OSError:
            continue
        total += sum(int(ticks) for ticks in fields[11:15]) / TICKS
    return total


def watch(command: list[str]) -> list[Sample]:
    """Run a scan on a terminal of its own, and look at it once a second."""
    terminal, side = pty.openpty()
    termios.tcsetwinsize(side, (24, 120))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=side)
    os.close(side)
    began, samples, text = time.monotonic(), list[Sample](), ""
    due = began
    while process.poll() is None:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                text = (text + os.read(terminal, 1 << 16).decode(errors="replace"))[-2000:]
            except OSError:  # the other side is closed
                break
        if time.monotonic() >= due and (shown := PROGRESS.findall(text)):
            due = time.monotonic() + 1
            files, total, left = shown[-1]
            now = time.monotonic() - began
            used, memory = cpu_of(process.pid), memory_of(process.pid, "Pss_Anon:")
            samples.append(Sample(now, used, int(files), int(total), seconds_of(left), memory))
    status = process.wait()
    if status not in (0, 1) or not samples:
        raise RuntimeError(f"{' '.join(command)} ended with {status}:\n{text}")
    last = samples[-1]
    samples.append(Sample(time.monotonic() - began, last.cpu, last.total, last.total, 0.0, 0.0))
    return samples


def report(samples: list[Sample]) -> None:
    """Print time, memory and the shown estimate of each tenth of a scan."""
    end = samples[-1]
    table(
        "files", "wall s", "CPU s of this tenth", "s left, as shown", "s left, really", "memory MB"
    )
    before = samples[0]
    for tenth in range(1, 11):
        reached = [s for s in samples if s.files >= end.total * tenth / 10]
        at = reached[0]
        peak = max(s.memory for s in samples if before.files <= s.files <= at.files)
        shown = "-" if at.left is None else f"{at.left:,.0f}"
        cpu = "-" if tenth == 10 else f"{at.cpu - before.cpu:.1f}"
        print(
            f"| {at.files:,} | {at.seconds:,.0f} | {cpu} | {shown} |"
            f" {end.seconds - at.seconds:,.0f} | {peak:.0f} |"
        )
        before = at
    off = [
        abs(s.seconds + s.left - end.seconds) / end.seconds
        for s in samples
        if s.left is not None and s.seconds > end.seconds * 0.05
    ]
    early = max(s.memory for s in samples if s.files <= end.total * 0.2)
    late = max(s.memory for s in samples if s.files >= end.total * 0.8)
    print(
        f"\nThe shown end was off by {statistics.median(off):.0%} of the time (median after a"
        f" twentieth of it; at most {max(off):.0%}). Memory: {early:.0f} MB in the first fifth,"
        f" {late:.0f} MB in the last. {end.seconds / end.total * 1000:.1f} ms a file.\n"
    )


def rescan(folder: Path, scan: list[str], repeat: int) -> None:
    """Compare a scan of the unchanged library with a walk that looks at each file.

    With ``-q`` the scan ends there; without, it also reads the plan to sum it up.
    """
    again = [*scan, "-q"]
    single = folder / "single"
    single.mkdir()
    synthesis.encode(single / "a.mp3", synthesis.piece(0, 1.2), 44_100)
    one = [*again]
    one[one.index(str(folder / "music"))] = str(single)
    one[one.index("--db") + 1] = str(folder / "one.db")
    timed(one)
    walk, found, start, shown = list[Cost](), list[Cost](), list[Cost](), list[Cost]()
    for _ in range(repeat):
        walk.append(timed([sys.executable, "-c", WALK, str(folder / "music")]))
        found.append(timed(again, some_fail=True))
        start.append(timed(one))
        shown.append(timed(scan, some_fail=True))
    table("what", "wall s", "CPU s", "CPU, ratio to the walk", "")
    row("os.walk and os.stat", walk, walk)
    row("scan again", found, walk)
    row("start-up: a scan of one", start, walk)
    row("scan again, less start-up", less(found, start), walk)
    row("the same, with the summary of its plan", less(shown, start), walk)


#: Counts what the next scan writes to the table of analyses.
COUNTER = """
CREATE TABLE written (files INTEGER);
INSERT INTO written VALUES (0);
CREATE TRIGGER count_new AFTER INSERT ON heard BEGIN UPDATE written SET files = files + 1; END;
CREATE TRIGGER count_again AFTER UPDATE ON heard BEGIN UPDATE written SET files = files + 1; END;
"""


def one_number(database: Path, sql: str) -> int:
    """Return the number that a query gives; 0 while the table does not exist."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute(sql).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def kill_and_continue(database: Path, scan: list[str], files: int) -> None:
    """Kill a scan with SIGKILL once two fifths of the tracks are stored, and scan again."""
    analyses = "SELECT count(*) FROM heard"
    process = subprocess.Popen([*scan, "-q"], stdout=subprocess.DEVNULL)
    while not database.exists() or one_number(database, analyses) < files * 0.4:
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = one_number(database, analyses)
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.executescript(COUNTER)
    began = time.monotonic()
    done = subprocess.run([*scan, "-q", "--json"], stdout=subprocess.PIPE, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    again = one_number(database, "SELECT files FROM written")
    paths, failed = {r["path"] for r in rows}, sum(r["error"] is not None for r in rows)
    print(
        f"Killed after {kept:,} analyses were stored; the next scan made {again:,} in"
        f" {time.monotonic() - began:,.0f} s: {kept + again - files:,} more than there are files."
        f" {len(rows):,} rows of {len(paths):,} files, {failed} of them failed."
    )


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--files", type=int, default=30_000)
    p.add_argument("--sparse", action="store_true", help="tracks of 95 s, by pieces")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--repeat", type=int, default=7, help="rescans")
    p.add_argument("--kill", action="store_true", help="kill the scan, and continue it")
    a = p.parse_args()
    windows, seconds = ("sparse", 95.0) if a.sparse else ("all", 1.2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_library(folder / "music", a.files, seconds)
        options = [
            "--dry-run",
            "--windows",
            windows,
            "-j",
            str(a.jobs),
            "--db",
            str(folder / "g.db"),
        ]
        command = [*GENRETAG, "scan", str(folder / "music"), *options]
        print(f"{a.files:,} MP3s of {seconds} s, --windows {windows}, {a.jobs} workers\n")
        if a.kill:
            kill_and_continue(folder / "g.db", command, a.files)
            return
        report(watch(command))
        rescan(folder, command, a.repeat)
        size = sum(os.path.getsize(path) for path in folder.glob("g.*"))
        print(f"\n{size / a.files:,.0f} bytes a file in the databases.")


if __name__ == "__main__":
    main()
