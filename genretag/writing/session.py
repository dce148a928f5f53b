"""Open the analysis cache and the journal, recover after a kill, and lock out other writers."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.errors import RunError, UsageError

if TYPE_CHECKING:
    from genretag.storage.cache import AnalysisCache
    from genretag.storage.journal import Journal

log = logging.getLogger("genretag")


def database_path(given: Path | None) -> Path:
    """Return the path of the cache: ``given``, else GENRETAG_DB, config.toml or the default."""
    from genretag.storage import config

    if given is None and (configured := os.environ.get("GENRETAG_DB") or config.read().get("db")):
        given = Path(str(configured)).expanduser()
    if given is not None:
        return given
    import platformdirs

    return platformdirs.user_data_path("genretag") / "genretag.db"


def journal_path(database: Path) -> Path:
    """Return the path of the journal, a separate file beside the cache."""
    return database.with_name(f"{database.stem}.journal{database.suffix}")


@dataclass(frozen=True)
class Databases:
    """The cache and the journal, open."""

    store: AnalysisCache
    journal: Journal


@contextmanager
def open_databases(database: Path | None) -> Iterator[Databases]:
    """Open the cache and the journal, and finish what a killed run left open.

    A damaged cache is set aside and replaced by a new one, for scanning makes it again; but only
    where genretag's journal lies beside it: any other file was given by mistake. From a damaged
    journal, every readable row is copied into a new one.

    Raises:
        UsageError: the path is a file or database that is not genretag's; it stays as it is.
    """
    from genretag.storage.cache_schema import KNOWN_TABLE
    from genretag.storage.sqlite import is_ours

    path = database_path(database)
    cache_is_ours = is_ours(path, KNOWN_TABLE)
    store = _open_cache(path)
    try:
        journal = _open_journal(journal_path(path), trusted=cache_is_ours)
    except BaseException:
        store.close()
        raise
    given = Databases(store, journal)
    try:
        if not journal.read_only:
            # Another process that writes has open changes that are not for us to settle.
            with contextlib.suppress(RunError), _lock(given, seconds=0):
                settle(given)
        yield given
    finally:
        store.close()
        journal.close()


def _open_cache(path: Path) -> AnalysisCache:
    from genretag.storage.cache import AnalysisCache
    from genretag.storage.journal_schema import KNOWN_TABLE
    from genretag.storage.sqlite import BrokenDatabaseError, is_ours, set_aside

    try:
        return AnalysisCache(path)
    except BrokenDatabaseError as error:
        if not is_ours(journal_path(path), KNOWN_TABLE):
            raise UsageError(
                f"{error}; it was left as it is. Give --db a database of genretag, or a new name"
            ) from error
        aside = set_aside(path)
        log.warning("%s; it was set aside as %s and replaced by a new one", error, aside.name)
        return AnalysisCache(path)


def _open_journal(path: Path, *, trusted: bool) -> Journal:
    """Open the journal; a damaged one is replaced if ``trusted`` or recognised as genretag's."""
    from genretag.storage.journal import Journal, save_what_is_readable
    from genretag.storage.journal_schema import KNOWN_TABLE
    from genretag.storage.sqlite import BrokenDatabaseError, is_ours, set_aside

    try:
        return Journal(path)
    except BrokenDatabaseError as error:
        if not (trusted or is_ours(path, KNOWN_TABLE)):
            raise UsageError(f"{error}; it was left as it is. Give --db another name") from error
        aside = set_aside(path)
        journal = Journal(path)
        saved = save_what_is_readable(aside, journal)
        log.error(
            "%s; it was set aside as %s, and %d of its changes could be saved into a new one",
            error,
            aside.name,
            saved,
        )
        return journal


@contextmanager
def _lock(given: Databases, seconds: float) -> Iterator[None]:
    """Hold the write lock; the system releases it when a process dies."""
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
    """Hold the write lock, after the recovery of a killed run.

    Raises:
        RunError: the journal is read-only, or another process is writing.
    """
    from genretag.storage.sqlite import READ_ONLY

    if given.journal.read_only:
        raise RunError(READ_ONLY)
    with _lock(given, seconds=5):
        settle(given)
        yield


def settle(given: Databases) -> None:
    """Complete or revert the writes that a killed run left open, and log each."""
    from genretag.storage.changes import OPEN_STATES

    # The safe writer and mutagen are imported only where there is something to settle.
    if next(iter(given.journal.changes(states=OPEN_STATES)), None) is None:
        return
    from genretag.text import escape_control
    from genretag.writing.recovery import recover

    for change, state in recover(given.journal):
        outcome = {
            "replaced": "was written",
            "dropped": "was not touched",
            "undone": "was put back",
        }
        log.warning(
            "an earlier run was stopped in the middle: %s %s",
            escape_control(change.path),
            outcome.get(state or "", "cannot be reached now"),
        )
