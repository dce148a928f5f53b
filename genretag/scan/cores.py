"""The number of parallel workers."""

from __future__ import annotations

import os


def automatic_jobs() -> int:
    """Return the number of cores that this process may run on."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, usable)
