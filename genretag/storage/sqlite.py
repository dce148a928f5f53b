"""Open SQLite files with a versioned schema, migrate them, and set damaged ones aside.

Nothing is written to a file before it is recognised as genretag's own: a path given by mistake
may be a song, or the database of another program.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from genretag.errors import RunError, UsageError, describe_error

READ_ONLY = "the database is read-only; make it writable, or choose another with --db"
BUSY_SECONDS = 60  # wait for the transaction of another genretag
APPLICATION_ID = 0x67746167  # "gtag", in the header of every database since 1.0

#: Of a new database. The rows of an analysis and of a plan take about 1 KB. In pages of 4 KB, what
#: exceeds a quarter of a page would go to another page of its own (tables WITHOUT ROWID). Existing
#: databases keep theirs: only VACUUM changes the size, which rewrites the whole file, needs its
#: space again, and works outside WAL alone, so with no other genretag running.
_PAGE_BYTES = 8192

_HEADER = b"SQLite format 3\0"
_ID_OFFSET = 68  # of the application id, 4 bytes, big-endian (sqlite.org/fileformat2.html)


class Database(sqlite3.Connection):
    """A connection whose transactions are serialised across threads."""

    read_only = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.turn = threading.RLock()


class Tables:
    """Some tables of a database.

    A class of several inherits from each: all share one connection, and so its transactions.
    """

    def __init__(self, db: Database) -> None:
        self._db = db


class BrokenDatabaseError(RunError):
    """A damaged file that may be one of genretag's databases."""


def connect(path: Path, migrations: Sequence[str], table: str, *, durable: bool) -> Database:
    """Open a database and bring its schema up to date; a file that is read-only stays so.

    Args:
        path: the file; it and its folder are created if missing.
        migrations: one script per version; ``PRAGMA user_version`` counts those that ran.
        table: a table that every version of this database has.
        durable: whether every commit reaches the disk before it returns (the journal).

    Raises:
        BrokenDatabaseError: the file is damaged, or not an SQLite database.
        UsageError: the file is a database of another program, or no file.
        RunError: it cannot be opened, or a later genretag made it.
    """
    try:
        check_ours(path, table)
        read_only = path.exists() and not (
            os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        )
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        db = _open(path, read_only=read_only)
        if not read_only:
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        _migrate(db, path, migrations)
    except (OSError, sqlite3.OperationalError) as error:
        raise RunError(f"{path}: the database cannot be opened: {describe_error(error)}") from error
    except sqlite3.DatabaseError as error:
        raise BrokenDatabaseError(f"{path}: the database is damaged: {error}") from error
    return db


def _open(path: Path, *, read_only: bool) -> Database:
    """Return a connection. Threads share it where SQLite itself is safe for that."""
    name = path.absolute().as_uri() if read_only else os.fspath(path)
    if read_only:
        # Without a write-ahead log nobody is writing; then SQLite needs no files beside it.
        has_log = path.with_name(path.name + "-wal").exists()
        name += "?mode=ro" if has_log else "?immutable=1"
    db = sqlite3.connect(
        name,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=sqlite3.threadsafety != 3,
        factory=Database,
        uri=read_only,
    )
    db.row_factory = sqlite3.Row
    db.read_only = read_only
    return db


def check_ours(path: Path, table: str) -> None:
    """Raise unless ``path`` is missing, empty, or a database of genretag. Nothing is written.

    Databases of 0.1.0 carry no application id; they are recognised by ``table``.

    Raises:
        BrokenDatabaseError: the file is not an SQLite database, or a damaged one.
        UsageError: the file is a database of another program, or no file.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"{path}: this is not a file; --db takes a database of genretag")
    with path.open("rb") as file:
        header = file.read(100)
    if not header:  # a first run that was killed leaves it empty
        return
    if not header.startswith(_HEADER):
        raise BrokenDatabaseError(f"{path}: this is not a database")
    if int.from_bytes(header[_ID_OFFSET : _ID_OFFSET + 4], "big") == APPLICATION_ID:
        return
    with closing(_open(path, read_only=True)) as db:
        application = int(db.execute("PRAGMA application_id").fetchone()[0])
        tables = {str(name) for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if application == APPLICATION_ID:  # still in the write-ahead log
        return
    if application or (tables and table not in tables):
        raise UsageError(
            f"{path}: this database belongs to another program; --db takes a database of genretag"
        )


def is_ours(path: Path, table: str) -> bool:
    """Return whether ``path`` exists and is recognised as a database of genretag."""
    try:
        check_ours(path, table)
    except (RunError, UsageError, OSError, sqlite3.Error):
        return False
    return path.exists() and path.stat().st_size > 0


def _migrate(db: Database, path: Path, migrations: Sequence[str]) -> None:
    """Run the scripts that have not run yet, each in a transaction of its own."""
    while True:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > len(migrations):
            raise RunError(
                f"{path}: a later genretag made this database (schema {version}); use that one"
            )
        if db.read_only:
            if version < len(migrations):
                raise RunError(
                    f"{path}: an older genretag made this database, and it is read-only;"
                    " make it writable, so that it can be updated"
                )
            return
        if version == len(migrations):
            if int(db.execute("PRAGMA application_id").fetchone()[0]) != APPLICATION_ID:
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            return
        with transaction(db):
            # Another process may have run the script meanwhile.
            if int(db.execute("PRAGMA user_version").fetchone()[0]) == version:
                for statement in migrations[version].split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version + 1}")
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """Hold one write transaction: all of it, or none.

    Raises:
        RunError: the database is read-only.
    """
    if db.read_only:
        raise RunError(READ_ONLY)
    with db.turn:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def set_aside(path: Path) -> Path:
    """Rename a damaged database and its side files, and return the new name."""
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
