"""Print a plan: on the terminal, in sentences, or to a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from genretag.cli.options import ReportOptions
from genretag.cli.output import OutputMode, file_progress
from genretag.cli.pager import paged_console
from genretag.cli.plans import plan_rows
from genretag.decisions.policy import Policy
from genretag.writing.session import Databases

if TYPE_CHECKING:
    from genretag.decisions.rows import Row
    from genretag.report.summary import Scope, Summary


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
    elif summary.files and not mode.quiet:
        _print_report(rows(), summary, plain=mode.plain, everything=everything, scope=scope)
    return summary.failed


def _print_report(
    rows: Iterator[Row], summary: Summary, *, plain: bool, everything: bool, scope: Scope | None
) -> None:
    """Print rows and totals: in sentences if ``plain``, else as tables."""
    if plain:
        from genretag.report.sentences import report_lines

        for line in report_lines(rows, summary):
            print(line)
        return
    from genretag.report.terminal import print_report

    with paged_console(wanted=everything) as console:
        print_report(console, rows, summary, everything=everything, scope=scope)
