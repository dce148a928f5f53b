"""A pool of decode workers: one that crashes, hangs or grows costs the one track it holds.

No ready-made pool fits: results are streams (a ten-hour mix leaves a worker window by window), and
each worker must wait on its own when the model is behind. Workers that share one result queue can
also be blocked for good by one that dies while it holds the queue's lock; with one pipe per worker
there is nothing to hold.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from genretag.scan import processes
from genretag.scan.worker import Failed


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    token: int | None = None  # of its current task
    deadline: float = 0.0  # time.monotonic()
    limit: float = 0.0  # s


def _end(process: BaseProcess) -> None:
    """Kill a worker and its process group, with everything that its decoder forked."""
    with contextlib.suppress(OSError, AttributeError):
        if process.pid is not None and process.pid != os.getpgid(0):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


class Pool:
    """A fixed number of supervised workers that run ``target(pipe, *args)``."""

    def __init__(self, count: int, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._count, self._target, self._args = count, target, args
        self._workers = [self._start() for _ in range(count)]

    def _start(self) -> _Worker:
        return _Worker(*processes.start(self._count, self._target, self._args))

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
        """Whether a worker has no task."""
        return any(w.token is None for w in self._workers)

    @property
    def busy(self) -> bool:
        """Whether a worker has a task."""
        return any(w.token is not None for w in self._workers)

    def give(self, token: int, task: object, seconds: float) -> None:
        """Give a task to an idle worker; it fails after ``seconds``, and the worker is killed."""
        index = next(i for i, w in enumerate(self._workers) if w.token is None)
        if not self._workers[index].process.is_alive():
            self._replace(self._workers[index])
        worker = self._workers[index]
        worker.token, worker.limit, worker.deadline = token, seconds, time.monotonic() + seconds
        with contextlib.suppress(OSError):  # it died just now: messages() reports it
            worker.pipe.send(task)

    def answer(self, token: int, reply: object) -> None:
        """Send a reply to the worker that holds a task."""
        worker = next(w for w in self._workers if w.token == token)
        worker.pipe.send(reply)

    def finished(self, token: int) -> None:
        """Mark a task as finished: its worker is idle."""
        next(w for w in self._workers if w.token == token).token = None

    def messages(self, timeout: float) -> list[tuple[int, Any]]:
        """Return (token, message) of workers, at most one each, after ``timeout`` seconds at most.

        A worker that died or exceeded its time limit yields ``Failed``, and is replaced.
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
                    out.append((worker.token, self._report_crash(worker)))
            elif time.monotonic() > worker.deadline:
                _end(worker.process)
                out.append(
                    (worker.token, Failed("decode", f"took longer than {worker.limit:.0f} s"))
                )
                self._replace(worker)
        return out

    def _report_crash(self, worker: _Worker) -> Failed:
        """Return how a worker died, and replace it."""
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
