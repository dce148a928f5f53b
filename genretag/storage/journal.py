"""The journal: every run, every change to a music file with its undo data, and every answer.

It cannot be made again, so it is a separate file that a damaged cache cannot harm.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path

from genretag.errors import RunError, describe_error
from genretag.storage.changes import OF_KEYS, StoredChanges
from genretag.storage.journal_schema import KNOWN_TABLE, MIGRATIONS
from genretag.storage.runs import StoredRuns
from genretag.storage.sqlite import connect, transaction


class Journal(StoredRuns, StoredChanges):
    """The journal's file. One process at a time changes music: see ``writing.session``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(connect(path, MIGRATIONS, KNOWN_TABLE, durable=True))

    @property
    def read_only(self) -> bool:
        """Whether the file can only be read."""
        return self._db.read_only

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def export(self, path: Path) -> None:
        """Copy the journal into a new file; it may be in use meanwhile."""
        if path.exists():
            raise RunError(f"{path}: it exists already")
        try:
            copy = sqlite3.connect(path)
            with contextlib.closing(copy):
                self._db.backup(copy)
        except (sqlite3.Error, OSError) as error:
            reason = describe_error(error)
            raise RunError(f"{path}: the journal cannot be copied: {reason}") from error

    def renew_key(self, older: str, content_key: str) -> None:
        """Replace a content key of an older genretag in changes and answers."""
        known = (
            "SELECT EXISTS (SELECT 1 FROM change WHERE content_key = ?1) OR "
            "EXISTS (SELECT 1 FROM answer WHERE content_key = ?1)"
        )
        if not self._db.execute(known, (older,)).fetchone()[0]:
            return
        with transaction(self._db):
            self._db.execute(
                "UPDATE change SET content_key = ? WHERE content_key = ?", (content_key, older)
            )
            self._db.execute(
                "UPDATE OR IGNORE answer SET content_key = ? WHERE content_key = ?",
                (content_key, older),
            )

    def stamp(self) -> str:
        """Return a text that differs after every new change or answer."""
        row = self._db.execute(
            "SELECT (SELECT max(id) FROM change), (SELECT max(at) FROM change), (SELECT count(*) "
            "FROM change WHERE state = 'replaced'),"
            " (SELECT max(id) FROM answer), (SELECT count(*) FROM answer)"
        ).fetchone()
        return repr(tuple(row))

    def answered(self, content_key: str, audio_key: str | None = None) -> list[str] | None:
        """Return the genres that a person chose, by either key; None if there was no question."""
        sql = f"SELECT genres FROM answer WHERE {OF_KEYS} ORDER BY id DESC LIMIT 1"
        row = self._db.execute(sql, (content_key, audio_key)).fetchone()
        return [str(w) for w in json.loads(row["genres"])] if row else None

    def keep_answer(self, content_key: str, genres: list[str]) -> None:
        """Save an answer and replace an earlier one."""
        with transaction(self._db):
            self._db.execute("DELETE FROM answer WHERE content_key = ?", (content_key,))
            self._db.execute(
                "INSERT INTO answer (content_key, genres, at) VALUES (?, ?, ?)",
                (content_key, json.dumps(genres), time.time()),
            )

    def forget_answer(self, content_key: str) -> None:
        """Delete an answer."""
        with transaction(self._db):
            self._db.execute("DELETE FROM answer WHERE content_key = ?", (content_key,))

    def copy_rows(self, source: sqlite3.Connection) -> int:
        """Copy the readable rows of another journal; return the number of changes."""
        with transaction(self._db):
            return self._copy_rows(source)

    def _copy_rows(self, source: sqlite3.Connection) -> int:
        saved = 0
        for table in ("run", "change", "answer", "audio"):
            columns = [r[1] for r in self._db.execute(f"PRAGMA table_info({table})")]
            insert = (
                f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES "
                f"({', '.join('?' * len(columns))})"
            )
            for number in range(1, _highest(source, table) + 1):
                try:
                    row = source.execute(
                        f"SELECT {', '.join(columns)} FROM {table} WHERE id = ?", (number,)
                    ).fetchone()
                except sqlite3.DatabaseError:
                    continue  # on a damaged page
                if row is not None:
                    self._db.execute(insert, tuple(row))
                    saved += table == "change"
        return saved


def _highest(db: sqlite3.Connection, table: str) -> int:
    """Return the highest id in a table of a damaged journal; 0 if it cannot be read."""
    for sql in (
        f"SELECT max(id) FROM {table}",
        f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'",
    ):
        try:
            row = db.execute(sql).fetchone()
        except sqlite3.DatabaseError:
            continue
        if row and row[0]:
            return int(row[0])
    return 0


def save_what_is_readable(broken: Path, journal: Journal) -> int:
    """Copy the readable rows of a damaged journal; return the number of changes."""
    db = sqlite3.connect(broken)
    with contextlib.closing(db):
        return journal.copy_rows(db)
