"""The journal: every run, every change to a music file with its undo data, and every answer.

It cannot be made again, so it is a separate file that a damaged cache cannot harm.
A change goes through the states

    intended -> ready -> replaced -> undoing -> undone
       └────────┴─> dropped (the file was not touched)

A file that is written in place (hard links) passes through ``overwriting`` instead of a rename, and
``overwriting back`` on the way back; its checked copy stays until that is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from genretag.errors import RunError
from genretag.storage.sqlite import connect, transaction

_MIGRATIONS = (
    """
CREATE TABLE run (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  began REAL NOT NULL,
  ended REAL,
  version TEXT NOT NULL,
  options TEXT NOT NULL,
  counts TEXT
);
CREATE TABLE change (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL REFERENCES run(id),
  path BLOB NOT NULL,
  target BLOB NOT NULL,
  temp BLOB NOT NULL,
  state TEXT NOT NULL,
  at REAL NOT NULL,
  before TEXT NOT NULL,
  after TEXT,
  content_key TEXT,
  mtime_ns INTEGER NOT NULL,
  old TEXT NOT NULL,
  new TEXT NOT NULL,
  delta BLOB,
  undone_by INTEGER
);
CREATE INDEX change_run ON change(run);
CREATE INDEX change_state ON change(state);
CREATE INDEX change_path ON change(path)
""",
    """
CREATE INDEX change_content ON change(content_key)
""",
    """
CREATE TABLE answer (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  content_key TEXT NOT NULL UNIQUE,
  genres TEXT NOT NULL,
  at REAL NOT NULL
)
""",
    # What was written, as JSON: field of the tags -> old and new values; NULL: the genre alone.
    # ``supersedes`` is the change that this one took a field back from.
    """
ALTER TABLE change ADD COLUMN fields TEXT;
ALTER TABLE change ADD COLUMN supersedes INTEGER
""",
    # Audio keys of what changes and answers name by content key.
    """
CREATE TABLE audio (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  audio_key TEXT NOT NULL UNIQUE,
  content_key TEXT NOT NULL
)
""",
)

KNOWN_TABLE = "change"  # recognises a journal of 0.1.0, which has no application id
_OF_KEYS = (
    "content_key IN (SELECT ?1 UNION SELECT ?2 UNION SELECT content_key FROM audio"
    " WHERE audio_key = ?2)"
)
OPEN_STATES = ("intended", "ready", "overwriting", "undoing", "overwriting back")


@dataclass(frozen=True)
class Run:
    """One scan, apply or undo."""

    id: int
    kind: str
    began: float  # seconds since the epoch
    ended: float | None
    version: str
    options: dict[str, Any]
    counts: dict[str, int]


class FieldChange(NamedTuple):
    """The values of a field before and after a write."""

    old: list[str]
    new: list[str]


Fields = Mapping[str, FieldChange]


@dataclass(frozen=True)
class Change:
    """One change to one file."""

    id: int
    run: int
    path: Path  # as walked
    target: Path  # the file itself, links resolved
    temp: Path
    state: str
    before: str  # SHA-256 of the whole file
    after: str | None
    content_key: str | None
    mtime_ns: int  # before
    old: list[str]
    new: list[str]
    delta: bytes | None
    #: Field of the tags -> old and new values, for all fields that were written.
    fields: dict[str, FieldChange] = field(default_factory=dict)
    supersedes: int | None = None  # the change of which this one leaves out a field


def _run(row: sqlite3.Row) -> Run:
    options, counts = json.loads(row["options"]), json.loads(row["counts"] or "{}")
    return Run(row["id"], row["kind"], row["began"], row["ended"], row["version"], options, counts)


def _change(row: sqlite3.Row) -> Change:
    return Change(
        id=row["id"],
        run=row["run"],
        path=Path(os.fsdecode(row["path"])),
        target=Path(os.fsdecode(row["target"])),
        temp=Path(os.fsdecode(row["temp"])),
        state=row["state"],
        before=row["before"],
        after=row["after"],
        content_key=row["content_key"],
        mtime_ns=row["mtime_ns"],
        old=json.loads(row["old"]),
        new=json.loads(row["new"]),
        delta=row["delta"],
        fields=_fields_of(row),
        supersedes=row["supersedes"],
    )


def _fields_of(row: sqlite3.Row) -> dict[str, FieldChange]:
    """Return what a change wrote; a row without it, of an older version, wrote the genre."""
    if row["fields"] is None:
        return {"genre": FieldChange(json.loads(row["old"]), json.loads(row["new"]))}
    return {name: FieldChange(*values) for name, values in json.loads(row["fields"]).items()}


class Journal:
    """The journal's file. One writer at a time: take ``lock`` before changing music."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = connect(path, _MIGRATIONS, KNOWN_TABLE, durable=True)

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
            raise RunError(f"{path}: the journal cannot be copied: {error}") from error

    # --- runs ---

    def begin(self, kind: str, version: str, options: dict[str, Any]) -> int:
        """Record the start of a run and return its number."""
        with transaction(self._db):
            cursor = self._db.execute(
                "INSERT INTO run (kind, began, version, options) VALUES (?, ?, ?, ?)",
                (kind, time.time(), version, json.dumps(options)),
            )
        return int(cursor.lastrowid or 0)

    def end(self, run: int, counts: dict[str, int]) -> None:
        """Record the end of a run and its counts."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE run SET ended = ?, counts = ? WHERE id = ?",
                (time.time(), json.dumps(counts), run),
            )

    def forget_run(self, run: int) -> None:
        """Delete a run that only looked: one without changes."""
        with transaction(self._db):
            self._db.execute(
                "DELETE FROM run WHERE id = ? AND NOT EXISTS (SELECT 1 FROM change WHERE run = ?)",
                (run, run),
            )

    def runs(self) -> list[Run]:
        """Return all runs, the oldest first."""
        return [_run(r) for r in self._db.execute("SELECT * FROM run ORDER BY id")]

    def run(self, number: int) -> Run | None:
        """Return a run."""
        row = self._db.execute("SELECT * FROM run WHERE id = ?", (number,)).fetchone()
        return _run(row) if row else None

    # --- changes ---

    def intend(
        self,
        run: int,
        path: Path,
        target: Path,
        temp: Path,
        before: str,
        mtime_ns: int,
        old: list[str],
        new: list[str],
        fields: Fields | None = None,
        supersedes: int | None = None,
    ) -> int:
        """Record an intended change and return its number.

        ``fields`` is what it writes; None: the genre alone.
        """
        written = None if fields is None else json.dumps(dict(fields))
        with transaction(self._db):
            cursor = self._db.execute(
                "INSERT INTO change (run, path, target, temp, state, at, before, mtime_ns, old, "
                "new, fields, supersedes)"
                " VALUES (?, ?, ?, ?, 'intended', ?, ?, ?, ?, ?, ?, ?)",
                (
                    run,
                    os.fsencode(path),
                    os.fsencode(target),
                    os.fsencode(temp),
                    time.time(),
                    before,
                    mtime_ns,
                    json.dumps(old),
                    json.dumps(new),
                    written,
                    supersedes,
                ),
            )
        return int(cursor.lastrowid or 0)

    def ready(self, change: int, after: str, content_key: str, delta: bytes) -> None:
        """Record that the copy is beside the file, with the byte differences that lead back."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE change SET state = 'ready', after = ?, content_key = ?, delta = ? WHERE "
                "id = ?",
                (after, content_key, delta, change),
            )

    def mark(self, change: int, state: str, undone_by: int | None = None) -> None:
        """Record the new state of a change; what it supersedes is undone with it."""
        sql = "UPDATE change SET state = ?, at = ?, undone_by = coalesce(?, undone_by) WHERE id = ?"
        older = (
            "UPDATE change SET state = 'undone', at = ?, undone_by = ? WHERE state = 'replaced'"
            " AND id = (SELECT supersedes FROM change WHERE id = ?)"
        )
        with transaction(self._db):
            now = time.time()
            own = None if state == "replaced" else undone_by
            self._db.execute(sql, (state, now, own, change))
            if state == "replaced":
                self._db.execute(older, (now, undone_by, change))

    def aim(self, change: int, temp: Path) -> None:
        """Record the temporary file that an undo uses."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE change SET temp = ?, state = 'undoing' WHERE id = ?",
                (os.fsencode(temp), change),
            )

    def relocate(self, change: int, path: Path) -> None:
        """Record where the file of a change is now."""
        with transaction(self._db):
            place = os.fsencode(path)
            sql = "UPDATE change SET path = ?, target = ? WHERE id = ?"
            self._db.execute(sql, (place, place, change))

    def changes(self, run: int | None = None, states: tuple[str, ...] = ()) -> Iterator[Change]:
        """Yield changes, the oldest first, of one run or of all, in some states or in any."""
        where, values = ["1"], list[Any]()
        if run is not None:
            where.append("run = ?")
            values.append(run)
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        rows = self._db.execute(
            f"SELECT id FROM change WHERE {' AND '.join(where)} ORDER BY id", values
        )
        for (number,) in rows.fetchall():  # ids first: the caller may change rows meanwhile
            yield _change(
                self._db.execute("SELECT * FROM change WHERE id = ?", (number,)).fetchone()
            )

    def same_audio(self, audio_key: str, content_key: str) -> None:
        """Record that two keys are of the same audio."""
        with transaction(self._db):
            self._db.execute(
                "INSERT OR REPLACE INTO audio (audio_key, content_key) VALUES (?, ?)",
                (audio_key, content_key),
            )

    def wrote(
        self, content_key: str, field: str = "genre", audio_key: str | None = None
    ) -> list[str] | None:
        """Return what was last written to a field by content key or audio key.

        None: nothing, or it was undone.
        """
        sql = (
            f"SELECT old, new, fields FROM change WHERE {_OF_KEYS} AND state = 'replaced'"
            " ORDER BY id DESC"
        )
        for row in self._db.execute(sql, (content_key, audio_key)):
            if (change := _fields_of(row).get(field)) is not None:
                return [str(word) for word in change.new]
        return None

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

    # --- answers ---

    def answered(self, content_key: str, audio_key: str | None = None) -> list[str] | None:
        """Return the genres that a person chose, by either key; None if there was no question."""
        sql = f"SELECT genres FROM answer WHERE {_OF_KEYS} ORDER BY id DESC LIMIT 1"
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
