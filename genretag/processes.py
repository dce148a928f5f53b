"""How worker processes are started: on Linux forked from one that has imported what they need, elsewhere spawned.

Forking after threads or a GPU session breaks, and on macOS what numpy calls may not be forked at all; so it is a small process of its
own that is forked. Nothing heavy is imported here, for whoever knows early that workers will be needed starts it before all else.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_PRELOAD = ["genretag.forked"]


def context(count: int) -> Any:
    """Return multiprocessing's way to start so many workers; a single one is spawned, for it gains nothing from the other."""
    if sys.platform != "linux" or count < 2:
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(_PRELOAD)
    return forking


def begin(count: int) -> None:
    """Let what workers are forked from begin to import, while the caller has something else to do."""
    if context(count).get_start_method() == "forkserver":
        from multiprocessing import forkserver

        with _one_thread_each():
            forkserver.ensure_running()


@contextlib.contextmanager
def settled(target: Callable[..., None]) -> Iterator[None]:
    """Settle what a process that is started here finds: one thread for BLAS, and no main module unless its target is there."""
    with _one_thread_each(), _main_left_out(target):
        yield


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
