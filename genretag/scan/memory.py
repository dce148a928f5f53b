"""Memory settings for processes that allocate one large array after another."""

from __future__ import annotations

import contextlib
import ctypes

_KEPT = 64 << 20  # bytes
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def keep_memory() -> None:
    """Let glibc keep freed memory: otherwise every page of the next array costs a page fault.

    Without glibc, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _KEPT // 2)
