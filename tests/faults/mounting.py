"""Mounts the file system of ``faulty_disk.py``: in a process of its own, as a disk is."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MOUNT_SECONDS = 20


class NoFuse(Exception):  # noqa: N818  # it is no error of what is tested
    """Nothing can be mounted here; the text says why."""


@dataclass(frozen=True)
class Disk:
    """A mounted disk, the folder behind it, and the file that requests its faults."""

    root: Path
    below: Path
    control: Path

    def fault(self, call: str, code: int = errno.EIO) -> None:
        """Let a call fail from now on."""
        (self.control / call).write_text(str(code))

    def mend(self) -> None:
        """Take all faults away."""
        for p in self.control.iterdir():
            p.unlink()


@contextmanager
def mounted(folder: Path, *flags: str) -> Iterator[Disk]:
    """Mount a disk below ``folder`` for as long as the block runs.

    Raises:
        NoFuse: FUSE, or what speaks to it, is not there.
    """
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:  # the package, or the system's libfuse
        raise NoFuse(f"no FUSE here: {error}") from error
    if not os.access("/dev/fuse", os.W_OK) or shutil.which("fusermount3") is None:
        raise NoFuse("no FUSE here")
    disk = Disk(folder / "disk", folder / "below", folder / "control")
    for made in (disk.root, disk.below, disk.control):
        made.mkdir()
    program = Path(__file__).with_name("faulty_disk.py")
    server = subprocess.Popen(
        [sys.executable, program, disk.below, disk.root, disk.control, *flags],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + _MOUNT_SECONDS
    while not os.path.ismount(disk.root) and server.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if not os.path.ismount(disk.root):
        server.kill()
        raise NoFuse("FUSE cannot mount here")
    try:
        yield disk
    finally:
        disk.mend()
        subprocess.run(["fusermount3", "-uz", disk.root], check=False, capture_output=True)
        server.wait(_MOUNT_SECONDS)
