"""Start worker processes: on Linux from a fork server that has imported the decoder, else spawned.

Forking after threads or a GPU session breaks, and macOS does not allow it beside what numpy calls.
The fork server is a small process that does nothing but fork, so that each worker, and each
successor of one that crashed, starts without importing the decoder again.
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

_BLAS_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

#: Modules that the fork server imports once for all workers.
_PRELOAD = ["av", "ducc0", "soxr", "genretag.scan.worker"]

Target = Callable[..., None]


def start(count: int, target: Target, args: tuple[Any, ...]) -> tuple[BaseProcess, Connection]:
    """Start a process, one of ``count``, that runs ``target(pipe, *args)``.

    Returns:
        The process, and this end of its pipe.
    """
    with _single_threaded_blas(), _without_main_module(target):
        context = _context(count)
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *args), daemon=True)
        process.start()
    theirs.close()
    return process, ours


def _context(count: int) -> Any:
    """Return the start method; a single worker is spawned, since a server would not pay."""
    if sys.platform != "linux" or count < 2:
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(_PRELOAD)
    return server


@contextlib.contextmanager
def _single_threaded_blas() -> Iterator[None]:
    """Limit numpy's BLAS to one thread in new processes: the workers are the parallelism."""
    before = {name: os.environ.get(name) for name in _BLAS_THREADS}
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _without_main_module(target: Target) -> Iterator[None]:
    """Keep new processes from importing the main module, unless their target is in it.

    The main module is the whole command line, or a script that would run once more.
    """
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
