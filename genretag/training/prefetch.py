"""Make training batches ahead in a thread, and measure how long training waits for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.2  # after which a full queue is checked for the end


class Prefetch(Generic[T]):
    """Yield ``count`` results of ``make``, made up to ``ahead`` in advance by a thread."""

    def __init__(self, make: Callable[[], T], count: int, ahead: int = 8) -> None:
        self._make, self._count = make, count
        self._ready: queue.Queue[T | Exception] = queue.Queue(ahead)
        self._stop = threading.Event()
        self.waited = 0.0  # s
        self._began = time.monotonic()

    @property
    def share_waited(self) -> float:
        """Share of the elapsed time that was spent waiting, 0 to 1."""
        return self.waited / max(1e-9, time.monotonic() - self._began)

    def _work(self) -> None:
        for _ in range(self._count):
            item: T | Exception
            try:
                item = self._make()
            except Exception as error:  # raised again in the thread of the training
                item = error
            # Wait in short steps, so that the thread ends soon after its reader has left.
            while not self._stop.is_set():
                try:
                    self._ready.put(item, timeout=_POLL_SECONDS)
                    break
                except queue.Full:
                    continue
            if self._stop.is_set() or isinstance(item, Exception):
                return

    def __iter__(self) -> Iterator[T]:
        threading.Thread(target=self._work, daemon=True).start()
        self._began = time.monotonic()
        try:
            for _ in range(self._count):
                began = time.monotonic()
                item = self._ready.get()
                self.waited += time.monotonic() - began
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self._stop.set()
