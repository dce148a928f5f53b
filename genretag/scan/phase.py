"""Report the phases of a scan in which no file gets a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
OnPhase = Callable[[str], None]

_REPORT_SECONDS = 0.1


def counted(items: Iterable[Item], name: str, on_phase: OnPhase | None) -> Iterator[Item]:
    """Yield items, and report the name of the phase with their number ten times a second."""
    reported = time.monotonic()
    for number, item in enumerate(items):
        if on_phase is not None and time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            on_phase(f"{name}: {number:,} files")
        yield item
