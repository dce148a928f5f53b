"""``genretag report``: show a plan again, or a part of it, or write it to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.cluster import import_results
from genretag.cli.options import (
    FILES,
    OUTPUT,
    Database,
    Json,
    ReportOptions,
    describe_policy,
    one_call,
)
from genretag.cli.output import OutputMode, format_time, message_console, output_mode
from genretag.cli.pager import paged_console
from genretag.cli.plans import (
    absolute_paths,
    plan_of,
    plan_rows,
    print_rows,
)
from genretag.cli.playlist import complete_genre
from genretag.decisions.policy import Policy
from genretag.errors import UsageError
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.decisions.plan import Row
    from genretag.inference.metadata import ModelMetadata
    from genretag.report.selection import Selection
    from genretag.storage.cache import Scan
    from genretag.writing.session import Databases

_PAGE_SUFFIXES = (".html", ".htm")


def _complete_reason(incomplete: str) -> Iterator[str]:
    """Offer the codes of reasons to the shell."""
    from genretag.decisions.plan import Reason

    return (code.value for code in Reason if code.startswith(incomplete))


def report(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]",
            show_default=False,
            help="Only files below these; or results of --engine ray.",
        ),
    ] = None,
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
    ] = None,
    unsure: Annotated[
        bool, one_call("--unsure", rich_help_panel=FILES, help="Only unsure tracks.")
    ] = False,
    failed: Annotated[
        bool,
        one_call("--failed", rich_help_panel=FILES, help="Only files that failed."),
    ] = False,
    replaced: Annotated[
        bool,
        one_call("--replaced", rich_help_panel=FILES, help="Only files whose genre is replaced."),
    ] = False,
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
    ] = None,
    duplicates: Annotated[
        bool,
        one_call(
            "--duplicates",
            rich_help_panel=FILES,
            help="Only files with the same audio as another.\n\n"
            "In groups, whatever their names and tags.",
        ),
    ] = False,
    everything: Annotated[
        bool,
        one_call("--all", rich_help_panel=FILES, help="List every file, however many."),
    ] = False,
    run: Annotated[
        int | None,
        one_call(
            "--run",
            metavar="N",
            rich_help_panel=FILES,
            show_default="the newest plan",
            help="The plan of this run (see history).",
        ),
    ] = None,
    html: Annotated[
        bool,
        one_call(
            "--html",
            rich_help_panel=OUTPUT,
            help="Write an interactive page.\n\n"
            "It searches and sorts, tries other thresholds, and exports an edited plan.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        one_call(
            "-O",
            "--output",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            show_default="genretag.html with --html",
            help="Write a .html, .csv, .jsonl or .md file.\n\n"
            "- is standard output: JSON lines, or the page with --html.",
        ),
    ] = None,
    json: Json = False,
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
    from genretag.decisions.plan import Row
    from genretag.decisions.vocabulary import normalise_genre
    from genretag.library.walk import below
    from genretag.report.duplicates import duplicate_groups, print_duplicates
    from genretag.report.formats import is_stdout
    from genretag.report.selection import Selection, parse_reasons

    chosen = Selection(
        frozenset(map(normalise_genre, genre or ())),
        unsure,
        failed,
        replaced,
        parse_reasons(reason or []),
    )
    mode, target = output_mode(context), output or (Path("genretag.html") if html else None)
    is_page = target is not None and (
        target.suffix.lower() in _PAGE_SUFFIXES or (html and is_stdout(target))
    )
    if html and not is_page:
        raise UsageError(f"{target}: the name of a page must end in .html")
    with open_databases(db) as databases:
        tops = absolute_paths(import_results(databases, paths or [], mode.quiet))
        plan = plan_of(databases, run, tops)

        def rows() -> Iterator[Row]:
            source: Iterator[Row] = (row for _, row in plan_rows(databases, plan.run))
            if duplicates:
                source = map(Row.from_dict, databases.store.plan_duplicates(plan.run))
            found = (row for row in source if below(row.absolute, tops) and row in chosen)
            return chain.from_iterable(duplicate_groups(found)) if duplicates else found

        if target is not None and is_page:
            write_page(databases, plan, rows, target)
        else:
            shown = OutputMode(mode.quiet or target is not None, mode.plain)
            listed = everything or duplicates or bool(tops) or not chosen.is_everything
            if listed and not mode.quiet and next(rows(), None) is None:
                _report_nothing(databases, plan, chosen)
            elif duplicates and not (json or target or shown.plain or shown.quiet):
                with paged_console(wanted=True) as console:
                    print_duplicates(console, duplicate_groups(rows()))
            else:
                options = ReportOptions(json, target)
                print_rows(rows, options, shown, everything=listed, offer_apply=True)
    if target is not None and not is_stdout(target):
        message_console(mode.quiet).print(f"wrote {target}")


def _report_nothing(databases: Databases, plan: Scan, chosen: Selection) -> None:
    """Print that no file matches, and which genres there are if one was wanted."""
    hint = ""
    if chosen.genres:
        from collections import Counter

        from genretag.report.selection import genres_of

        genres = Counter(g for _, row in plan_rows(databases, plan.run) for g in genres_of(row))
        known = ", ".join(f"{name} ({files:,})" for name, files in genres.most_common())
        hint = f"; there are: {known or 'no genres'}"
    message_console().print(f"no file of the plan matches{hint}")


def write_page(
    databases: Databases, plan: Scan, rows: Callable[[], Iterator[Row]], target: Path
) -> None:
    """Write the HTML page of rows of a plan."""
    from genretag.report.formats import write_text
    from genretag.report.html import plan_page
    from genretag.scan.replan import metadata_of

    metadata, policy = metadata_of(databases.store, plan), Policy.from_dict(plan.policy)
    title = "genretag: the plan"
    about = _describe_plan(databases, plan, metadata, policy)
    page = plan_page(databases.store, rows(), metadata, policy, databases.journal, title, about)
    write_text(target, page)


def _describe_plan(
    databases: Databases, plan: Scan, metadata: ModelMetadata, policy: Policy
) -> tuple[tuple[str, str], ...]:
    """Return the folders, date, model and rules of a plan, each with its name."""
    from genretag.library.urls import home_relative
    from genretag.text import escape_control
    from genretag.writing.moved import scanned_places

    run = next((run for run in databases.journal.runs() if run.id == plan.run), None)
    places = plan.places or scanned_places(databases.journal)
    usual = f"defaults (threshold {metadata.confidence_threshold:g})"
    about = {
        "Folder" if len(places) == 1 else "Folders": ", ".join(map(home_relative, places)),
        "Date": format_time(run.began if run else None),
        "Model": f"{metadata.name} {metadata.version}",
        "Rules": describe_policy(policy) or usual,
    }
    return tuple((name, escape_control(value)) for name, value in about.items() if value)
