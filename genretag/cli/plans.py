"""Stored plans: find the last one, decide it again, show it, and write it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.options import ApprovalOptions, ReportOptions
from genretag.cli.output import FileProgress, OutputMode, confirm, file_progress
from genretag.cli.pager import paged_console
from genretag.decisions.policy import Policy
from genretag.errors import UsageError
from genretag.library.walk import below, on_disk_case
from genretag.writing.session import Databases, writing

if TYPE_CHECKING:
    from genretag.decisions.plan import Row
    from genretag.storage.cache import Scan
    from genretag.writing.apply import Result
    from genretag.writing.replace import WriteOptions

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


def plan_of(databases: Databases, run: int | None, tops: list[Path]) -> Scan:
    """Return the plan of a run, else the newest one that covers ``tops``.

    Raises:
        UsageError: there is no such plan, or it has no file below one of ``tops``.
    """
    if run is not None:
        plan = databases.store.scan(run)
        if plan is None or not plan.finished or plan.aside:
            raise UsageError(f"--run {run}: this run has no plan; genretag history lists the runs")
    else:
        plan = last_scan(databases)
        if tops:
            plan = _newest_plan_below(databases, tops) or plan
    if tops:
        check_paths_in_plan(databases, plan.run, tops)
    return plan


def _newest_plan_below(databases: Databases, tops: list[Path]) -> Scan | None:
    """Return the newest plan whose places hold all paths, else one that has files below them."""
    below_all = [
        plan
        for plan in databases.store.complete_scans()
        if all(databases.store.has_rows_below(plan.run, top) for top in tops)
    ]
    whole = (plan for plan in below_all if all(map(plan.covers, tops)))
    return next(whole, below_all[0] if below_all else None)


def plans_below(databases: Databases, tops: list[Path]) -> list[Scan]:
    """Return the plans that hold for files below ``tops``, the newest first.

    The newest plan that covers a file holds: the last of them covers all of ``tops``.

    Raises:
        UsageError: no plan has a file below one of ``tops``.
    """
    whole = plan_of(databases, None, tops)
    newer = (plan for plan in databases.store.complete_scans() if plan.run > whole.run)
    has_rows = databases.store.has_rows_below
    return [*(p for p in newer if any(has_rows(p.run, top) for top in tops)), whole]


def rows_in_force(
    databases: Databases, plans: list[Scan], tops: list[Path], *, open_writes: bool = False
) -> Iterator[tuple[Scan, int | None, Row]]:
    """Yield (plan, ordinal, row) below ``tops``, each file's from the newest of the plans."""
    for index, plan in enumerate(plans):
        for ordinal, row in plan_rows(databases, plan.run, open_writes=open_writes):
            path = row.absolute
            if below(path, tops) and all(
                databases.store.planned(newer.run, path) is None for newer in plans[:index]
            ):
                yield plan, ordinal, row


def rows_of(databases: Databases, plans: list[Scan], tops: list[Path]) -> Iterator[Row]:
    """Yield the rows in force below ``tops``."""
    return (row for _, _, row in rows_in_force(databases, plans, tops))


def plan_rows(
    databases: Databases, run: int, *, open_writes: bool = False
) -> Iterator[tuple[int | None, Row]]:
    """Yield (ordinal, row) of a run's plan: all rows, or those still to be written."""
    from genretag.decisions.plan import Row

    for ordinal, _, data in databases.store.plan(run, open_writes=open_writes):
        yield ordinal, Row.from_dict(data)


def absolute_paths(paths: Iterable[Path] | None) -> list[Path]:
    """Return paths as plans store them: absolute, and spelled as on disk."""
    return [on_disk_case(path).absolute() for path in paths or ()]


def rows_below(rows: Iterable[NumberedRow], tops: list[Path]) -> list[NumberedRow]:
    """Return the rows below some paths; all of them if there are no paths."""
    return [(n, row) for n, row in rows if below(row.absolute, tops)]


def check_paths_in_plan(databases: Databases, run: int, tops: list[Path]) -> None:
    """Raise ``UsageError`` for a path below which the plan has no file."""
    missing = set(tops)
    # Most plans match within a few rows, so the rows are not read to the end.
    for _, row in plan_rows(databases, run):
        missing -= {top for top in missing if row.absolute.is_relative_to(top)}
        if not missing:
            return
    raise UsageError(f"{', '.join(map(str, sorted(missing)))}: the last scan found no music there")


def decide_again(
    databases: Databases,
    last: Scan,
    policy: Policy,
    tops: list[Path] | None = None,
    *,
    aside: bool = False,
) -> int:
    """Make a new plan from the stored scores, and return its run.

    ``aside``: it becomes the plan to apply only by ``keep_plan``.
    """
    import genretag
    from genretag.scan.replan import replan

    run = databases.journal.begin("plan", genretag.__version__, policy.to_dict())
    count = replan(databases.store, last, policy, run, databases.journal, tops, aside=aside)
    databases.journal.end(run, {"files": count})
    return run


@contextlib.contextmanager
def provisional_plan(databases: Databases, run: int) -> Iterator[Callable[[], None]]:
    """Set a plan aside and yield what keeps it; without that call it is deleted at the end."""
    kept = False

    def keep() -> None:
        nonlocal kept
        databases.store.set_aside(run, False)
        kept = True

    databases.store.set_aside(run, True)
    try:
        yield keep
    finally:
        if not kept:
            databases.store.delete_plan(run)


def print_plan(
    databases: Databases,
    run: int,
    output: ReportOptions,
    mode: OutputMode,
    tops: list[Path] | None = None,
    *,
    offer_apply: bool = False,
) -> int:
    """Show a run's plan, or what lies below ``tops``; return the number of failed files.

    ``offer_apply``: name ``genretag apply`` as the next command.
    """
    # Counting in SQL spares reading a million rows that nobody will see.
    if mode.quiet and not (output.json or output.output or tops):
        return databases.store.failed_in_plan(run)

    if not mode.quiet:
        report_misspelt_words(databases, run)

    # Read again for each pass: a plan of a large library does not fit in memory.
    def rows() -> Iterator[Row]:
        return (row for _, row in plan_rows(databases, run) if below(row.absolute, tops))

    return print_rows(rows, output, mode, offer_apply=offer_apply)


def report_misspelt_words(databases: Databases, run: int) -> None:
    """Print words of a plan's vocabulary that match nothing, each with the nearest known word."""
    from genretag.decisions.vocabulary import misspelt_words
    from genretag.scan.replan import metadata_of
    from genretag.text import escape_control

    plan = databases.store.scan(run)
    vocabulary = Policy.from_dict(plan.policy).vocabulary if plan is not None else None
    if plan is None or vocabulary is None or vocabulary.changes_nothing:
        return
    if databases.store.model_metadata(plan.model or "") is None:
        return
    for table, word, near in misspelt_words(vocabulary, metadata_of(databases.store, plan).labels):
        hint = f"; did you mean {near}?" if near else ""
        message = f"vocabulary, {table}: {word} is no label of the model and no genre of the tree"
        print(f"genretag: {escape_control(message + hint)}", file=sys.stderr)


def print_rows(
    rows: Callable[[], Iterator[Row]],
    output: ReportOptions,
    mode: OutputMode,
    *,
    everything: bool = False,
    offer_apply: bool = False,
) -> int:
    """Show the rows that ``rows`` reads anew at each call; return the number of failed files.

    ``everything``: list all rows, however many, and through a pager on a terminal.
    """
    from genretag.report.formats import is_stdout, write_json, write_report
    from genretag.report.summary import summarise
    from genretag.report.terminal import print_report

    summary = summarise(rows())
    if not summary.files and not mode.quiet:
        print("no music found", file=sys.stderr)
    to_stdout = output.json or (output.output is not None and is_stdout(output.output))
    if output.output is not None and not to_stdout:
        write_report(rows(), output.output)
    if to_stdout:
        write_json(rows(), sys.stdout)
    elif not summary.files:
        pass
    elif mode.plain and not mode.quiet:
        from genretag.report.sentences import report_lines

        for line in report_lines(rows(), summary):
            print(line)
    elif not mode.quiet:
        with paged_console(wanted=everything) as console:
            print_report(console, rows(), summary, everything=everything, offer_apply=offer_apply)
    return summary.failed


def write_options(policy: Policy, preserve_mtimes: bool) -> WriteOptions:
    """Return how a policy wants files to be written."""
    from genretag.cli.options import read_protection
    from genretag.tags import TagOptions
    from genretag.writing.replace import WriteOptions

    tags = TagOptions(policy.convert_v22, policy.id3.number)
    protect = read_protection()
    return WriteOptions(preserve_mtimes, tags, policy.hardlinks, protect, policy.owner)


def write_plan(
    databases: Databases,
    run: int | None,
    rows: list[NumberedRow] | None,
    options: WriteOptions,
    approval: ApprovalOptions,
    mode: OutputMode,
    jobs: int = 1,
) -> int:
    """Ask, write, and print a summary; return the number of failed files.

    ``rows`` None: all rows of the run's plan that are still to be written.
    """
    import genretag
    from genretag.writing.apply import apply_rows

    count = len(rows) if rows is not None else databases.store.open_writes(run or 0)
    if count == 0:
        if not mode.quiet:
            print("nothing to write", file=sys.stderr)
        return 0
    if not confirm(count, approval):
        return 0
    with writing(databases), file_progress(count, quiet=mode.quiet) as progress:
        number = databases.journal.begin("apply", genretag.__version__, {"plan": run})
        todo = rows if rows is not None else plan_rows(databases, run or 0, open_writes=True)
        counts = apply_rows(
            databases.store,
            databases.journal,
            number,
            todo,
            options,
            lambda result: show_result(progress, result),
            run,
            jobs,
        )
        databases.journal.end(number, dict(counts))
    if not mode.quiet:
        undo = f" (run {number}; `genretag undo {number}` restores them)"
        tail = undo if counts["written"] else ""
        print(f"wrote {counts['written']:,} of {count:,} genres{tail}", file=sys.stderr)
    if counts["interrupted"]:
        print("stopped; `genretag apply` goes on with the rest", file=sys.stderr)
    return counts["failed"] + counts["interrupted"]


def show_result(progress: FileProgress, result: Result) -> None:
    """Count a file, and print why it was left alone."""
    from genretag.library.urls import home_relative

    if result.error is not None:
        progress.write(f"left alone: {home_relative(result.path)}: {result.error}")
    progress.advance()
