"""Decode workers: processes that may die, hang or grow, each at the cost of the one track it holds.

Why not a ready-made pool: results here are streams (a ten-hour mix leaves a worker window by
window), and each worker must be held back on its own when the model is behind. A pool whose
workers share one result queue can also be blocked for good by a worker that dies while it holds
the queue's lock; with one pipe a worker there is nothing to hold.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from genretag.worker import Failed

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

#: Forking after threads or a GPU session breaks; so a new process is spawned, or on Linux a small one is, which imports what workers
#: need once and is forked for each of them (on macOS, what numpy calls may not be forked).
_SPAWN = multiprocessing.get_context("spawn")
_FORKING = multiprocessing.get_context("forkserver") if sys.platform == "linux" else None
_PRELOAD = ["genretag.worker", "ducc0"]


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    token: int | None = None  # of the task in hand
    deadline: float = 0.0  # time.monotonic()
    limit: float = 0.0  # s


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let a process that is started keep numpy's BLAS to one thread: the workers are the parallelism."""
    before = {name: os.environ.get(name) for name in _BLAS_THREADS}
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _main_left_out(target: Callable[..., None]) -> Iterator[None]:
    """Keep a process that is started from importing the main module, which is the whole command line, unless its target is there."""
    main = sys.modules["__main__"]
    if target.__module__ == "__main__":
        yield
        return
    before: dict[str, Any] = {name: vars(main)[name] for name in ("__spec__", "__file__") if name in vars(main)}
    vars(main).update(dict.fromkeys(before))
    try:
        yield
    finally:
        vars(main).update(before)


def _end(process: BaseProcess) -> None:
    """Kill a worker, and with it whatever its decoder forked, where it leads a group of its own."""
    with contextlib.suppress(OSError, AttributeError):
        if process.pid is not None and process.pid != os.getpgid(0):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


class Pool:
    """A fixed number of supervised workers that run ``target(pipe, *args)``."""

    def __init__(self, count: int, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._target, self._args = target, args
        self._context: Any = _SPAWN
        if _FORKING is not None and count > 1:
            _FORKING.set_forkserver_preload(_PRELOAD)
            self._context = _FORKING
        self._workers = [self._start() for _ in range(count)]

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=self._target, args=(theirs, *self._args), daemon=True)
        with _one_thread_each(), _main_left_out(self._target):
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            _end(worker.process)
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    @property
    def idle(self) -> bool:
        """Whether a worker has nothing to do."""
        return any(w.token is None for w in self._workers)

    @property
    def busy(self) -> bool:
        """Whether a worker has something to do."""
        return any(w.token is not None for w in self._workers)

    def give(self, token: int, task: object, seconds: float) -> None:
        """Give a task to an idle worker; after ``seconds`` it is taken away and fails."""
        index = next(i for i, w in enumerate(self._workers) if w.token is None)
        if not self._workers[index].process.is_alive():
            self._replace(self._workers[index])
        worker = self._workers[index]
        worker.token, worker.limit, worker.deadline = token, seconds, time.monotonic() + seconds
        with contextlib.suppress(OSError):  # it died just now: messages() will say so
            worker.pipe.send(task)

    def answer(self, token: int, reply: object) -> None:
        """Answer the question of the worker that holds a task."""
        worker = next(w for w in self._workers if w.token == token)
        worker.pipe.send(reply)

    def finished(self, token: int) -> None:
        """Note that a task's last message has come: its worker is idle."""
        next(w for w in self._workers if w.token == token).token = None

    def messages(self, timeout: float) -> list[tuple[int, Any]]:
        """Return what workers said within ``timeout`` seconds: (token, message), at most one a worker.

        A worker that died or ran out of time says ``Failed``, and is replaced.
        """
        busy = [w for w in self._workers if w.token is not None]
        ready = set(map(id, wait([w.pipe for w in busy], timeout)))
        out: list[tuple[int, Any]] = []
        for worker in busy:
            assert worker.token is not None
            if id(worker.pipe) in ready:
                try:
                    out.append((worker.token, worker.pipe.recv()))
                except (EOFError, OSError):
                    out.append((worker.token, self._bury(worker)))
            elif time.monotonic() > worker.deadline:
                _end(worker.process)
                out.append((worker.token, Failed("decode", f"took longer than {worker.limit:.0f} s")))
                self._replace(worker)
        return out

    def _bury(self, worker: _Worker) -> Failed:
        """Say how a worker died, and replace it."""
        worker.process.join(5)
        code = worker.process.exitcode
        how = f"exit status {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name
        self._replace(worker)
        return Failed("crash", f"the decoder crashed on it ({how})")

    def _replace(self, worker: _Worker) -> None:
        _end(worker.process)
        worker.process.join()
        worker.pipe.close()
        fresh = self._start()
        token = worker.token
        worker.process, worker.pipe, worker.token = fresh.process, fresh.pipe, token
