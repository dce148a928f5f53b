"""Finish or roll back what a killed run left between two states of the journal."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from genretag import audio
from genretag.storage.changes import OPEN_STATES, Change
from genretag.storage.journal import Journal
from genretag.writing.copying import old_beside, unlink_temp
from genretag.writing.replace import overwrite


def settle(journal: Journal, number: int) -> None:
    """Bring one open change to the state that its file shows."""
    try:
        for change in journal.changes(states=OPEN_STATES):
            if change.id == number:
                _settle_change(journal, change)
    except sqlite3.Error:  # the journal's disk is full, for example: recover() tries again
        return


def _settle_change(journal: Journal, change: Change) -> str | None:
    """Finish a write in place, remove the stray copy, and record which of the two files is there.

    None: the file cannot be reached now.
    """
    if not change.temp.parent.is_dir():
        return None  # perhaps an unmounted disk, with the stray copy on it
    back = change.state in ("undoing", "overwriting back")
    wanted = change.before if back else change.after
    try:
        if change.state.startswith("overwriting") and _has_hash(change.temp, wanted):
            overwrite(change.target, change.temp)
        now = audio.file_sha256(change.target) if change.state != "intended" else None
    except OSError:
        return None
    unlink_temp(change.temp)
    unlink_temp(old_beside(change.temp))
    done, not_done = ("undone", "replaced") if back else ("replaced", "dropped")
    # The hash of the file decides, not how far the program seems to have come.
    state = done if now == wanted and now is not None else not_done
    journal.mark(change.id, state)
    return state


def _has_hash(path: Path, sha256: str | None) -> bool:
    return path.exists() and audio.file_sha256(path) == sha256


def recover(journal: Journal) -> list[tuple[Change, str | None]]:
    """Finish or roll back what a killed run left between two states; return what was found."""
    open_changes = journal.changes(states=OPEN_STATES)
    return [(change, _settle_change(journal, change)) for change in open_changes]
