"""Stored plans: find the last one, decide it again, show it, and write it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.options import ApprovalOptions, ReportOptions
from genretag.cli.output import FileProgress, OutputMode, confirm, file_progress
from genretag.cli.pager import paged_console
from genretag.decisions.policy import Policy
from genretag.errors import UsageError
from genretag.library.urls import absolute
from genretag.library.walk import below, on_disk_case
from genretag.text import count
from genretag.writing.session import Databases, writing

if TYPE_CHECKING:
    from genretag.cli.notify import Written
    from genretag.decisions.rows import Row
    from genretag.report.summary import Scope, Summary
    from genretag.storage.scans import Scan
    from genretag.writing.apply import PlannedWrite, Result
    from genretag.writing.target import WriteOptions

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


def decide_again(
    databases: Databases,
    plans: list[Scan],
    policy: Policy,
    tops: list[Path],
    *,
    aside: bool = False,
    quiet: bool = False,
) -> int:
    """Make a new plan of what ``plans`` hold below ``tops``, from stored scores; return its run.

    ``aside``: it becomes the plan to apply only by ``keep_plan``.
    """
    import genretag
    from genretag.scan.replan import replan_rows

    run = databases.journal.begin("plan", genretag.__version__, policy.to_dict())
    places = tops or plans[0].places
    store, past = databases.store, databases.journal
    newest = next((plan for plan in plans if plan.model), plans[0])
    total = total_rows(databases, plans, tops)
    with file_progress(total, quiet=quiet) as progress:
        in_force = progress.counted(rows_in_force(databases, plans, tops))
        rows = ((plan, row) for plan, _, row in in_force)
        count = replan_rows(
            store,
            rows,
            newest,
            policy,
            run,
            past,
            places,
            aside=aside,
            on_phase=progress.describe,
        )
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
    *,
    offer_apply: bool = False,
) -> int:
    """Show a run's plan; return the number of failed files.

    ``offer_apply``: name ``genretag apply`` as the next command.
    """
    from genretag.report.summary import Scope

    # Counting in SQL spares reading a million rows that nobody will see.
    if mode.quiet and not (output.json or output.output):
        return databases.store.failed_in_plan(run)

    if not mode.quiet:
        report_misspelt_words(databases, run)

    # Read again for each pass: a plan of a large library does not fit in memory.
    def rows() -> Iterator[Row]:
        return (row for _, row in plan_rows(databases, run))

    scope = Scope(writes=databases.store.open_writes(run) if offer_apply else 0)
    stored = stored_summary(databases, run)
    summary = stored
    if summary is None:
        total = databases.store.count_rows(run)
        summary = _summarise(rows(), quiet=mode.quiet, total=total)
    failed = print_rows(rows, output, mode, scope=scope, summary=summary)
    if stored is None:
        # Afterwards: another program may hold the database, or the disk be full.
        databases.store.save_summary(run, summary.to_json())
    return failed


def stored_summary(databases: Databases, run: int) -> Summary | None:
    """Return the totals of a plan from when it was last shown; None if they do not hold."""
    from genretag.report.summary import Summary

    text = databases.store.summary(run)
    return None if text is None else Summary.from_json(text)


def _summarise(rows: Iterable[Row], *, quiet: bool, total: int | None) -> Summary:
    """Return the totals of rows, with progress."""
    from genretag.report.summary import summarise

    with file_progress(total, quiet=quiet) as progress:
        return summarise(progress.counted(rows))


def report_misspelt_words(databases: Databases, run: int) -> None:
    """Print words of a plan's vocabulary that match nothing, each with the nearest known word."""
    from genretag.decisions.vocabulary import Vocabulary, misspelt_fields, misspelt_words
    from genretag.scan.replan import metadata_of
    from genretag.text import escape_control

    plan = databases.store.scan(run)
    vocabulary = Policy.from_dict(plan.policy).vocabulary if plan is not None else None
    if plan is None or vocabulary is None or vocabulary == Vocabulary():
        return
    if databases.store.model_metadata(plan.model or "") is None:
        return
    metadata = metadata_of(databases.store, plan)
    moods, styles = metadata.moods, metadata.styles
    found = [
        (*word, "no label of the model and no genre of the tree")
        for word in misspelt_words(vocabulary, metadata.labels)
    ]
    found += [
        (*word, f"no {word[0].removesuffix('s')} of the model")
        for word in misspelt_fields(
            vocabulary, moods.names if moods else (), styles.names if styles else ()
        )
    ]
    for table, word, near, what in found:
        hint = f"; did you mean {near}?" if near else ""
        message = f"vocabulary, {table}: {word} is {what}{hint}"
        print(f"genretag: {escape_control(message)}", file=sys.stderr)


def print_rows(
    rows: Callable[[], Iterator[Row]],
    output: ReportOptions,
    mode: OutputMode,
    *,
    everything: bool = False,
    scope: Scope | None = None,
    show_progress: bool | None = None,
    total: int | None = None,
    summary: Summary | None = None,
) -> int:
    """Show the rows that ``rows`` reads again at each call; return the number of failed files.

    ``everything``: list all rows, however many, and through a pager on a terminal. ``scope``: the
    files, for the next commands; None: name none. ``show_progress`` None: unless ``mode`` is quiet.
    ``total``: the number of rows that are read, if it is known; ``summary``: their totals, if they
    are.
    """
    from genretag.report.formats import is_stdout, write_json, write_report
    from genretag.report.terminal import print_report

    quiet = mode.quiet if show_progress is None else not show_progress
    if summary is None:
        summary = _summarise(rows(), quiet=quiet, total=total)
    if not summary.files and not mode.quiet:
        print("no music found", file=sys.stderr)
    to_stdout = output.json or (output.output is not None and is_stdout(output.output))
    if output.output is not None and not to_stdout:
        with file_progress(summary.files, quiet=quiet) as progress:
            write_report(progress.counted(rows()), output.output)
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
            print_report(console, rows(), summary, everything=everything, scope=scope)
    return summary.failed


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
        undo = f" (run {number}; `genretag undo {number}` restores them)"
        tail = undo if counts["written"] else ""
        noun = "genre" if fields <= {"genre"} else "file"
        print(f"wrote {counts['written']:,} of {count(total, noun)}{tail}", file=sys.stderr)
    if counts["interrupted"]:
        print("stopped; the same command goes on with the rest", file=sys.stderr)
    return counts["failed"] + counts["interrupted"]


def show_result(progress: FileProgress, result: Result) -> None:
    """Count a file, and print why it was left alone."""
    from genretag.library.urls import home_relative

    if result.error is not None:
        progress.write(f"left alone: {home_relative(result.path)}: {result.error}")
    progress.advance()
