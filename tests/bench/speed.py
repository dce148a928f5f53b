"""How fast genretag is: ratios to decoding alone in the same run, memory, rescans, writes, and its
peers.

    python tests/bench/speed.py all                   # all of the following, and the engines where
    Ray is installed: about an hour
    python tests/bench/speed.py whole                 # twelve MP3s of 240 s, both ways of --windows
    python tests/bench/speed.py sparse                # --windows sparse by container, bytes read too; --only .wv: of others
    python tests/bench/speed.py agreement --music DIR # how often pieces decide otherwise
    python tests/bench/speed.py songs --music DIR     # 200 whole songs, both ways of --windows
    python tests/bench/speed.py containers            # the same ratio for each container
    python tests/bench/speed.py peers                 # the same files by a tutorial's code, and by
    Essentia where it is installed
    python tests/bench/speed.py rescan --files 100000 # nothing changed
    python tests/bench/speed.py apply                 # one file at a time, and several; --sync-ms 20: where each sync takes so long (FUSE)
    python tests/bench/speed.py scaling               # 100, 1,000 and 10,000 files
    python tests/bench/speed.py copies                # six copies of one track
    python tests/bench/speed.py memory                # what a further worker adds
    python tests/bench/speed.py start                 # --help, and the first result

Each figure is a median of ``--repeat`` runs with the lowest and the highest; what is compared is
measured in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from genretag.audio import synthesis

GENRETAG = [sys.executable, "-m", "genretag"]

DECODE = """
import sys, av
for path in sys.argv[1:]:
    with av.open(path) as c:
        s = c.streams.audio[0]
        s.codec_context.thread_count = 1
        for frame in c.decode(s): pass
"""

WALK = """
import os, sys
for folder, _, files in os.walk(sys.argv[1]):
    for name in files: os.stat(os.path.join(folder, name))
"""

TUTORIAL = """
import sys, librosa, numpy as np, onnxruntime
from genretag.inference.model import bundled_model
session = onnxruntime.InferenceSession(str(bundled_model()), providers=["CPUExecutionProvider"])
for path in sys.argv[1:]:
    y, sr = librosa.load(path, sr=16000)
    output = []
    for start in range(0, len(y) - 29 * sr, 30 * sr):
        mel = librosa.feature.melspectrogram(y=y[start:start + 30 * sr], sr=sr, n_fft=512, hop_length=256, n_mels=80)
        x = librosa.power_to_db(mel).astype(np.float32)
        output.append(session.run(["logits"], {"log_mel": x[None, :, :1872]})[0])
    np.mean(output, axis=0).argmax()
"""

CLASSIC = """
import sys, librosa
for path in sys.argv[1:]:
    y, sr = librosa.load(path, sr=22050)
    for start in range(0, len(y) - 29 * sr, 30 * sr):
        librosa.power_to_db(librosa.feature.melspectrogram(y=y[start:start + 675840], sr=sr, n_fft=2048, hop_length=1024, n_mels=128))
"""

ESSENTIA = """
import sys, essentia
essentia.log.infoActive = essentia.log.warningActive = False
import essentia.standard as es
mel = es.TensorflowInputMusiCNN()
for path in sys.argv[1:]:
    y = es.MonoLoader(filename=path, sampleRate=16000, resampleQuality=4)()
    for frame in es.FrameGenerator(y, frameSize=512, hopSize=256, startFromZero=True): mel(frame)
"""


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall: float  # s
    cpu: float  # s
    memory: float = 0.0  # MB, at its highest, shared pages counted once
    anonymous: float = 0.0  # MB of it that no file holds; other programs cannot share these pages


class Meter:
    """The CPU time of all processes that this one starts from now on, and of their descendants.

    Those that outlive their parents count as well.
    """

    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
        self._older, self._before = self._children(), self._used()

    @staticmethod
    def _children() -> set[int]:
        return {
            int(pid)
            for task in Path("/proc/self/task").iterdir()
            for pid in (task / "children").read_text().split()
        }

    @staticmethod
    def _used() -> float:
        r = resource.getrusage(resource.RUSAGE_CHILDREN)
        return r.ru_utime + r.ru_stime

    def cpu(self) -> float:
        """Return the CPU seconds of it, once all of it has ended."""
        for pid in self._children() - self._older:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return self._used() - self._before


def proportional_memory(root: int) -> float:
    """Return the memory (MB, shared pages counted once) of a process and all below it."""
    return memory_of(root, "Pss:")


def memory_of(root: int, kind: str) -> float:
    """Return a kind of memory (MB, by its name in smaps_rollup) of a process and all below it."""
    total = 0.0
    for pid in [root, *children_of(root)]:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024
        except OSError:
            continue
    return total


def children_of(root: int) -> list[int]:
    """Return the ids of the processes below a process."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            todo += [
                int(c)
                for t in os.listdir(f"/proc/{pid}/task")
                for c in Path(f"/proc/{pid}/task/{t}/children").read_text().split()
            ]
        found.append(pid)
    return found[1:]


class Watch(threading.Thread):
    """Looks at the memory of a process and all below it, ten times a second; ``peak`` and
    ``anonymous``: the most (MB) that it saw, in all and without the pages of files.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._ended, self.peak, self.anonymous = pid, threading.Event(), 0.0, 0.0

    def run(self) -> None:
        """Look until it is over."""
        while not self._ended.wait(0.1):
            self.peak = max(self.peak, proportional_memory(self._pid))
            self.anonymous = max(self.anonymous, memory_of(self._pid, "Pss_Anon:"))

    def end(self) -> tuple[float, float]:
        """Stop looking, and return both peaks."""
        self._ended.set()
        self.join()
        return self.peak, self.anonymous


def timed(command: list[str], *, memory: bool = False, some_fail: bool = False) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed, and its figures are of nothing (``some_fail``: it may say that a file failed).
    """
    with tempfile.TemporaryFile() as complaints:
        meter, began = Meter(), time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=complaints)
        watch = Watch(process.pid)
        if memory:
            watch.start()
        process.wait()
        wall = time.monotonic() - began
        peaks = watch.end() if memory else (0.0, 0.0)
        complaints.seek(0)
        output = complaints.read().decode(errors="replace")
    if process.returncode != 0 and not (
        some_fail and process.returncode == 1 and "Traceback" not in output
    ):
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return Cost(wall, meter.cpu(), *peaks)


def by(code: str, files: list[Path], jobs: int) -> Cost:
    """Run a small program over files in ``jobs`` processes."""
    meter, began = Meter(), time.monotonic()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, files[j::jobs])], stderr=subprocess.DEVNULL
        )
        for j in range(jobs)
    ]
    assert all(process.wait() == 0 for process in running)
    return Cost(time.monotonic() - began, meter.cpu())


def spread(values: list[float], digits: int = 2) -> str:
    """Return a median with the lowest and the highest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(*columns: str) -> None:
    """Print a table's head."""
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")


def row(name: str, costs: list[Cost], base: list[Cost], more: str = "") -> None:
    """Print a row: wall, CPU, and the ratio of CPU to that of ``base``, each measured in the same
    turn.
    """
    ratios = [c.cpu / b.cpu for c, b in zip(costs, base, strict=True)]
    print(
        f"| {name} | {spread([c.wall for c in costs])} | {spread([c.cpu for c in costs])} | {spread(ratios)} | {more} |"
    )


def less(costs: list[Cost], start: list[Cost]) -> list[Cost]:
    """Return what is left of costs without the start-up that was measured in the same turn."""
    return [Cost(c.wall - s.wall, c.cpu - s.cpu) for c, s in zip(costs, start, strict=True)]


def busy(costs: list[Cost], cores: int) -> str:
    """Return for how much of the time so many cores were busy."""
    return f"cores busy {spread([c.cpu / c.wall / cores * 100 for c in costs], 0)} %"


def music(folder: Path, tracks: int, seconds: int, extension: str = ".mp3") -> list[Path]:
    """Encode tracks; MP3s with 320 kb/s."""
    folder.mkdir()
    files = [folder / f"{n:02d}{extension}" for n in range(tracks)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(encode, files, range(tracks), [seconds] * tracks))
    return files


def encode(path: Path, seed: int, seconds: int) -> None:
    """Encode a made-up piece."""
    how = (
        synthesis.Container("libmp3lame", options=(("b", "320k"),))
        if path.suffix == ".mp3"
        else None
    )
    synthesis.encode(path, synthesis.piece(seed, seconds), 44_100, how)


def scan_of(place: Path, folder: Path, jobs: int, *more: str) -> list[str]:
    """Return the command of a scan with a database of its own."""
    for old in folder.glob("g*.db*"):
        old.unlink()
    return [
        *GENRETAG,
        "scan",
        str(place),
        "--dry-run",
        "-q",
        "-j",
        str(jobs),
        "--db",
        str(folder / "g.db"),
        *more,
    ]


def whole(a: argparse.Namespace, folder: Path) -> None:
    """A library of whole tracks: decoding alone, a scan, a sparse scan."""
    files = music(folder / "music", a.tracks, a.seconds)
    single = folder / "single"
    single.mkdir()
    synthesis.encode(single / "a.wav", synthesis.piece(0, 1.5), 44_100)
    decode, full, some, start = [], [], [], []
    for _ in range(a.repeat):
        decode.append(by(DECODE, files, a.jobs))
        full.append(timed(scan_of(folder / "music", folder, a.jobs), memory=True))
        some.append(timed(scan_of(folder / "music", folder, a.jobs, "--windows", "sparse")))
        start.append(timed(scan_of(single, folder, a.jobs)))
    print(f"{a.tracks} MP3s of {a.seconds} s, {a.jobs} workers\n")
    table("what", "wall s", "CPU s", "CPU, ratio to decoding alone", "")
    row("decoding alone", decode, decode)
    row("scan, with start-up", full, decode, busy(full, a.jobs))
    row("start-up: a scan of 1.5 s", start, decode)
    rest = less(full, start)
    row("scan, less start-up", rest, decode, busy(rest, a.jobs))
    row("scan --windows sparse, with start-up", some, decode)
    row("scan --windows sparse, less start-up", less(some, start), decode)
    print(f"\nPeak memory of the scan, all processes: {spread([c.memory for c in full], 0)} MB.")


def containers(a: argparse.Namespace, folder: Path) -> None:
    """The ratio to decoding alone, container by container."""
    single = folder / "single"
    single.mkdir()
    synthesis.encode(single / "a.wav", synthesis.piece(0, 1.5), 44_100)
    print(f"4 files of {a.seconds} s of each, {a.jobs} workers; start-up taken off\n")
    table("container", "wall s", "CPU s", "CPU, ratio to decoding alone", "")
    for extension in synthesis.CONTAINERS:
        place = folder / extension[1:]
        files = music(place, 4, a.seconds, extension)
        decode, full, start = [], [], []
        for _ in range(a.repeat):
            decode.append(by(DECODE, files, a.jobs))
            start.append(timed(scan_of(single, folder, a.jobs)))
            full.append(timed(scan_of(place, folder, a.jobs)))
        row(extension, less(full, start), decode)
        shutil.rmtree(place)


SONGS = 200
#: Containers of the targets, and the ratio to decoding alone that a sparse scan may have.
TARGETS = {".mp3": 0.45, ".m4a": 0.45, ".ogg": 0.45, ".flac": 0.50, ".opus": 0.35}


def sparse(a: argparse.Namespace, folder: Path) -> None:
    """Sparse and full scans against decoding alone, container by container, start-up taken off."""
    # As many short files as workers: each worker that starts imports the decoder.
    short = folder / "short"
    short.mkdir()
    for n in range(min(a.jobs, 4)):
        synthesis.encode(short / f"{n}.wav", synthesis.piece(n, 1.5), 44_100)
    print(f"4 files of {a.seconds} s of each, {a.jobs} workers; user and system time\n")
    table(
        "container", "decoding alone, CPU s", "all, ratio", "sparse, ratio", "target", "bytes read"
    )
    for extension in a.only or TARGETS:
        place = folder / extension[1:]
        files = music(place, 4, a.seconds, extension)
        ratios: dict[str, list[float]] = {"all": [], "sparse": []}
        alone: list[float] = []
        for _ in range(a.repeat):
            alone.append(by(DECODE, files, a.jobs).cpu)
            start = timed(scan_of(short, folder, a.jobs)).cpu
            for windows, found in ratios.items():
                cost = timed(scan_of(place, folder, a.jobs, "--windows", windows)).cpu
                found.append((cost - start) / alone[-1])
        read = bytes_read(files) / sum(f.stat().st_size for f in files)
        target = f"{TARGETS[extension]:.2f}" if extension in TARGETS else "-"
        print(
            f"| {extension} | {spread(alone)} | {spread(ratios['all'])} | {spread(ratios['sparse'])} |"
            f" {target} | {read:.0%} |",
            flush=True,
        )
        shutil.rmtree(place)


def bytes_read(files: list[Path]) -> int:
    """Return how many bytes of files a sparse analysis reads, where six pieces suffice."""
    from genretag import audio
    from genretag.scan.sparse import places

    before = _read_so_far()
    for path in files:
        audio.quick_identity(path)
        for _ in audio.read_pieces(path, 16_000, lambda s: places(s)[0], audio.DecodeLog()):
            pass
    return _read_so_far() - before


def _read_so_far() -> int:
    """Return the bytes that this process has read, from the cache of the system too."""
    return int(Path("/proc/self/io").read_text().split()[1])


def agreement(a: argparse.Namespace, folder: Path) -> None:
    """How often a sparse scan of whole songs decides otherwise than a full one."""
    rows = {}
    for windows in ("all", "sparse"):
        command = scan_of(a.music, folder, a.jobs, "--windows", windows, "--json")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        rows[windows] = {r["path"]: r for r in found if r["error"] is None}
    pairs = [(full, rows["sparse"][path]) for path, full in rows["all"].items()]
    pairs = [(full, some) for full, some in pairs if some["piece"]]
    written = [(full, some) for full, some in pairs if full["status"] == "ok"]
    best = [(next(iter(x["scores"])), next(iter(y["scores"]))) for x, y in written]
    changed = sum(x != y for x, y in best)
    decided = Counter((x["status"], y["status"]) for x, y in pairs if x["status"] != y["status"])
    pieces = [some["windows"] for _, some in pairs]
    print(
        f"{len(pairs)} tracks judged by pieces, {sum(f['seconds'] for f, _ in pairs) / 3600:.1f} h"
    )
    print(
        f"six pieces sufficed for {sum(p <= 6 for p in pieces)}; mean {statistics.mean(pieces):.1f}"
    )
    print(f"genre changed among {len(written)} written ones: {changed}")
    changes = ", ".join(f"{full} to {some} {n}" for (full, some), n in decided.items())
    share = decided.total() / len(pairs)
    print(f"decision changed: {decided.total()} ({share:.1%}; {changes or 'none'})")
    off = [y["confidence"] - x["confidence"] for x, y in pairs]
    print(f"confidence of pieces less that of the whole: {statistics.mean(off):+.3f} on average")


def peers(a: argparse.Namespace, folder: Path) -> None:
    """The same files by others' means."""
    files = music(folder / "music", a.tracks, a.seconds)
    ways: dict[str, Callable[[], Cost]] = {
        "decoding alone (PyAV)": lambda: by(DECODE, files, a.jobs),
        "genretag scan": lambda: timed(scan_of(folder / "music", folder, a.jobs)),
        "a tutorial: librosa.load, librosa's mel, the same network": lambda: by(
            TUTORIAL, files, a.jobs
        ),
        "librosa.load and the classic 128 x 660 mel, no network": lambda: by(
            CLASSIC, files, a.jobs
        ),
    }
    if importlib.util.find_spec("essentia"):
        ways["Essentia: MonoLoader and TensorflowInputMusiCNN, no network"] = lambda: by(
            ESSENTIA, files, a.jobs
        )
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(a.repeat):
        for name, way in ways.items():
            costs[name].append(way())
    base = next(iter(costs.values()))
    print(f"{a.tracks} MP3s of {a.seconds} s, {a.jobs} processes, start-up of each with it\n")
    table("what", "wall s", "CPU s", "CPU, ratio to decoding alone", "")
    for name, found in costs.items():
        row(name, found, base)


def rescan(a: argparse.Namespace, folder: Path) -> None:
    """Nothing changed: a scan against a walk with stat."""
    from soak import LongRun, fake_decoder, stub_files  # it takes from here in its turn

    stub_files(folder / "music", a.files)
    LongRun(folder / "music", folder / "g.db", fake_decoder).run(None)
    again = [
        *GENRETAG,
        "scan",
        str(folder / "music"),
        "--dry-run",
        "-q",
        "--db",
        str(folder / "g.db"),
    ]
    one = [
        *GENRETAG,
        "scan",
        str(folder / "music" / "0000" / "0000000.mp3"),
        "--dry-run",
        "-q",
        "--db",
        str(folder / "h.db"),
    ]
    shown_again, shown_one = ([o for o in command if o != "-q"] for command in (again, one))
    timed(again)  # the plan that stands is one that was made with the options of the command
    timed(shown_again)  # sums up the plan once
    for _ in range(2):
        timed(one, some_fail=True)  # it is really analysed, and holds no music
    walk, found, start, shown, shown_start = [], [], [], [], []
    for _ in range(a.repeat):
        walk.append(timed([sys.executable, "-c", WALK, str(folder / "music")]))
        found.append(timed(again))
        start.append(timed(one, some_fail=True))
        shown.append(timed(shown_again))
        shown_start.append(timed(shown_one, some_fail=True))
    print(f"{a.files:,} files, nothing changed\n")
    table("what", "wall s", "CPU s", "CPU, ratio to the walk", "")
    row("os.walk and os.stat", walk, walk)
    row("scan again", found, walk)
    row("start-up: a scan of one", start, walk)
    row("scan again, less start-up", less(found, start), walk)
    row("scan again without -q, with the totals of its plan", shown, walk)
    row("start-up: a scan of one without -q", shown_start, walk)
    row("scan again without -q, less start-up", less(shown, shown_start), walk)


def apply(a: argparse.Namespace, folder: Path) -> None:
    """Write a plan one file at a time, and several; against reading and writing the files once."""
    if not a.sync_ms:
        _apply(a, folder, music(folder / "music", a.tracks, a.seconds))
        return
    sys.path.append(str(Path(__file__).parents[1] / "faults"))
    from mounting import mounted

    with mounted(folder, "--sync-ms", str(a.sync_ms)) as disk:
        _apply(a, folder, music(disk.root / "music", a.tracks, a.seconds))


def _apply(a: argparse.Namespace, folder: Path, files: list[Path]) -> None:
    place = files[0].parent
    timed([*GENRETAG, "scan", str(place), "--dry-run", "-q", "--db", f"{folder}/g.db"])
    costs: dict[int, list[Cost]] = {j: [] for j in (1, 2, 4)}
    copies = []
    for _ in range(a.repeat):
        began = time.monotonic()
        for path in files:
            shutil.copyfile(path, place.parent / "copy")
            handle = os.open(place.parent / "copy", os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        copies.append(time.monotonic() - began)
        for jobs, found in costs.items():
            found.append(
                timed(
                    [
                        *GENRETAG,
                        "apply",
                        "--yes",
                        "-q",
                        "--min-confidence",
                        "0",
                        "-f",
                        "-j",
                        str(jobs),
                        "--db",
                        f"{folder}/g.db",
                    ]
                )
            )
            timed([*GENRETAG, "undo", "--yes", "--db", f"{folder}/g.db"])
    size = sum(p.stat().st_size for p in files) / 1e6
    print(
        f"{a.tracks} MP3s, {size:,.0f} MB in all; copying them, each synced: {spread(copies)} s\n"
    )
    table("files at once", "wall s", "CPU s")
    for jobs, found in costs.items():
        print(f"| {jobs} | {spread([c.wall for c in found])} | {spread([c.cpu for c in found])} |")


def scaling(a: argparse.Namespace, folder: Path) -> None:
    """Many short real files of all containers."""
    from soak import real_files

    table("files", "wall s", "ms a file, wall", "peak memory MB")
    for count in (100, 1_000, 10_000):
        real_files(folder / "music", count)
        cost = timed(scan_of(folder / "music", folder, a.jobs), memory=True)
        print(
            f"| {count:,} | {cost.wall:.1f} | {cost.wall / count * 1000:.1f} | {cost.memory:.0f} |",
            flush=True,
        )


def copies(a: argparse.Namespace, folder: Path) -> None:
    """One track, and six copies of it."""
    (track,) = music(folder / "one", 1, a.seconds)
    (folder / "six").mkdir()
    for n in range(6):
        shutil.copyfile(track, folder / "six" / f"{n}.mp3")
    costs: dict[str, list[Cost]] = {"one": [], "six": []}
    for _ in range(a.repeat):
        for name, found in costs.items():
            found.append(timed(scan_of(folder / name, folder, a.jobs)))
    table("files", "wall s", "CPU s", "CPU, ratio to one file", "")
    row("one track", costs["one"], costs["one"])
    row("six copies of it", costs["six"], costs["one"])


def memory(a: argparse.Namespace, folder: Path) -> None:
    """The peak of all processes, by the number of workers."""
    music(folder / "music", a.tracks, a.seconds)
    table("workers", "peak MB, --windows all", "anonymous", "--windows sparse", "anonymous")
    for jobs in (1, 2, 4):
        costs: dict[str, list[Cost]] = {"all": [], "sparse": []}
        for _ in range(a.repeat):
            for windows, found in costs.items():
                command = scan_of(folder / "music", folder, jobs, "--windows", windows)
                found.append(timed(command, memory=True))
        cells = [
            spread([getattr(c, kind) for c in found], 0)
            for found in costs.values()
            for kind in ("memory", "anonymous")
        ]
        print(f"| {jobs} | {' | '.join(cells)} |", flush=True)


def long_tracks(folder: Path) -> dict[Path, float]:
    """Return the tracks below a folder that pieces can decide, with their lengths in s."""
    from genretag.audio import DecodeLog, NoPieces, read_pieces
    from genretag.errors import TrackError
    from genretag.scan.sparse import WHOLE_SECONDS

    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        log = DecodeLog()
        with contextlib.suppress(TrackError, NoPieces):
            list(read_pieces(path, 16_000, lambda _: (), log))
        if log.seconds > WHOLE_SECONDS:
            found[path] = log.seconds
    return found


def songs(a: argparse.Namespace, folder: Path) -> None:
    """Whole songs: a sparse scan against a full one, start-up taken off."""
    short = folder / "short"
    short.mkdir()
    for n in range(a.jobs):
        synthesis.encode(short / f"{n}.wav", synthesis.piece(n, 1.5), 44_100)
    place, tracks = folder / "songs", dict(list(long_tracks(a.music).items())[:SONGS])
    place.mkdir()
    for n, path in enumerate(tracks):
        (place / f"{n:03d}{path.suffix}").symlink_to(path.absolute())
    costs: dict[str, list[Cost]] = {"all": [], "sparse": []}
    start: list[Cost] = []
    for _ in range(a.repeat):
        start.append(timed(scan_of(short, folder, a.jobs)))
        for windows, found in costs.items():
            command = scan_of(place, folder, a.jobs, "--windows", windows)
            found.append(timed(command, some_fail=True))
    print(f"{len(tracks)} songs, {sum(tracks.values()) / 3600:.1f} h, {a.jobs} workers\n")
    rest = {windows: less(found, start) for windows, found in costs.items()}
    table("what", "wall s", "CPU s", "CPU, ratio to the full scan", "wall, times faster")
    row("start-up: a scan of short files", start, rest["all"])
    for windows, found in rest.items():
        faster = [full.wall / some.wall for full, some in zip(rest["all"], found, strict=True)]
        row(f"--windows {windows}, less start-up", found, rest["all"], spread(faster))


def start(a: argparse.Namespace, folder: Path) -> None:
    """How long a person waits, and what the first start of all costs more than later ones."""
    music(folder / "music", 1, a.seconds)
    helps = [timed([*GENRETAG, "--help"]).wall for _ in range(a.repeat)]
    first = [timed(scan_of(folder / "music", folder, a.jobs)).wall for _ in range(a.repeat)]
    print(
        f"genretag --help: {spread(helps)} s; a scan of one track of {a.seconds} s, to its end: {spread(first)} s"
    )
    ratios = [empty.cpu / used.cpu for empty, used in _first_starts(a, folder)]
    print(f"with empty folders of its own, against later, CPU: {spread(ratios)}")


def _first_starts(a: argparse.Namespace, folder: Path) -> Iterator[tuple[Cost, Cost]]:
    """Yield what a scan costs with empty folders for configuration, cache and data, and later."""
    command = [*GENRETAG, "scan", str(folder / "music"), "--dry-run", "-q", "--rescan"]
    for n in range(a.repeat):
        home = folder / f"home{n}"
        for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
            os.environ[f"XDG_{kind}_HOME"] = str(home / kind)
        yield timed(command), timed(command)


WHAT = {
    "whole": whole,
    "sparse": sparse,
    "containers": containers,
    "peers": peers,
    "rescan": rescan,
    "apply": apply,
    "scaling": scaling,
    "copies": copies,
    "memory": memory,
    "start": start,
}


def everything(a: argparse.Namespace, folder: Path) -> None:
    """Print every table, one after another."""
    for name, what in WHAT.items():
        print(f"\n## {name}\n", flush=True)
        (folder / name).mkdir()
        what(a, folder / name)
    if importlib.util.find_spec("ray"):
        print("\n## engines\n", flush=True)
        subprocess.run(
            [sys.executable, Path(__file__).with_name("engines.py"), "--repeat", str(a.repeat)],
            check=True,
        )


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    of_music = {"agreement": agreement, "songs": songs}
    p.add_argument("what", nargs="?", default="whole", choices=[*WHAT, *of_music, "all"])
    p.add_argument("--tracks", type=int, default=12)
    p.add_argument("--seconds", type=int, default=240)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--repeat", type=int, default=5)
    p.add_argument("--files", type=int, default=100_000)
    p.add_argument("--music", type=Path, help="whole songs, for agreement and songs")
    p.add_argument("--only", nargs="+", metavar=".EXT", help="sparse: these containers")
    p.add_argument("--sync-ms", type=float, default=0.0)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        {**WHAT, "all": everything, **of_music}[a.what](a, Path(folder))


if __name__ == "__main__":
    main()
