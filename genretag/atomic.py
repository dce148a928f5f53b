"""Write a file as a whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genretag.errors import RunError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move what was written there to ``path`` at the end.

    If the block raises, or the process is killed, an older file at ``path`` stays as it is. The
    temporary name keeps the extension of ``path``, for libraries that choose a format by it. A
    link stays, and its target is replaced; a device or pipe is written directly.
    """
    target = Path(os.path.realpath(path))
    old = target.stat() if target.exists() else None
    # A rename would put a file in the place of a device, and needs a folder that can be written.
    direct = old is not None and (
        not stat.S_ISREG(old.st_mode) or not os.access(target.parent, os.W_OK)
    )
    if direct:
        yield path
        return
    # The stem is shortened: a name may already be as long as the file system allows.
    part = target.with_name(f".{target.stem[:50]}.part{path.suffix}")
    try:
        yield part
        if old is not None:
            # Network and FAT file systems may know no modes.
            with suppress(OSError):
                part.chmod(stat.S_IMODE(old.st_mode))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def output(path: Path, what: str = "") -> Iterator[Path]:
    """Write a file that the user asked for, as ``atomic_write``; ``what`` names its content.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        with atomic_write(path) as part:
            yield part
    except OSError as error:
        subject = f"{what} " if what else ""
        reason = error.strerror or str(error)
        raise RunError(f"{path}: {subject}cannot be written: {reason}") from error
