"""SQLite files with a versioned schema: opened, migrated, and set aside when they are broken."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genretag.errors import RunError

BUSY_SECONDS = 60  # how long a second genretag waits for the first one's transaction


class Database(sqlite3.Connection):
    """A connection whose transactions come one after the other, whichever threads hold them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.turn = threading.RLock()


class BrokenDatabaseError(RunError):
    """The file is not a database, or a damaged one."""


def connect(path: Path, migrations: Sequence[str], *, durable: bool) -> Database:
    """Open a database and bring its schema up to date.

    Args:
        path: the file; it and its folder are made where they are not there.
        migrations: one script a version; ``PRAGMA user_version`` counts those that ran.
        durable: every commit reaches the disk before it returns (the journal), or not (the cache).

    Raises:
        BrokenDatabaseError: it cannot be read as a database.
        RunError: it cannot be opened, or is of a later genretag.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Threads may share it: SQLite guards each statement, and ``transaction`` what belongs together.
        shared = sqlite3.threadsafety == 3
        db = sqlite3.connect(
            path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=not shared,
            factory=Database,
        )
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        _migrate(db, path, migrations)
    except (OSError, sqlite3.OperationalError) as error:
        raise RunError(f"{path}: the database cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise BrokenDatabaseError(f"{path}: the database is damaged: {error}") from error
    return db


def _migrate(db: Database, path: Path, migrations: Sequence[str]) -> None:
    """Run the scripts that have not run yet, each in a transaction of its own."""
    while True:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > len(migrations):
            raise RunError(
                f"{path}: the database is of a later genretag (schema {version}); use that one"
            )
        if version == len(migrations):
            return
        with transaction(db):
            if (
                int(db.execute("PRAGMA user_version").fetchone()[0]) == version
            ):  # not done by another meanwhile
                for statement in migrations[version].split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version + 1}")


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """Hold one write transaction: all of it, or none."""
    with db.turn:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def set_aside(path: Path) -> Path:
    """Rename a broken database and its side files out of the way, and return the new name."""
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
