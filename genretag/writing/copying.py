"""The copy beside a file: its names, its bytes, its attributes, and its way to the disk."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from genretag.decisions.policy import Owner
from genretag.errors import TrackError

#: Temporary files are hidden, have this mark in their name, and keep the extension.
TEMP_MARK = "genretag-tmp"
_FICLONE = 0x40049409  # Linux ioctl: share blocks until one of the files changes


def copy_bytes(source: Path, temp: Path) -> None:
    """Copy a file into a new file, sharing blocks if the file system can."""
    with source.open("rb") as a, temp.open("xb") as b:
        try:
            import fcntl

            # Btrfs and XFS share the blocks, so that a long file costs no time and no space.
            fcntl.ioctl(b.fileno(), _FICLONE, a.fileno())
        except (ImportError, OSError):
            shutil.copyfileobj(a, b, 1 << 20)


def copy_attributes(
    source: Path, temp: Path, preserve_mtimes: bool, owner_rule: Owner = Owner.KEEP
) -> None:
    """Give the copy the file's owner, mode, extended attributes, ACLs and, on request, times."""
    s = source.stat()
    owner = (s.st_uid, s.st_gid)
    if hasattr(os, "chown") and owner != (temp.stat().st_uid, temp.stat().st_gid):
        try:
            os.chown(temp, *owner)
        except PermissionError as error:
            if owner_rule is Owner.KEEP:
                message = "its owner could not be kept (--owner mine makes it yours)"
                raise TrackError("write", message) from error
    # After chown, which may clear bits of the mode.
    shutil.copystat(source, temp)
    if not preserve_mtimes:
        os.utime(temp)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk. Windows cannot do so for folders."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def temp_beside(target: Path) -> Path:
    """Return a new name for the copy, in the folder of the file."""
    # os.replace is atomic only within a file system, and the folder is on the file's own.
    return target.with_name(f".{secrets.token_hex(8)}.{TEMP_MARK}{target.suffix}")


def old_beside(temp: Path) -> Path:
    """Return the place of the rebuilt old file from which ``temp`` is made."""
    return temp.with_name(f"{temp.name}.old")


def unlink_temp(temp: Path) -> None:
    """Delete a copy, if it is there and can be deleted; ``recover`` tries again on the next run."""
    with contextlib.suppress(OSError):
        temp.unlink(missing_ok=True)
