"""Put a proven copy in the place of its file: at once where possible, else over its bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from genretag.decisions.policy import HardLinks
from genretag.errors import TrackError
from genretag.storage.journal import Journal
from genretag.writing.copying import copy_attributes, sync, unlink_temp
from genretag.writing.in_use import Lease, exchange
from genretag.writing.steps import step
from genretag.writing.target import WriteOptions, check_still


def put_in_place(
    journal: Journal,
    change: int,
    target: Path,
    temp: Path,
    stat_before: os.stat_result,
    options: WriteOptions,
    lease: Lease,
) -> None:
    """Replace the file by its copy; with hard links kept, write the copy over it."""
    check_still(target, stat_before)
    if target.lstat().st_ctime_ns != stat_before.st_ctime_ns:
        # Mode, owner or attributes changed, such as a rating that a player stores there.
        copy_attributes(target, temp, options.preserve_mtimes, options.owner)
        sync(temp)
    lease.check()
    if stat_before.st_nlink > 1 and options.hardlinks is HardLinks.IN_PLACE:
        journal.mark(change, "overwriting")
        lease.release()  # our own write would break it
        overwrite(target, temp)
    else:
        exchange_or_replace(target, temp, lease)
    lease.release()
    step("replaced")
    sync(target.parent)


def exchange_or_replace(target: Path, temp: Path, lease: Lease) -> None:
    """Replace a file by its copy in one step.

    With a lease the two change places first: a program that asks for the file just before finds
    it there again, since it would write into a file without a name. One that asks later finds the
    copy.

    Raises:
        TrackError: another program wants to write the file.
    """
    if not (lease.held and exchange(target, temp)):
        os.replace(temp, target)
        return
    step("exchanged")
    try:
        lease.check()
        temp.unlink()
    except (TrackError, OSError):
        exchange(target, temp)
        raise


def overwrite(target: Path, temp: Path) -> None:
    """Write the proven copy over the file itself, for all its names; then remove the copy.

    This is the one write that is not atomic. The journal knows of it and the copy is on the disk,
    so that ``recover`` completes it after a kill.
    """
    step("overwriting")
    with temp.open("rb") as source, target.open("r+b") as out:
        shutil.copyfileobj(source, out, 1 << 16)
        step("overwritten")
        out.truncate()
        out.flush()
        os.fsync(out.fileno())
    shutil.copystat(temp, target)
    unlink_temp(temp)
