"""Worker targets that really crash, hang and eat memory, for the tests of the pool."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any


def misbehave(connection: Connection) -> None:
    """Crash, hang or leave as the task says; answer ``done`` to any other word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            word = connection.recv()
            if word == "segfault":
                ctypes.string_at(0)
            elif word == "spin":
                while True:
                    pass
            elif word == "sleep":
                time.sleep(1000)
            elif word == "exit":
                os._exit(3)
            elif word == "abort":
                os.abort()
            elif word == "half":
                connection.send("first")
                ctypes.string_at(0)
            elif word == "modules":
                connection.send(sorted(sys.modules))
            connection.send(f"done {word}")
    except EOFError:
        pass


def serve_misbehaving(connection: Connection) -> None:
    """Run the real worker with a decoder that eats memory, forks or crashes."""
    from pathlib import Path

    import numpy as np

    from genretag.features import FrontEnd, LogMel
    from genretag.features.filters import MelFilters
    from genretag.scan import worker

    worker.MEMORY_LIMIT = 2 << 30
    worker.FIXED_SECONDS, worker._GRACE_SECONDS = 4.0, 1.0

    def analyse(task: worker.Task, *_: object) -> object:
        word = task.path.name
        if word == "eat":
            hoard = []
            while True:
                hoard.append(np.ones(1 << 24))
        elif word.startswith("fork"):
            child = os.fork()
            if child == 0:
                time.sleep(1000)
            Path(task.path.parent / "pid").write_text(str(child))
            time.sleep(1000)
        elif word == "segfault":
            ctypes.string_at(0)
        yield worker.Failed("none", f"done {word}")

    worker.analyse = analyse  # type: ignore[assignment]
    worker.serve(connection, LogMel(FrontEnd(), MelFilters(())))


def serve_slowly(connection: Connection, features: Any) -> None:
    """Run the real worker, half a second slower per track; leave a file named by its parent.

    A track called ``fatal`` kills the parent, as a machine that goes down would.
    """
    from pathlib import Path

    from genretag.scan import worker

    analyse = worker.analyse

    def slowly(task: worker.Task, *rest: object) -> object:
        Path(task.path.parent / f"{os.getppid()}.pid").touch()
        time.sleep(0.5)
        if task.path.stem == "fatal":
            os.kill(os.getppid(), signal.SIGKILL)
        if task.path.stem == "segfault":
            ctypes.string_at(0)
        yield from analyse(task, *rest)  # type: ignore[arg-type]

    worker.analyse = slowly  # type: ignore[assignment]
    worker.serve(connection, features)


def serve_crashing_on_first(connection: Connection, features: Any) -> None:
    """Run the real worker; it crashes when it decodes a track whose name starts with ``first``."""
    from genretag.scan import worker

    whole_track = worker._whole_track

    def crashing(path: Any, *rest: object) -> object:
        if path.name.startswith("first"):
            ctypes.string_at(0)
        yield from whole_track(path, *rest)  # type: ignore[arg-type]

    worker._whole_track = crashing  # type: ignore[assignment]
    worker.serve(connection, features)
