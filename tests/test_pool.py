"""A worker that crashes, hangs or leaves costs its own task, and the others go on."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from crashers import misbehave, serve_misbehaving

from genretag.scan.pool import Pool
from genretag.scan.worker import Failed, Task


def run(words: list[str], workers: int = 2, limit: float = 60.0) -> dict[int, list[Any]]:
    messages: dict[int, list[Any]] = {}
    todo = list(enumerate(words))
    with Pool(workers, misbehave, ()) as pool:
        while todo or pool.busy:
            while todo and pool.idle:
                token, word = todo.pop(0)
                pool.give(token, word, 1.0 if word in ("spin", "sleep") else limit)
            for token, message in pool.messages(0.2):
                messages.setdefault(token, []).append(message)
                if isinstance(message, Failed) or str(message).startswith("done"):
                    pool.finished(token)
    return messages


def test_every_task_is_answered_though_workers_die() -> None:
    words = ["a", "segfault", "b", "exit", "c", "abort", "d", "half", "e"]
    messages = run(words)
    assert set(messages) == set(range(len(words)))
    for token, word in enumerate(words):
        last = messages[token][-1]
        if len(word) == 1:
            assert last == f"done {word}"
        else:
            assert isinstance(last, Failed)
            assert last.stage == "crash"
    assert "SIGSEGV" in messages[1][-1].error
    assert "SIGABRT" in messages[5][-1].error
    assert messages[7][0] == "first"


@pytest.mark.parametrize("word", ["spin", "sleep"])
def test_a_task_that_hangs_is_ended_and_reported(word: str) -> None:
    messages = run([word, "a", "b"])
    assert isinstance(messages[0][-1], Failed)
    assert "longer than" in messages[0][-1].error
    assert messages[1] == ["done a"]
    assert messages[2] == ["done b"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_does_not_import_the_program_that_started_it(workers: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path[:0] = {[str(Path(__file__).parent)]!r}\nprint('run')\nimport "
        f"genretag.cli, test_pool\n"
        f"messages = test_pool.run(['modules', 'segfault', 'modules'], {workers})\n"
        "print(*{m for n in (0, 2) for m in messages[n][0] if m in ('genretag.cli', 'typer')}, "
        "'none')\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["run", "none"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_workers_share_one_import_of_the_decoder_that_the_program_never_makes() -> None:
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent)]!r}
import test_pool
messages = test_pool.run(["modules", "segfault", "modules"], 2)
print(*("av" in messages[n][0] for n in (0, 2)), "av" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False"]


@pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_hung_worker_ends_with_a_program_that_is_killed(workers: int, tmp_path: Path) -> None:
    code = f"""
import os, signal, sys, time
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from crashers import serve_misbehaving
from genretag.scan.pool import Pool
from genretag.scan.worker import Task
folder = Path({str(tmp_path)!r})
(folder / "fork").touch()
pool = Pool({workers}, serve_misbehaving, ())
pool.give(0, Task(folder / "fork", ask=False), 60)
while not (folder / "pid").exists() or not (folder / "pid").read_text():
    time.sleep(0.05)
print(*(w.process.pid for w in pool._workers), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    listed = tmp_path / "pids"
    with listed.open("w") as out:  # a pipe would stay open as long as the decoder's own child
        subprocess.run([sys.executable, "-c", code], stdout=out, stderr=out, check=False)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    pids = list(map(int, listed.read_text().split()))
    assert len(pids) == workers
    assert _end_soon(pids)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc",
    reason="a feature of glibc",
)
def test_freed_memory_is_reused_without_new_page_faults() -> None:
    code = (
        "import resource, numpy as np\nfrom genretag.scan.memory import "
        "keep_memory\nkeep_memory()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def work(n):\n    for _ in range(n): np.ones(1 << 18, np.float32), np.ones(1 << 19, "
        "np.float32)\n"
        "work(5); before = faults(); work(100); print(faults() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2_000  # 76,800 pages were touched


def test_no_worker_outlives_the_pool() -> None:
    with Pool(2, misbehave, ()) as pool:
        pids = [w.process.pid for w in pool._workers]
        pool.give(0, "sleep", 60)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid or 0, 0)


def analyse(folder: Path, words: list[str]) -> dict[str, Failed]:
    """Give tasks to real workers whose decoder misbehaves; return their last messages."""
    messages, todo = {}, list(enumerate(words))
    with Pool(1, serve_misbehaving, ()) as pool:
        while todo or pool.busy:
            if todo and pool.idle:
                token, word = todo.pop(0)
                pool.give(token, Task(folder / word, ask=False), 3.0 if word == "fork" else 100.0)
            for token, message in pool.messages(0.2):
                messages[words[token]] = message
                pool.finished(token)
    return messages


def test_a_decoder_that_eats_memory_costs_its_track_and_the_worker_lives(tmp_path: Path) -> None:
    messages = analyse(tmp_path, ["a", "eat", "b"])
    assert "more memory" in messages["eat"].error
    assert messages["b"].error == "done b"


def test_processes_that_a_hung_decoder_forked_end_with_it(tmp_path: Path) -> None:
    messages = analyse(tmp_path, ["fork", "segfault", "b"])
    assert "longer than" in messages["fork"].error
    assert messages["segfault"].stage == "crash"
    assert messages["b"].error == "done b"
    pid = int((tmp_path / "pid").read_text())
    assert _end_soon([pid])


def _end_soon(pids: list[int]) -> bool:
    """Return whether none of the processes runs any more, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(map(_alive, pids)):
        time.sleep(0.05)
    return not any(map(_alive, pids))


def _alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
