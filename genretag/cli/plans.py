"""Stored plans: find those in force, and the row that holds for each file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.errors import UsageError
from genretag.library.urls import absolute
from genretag.library.walk import below, on_disk_case
from genretag.writing.session import Databases

if TYPE_CHECKING:
    from genretag.decisions.rows import Row
    from genretag.storage.scans import Scan

    NumberedRow = tuple[int | None, Row]


NO_PLAN = "there is no plan yet: genretag scan FOLDER --dry-run makes one"
NOTHING_ANALYSED = "nothing was analysed yet: genretag scan FOLDER --dry-run"


def last_scan(databases: Databases, missing: str = NO_PLAN) -> Scan:
    """Return the last scan with a complete plan.

    Raises:
        UsageError: there is none; ``missing`` is the message.
    """
    last = databases.store.last_scan()
    if last is None:
        raise UsageError(missing)
    return last


def plan_of(databases: Databases, run: int) -> Scan:
    """Return the plan of a run.

    Raises:
        UsageError: the run has no complete plan of its own.
    """
    plan = databases.store.scan(run)
    if plan is None or not plan.finished or plan.aside:
        raise UsageError(f"--run {run}: this run has no plan; genretag history lists the runs")
    return plan


def plans_in_force(
    databases: Databases, tops: list[Path], run: int | None = None, *, missing: str = NO_PLAN
) -> list[Scan]:
    """Return the plans that hold for files below ``tops``, the newest first.

    Without paths, this is the plan that was stored last; with ``run``, that run's plan.

    Raises:
        UsageError: there is no plan (``missing`` is the message), or none has a file below one of
            ``tops``.
    """
    if run is not None:
        plans = [plan_of(databases, run)]
    else:
        plans = [last_scan(databases, missing)]
        plans = list(_plans_below(databases, tops)) or plans if tops else plans
    check_paths_in_plans(databases, plans, tops)
    return plans


def _plans_below(databases: Databases, tops: list[Path]) -> Iterator[Scan]:
    """Yield the plans with a file below ``tops``, down to those that cover all of them."""
    uncovered = set(tops)
    for plan in databases.store.complete_scans():
        if any(databases.store.has_rows_below(plan.run, top) for top in uncovered):
            yield plan
        uncovered -= {top for top in uncovered if plan.covers(top)}
        if not uncovered:
            return


def rows_in_force(
    databases: Databases, plans: list[Scan], tops: list[Path], *, open_writes: bool = False
) -> Iterator[tuple[Scan, int, Row]]:
    """Yield (plan, ordinal, row) below ``tops``, each file's from the newest plan that covers it.

    ``open_writes``: only the rows that are still to be written.
    """
    for index, plan in enumerate(plans):
        for ordinal, row in plan_rows(databases, plan.run, open_writes=open_writes):
            path = row.absolute
            if below(path, tops) and not any(
                newer.covers(path) or databases.store.planned(newer.run, path) is not None
                for newer in plans[:index]
            ):
                yield plan, ordinal, row


def total_rows(databases: Databases, plans: list[Scan], tops: list[Path]) -> int | None:
    """Return the number of rows in force below ``tops``; None where plans or paths may overlap."""
    if len(plans) > 1 or len(tops) > 1:
        return None
    return databases.store.count_rows(plans[0].run, *tops)


def rows_of(databases: Databases, plans: list[Scan], tops: list[Path]) -> Iterator[Row]:
    """Yield the rows in force below ``tops``."""
    return (row for _, _, row in rows_in_force(databases, plans, tops))


def plan_rows(
    databases: Databases, run: int, *, open_writes: bool = False
) -> Iterator[tuple[int, Row]]:
    """Yield (ordinal, row) of a run's plan: all rows, or those still to be written."""
    from genretag.decisions.rows import Row

    for ordinal, _, data in databases.store.plan(run, open_writes=open_writes):
        yield ordinal, Row.from_dict(data)


def absolute_paths(paths: Iterable[Path] | None) -> list[Path]:
    """Return paths as plans store them: absolute, and spelled as on disk."""
    return [absolute(on_disk_case(path)) for path in paths or ()]


def rows_below(rows: Iterable[NumberedRow], tops: list[Path]) -> list[NumberedRow]:
    """Return the rows below some paths; all of them if there are no paths."""
    return [(n, row) for n, row in rows if below(row.absolute, tops)]


def check_paths_in_plans(databases: Databases, plans: list[Scan], tops: list[Path]) -> None:
    """Raise ``UsageError`` for a path below which no plan has a file."""
    has_rows = databases.store.has_rows_below
    missing = [top for top in tops if not any(has_rows(plan.run, top) for plan in plans)]
    if missing:
        raise UsageError(
            f"{', '.join(map(str, sorted(missing)))}: the last scan found no music there"
        )
