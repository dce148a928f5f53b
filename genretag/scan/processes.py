"""How worker processes are started: on Linux forked from one that has imported what they need, elsewhere spawned.

Forking after threads or a GPU session breaks, and on macOS what numpy calls may not be forked at all. So whoever knows early that workers
will be needed has a nursery forked at once, while there is one thread and no session (``begin``); its workers wait until they are told
what to do. All others, such as the successor of one that died, come from a small process of their own that does nothing but fork. Nothing
heavy is imported here.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from genretag.scan.nursery import Adopted, Nursery

_BLAS_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_PRELOAD = ["genretag.scan.forked"]

Process = BaseProcess | Adopted
Target = Callable[..., None]

_nurseries: list[Nursery] = []  # their workers may not be born yet
_waiting: list[tuple[Process, Connection]] = []  # born, and not told yet what to do


def begin(count: int) -> None:
    """Fork so many workers now; where this process may not be forked, nothing happens."""
    if sys.platform != "linux":
        return
    with _one_thread_each():
        import genretag.scan.worker  # noqa: F401  # what both will need

        if _nurseries or not _of_one_thread():
            return
        with contextlib.suppress(OSError):
            _nurseries.append(Nursery(count, _import_the_rest, _wait_for_work))


def _import_the_rest() -> None:
    import genretag.scan.forked  # noqa: F401


def waiting() -> list[tuple[Process, Connection]]:
    """Return the workers that were begun and not told yet what to do, once all of them are born."""
    while _nurseries:
        _waiting.extend(_nurseries.pop().workers())
    return _waiting


def _of_one_thread() -> bool:
    """Return whether this process has no other thread, not even one that Python does not know of; where nobody can tell, it may have."""
    with contextlib.suppress(OSError):  # /proc is not mounted
        return len(os.listdir("/proc/self/task")) == 1
    return False


def start(count: int, target: Target, args: tuple[Any, ...]) -> tuple[Process, Connection]:
    """Return a process, one of ``count``, that runs ``target(pipe, *args)``, and the other end of its pipe."""
    while waiting():
        process, pipe = _waiting.pop()
        with contextlib.suppress(OSError):  # somebody killed it
            pipe.send((target, args))
            return process, pipe
        process.kill()
        process.join()
        pipe.close()
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


def _wait_for_work(pipe: Connection) -> None:
    """Be told what to do, and do it."""
    try:
        target, args = pipe.recv()
    except (EOFError, OSError):
        return
    target(pipe, *args)


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
    before: dict[str, Any] = {
        name: vars(main)[name] for name in ("__spec__", "__file__") if name in vars(main)
    }
    vars(main).update(dict.fromkeys(before))
    try:
        yield
    finally:
        vars(main).update(before)
