"""Find out whether a file may be replaced, without touching it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_ANY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def write_obstacle(path: Path, *, keep_owner: bool = True) -> str | None:
    """Return why a file cannot be replaced by a copy, as a clause for users; None if it can.

    The file system may still refuse: this asks for permissions alone. ``keep_owner``: the copy must
    belong to the owner of the file.
    """
    try:
        target = Path(os.path.realpath(path))
        status = target.stat()
    except OSError:  # perhaps an unmounted disk: apply will find out
        return None
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return "its folder is not writable"
    if not status.st_mode & _ANY_WRITE or not os.access(target, os.W_OK):
        return "the file is read-only"
    if keep_owner and _belongs_to_another(status):
        return "it belongs to another user (--owner mine makes it yours)"
    return None


def _belongs_to_another(status: os.stat_result) -> bool:
    """Return whether a file's owner or group could not be given to a copy."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        return False
    groups = {os.getegid(), *os.getgroups()}
    return status.st_uid != os.geteuid() or status.st_gid not in groups
