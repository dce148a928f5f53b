"""How a process that works on one big array after another uses memory."""

from __future__ import annotations

import contextlib
import ctypes

_KEPT = 64 << 20  # bytes
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def keep_memory() -> None:
    """Let glibc keep some of what is freed: else it gives every array back to the kernel, and each
    page of the next one costs a fault.

    Where there is no glibc, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _KEPT // 2)
