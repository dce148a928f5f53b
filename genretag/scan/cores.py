"""How much may be done at once."""

from __future__ import annotations

import os


def automatic_jobs() -> int:
    """Return how many workers this process may keep busy: the cores that it may run on."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, usable)
