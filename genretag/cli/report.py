"""``genretag report``: show a plan again, or a part of it, or write it to a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.cluster import import_results
from genretag.cli.option_groups import FILES, OUTPUT, one_call, output_file
from genretag.cli.options import Database, Json, ReportOptions
from genretag.cli.output import OutputMode, check_page_name, is_page, message_console, output_mode
from genretag.cli.page import write_page
from genretag.cli.pager import paged_console
from genretag.cli.plans import absolute_paths, plans_in_force, rows_in_force, rows_of, total_rows
from genretag.cli.playlist import complete_genre
from genretag.cli.printing import print_rows
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.decisions.rows import Row
    from genretag.report.selection import Selection
    from genretag.report.summary import Scope
    from genretag.storage.scans import Scan
    from genretag.writing.session import Databases


def _complete_reason(incomplete: str) -> Iterator[str]:
    """Offer the codes of reasons to the shell."""
    from genretag.decisions.reasons import Reason

    return (code.value for code in Reason if code.startswith(incomplete))


@dataclass(frozen=True)
class FilterOptions:
    """Which rows of which plan a report lists."""

    genre: Annotated[
        list[str] | None,
        one_call(
            "--genre",
            metavar="NAME",
            rich_help_panel=FILES,
            show_default=False,
            autocompletion=complete_genre,
            help="Only files of this genre; repeatable.\n\n"
            "The genre that a file will have, else the one that the model found.",
        ),
    ] = None
    unsure: Annotated[
        bool, one_call("--unsure", rich_help_panel=FILES, help="Only unsure tracks.")
    ] = False
    failed: Annotated[
        bool,
        one_call("--failed", rich_help_panel=FILES, help="Only files that failed."),
    ] = False
    replaced: Annotated[
        bool,
        one_call("--replaced", rich_help_panel=FILES, help="Only files whose genre is replaced."),
    ] = False
    reason: Annotated[
        list[str] | None,
        one_call(
            "--reason",
            metavar="CODE",
            rich_help_panel=FILES,
            show_default=False,
            autocompletion=_complete_reason,
            help="Only files with this reason; repeatable.\n\n"
            "For example has-genre or not-music; genretag help reports lists the codes.",
        ),
    ] = None
    duplicates: Annotated[
        bool,
        one_call(
            "--duplicates",
            rich_help_panel=FILES,
            help="Only files with the same audio as another.\n\n"
            "In groups, whatever their names and tags.",
        ),
    ] = False
    everything: Annotated[
        bool,
        one_call("--all", rich_help_panel=FILES, help="List every file, however many."),
    ] = False
    run: Annotated[
        int | None,
        one_call(
            "--run",
            metavar="N",
            rich_help_panel=FILES,
            show_default="the newest plan of each file",
            help="The plan of this run (see history).",
        ),
    ] = None

    @property
    def selection(self) -> Selection:
        """The rows that the filters choose, groups of copies aside."""
        from genretag.decisions.vocabulary import normalise_genre
        from genretag.report.selection import Selection, parse_reasons

        return Selection(
            frozenset(map(normalise_genre, self.genre or ())),
            self.unsure,
            self.failed,
            self.replaced,
            parse_reasons(self.reason or []),
        )


@dataclass(frozen=True)
class TargetOptions:
    """Where a report goes, and in which form."""

    html: Annotated[
        bool,
        one_call(
            "--html",
            rich_help_panel=OUTPUT,
            help="Write an interactive page.\n\n"
            "It searches and sorts, tries other thresholds, and exports an edited plan.",
        ),
    ] = False
    output: Annotated[
        Path | None,
        output_file(
            show_default="genretag.html with --html",
            help="Write a .html, .csv, .jsonl or .md file.\n\n"
            "- is standard output: JSON lines, or the page with --html.",
        ),
    ] = None
    json: Json = False

    @property
    def target(self) -> Path | None:
        """The file to write; None for the terminal."""
        return self.output or (Path("genretag.html") if self.html else None)

    def names_page(self) -> bool:
        """Return whether the target is an HTML page.

        Raises:
            UsageError: a page is wanted, and the file's name says otherwise.
        """
        target = self.target
        if self.html:
            check_page_name(target)
        return self.html or is_page(target)


def report(
    context: typer.Context,
    filters: FilterOptions,
    options: TargetOptions,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]",
            show_default=False,
            help="Only files below these; or results of --engine ray.",
        ),
    ] = None,
    db: Database = None,
) -> None:
    """Show a plan again, or a part of it, or write it to a file.

    A long plan is shown as its riskiest changes and its totals. Paths, filters and --all list
    every file, by folder, through a pager. A .jsonl file can be edited and given back to
    genretag apply.

    Examples:
      genretag report
      genretag report ~/Music/Jazz --replaced
      genretag report --genre Metal --unsure
      genretag report --duplicates
      genretag report --html
      genretag report -O plan.jsonl
    """
    from genretag.report.formats import is_stdout

    # Before the database is opened: a mistake in the options is not its fault.
    chosen, as_page, target = filters.selection, options.names_page(), options.target
    mode = output_mode(context)
    with open_databases(db) as databases:
        tops = absolute_paths(import_results(databases, paths or [], mode.quiet))
        plans = plans_in_force(databases, tops, filters.run)
        listing = _Listing(databases, plans, tops, filters, chosen)
        if target is not None and as_page:
            listing.write_page(target, quiet=mode.quiet)
        else:
            listing.print(ReportOptions(options.json, target), mode)
    if target is not None and not is_stdout(target):
        message_console(mode.quiet).print(f"wrote {target}")


@dataclass(frozen=True)
class _Listing:
    """The rows of a report: those of some plans below some paths that the filters choose."""

    databases: Databases
    plans: list[Scan]
    tops: list[Path]
    filters: FilterOptions
    chosen: Selection

    @property
    def is_whole(self) -> bool:
        """Whether no filter leaves rows out, so that their number is known."""
        return self.chosen.is_everything and not self.filters.duplicates

    def rows(self) -> Iterator[Row]:
        """Yield the chosen rows; copies of the same audio one after another."""
        if self.filters.duplicates:
            return chain.from_iterable(self.groups())
        every = rows_of(self.databases, self.plans, self.tops)
        return (row for row in every if row in self.chosen)

    def groups(self) -> Iterator[list[Row]]:
        """Yield the groups of chosen rows with the same audio."""
        from genretag.library.walk import below
        from genretag.report.duplicates import duplicate_groups

        def is_wanted(row: Row) -> bool:
            return row in self.chosen and below(row.absolute, self.tops)

        return duplicate_groups(_same_audio(self.databases, self.plans, self.tops), is_wanted)

    def write_page(self, target: Path, *, quiet: bool) -> None:
        """Write the rows as an HTML page."""
        copies = {row.absolute for row in self.rows()} if self.filters.duplicates else None

        def is_wanted(row: Row) -> bool:
            return row in self.chosen if copies is None else row.absolute in copies

        write_page(self.databases, self.plans, self.tops, target, is_wanted, quiet=quiet)

    def print(self, options: ReportOptions, mode: OutputMode) -> None:
        """Print the rows, or write them to a file."""
        shown = OutputMode(mode.quiet or options.output is not None, mode.plain)
        duplicates = self.filters.duplicates
        listed = self.filters.everything or bool(self.tops) or not self.is_whole
        if listed and not mode.quiet and next(self.rows(), None) is None:
            _report_nothing(rows_of(self.databases, self.plans, self.tops), self.chosen)
        elif duplicates and not (options.json or options.output or shown.plain or shown.quiet):
            self._print_groups()
        else:
            # A choice by filters has an unknown size.
            total = total_rows(self.databases, self.plans, self.tops) if self.is_whole else None
            print_rows(
                self.rows,
                options,
                shown,
                everything=listed,
                scope=self._scope() if self.is_whole and not shown.quiet else None,
                show_progress=not mode.quiet,
                total=total,
            )

    def _print_groups(self) -> None:
        """Print copies of the same audio in groups."""
        from genretag.report.duplicates import print_duplicates

        with paged_console(wanted=True) as console:
            print_duplicates(console, self.groups())

    def _scope(self) -> Scope:
        return _scope(self.databases, self.plans, self.tops, self.filters.run)


def _scope(databases: Databases, plans: list[Scan], tops: list[Path], run: int | None) -> Scope:
    """Return the files of a report for the next commands."""
    from genretag.report.summary import Scope

    paths = shlex.join(
        os.path.relpath(top) if top.is_relative_to(Path.cwd()) else str(top) for top in tops
    )
    if tops:
        writes = sum(1 for _ in rows_in_force(databases, plans, tops, open_writes=True))
    else:
        writes = databases.store.open_writes(plans[0].run)
    return Scope(paths, run, writes)


def _same_audio(
    databases: Databases, plans: list[Scan], tops: list[Path]
) -> Iterator[Iterable[Row]]:
    """Yield the groups of rows whose audio has any key in common."""
    from genretag.decisions.rows import Row
    from genretag.decisions.same_audio import group_by_keys, number_keys

    store = databases.store
    if len(plans) == 1:
        # In SQL, because most rows of a large plan need not be read.
        run = plans[0].run
        for ordinals in group_by_keys(store.shared_keys(run)):
            yield map(Row.from_dict, store.plan_rows(run, ordinals))
        return
    rows = list(rows_of(databases, plans, tops))
    for numbers in group_by_keys(number_keys(rows, store.second_key)):
        yield [rows[n] for n in numbers]


def _report_nothing(rows: Iterable[Row], chosen: Selection) -> None:
    """Print that no file matches, and which genres the rows have if one was wanted."""
    hint = ""
    if chosen.genres:
        from collections import Counter

        from genretag.report.selection import genres_of

        genres = Counter(g for row in rows for g in genres_of(row))
        known = ", ".join(f"{name} ({files:,})" for name, files in genres.most_common())
        hint = f"; there are: {known or 'no genres'}"
    message_console().print(f"no file of the plan matches{hint}")
