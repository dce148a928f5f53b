"""The cache and the journal, opened together: broken ones set aside, killed runs settled, one writer at a time."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.errors import RunError

if TYPE_CHECKING:
    from genretag.storage.cache import Store
    from genretag.storage.journal import Journal

log = logging.getLogger("genretag")


def database_path(given: Path | None) -> Path:
    """Return where the cache is kept: as given, else as GENRETAG_DB or config.toml says, else in the platform's place."""
    from genretag.storage import config

    if given is None and (told := os.environ.get("GENRETAG_DB") or config.read().get("db")):
        given = Path(str(told)).expanduser()
    if given is not None:
        return given
    import platformdirs

    return platformdirs.user_data_path("genretag") / "genretag.db"


def journal_path(database: Path) -> Path:
    """Return where the journal of a cache is kept: beside it, in a file of its own."""
    return database.with_name(f"{database.stem}.journal{database.suffix}")


@dataclass(frozen=True)
class Databases:
    """The cache and the journal, open."""

    store: Store
    journal: Journal


@contextmanager
def open_databases(database: Path | None) -> Iterator[Databases]:
    """Open the cache and the journal, and tidy up after a killed run unless another one is at work.

    A broken cache is set aside and begun anew: it can be made again. Of a broken journal, what can
    still be read is saved into a new one.
    """
    from genretag.storage.cache import Store
    from genretag.storage.journal import Journal, save_what_is_readable
    from genretag.storage.sqlite import BrokenDatabaseError, set_aside

    path = database_path(database)
    try:
        store = Store(path)
    except BrokenDatabaseError as error:
        aside = set_aside(path)
        log.warning("%s; it was set aside as %s and begun anew", error, aside.name)
        store = Store(path)
    try:
        journal = Journal(journal_path(path))
    except BrokenDatabaseError as error:
        aside = set_aside(journal_path(path))
        journal = Journal(journal_path(path))
        saved = save_what_is_readable(aside, journal)
        log.error(
            "%s; it was set aside as %s, and %d of its changes could be saved into a new one",
            error,
            aside.name,
            saved,
        )
    given = Databases(store, journal)
    try:
        with contextlib.suppress(RunError), _lock(given, seconds=0):
            settle(given)
        yield given
    finally:
        store.close()
        journal.close()


@contextmanager
def _lock(given: Databases, seconds: float) -> Iterator[None]:
    """Hold the right to write music: one genretag at a time. The system takes it from a process that dies."""
    import filelock

    lock = filelock.FileLock(str(given.journal.path) + ".lock")
    try:
        lock.acquire(timeout=seconds)
    except filelock.Timeout as error:
        raise RunError("another genretag is writing just now; wait for it, or stop it") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(given: Databases) -> Iterator[None]:
    """Hold the right to write music, with everything tidied up before."""
    with _lock(given, seconds=5):
        settle(given)
        yield


def settle(given: Databases) -> None:
    """Finish or take back what a killed run left, and say so."""
    from genretag.text import escape_control
    from genretag.writing.replace import recover

    for change, state in recover(given.journal):
        told = {"replaced": "was written", "dropped": "was not touched", "undone": "was put back"}
        log.warning(
            "an earlier run was stopped in the middle: %s %s",
            escape_control(change.path),
            told.get(state or "", "cannot be reached now"),
        )
