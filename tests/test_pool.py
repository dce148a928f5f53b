"""The pool: a worker that crashes, hangs or leaves costs its own task, and the others go on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from crashers import misbehave, serve_misbehaving

from genretag.audio import synthesis
from genretag.scan.pool import Pool
from genretag.scan.worker import Failed, Task


def run(words: list[str], workers: int = 2, limit: float = 60.0) -> dict[int, list[Any]]:
    said: dict[int, list[Any]] = {}
    todo = list(enumerate(words))
    with Pool(workers, misbehave, ()) as pool:
        while todo or pool.busy:
            while todo and pool.idle:
                token, word = todo.pop(0)
                pool.give(token, word, 1.0 if word in ("spin", "sleep") else limit)
            for token, message in pool.messages(0.2):
                said.setdefault(token, []).append(message)
                if isinstance(message, Failed) or str(message).startswith("done"):
                    pool.finished(token)
    return said


def test_every_task_is_answered_though_workers_die() -> None:
    words = ["a", "segfault", "b", "exit", "c", "abort", "d", "half", "e"]
    said = run(words)
    assert set(said) == set(range(len(words)))
    for token, word in enumerate(words):
        last = said[token][-1]
        if len(word) == 1:
            assert last == f"done {word}"
        else:
            assert isinstance(last, Failed)
            assert last.stage == "crash"
    assert "SIGSEGV" in said[1][-1].error
    assert "SIGABRT" in said[5][-1].error
    assert said[7][0] == "first"


@pytest.mark.parametrize("word", ["spin", "sleep"])
def test_a_task_that_hangs_is_ended_and_told(word: str) -> None:
    said = run([word, "a", "b"])
    assert isinstance(said[0][-1], Failed)
    assert "longer than" in said[0][-1].error
    assert said[1] == ["done a"]
    assert said[2] == ["done b"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_does_not_import_the_program_that_started_it(workers: int, tmp_path: Path) -> None:
    """Neither the command line, when that is the main module, nor a script that uses genretag, which would run once more."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path[:0] = {[str(Path(__file__).parent)]!r}\nprint('run')\nimport genretag.cli, test_pool\n"
        f"said = test_pool.run(['modules', 'segfault', 'modules'], {workers})\n"
        "print(*{m for n in (0, 2) for m in said[n][0] if m in ('genretag.cli', 'typer')}, 'none')\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["run", "none"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_a_first_scan_begins_its_workers_early_and_a_later_one_waits_for_something_to_hear(
    tmp_path: Path,
) -> None:
    synthesis.encode(tmp_path / "music.wav", synthesis.piece(0, 2), 44_100)
    code = (
        "import sys\nfrom genretag import processes\nbegin = processes.begin\n"
        "processes.begin = lambda count: print('begun', count, 'numpy' in sys.modules, begin(count))\n"
        "from genretag.cli import main\nmain()"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "scan",
        str(tmp_path / "music.wav"),
        "-q",
        "-n",
        "-j",
        "2",
        "--db",
        str(tmp_path / "g.db"),
    ]
    said = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    assert said == ["begun 2 False None\n", ""]


BEGUN = f"""
import os, signal, sys, time
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from genretag import processes
"""


def begun(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BEGUN + code], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_workers_that_were_begun_early_are_those_that_work_and_the_dead_have_successors() -> None:
    code = """
import test_pool
from crashers import misbehave
from genretag.scan.pool import Pool
processes.begin(2)
early = [process for process, _ in processes.waiting()]
os.kill(early[1].pid, signal.SIGKILL)
early[1].join()
with Pool(2, misbehave, ()) as pool:
    print(sum(worker.process is early[0] for worker in pool._workers))
processes.begin(2)
said = test_pool.run(["a", "segfault", "b", "exit", "c"])
print(*(getattr(said[n][-1], "stage", said[n][-1]) for n in range(5)))
"""
    assert begun(code) == ["1", "done", "a", "crash", "done", "b", "crash", "done", "c"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_workers_that_were_begun_share_what_one_process_imported_and_are_nobodys_else() -> None:
    code = """
from pathlib import Path
processes.begin(3)
for process, _ in processes.waiting():
    shared = Path(f"/proc/{process.pid}/maps").read_text()
    parent = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    print("libavcodec" in shared, parent == os.getpid(), process.is_alive())
print("av" in sys.modules)
"""
    assert begun(code) == ["True"] * 9 + ["False"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
@pytest.mark.parametrize("fault", ["raise ImportError", "os.kill(os.getpid(), signal.SIGSEGV)"])
def test_where_no_worker_can_be_born_early_others_are_started(fault: str) -> None:
    code = f"""
import test_pool
def fails(): {fault}
processes._import_the_rest = fails
processes.begin(2)
print(len(processes.waiting()))
said = test_pool.run(["a", "segfault", "b"])
print(*(getattr(said[n][-1], "stage", said[n][-1]) for n in range(3)))
"""
    assert begun(code) == ["0", "done", "a", "crash", "done", "b"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_a_fork_that_fails_leaves_nothing_behind() -> None:
    code = """
from genretag import nursery
def fails(): raise BlockingIOError("no more processes")
fork, os.fork = os.fork, fails
before = len(os.listdir("/proc/self/fd"))
processes.begin(2)
print(len(processes.waiting()), len(os.listdir("/proc/self/fd")) - before, nursery._adopts())
os.fork = fork
processes.begin(2)
processes.begin(2)
born = processes.waiting()
print(len(born), *(process.is_alive() for process, _ in born), nursery._adopts())
"""
    assert begun(code) == ["0", "0", "0", "2", "True", "True", "0"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_workers_die_and_are_replaced_where_the_kernel_forgets_how_children_end() -> None:
    code = """
import test_pool
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
processes.begin(2)
early = processes.waiting()[0][0]
os.kill(early.pid, signal.SIGKILL)
early.join(10)
said = test_pool.run(["a", "b", "c"])
print(early.is_alive(), *(said[n][-1] for n in range(3)))
"""
    assert begun(code) == ["False", "done", "a", "done", "b", "done", "c"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_nothing_is_forked_beside_threads() -> None:
    code = "import threading\nthreading.Thread(target=time.sleep, args=(1,)).start()\nprocesses.begin(2)\nprint(len(processes.waiting()))"
    assert begun(code) == ["0"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
@pytest.mark.parametrize(
    "end", ["pass", "os.kill(os.getpid(), signal.SIGKILL)", "os.killpg(0, signal.SIGINT)"]
)
def test_workers_that_were_never_told_what_to_do_end_with_their_parent(end: str) -> None:
    code = f"processes.begin(2)\nprint(*(p.pid for p, _ in processes.waiting()), flush=True)\n{end}"
    done = subprocess.run(
        [sys.executable, "-c", BEGUN + code],
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    pids = list(map(int, done.stdout.split()))
    assert len(pids) == 2
    assert done.stderr.count("Traceback") == end.count("SIGINT")  # the parent's own
    assert _end_soon(pids)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc",
    reason="glibc alone gives memory back so",
)
def test_memory_that_is_kept_is_not_paid_for_again() -> None:
    code = (
        "import resource, numpy as np\nfrom genretag.scan.memory import keep_memory\nkeep_memory()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def work(n):\n    for _ in range(n): np.ones(1 << 18, np.float32), np.ones(1 << 19, np.float32)\n"
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


def hear(folder: Path, words: list[str]) -> dict[str, Failed]:
    """Give tasks to real workers whose decoder misbehaves; return what they said last."""
    said, todo = {}, list(enumerate(words))
    with Pool(1, serve_misbehaving, ()) as pool:
        while todo or pool.busy:
            if todo and pool.idle:
                token, word = todo.pop(0)
                pool.give(token, Task(folder / word, ask=False), 3.0 if word == "fork" else 100.0)
            for token, message in pool.messages(0.2):
                said[words[token]] = message
                pool.finished(token)
    return said


def test_a_decoder_that_eats_memory_costs_its_track_and_the_worker_lives(tmp_path: Path) -> None:
    said = hear(tmp_path, ["a", "eat", "b"])
    assert "more memory" in said["eat"].error
    assert said["b"].error == "done b"


def test_what_a_hung_decoder_forked_is_ended_with_it(tmp_path: Path) -> None:
    said = hear(tmp_path, ["fork", "segfault", "b"])
    assert "longer than" in said["fork"].error
    assert said["segfault"].stage == "crash"
    assert said["b"].error == "done b"
    pid = int((tmp_path / "pid").read_text())
    assert _end_soon([pid])


def _end_soon(pids: list[int]) -> bool:
    """Return whether none of the processes runs any more, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(map(_alive, pids)):
        time.sleep(0.05)
    return not any(map(_alive, pids))


def _alive(pid: int) -> bool:
    """Return whether a process runs; one that is dead and only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
