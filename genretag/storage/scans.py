"""The scans in the analysis cache: model, rules, places, and whether the plan is still true."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genretag.storage.sqlite import Tables, transaction

#: No row of a file, analysis, failure or plan changed since a scan was complete.
_UNTOUCHED = "generation = (SELECT number FROM generation)"

#: Scans whose plan is complete and not set aside, the newest first.
_COMPLETE = "SELECT * FROM scan WHERE finished = 1 AND aside = 0 ORDER BY run DESC"

PLANS_KEPT = 5  # older plans are dropped: a plan of a million rows is some hundred megabytes


@dataclass(frozen=True)
class Scan:
    """A scan with its model and policy."""

    run: int
    model: str | None
    policy: dict[str, Any]
    finished: bool
    aside: bool = False  # its plan belongs to the caller, never the last plan
    places: tuple[Path, ...] = ()  # scanned folders and files; empty in older databases

    def covers(self, path: Path) -> bool:
        """Return whether a path lies in a scanned place."""
        return any(path.is_relative_to(place) for place in self.places)


@dataclass(frozen=True)
class UnchangedScan:
    """A finished scan since which no stored row changed."""

    run: int
    fingerprint: str
    counts: dict[str, int]  # rows of its plan by status


def _scan(row: sqlite3.Row) -> Scan:
    return Scan(
        row["run"],
        row["model"],
        json.loads(row["policy"]),
        bool(row["finished"]),
        bool(row["aside"]),
        tuple(Path(place) for place in json.loads(row["places"] or "[]")),
    )


class StoredScans(Tables):
    """The table of scans, each with one plan."""

    def begin_scan(
        self,
        run: int,
        model: str | None,
        policy: dict[str, Any],
        *,
        aside: bool = False,
        places: Iterable[Path] = (),
    ) -> None:
        """Save a new scan of some places and delete the oldest plans.

        The newest plan of each place stays. With ``aside`` its plan belongs to the caller and is
        never the last one.
        """
        with transaction(self._db):
            row = (run, model, json.dumps(policy), aside, json.dumps([str(p) for p in places]))
            self._db.execute(
                "INSERT OR REPLACE INTO scan (run, model, policy, aside, places)"
                " VALUES (?, ?, ?, ?, ?)",
                row,
            )
            for number in self._outdated_plans(aside):
                self.delete_plan(number)

    def _outdated_plans(self, aside: bool) -> list[int]:
        """Return the plans to delete: old ones whose places newer complete plans cover."""
        sql = "SELECT * FROM scan WHERE aside = ? ORDER BY run DESC"
        scans = [_scan(row) for row in self._db.execute(sql, (aside,)).fetchall()]
        newer: set[Path] = set()
        outdated: list[int] = []
        for index, scan in enumerate(scans):
            covered = all(not newer.isdisjoint((p, *p.parents)) for p in scan.places)
            if index >= PLANS_KEPT and (aside or covered or not scan.finished):
                outdated.append(scan.run)
            if scan.finished:
                newer.update(scan.places)
        return outdated

    def delete_plan(self, run: int) -> None:
        """Delete a plan."""
        self._db.execute("DELETE FROM plan WHERE run = ?", (run,))
        self._db.execute("DELETE FROM scan WHERE run = ?", (run,))

    def set_aside(self, run: int, aside: bool) -> None:
        """Keep a plan from being the last one, or make it count."""
        self._db.execute("UPDATE scan SET aside = ? WHERE run = ?", (aside, run))

    def complete_scans(self) -> Iterator[Scan]:
        """Yield the scans with a complete plan that is not set aside, the newest first."""
        yield from map(_scan, self._db.execute(_COMPLETE).fetchall())

    def last_scan(self) -> Scan | None:
        """Return the last scan with a complete plan that is not set aside."""
        row = self._db.execute(f"{_COMPLETE} LIMIT 1").fetchone()
        return _scan(row) if row else None

    def scan(self, run: int) -> Scan | None:
        """Return a scan."""
        row = self._db.execute("SELECT * FROM scan WHERE run = ?", (run,)).fetchone()
        return _scan(row) if row else None

    def finish_scan(self, run: int, fingerprint: str | None = None) -> None:
        """Mark a plan as complete; ``fingerprint``: that under which it may be reused."""
        sql = (
            "UPDATE scan SET finished = 1, asked = ?, counts = ?, generation = "
            "(SELECT number FROM generation) WHERE run = ?"
        )
        counts = None if fingerprint is None else json.dumps(self.plan_counts(run))
        self._db.execute(sql, (fingerprint, counts, run))

    def untouched_scan(self) -> UnchangedScan | None:
        """Return the last scan if no row of a file, analysis, failure or plan changed since."""
        last = self.last_scan()
        sql = f"SELECT asked, counts FROM scan WHERE run = ? AND asked IS NOT NULL AND {_UNTOUCHED}"
        row = self._db.execute(sql, (last.run,)).fetchone() if last is not None else None
        if last is None or row is None:
            return None
        return UnchangedScan(
            last.run,
            str(row["asked"]),
            json.loads(row["counts"]) if row["counts"] else self.plan_counts(last.run),
        )

    def save_summary(self, run: int, summary: str) -> None:
        """Save the totals of a complete plan, unless a row changed since it was completed."""
        self._db.execute(
            f"UPDATE scan SET summary = ? WHERE run = ? AND {_UNTOUCHED}", (summary, run)
        )

    def summary(self, run: int) -> str | None:
        """Return the saved totals of a plan; None if there are none, or a row changed since."""
        sql = f"SELECT summary FROM scan WHERE run = ? AND {_UNTOUCHED}"
        row = self._db.execute(sql, (run,)).fetchone()
        return None if row is None else row["summary"]

    def plan_counts(self, run: int) -> dict[str, int]:
        """Return the number of rows of a plan by status."""
        sql = "SELECT json_extract(row, '$.status'), count(*) FROM plan WHERE run = ? GROUP BY 1"
        return {str(status): int(count) for status, count in self._db.execute(sql, (run,))}
