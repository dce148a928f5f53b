"""A run's plan, from the store to the reader: on the terminal, as JSON lines, into a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli import session
from genretag.errors import UsageError

if TYPE_CHECKING:
    from genretag.decisions.plan import Row
    from genretag.storage.cache import Scan


NO_PLAN = "there is no plan yet: genretag scan FOLDER --dry-run makes one"
NOTHING_HEARD = "nothing was heard yet: genretag scan FOLDER --dry-run"


def last_scan(databases: session.Databases, missing: str = NO_PLAN) -> Scan:
    """Return the last scan whose plan is whole; raise ``UsageError`` where there is none."""
    last = databases.store.last_scan()
    if last is None:
        raise UsageError(missing)
    return last


def plan_rows(
    databases: session.Databases, run: int, *, open_writes: bool = False
) -> Iterator[tuple[int | None, Row]]:
    """Yield (ordinal, row) of a run's plan, all of it or what is still to be written."""
    from genretag.decisions.plan import Row

    for ordinal, _, data in databases.store.plan(run, open_writes=open_writes):
        yield ordinal, Row.from_dict(data)


def report(
    databases: session.Databases,
    run: int,
    *,
    json: bool,
    output: Path | None,
    quiet: bool,
    plain: bool = False,
    tops: list[Path] | None = None,
) -> int:
    """Print the report of a run's plan, or of what lies below ``tops``, and write it to a file; return how many files failed."""
    from genretag.library.walk import below
    from genretag.report.formats import write_json, write_report
    from genretag.report.summary import summarise
    from genretag.report.terminal import print_report

    if quiet and not (json or output or tops):
        return databases.store.failed_in_plan(run)

    def rows() -> Iterator[Row]:
        every = (row for _, row in plan_rows(databases, run))
        return (row for row in every if below(row.absolute, tops))

    summary = summarise(rows())
    if output is not None:
        write_report(rows(), output)
    if json:
        write_json(rows(), sys.stdout)
    elif plain and not quiet:
        from genretag.report.sentences import report_lines

        for line in report_lines(rows(), summary):
            print(line)
    elif not quiet:
        whole = f"in {output}" if output else "with --json, or -O report.csv"
        print_report(session.results(), rows(), summary, whole)
    return summary.failed
