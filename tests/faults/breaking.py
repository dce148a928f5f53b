"""Ways to break genretag, for the fault tests and the soak: kills at random moments, and mutated
files.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genretag import audio, tags
from genretag.audio import synthesis
from genretag.cli.options import ApprovalOptions
from genretag.cli.output import OutputMode
from genretag.cli.writes import write_plan
from genretag.decisions.rows import Row
from genretag.writing import steps, target
from genretag.writing.copying import TEMP_MARK
from genretag.writing.session import open_databases, writing

STEPS = (
    "intended",
    "copied",
    "tagged",
    "verified",
    "synced",
    "ready",
    "exchanged",
    "replaced",
    "marked",
    "aimed",
    "rebuilt",
    "put back",
)
CONTAINERS = [e for e in synthesis.CONTAINERS if e != ".mka"]


def sha(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def make_library(folder: Path, seconds: float, big: bool) -> list[Path]:
    """Make a small file in every container, and where ``big`` one of more than 50 MB too."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for extension in CONTAINERS:
        path = folder / f"small{extension}"
        synthesis.encode(
            path, synthesis.piece(len(made), seconds), 44_100, tags={"title": "T", "artist": "A"}
        )
        made.append(path)
        if big:
            made.append(_big(folder / f"big{extension}"))
    return made


def _big(path: Path) -> Path:
    """Encode noise at a high rate until the file has more than 50 MB."""
    how = synthesis.CONTAINERS[path.suffix]
    lossy = path.suffix in (".mp3", ".ogg", ".opus", ".m4a", ".wma")
    minutes = 28 if lossy else 6
    noise = np.tile(
        np.random.default_rng(0).normal(0, 0.25, (2, 60 * 44_100)).astype(np.float32), minutes
    )
    options = (*how.options, ("b", "320k")) if lossy else how.options
    synthesis.encode(
        path,
        noise,
        44_100,
        synthesis.Container(how.encoder, how.rate, how.format, options, how.sample_format),
        tags={"title": "B"},
    )
    assert path.stat().st_size > 50_000_000, (path, path.stat().st_size)
    return path


def rows_for(files: list[Path]) -> list[Row]:
    """Return a plan that writes a genre into every file."""
    rows = []
    for path in files:
        identity, s = audio.identify(path), path.stat()
        rows.append(
            Row(
                path=str(path),
                status="ok",
                genre="Jazz",
                confidence=0.9,
                scores={},
                windows=1,
                agreement=1.0,
                old=[],
                new=["Jazz"],
                action="write",
                reason="",
                file=str(path),
                size=s.st_size,
                mtime_ns=s.st_mtime_ns,
                file_check=audio.file_check(path),
                content_key=identity.key,
            )
        )
    return rows


@dataclass
class Findings:
    """What a round of kills came to."""

    kills: Counter[str] = field(default_factory=Counter)  # by step
    missed: int = 0  # the program was done before it was hit
    lost: list[str] = field(default_factory=list)  # what must stay empty


class Killer:
    """Applies a plan in a child process, over and over, and kills it at random moments."""

    def __init__(self, files: list[Path], database: Path, seed: int, jobs: int = 3) -> None:
        self.files, self.database, self.jobs = files, database, jobs
        self.rng = np.random.default_rng(seed)
        self.rows = rows_for(files)
        self.before = {p: sha(p) for p in files}
        self.keys = {p: audio.identify(p).content_key for p in files}
        self.shared = mmap.mmap(-1, 64)
        self.found = Findings()
        self.span = 1.0  # s, of what is left to do: the moment of the kill is drawn from it

    def _child(self, undo: bool) -> None:
        """Run in the child: note each step where the parent can see it."""

        def note(name: str) -> None:
            self.shared[0] = STEPS.index(name) + 1 if name in STEPS else self.shared[0]

        steps.hook = note
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with open_databases(self.database) as databases:
            if undo:
                from genretag.writing.apply import undo_runs

                changes = list(databases.journal.changes(states=("replaced",)))
                self.rng.shuffle(changes)  # type: ignore[arg-type]
                with writing(databases):
                    undo_runs(
                        databases.store,
                        databases.journal,
                        databases.journal.begin("undo", "0", {}),
                        changes,
                        lambda _: None,
                    )
            else:
                todo = [
                    (None, row)
                    for row in self.rows
                    if Path(row.path).stat().st_mtime_ns == row.mtime_ns
                ]
                write_plan(
                    databases,
                    None,
                    todo,
                    target.WriteOptions(),
                    ApprovalOptions(yes=True),
                    OutputMode(quiet=True),
                    self.jobs,
                )

    def _start(self, undo: bool) -> int:
        """Start a child and return its process id."""
        child = os.fork()
        if child == 0:
            status = 3
            try:
                self._child(undo)
                status = 0
            finally:
                os._exit(status)
        return child

    def once(self, undo: bool) -> bool:
        """Run a child and kill it somewhere; return whether it came to its end before."""
        self.shared[0] = 0
        self.rng.shuffle(self.rows)  # type: ignore[arg-type]  # else the first big file would take all the kills
        child = self._start(undo)
        while self.shared[0] == 0 and (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
            time.sleep(0.0005)
        assert self.shared[0] or os.waitstatus_to_exitcode(done[1]) != 3, (
            "the child failed by itself"
        )
        if self.shared[0] == 0:
            return True
        if self.rng.random() < 0.5:
            time.sleep(float(self.rng.exponential(self.span)))
        else:  # wait for one step, that short ones are hit too
            wanted, deadline = (
                int(self.rng.integers(1, len(STEPS) + 1)),
                time.monotonic() + self.span,
            )
            while self.shared[0] != wanted and time.monotonic() < deadline:
                pass
            time.sleep(self.rng.uniform(0, 0.0005))
        try:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        except ChildProcessError:
            return True
        if os.WIFSIGNALED(status):
            self.found.kills[STEPS[self.shared[0] - 1]] += 1
            return False
        self.found.missed += 1
        return True

    def check(self, whole: bool) -> None:
        """Look at the library after a kill: every file whole, no stray, the journal right."""
        with open_databases(self.database) as databases:
            states = {c.target: c for c in databases.journal.changes(states=("replaced",))}
            open_changes = list(databases.journal.changes(states=("intended", "ready", "undoing")))
        if open_changes:
            self.found.lost.append(f"{len(open_changes)} changes are still open")
        for folder in {p.parent for p in self.files}:
            self.found.lost += [f"stray {s}" for s in os.listdir(folder) if TEMP_MARK in s]
        for path in self.files if whole else self._last_touched(states):
            self._check_file(path, states)

    def _last_touched(self, states: dict[Path, object]) -> list[Path]:
        return sorted(self.files, key=lambda p: -p.stat().st_ctime_ns)[: self.jobs + 1]

    def _check_file(self, path: Path, states: dict) -> None:  # type: ignore[type-arg]
        now, change = sha(path), states.get(path)
        expected = change.after if change else self.before[path]
        if now != expected:
            self.found.lost.append(f"{path.name} is neither as the journal says nor as it was")
        elif audio.identify(path).content_key != self.keys[path]:
            self.found.lost.append(f"{path.name}: its audio changed")
        elif change and tags.read(path).genres != ["Jazz"]:
            self.found.lost.append(f"{path.name}: its genre is not the one planned")

    def run(self, kills: int) -> Findings:
        """Kill until it was hit so often, going back and forth between apply and undo."""
        undo = False
        while sum(self.found.kills.values()) < kills and not self.found.lost:
            began = time.monotonic()
            ended = self.once(undo)
            self.check(whole=ended)
            if (
                ended or self.rng.random() < 0.1
            ):  # undo is killed too, and not only when all is written
                undo = not undo
            if ended:
                self.span = max(0.02, min(5.0, (time.monotonic() - began) / 2))
        self._end_whole()
        return self.found

    def _end_whole(self) -> None:
        """Let an undo come to its end: every byte must be back."""
        os.waitpid(self._start(undo=True), 0)
        self.found.lost += [
            f"{p.name} did not come back" for p in self.files if sha(p) != self.before[p]
        ]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes changed as files break: bits flipped, cut off, blocks zeroed, doubled, swapped,
    headers made to lie.
    """
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        kind = int(rng.integers(0, 7))
        at = int(rng.integers(0, max(1, min(len(out), 4096 if rng.random() < 0.6 else len(out)))))
        size = int(rng.integers(1, 64 if rng.random() < 0.5 else 4096))
        if kind == 0:
            for i in rng.integers(0, max(1, len(out)), size=int(rng.integers(1, 30))):
                out[i] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1 and len(out) > 64:
            del out[int(rng.integers(16, len(out))) :]
        elif kind == 2:
            out[at : at + size] = bytes(len(out[at : at + size]))
        elif kind == 3:
            out[at:at] = out[at : at + size]
        elif kind == 4:
            out[at : at + 4] = b"\xff\xff\xff\xff"[: len(out[at : at + 4])]
        elif kind == 5:
            out[at : at + size] = rng.bytes(len(out[at : at + size]))
        else:
            del out[at : at + size]
    return bytes(out) or b"x"
