"""Look at a track now and then, and keep what was found until the next look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy.typing as npt

Channels = Sequence[npt.NDArray[Any]]  # [samples] each, in the file's own format

T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """How often a track is looked at, and the shortest block that a look needs."""

    seconds: float
    min_samples: int


class Looks(Generic[T]):
    """What was found in a track, which holds for some seconds of it."""

    def __init__(self, pace: Pace, default: T) -> None:
        self._pace, self._default, self._found = pace, default, default
        self._rate, self._left = 0, 0.0  # Hz; samples for which the last look holds

    def at(self, samples: int, rate: int, look: Callable[[], T | None]) -> T:
        """Return what holds for the next block of ``samples`` at ``rate`` Hz.

        ``look`` is called where the last look holds no longer. It may return None, which leaves the
        decision to the next block, as a short block does.
        """
        if rate != self._rate:
            self._rate, self._left, self._found = rate, 0.0, self._default
        if self._left <= 0 and samples >= self._pace.min_samples:
            found = look()
            if found is not None:
                self._found, self._left = found, self._pace.seconds * rate
        self._left -= samples
        return self._found
