"""How worker processes are started: on Linux forked from one that has imported what they need, elsewhere spawned.

Forking after threads or a GPU session breaks, and on macOS what numpy calls may not be forked at all. So whoever knows early that workers
will be needed has them forked at once, while there is one thread and no session (``begin``); they wait until they are told what to
do. All others, such as the successor of one that died, come from a small process of their own that does nothing but fork. Nothing heavy is
imported here.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_PRELOAD = ["genretag.forked"]

_waiting: list[tuple[BaseProcess, Connection]] = []  # forked, and not told yet what to do

Target = Callable[..., None]


def begin(count: int) -> None:
    """Fork so many workers now; where this process may not be forked, nothing happens."""
    if sys.platform != "linux":
        return
    with _one_thread_each():
        import genretag.worker  # noqa: F401  # what both will need

        if not _of_one_thread():
            return
        with _held_back(signal.SIGINT):
            for _ in range(count):
                _waiting.append(_started(multiprocessing.get_context("fork"), _wait_for_work, (os.getpid(),)))


def _of_one_thread() -> bool:
    """Return whether this process has no other thread, not even one that Python does not know of; where nobody can tell, it may have."""
    with contextlib.suppress(OSError):  # /proc is not mounted
        return len(os.listdir("/proc/self/task")) == 1
    return False


def start(count: int, target: Target, args: tuple[Any, ...]) -> tuple[BaseProcess, Connection]:
    """Return a process, one of ``count``, that runs ``target(pipe, *args)``, and the other end of its pipe."""
    while _waiting:
        process, pipe = _waiting.pop()
        with contextlib.suppress(OSError):  # somebody killed it
            pipe.send((target, args))
            return process, pipe
    with _one_thread_each(), _main_left_out(target):
        return _started(_context(count), target, args)


def _started(context: Any, target: Target, args: tuple[Any, ...]) -> tuple[BaseProcess, Connection]:
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _context(count: int) -> Any:
    """Return multiprocessing's way to start so many workers; a single one is spawned, for it gains nothing from the other."""
    if sys.platform != "linux" or count < 2:
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(_PRELOAD)
    return forking


def _wait_for_work(pipe: Connection, parent: int) -> None:
    """Import the rest of what a worker needs, be told what to do, and do it. Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    die_with_parent()
    if os.getppid() != parent:  # it died before we could ask for that
        return
    for _, of_another in _waiting:
        of_another.close()
    import genretag.forked  # noqa: F401  # while the parent loads its model

    try:
        target, args = pipe.recv()
    except (EOFError, OSError):
        return
    target(pipe, *args)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, even in the middle of a hung decoder."""
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@contextlib.contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    """Keep a signal waiting, for this process and those that are forked meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
def _main_left_out(target: Target) -> Iterator[None]:
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
