"""A file's bytes as a memory map."""

from __future__ import annotations

import contextlib
import mmap
import traceback
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """Map a file for reading; no view of it may be used afterwards."""
    with path.open("rb") as handle:
        # An empty file cannot be mapped.
        if not handle.seek(0, 2):
            yield memoryview(b"")
            return
        whole = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            with memoryview(whole) as view:
                yield view
        except Exception as error:
            # The frames of the traceback hold views, and a map with views cannot be closed.
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            with contextlib.suppress(BufferError):
                whole.close()
