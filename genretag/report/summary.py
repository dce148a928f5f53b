"""Totals of a plan, gathered in one pass whatever its length."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from genretag.decisions.plan import Action, Row
from genretag.decisions.vote import Status

_EXTREMES = 5  # how many of the most and the least certain are shown


@dataclass
class Summary:
    """What a plan comes to."""

    files: int = 0
    seconds: float = 0.0  # of music
    writes: Counter[str] = field(default_factory=Counter)  # new genre -> files
    left: Counter[str] = field(default_factory=Counter)  # reason -> files
    failed: int = 0
    partly: int = 0  # partly corrupt
    surest: list[tuple[float, str, Row]] = field(default_factory=list)  # of the writes
    least: list[tuple[float, str, Row]] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Count one row."""
        self.files += 1
        self.seconds += row.seconds or 0.0
        self.failed += row.status == Status.FAILED
        self.partly += row.share is not None and row.share < 0.995
        if row.action == Action.WRITE:
            self.writes[", ".join(row.new)] += 1
            self._keep_extremes(row)
        else:
            self.left[_kind_of(row.reason)] += 1

    def _keep_extremes(self, row: Row) -> None:
        confidence = row.confidence or 0.0
        for heap, key in ((self.surest, confidence), (self.least, -confidence)):
            heapq.heappush(heap, (key, row.path, row))
            if len(heap) > _EXTREMES:
                heapq.heappop(heap)


def _kind_of(reason: str) -> str:
    """Return a reason without what it says of one file or album."""
    return (
        "same file as another" if reason.startswith("same file as") else reason.partition(" (")[0]
    )


def summarise(rows: Iterable[Row]) -> Summary:
    """Return the totals of rows."""
    summary = Summary()
    for row in rows:
        summary.add(row)
    return summary
