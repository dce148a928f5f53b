"""The runs in the journal: each scan, apply and undo."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from genretag.storage.sqlite import Tables, transaction


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


def _run(row: sqlite3.Row) -> Run:
    options, counts = json.loads(row["options"]), json.loads(row["counts"] or "{}")
    return Run(row["id"], row["kind"], row["began"], row["ended"], row["version"], options, counts)


class StoredRuns(Tables):
    """The table of runs."""

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
