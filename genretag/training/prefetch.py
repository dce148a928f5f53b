"""Batches made ahead in a thread, and how long training had to wait for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Yields ``count`` results of ``make``, up to ``ahead`` of them made before they are wanted."""

    def __init__(self, make: Callable[[], T], count: int, ahead: int = 8) -> None:
        self._make, self._count = make, count
        self._ready: queue.Queue[T | Exception] = queue.Queue(ahead)
        self._stop = threading.Event()
        self.waited = 0.0  # s
        self._began = time.monotonic()

    @property
    def share_waited(self) -> float:
        """Share of the time since it began that was spent waiting for a batch, 0 to 1."""
        return self.waited / max(1e-9, time.monotonic() - self._began)

    def _work(self) -> None:
        for _ in range(self._count):
            made: T | Exception
            try:
                made = self._make()
            except Exception as error:  # the thread's failure is the training's failure
                made = error
            while not self._stop.is_set():
                try:
                    self._ready.put(made, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if self._stop.is_set() or isinstance(made, Exception):
                return

    def __iter__(self) -> Iterator[T]:
        threading.Thread(target=self._work, daemon=True).start()
        self._began = time.monotonic()
        try:
            for _ in range(self._count):
                asked = time.monotonic()
                made = self._ready.get()
                self.waited += time.monotonic() - asked
                if isinstance(made, Exception):
                    raise made
                yield made
        finally:
            self._stop.set()
