"""``genretag report``: show the last plan again, or write it to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.cluster import import_results
from genretag.cli.options import OUTPUT, Database, Json, ReportOptions, one_call
from genretag.cli.output import OutputMode, message_console, output_mode
from genretag.cli.plans import last_scan, plan_rows, print_plan
from genretag.decisions.policy import Policy
from genretag.errors import UsageError
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.storage.cache import Scan
    from genretag.writing.session import Databases

_PAGE_SUFFIXES = (".html", ".htm")


def report(
    context: typer.Context,
    results: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RESULTS]",
            show_default=False,
            help="Results of scan --engine ray to show instead.",
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
            help="Write a .html, .csv, .jsonl or .md file.",
        ),
    ] = None,
    json: Json = False,
    db: Database = None,
) -> None:
    """Show the plan of the last scan again, or write it to a file.

    A .jsonl file can be edited and given back to genretag apply.

    Examples:
      genretag report
      genretag report --html
      genretag report -O plan.jsonl
    """
    from genretag.report.formats import write_text

    mode, target = output_mode(context), output or (Path("genretag.html") if html else None)
    is_page = target is not None and target.suffix.lower() in _PAGE_SUFFIXES
    if html and not is_page:
        raise UsageError(f"{target}: the name of a page must end in .html")
    with open_databases(db) as databases:
        if results is not None and import_results(databases, [results], mode.quiet):
            raise UsageError(f"{results}: there are no results of genretag here")
        last = last_scan(databases)
        if target is not None and is_page:
            write_text(target, _plan_page(databases, last))
        else:
            shown = OutputMode(mode.quiet or target is not None, mode.plain)
            print_plan(databases, last.run, ReportOptions(json, target), shown)
    if target is not None:
        message_console(mode.quiet).print(f"wrote {target}")


def _plan_page(databases: Databases, last: Scan) -> str:
    """Return the HTML page of a plan."""
    from genretag.report.html import plan_page
    from genretag.scan.replan import metadata_of

    rows = (row for _, row in plan_rows(databases, last.run))
    metadata, policy = metadata_of(databases.store, last), Policy.from_dict(last.policy)
    return plan_page(
        databases.store, rows, metadata, policy, databases.journal, "genretag: the plan"
    )
