"""Work in parallel with one step in order: files are written at once, journalled in turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Turn:
    """A place in a queue: ``with turn:`` waits until all earlier turns are over.

    A turn that is never taken is over when its work ends.
    """

    def __init__(self, before: Turn | None = None) -> None:
        self._before, self._passed = before, threading.Event()

    def __enter__(self) -> Self:
        if self._before is not None:
            self._before._passed.wait()
            self._before = None  # free the chain of finished turns
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._passed.set()

    def end(self) -> None:
        """End the turn, taken or not, but not before the earlier ones."""
        with self:
            pass


def in_turns(
    items: Iterable[T], work: Callable[[T, Turn], R], jobs: int, key: Callable[[T], Hashable]
) -> Iterator[tuple[T, R]]:
    """Yield (item, ``work(item, turn)``) in the order of the items, ``jobs`` at once.

    Items of equal ``key`` are worked on one after the other.

    With one job nothing leaves the caller's thread.
    """
    if jobs <= 1:
        for item in items:
            yield item, work(item, Turn())
        return
    running: deque[tuple[T, Hashable, Future[R]]] = deque()
    last: Turn | None = None

    def finish_first() -> tuple[T, R]:
        item, _, future = running.popleft()
        return item, future.result()

    def worked(item: T, turn: Turn) -> R:
        try:
            return work(item, turn)
        finally:
            turn.end()

    with ThreadPoolExecutor(jobs, thread_name_prefix="write") as pool:
        for item in items:
            mine = key(item)
            while len(running) >= 2 * jobs or any(mine == other for _, other, _ in running):
                yield finish_first()
            last = Turn(last)
            running.append((item, mine, pool.submit(worked, item, last)))
        while running:
            yield finish_first()
