"""Write a file as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move what was written there to ``path`` at the end.

    If the block raises, or the process is killed, an older file at ``path`` stays as it is. The
    temporary name keeps the extension of ``path``, for libraries that choose a format by it.
    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write bytes to a file as a whole or not at all."""
    with atomic_write(path) as part:
        part.write_bytes(data)
