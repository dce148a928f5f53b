"""Write plans into files, with progress, and print a summary."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from genretag.cli.options import ApprovalOptions
from genretag.cli.output import FileProgress, OutputMode, confirm, file_progress
from genretag.cli.plans import plan_rows
from genretag.decisions.policy import Policy
from genretag.text import count
from genretag.writing.session import Databases, writing

if TYPE_CHECKING:
    from genretag.cli.notify import Written
    from genretag.cli.plans import NumberedRow
    from genretag.writing.apply import PlannedWrite, Result
    from genretag.writing.target import WriteOptions


def write_options(policy: Policy, preserve_mtimes: bool) -> WriteOptions:
    """Return how a policy wants files to be written."""
    from genretag.storage.protection import read_protection
    from genretag.tags import TagOptions
    from genretag.writing.target import WriteOptions

    tags = TagOptions(policy.convert_v22, policy.id3.number)
    protect = read_protection()
    return WriteOptions(preserve_mtimes, tags, policy.hardlinks, protect, policy.owner)


def write_plan(
    databases: Databases,
    run: int | None,
    rows: Sequence[NumberedRow] | None,
    options: WriteOptions,
    approval: ApprovalOptions,
    mode: OutputMode,
    jobs: int = 1,
    written: Written | None = None,
) -> int:
    """Ask, write one plan, and print a summary; return the number of failed files.

    ``rows`` None: all rows of the run's plan that are still to be written.
    """
    from genretag.writing.apply import PlannedWrite

    total = len(rows) if rows is not None else databases.store.open_writes(run or 0)
    if total == 0:
        if not mode.quiet:
            print("nothing to write", file=sys.stderr)
        return 0
    if not confirm(total, approval):
        return 0
    todo = rows if rows is not None else plan_rows(databases, run or 0, open_writes=True)
    writes = (PlannedWrite(row, options, run, ordinal) for ordinal, row in todo)
    plans = [run] if run is not None else []
    return write_all(databases, writes, total, plans, mode, jobs, written)


def write_all(
    databases: Databases,
    writes: Iterable[PlannedWrite],
    total: int,
    plans: list[int],
    mode: OutputMode,
    jobs: int,
    written: Written | None = None,
) -> int:
    """Write as one run, and print a summary; return the number of failed files.

    Args:
        databases: the databases.
        writes: what to write.
        total: their number.
        plans: the runs of their plans, the newest first.
        mode: how much is printed.
        jobs: files written at once.
        written: collects what was written.
    """
    import genretag
    from genretag.writing.apply import apply_writes

    options = {"plan": plans[0] if plans else None, **({"plans": plans} if plans[1:] else {})}
    store, journal = databases.store, databases.journal
    with writing(databases), file_progress(total, quiet=mode.quiet) as progress:
        number = journal.begin("apply", genretag.__version__, options)

        fields = set[str]()

        def show(result: Result) -> None:
            fields.update(result.fields)
            show_result(progress, result)
            if written is not None:
                written.add(result)

        counts = apply_writes(store, journal, number, writes, show, jobs)
        journal.end(number, dict(counts))
    if not mode.quiet:
        _print_written(counts["written"], total, fields, number)
    if counts["interrupted"]:
        print("stopped; the same command goes on with the rest", file=sys.stderr)
    return counts["failed"] + counts["interrupted"]


def _print_written(written: int, total: int, fields: set[str], run: int) -> None:
    """Print how many files were written, and what takes them back."""
    undo = f" (run {run}; `genretag undo {run}` restores them)" if written else ""
    noun = "genre" if fields <= {"genre"} else "file"
    print(f"wrote {written:,} of {count(total, noun)}{undo}", file=sys.stderr)


def show_result(progress: FileProgress, result: Result) -> None:
    """Count a file, and print why it was left alone."""
    from genretag.library.urls import home_relative

    if result.error is not None:
        progress.write(f"left alone: {home_relative(result.path)}: {result.error}")
    progress.advance()
