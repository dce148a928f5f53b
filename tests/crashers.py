"""Worker targets that really crash, hang and eat memory, for the tests of the pool."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from multiprocessing.connection import Connection


def misbehave(connection: Connection) -> None:
    """Do to this process what the task's word says; answer ``done`` to any other word."""
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
            connection.send(f"done {word}")
    except EOFError:
        pass
