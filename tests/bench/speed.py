"""How fast a scan is, as ratios to decoding alone in the same run, and how much memory it takes.

python tests/bench/speed.py [--tracks 12] [--seconds 240] [--jobs 2]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from genretag import demo

DECODE = """
import sys, av
for path in sys.argv[1:]:
    with av.open(path) as c:
        s = c.streams.audio[0]
        s.codec_context.thread_count = 1
        for frame in c.decode(s): pass
"""


def children_cpu() -> float:
    """Return the CPU seconds of all children that have ended."""
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def proportional_memory(root: int) -> float:
    """Return the memory (MB, shared pages counted once) of a process and all below it."""
    total, todo = 0.0, [root]
    while todo:
        pid = todo.pop()
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
            todo += [int(c) for t in os.listdir(f"/proc/{pid}/task") for c in Path(f"/proc/{pid}/task/{t}/children").read_text().split()]
        except OSError:
            continue
    return total


def timed(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return (wall s, CPU s, peak memory MB)."""
    cpu, began, peak = children_cpu(), time.monotonic(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.1):
            peak = max(peak, proportional_memory(process.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    process.wait()
    ended.set()
    thread.join()
    return time.monotonic() - began, children_cpu() - cpu, peak


def decoded(files: list[Path], jobs: int) -> tuple[float, float]:
    """Decode files in ``jobs`` processes; return (wall s, CPU s)."""
    cpu, began = children_cpu(), time.monotonic()
    running = [subprocess.Popen([sys.executable, "-c", DECODE, *map(str, files[j::jobs])]) for j in range(jobs)]
    for process in running:
        process.wait()
    return time.monotonic() - began, children_cpu() - cpu


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tracks", type=int, default=12)
    p.add_argument("--seconds", type=int, default=240)
    p.add_argument("--jobs", type=int, default=2)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        music = Path(folder) / "music"
        music.mkdir()
        files = [music / f"{n:02d}.mp3" for n in range(a.tracks)]
        how = demo.Container("libmp3lame", options=(("b", "320k"),))
        for n, path in enumerate(files):
            demo.encode(path, demo.piece(n, a.seconds), 44_100, how)
        wall, cpu = decoded(files, a.jobs)
        scan = [sys.executable, "-m", "genretag", "scan", str(music), "--dry-run", "-j", str(a.jobs), "--db", f"{folder}/g.db"]
        scan_wall, scan_cpu, peak = timed(scan)
        start_wall, start_cpu, _ = timed([*scan[:4], str(files[0]), *scan[5:], "--limit", "1"])
        again_wall, again_cpu, _ = timed(scan)
    print(f"{a.tracks} MP3s of {a.seconds} s, {a.jobs} workers")
    print("| what | wall s | CPU s | CPU, ratio to decoding alone |\n| --- | --- | --- | --- |")
    print(f"| decoding alone | {wall:.2f} | {cpu:.2f} | 1 |")
    print(f"| scan, with start-up | {scan_wall:.2f} | {scan_cpu:.2f} | {scan_cpu / cpu:.2f} |")
    print(f"| scan of one that is known (start-up) | {start_wall:.2f} | {start_cpu:.2f} | {start_cpu / cpu:.2f} |")
    print(f"| scan, less start-up | | {scan_cpu - start_cpu:.2f} | {(scan_cpu - start_cpu) / cpu:.2f} |")
    print(f"| scan again, nothing changed | {again_wall:.2f} | {again_cpu:.2f} | {again_cpu / cpu:.2f} |")
    print(f"{a.tracks / scan_wall * 60:.0f} tracks a minute; peak memory {peak:.0f} MB over all processes (proportional set size)")


if __name__ == "__main__":
    main()
