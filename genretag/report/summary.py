"""Totals of a plan, gathered in one pass over its rows."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from genretag.decisions.plan import Action, Reason, Row
from genretag.decisions.vote import Status

_EXTREMES = 5  # rows that are kept as the most certain, and as the least certain

#: A track of which less than this share decoded is reported as partly corrupt.
MIN_WHOLE_SHARE = 0.995


@dataclass
class Summary:
    """Totals of a plan."""

    files: int = 0
    seconds: float = 0.0  # of audio
    writes: Counter[str] = field(default_factory=Counter)  # new genre -> files
    left: Counter[str] = field(default_factory=Counter)  # reason -> files
    failed: int = 0
    partly: int = 0  # files that are partly corrupt
    # Heaps of (key, path, row) among the writes; the path makes ties independent of order.
    most_certain: list[tuple[float, str, Row]] = field(default_factory=list)
    least_certain: list[tuple[float, str, Row]] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Count a row."""
        self.files += 1
        self.seconds += row.seconds or 0.0
        self.failed += row.status == Status.FAILED
        self.partly += is_partly_corrupt(row)
        if row.action == Action.WRITE:
            self.writes[", ".join(row.new)] += 1
            self._keep_extremes(row)
        else:
            self.left[_group_reason(row)] += 1

    def _keep_extremes(self, row: Row) -> None:
        confidence = row.confidence or 0.0
        for heap, key in ((self.most_certain, confidence), (self.least_certain, -confidence)):
            heapq.heappush(heap, (key, row.path, row))
            if len(heap) > _EXTREMES:
                heapq.heappop(heap)


def is_partly_corrupt(row: Row) -> bool:
    """Return whether a part of a track could not be decoded."""
    return row.share is not None and row.share < MIN_WHOLE_SHARE


def _group_reason(row: Row) -> str:
    """Return a row's reason without its details on one file or album."""
    # Plans of older versions have no codes.
    if row.code == Reason.DUPLICATE or row.reason.startswith("same file as"):
        return "same file as another"
    if row.reason.startswith("its album is tied"):
        return "its album is tied"
    return row.reason.partition(" (")[0]


def summarise(rows: Iterable[Row]) -> Summary:
    """Return the totals of rows."""
    summary = Summary()
    for row in rows:
        summary.add(row)
    return summary
