"""The changes in the journal: each write of a music file, with its undo data.

A change goes through the states

    intended -> ready -> replaced -> undoing -> undone
       └────────┴─> dropped (the file was not touched)

A file that is written in place (hard links) passes through ``overwriting`` instead of a rename, and
``overwriting back`` on the way back; its checked copy stays until that is over.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from genretag.storage.sqlite import Tables, transaction

#: The content keys of the audio that has content key ?1 or audio key ?2.
OF_KEYS = (
    "content_key IN (SELECT ?1 UNION SELECT ?2 UNION SELECT content_key FROM audio"
    " WHERE audio_key = ?2)"
)

OPEN_STATES = ("intended", "ready", "overwriting", "undoing", "overwriting back")


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


class StoredChanges(Tables):
    """The tables of changes, and of the audio keys by which they are found, too."""

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
            f"SELECT old, new, fields FROM change WHERE {OF_KEYS} AND state = 'replaced'"
            " ORDER BY id DESC"
        )
        for row in self._db.execute(sql, (content_key, audio_key)):
            if (change := _fields_of(row).get(field)) is not None:
                return [str(word) for word in change.new]
        return None
