"""The rows of plans in the analysis cache, as JSON, in the order of the walk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from genretag.storage.sqlite import Tables

#: (ordinal, key) of the rows of a plan, for keys of the audio that more than one of them has.
_SHARED_KEYS = """
WITH own AS (
  SELECT ordinal,
    json_extract(row, '$.content_key') AS content_key,
    json_extract(row, '$.audio_key') AS audio_key
  FROM plan WHERE run = :run
), every AS (
  SELECT ordinal, content_key AS key FROM own WHERE content_key != ''
  UNION SELECT ordinal, audio_key FROM own WHERE audio_key IS NOT NULL
  UNION SELECT ordinal, second_key FROM own JOIN heard USING (content_key)
    WHERE second_key IS NOT NULL
)
SELECT ordinal, key FROM every
WHERE key IN (SELECT key FROM every GROUP BY key HAVING count(*) > 1) ORDER BY ordinal
"""

_BELOW = "(path = ? OR (path > ? AND path < ?))"  # with the values of _range_below


def _range_below(top: Path) -> tuple[bytes, bytes, bytes]:
    """Return a path, and the range in which the paths below it are sorted."""
    name, separator = os.fsencode(top), os.fsencode(os.sep)
    folder = name.rstrip(separator)
    return name, folder + separator, folder + bytes([separator[0] + 1])


def _whole_action(action: str, row: dict[str, Any]) -> str:
    """Return what a plan does with a file: write, if it writes any of its fields."""
    plans = row.get("fields") or {}
    return "write" if any(plan["action"] == "write" for plan in plans.values()) else action


class StoredPlanRows(Tables):
    """The table of plan rows."""

    def save_plan(self, run: int, rows: Iterable[tuple[int, Path, str, dict[str, Any]]]) -> None:
        """Save rows of a plan: (ordinal, path, action on the genre, row).

        A row counts as a write if any of its fields is written.
        """
        self._db.executemany(
            "INSERT OR REPLACE INTO plan (run, ordinal, path, action, row) VALUES (?, ?, ?, ?, ?)",
            (
                (run, n, os.fsencode(path), _whole_action(action, row), json.dumps(row))
                for n, path, action, row in rows
            ),
        )

    def copy_plan(self, run: int, target: int) -> int:
        """Copy the rows of a plan into another run; return the next free ordinal."""
        columns = "ordinal, path, action, row, done"
        self._db.execute(
            f"INSERT INTO plan (run, {columns}) SELECT ?, {columns} FROM plan WHERE run = ?",
            (target, run),
        )
        sql = "SELECT max(ordinal) FROM plan WHERE run = ?"
        last = self._db.execute(sql, (target,)).fetchone()[0]
        return 0 if last is None else int(last) + 1

    def plan(
        self, run: int, *, open_writes: bool = False
    ) -> Iterator[tuple[int, Path, dict[str, Any]]]:
        """Yield the rows of a plan in walk order, all or only the unwritten ones."""
        sql = "SELECT ordinal, path, row FROM plan WHERE run = ?"
        sql += " AND action = 'write' AND done = 0" if open_writes else ""
        # In lots, so that no read stays open while the caller takes its time or writes.
        last = -1
        while rows := self._db.execute(
            f"{sql} AND ordinal > ? ORDER BY ordinal LIMIT 500", (run, last)
        ).fetchall():
            for row in rows:
                yield row["ordinal"], Path(os.fsdecode(row["path"])), json.loads(row["row"])
            last = rows[-1]["ordinal"]

    def plan_rows(self, run: int, ordinals: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a plan with these ordinals, in the order of the plan."""
        sql = (
            "SELECT row FROM plan WHERE run = ? AND ordinal IN (SELECT value FROM json_each(?))"
            " ORDER BY ordinal"
        )
        for row in self._db.execute(sql, (run, json.dumps(list(ordinals)))):
            yield json.loads(row["row"])

    def planned(self, run: int, path: Path) -> int | None:
        """Return the ordinal of a path in the plan of a run."""
        row = self._db.execute(
            "SELECT ordinal FROM plan WHERE path = ? AND run = ?", (os.fsencode(path), run)
        ).fetchone()
        return int(row[0]) if row else None

    def planned_row(self, run: int, path: Path) -> tuple[int, dict[str, Any]] | None:
        """Return a path's ordinal and row in the plan of a run."""
        sql = "SELECT ordinal, row FROM plan WHERE path = ? AND run = ?"
        row = self._db.execute(sql, (os.fsencode(path), run)).fetchone()
        return (int(row[0]), json.loads(row[1])) if row else None

    def has_rows_below(self, run: int, top: Path) -> bool:
        """Return whether a plan has a row of a path or of a file below it."""
        sql = f"SELECT 1 FROM plan WHERE run = ? AND {_BELOW} LIMIT 1"
        return self._db.execute(sql, (run, *_range_below(top))).fetchone() is not None

    def count_rows(self, run: int, top: Path | None = None) -> int:
        """Return the number of rows of a plan, or of those of a path and of files below it."""
        below = f"AND {_BELOW}" if top is not None else ""
        values = _range_below(top) if top is not None else ()
        sql = f"SELECT count(*) FROM plan WHERE run = ? {below}"
        return int(self._db.execute(sql, (run, *values)).fetchone()[0])

    def failed_in_plan(self, run: int) -> int:
        """Return the number of failed files of a plan."""
        # INDEXED BY, here and below: SQLite would choose the primary key, and read every row.
        sql = (
            "SELECT count(*) FROM plan INDEXED BY plan_status WHERE run = ? AND "
            "json_extract(row, '$.status') = 'failed'"
        )
        return int(self._db.execute(sql, (run,)).fetchone()[0])

    def open_writes(self, run: int) -> int:
        """Return the number of unwritten rows of a plan."""
        sql = (
            "SELECT count(*) FROM plan INDEXED BY plan_open WHERE run = ? AND "
            "action = 'write' AND done = 0"
        )
        return int(self._db.execute(sql, (run,)).fetchone()[0])

    def shared_keys(self, run: int) -> Iterator[tuple[int, str]]:
        """Yield (ordinal, key) for each key of the audio that several rows of a plan have."""
        cursor = self._db.cursor()
        cursor.row_factory = None
        yield from cursor.execute(_SHARED_KEYS, {"run": run})

    def mark_done(self, run: int, ordinal: int) -> None:
        """Mark a row of a plan as written."""
        self._db.execute("UPDATE plan SET done = 1 WHERE run = ? AND ordinal = ?", (run, ordinal))

    def reopen(self, path: Path) -> None:
        """Mark the rows of a path as unwritten, after an undo."""
        self._db.execute("UPDATE plan SET done = 0 WHERE path = ?", (os.fsencode(path),))
