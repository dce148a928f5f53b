"""``genretag report``: the last plan again, on the terminal or as a page, a table, JSON lines or Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import clustering, session
from genretag.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genretag.decisions.plan import Row
    from genretag.storage.cache import Scan


def report(
    context: typer.Context,
    results: Annotated[
        Path | None,
        typer.Argument(
            help="Results of scan --engine ray --results, instead of the last scan.",
            metavar="[RESULTS]",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        bool,
        typer.Option(
            "--html", help="As one page: search, sort, try another threshold, edit, export."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-O",
            "--output",
            help="Write to a .html, .csv, .jsonl or .md file.",
            show_default="with --html genretag.html",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    db: session.Database = None,
) -> None:
    """Show the plan of the last scan again, or write it to a file to look at, edit and give back to genretag apply."""
    from genretag.cli.reporting import last_scan, plan_rows
    from genretag.cli.reporting import report as show
    from genretag.report.formats import write_text

    target = output or (Path("genretag.html") if html else None)
    if html and target is not None and target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{target}: the name of a page ends in .html")
    with session.open_databases(db) as databases:
        if results is not None and clustering.take_results(
            databases, [results], session.is_quiet(context)
        ):
            raise UsageError(f"{results}: there are no results of genretag here")
        last = last_scan(databases)
        if target is None or target.suffix.lower() not in (".html", ".htm"):
            show(
                databases,
                last.run,
                json=json,
                output=target,
                quiet=session.is_quiet(context) or target is not None,
                plain=session.is_plain(context),
            )
        else:
            write_text(
                target, _page(databases, last, (row for _, row in plan_rows(databases, last.run)))
            )
    if target is not None:
        session.talk(session.is_quiet(context)).print(f"wrote {target}")


def _page(databases: session.Databases, last: Scan, rows: Iterable[Row]) -> str:
    """Return the page of a plan."""
    from genretag.decisions.policy import Policy
    from genretag.report.html import plan_page
    from genretag.scan.replan import metadata_of

    metadata, policy = metadata_of(databases.store, last), Policy.from_dict(last.policy)
    return plan_page(databases.store, rows, metadata, policy, databases.journal, "genretag: the plan")
