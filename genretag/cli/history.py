"""``genretag history``: list the runs in the journal."""

from __future__ import annotations

import json as json_lib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from genretag.cli.options import OUTPUT, Database, Json, one_call
from genretag.cli.output import format_time, plain_table, result_console
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.storage.journal import Run


def history(
    json: Json = False,
    export: Annotated[
        Path | None,
        one_call(
            "--export",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            show_default=False,
            help="Copy the whole journal to this file.\n\n"
            "genretag undo needs the journal, so the copy is a backup.",
        ),
    ] = None,
    db: Database = None,
) -> None:
    """List all scans, writes and undos.

    For each write, shows how many files are still as it left them.

    Examples:
      genretag history
      genretag history --export genretag.journal.db
    """
    with open_databases(db) as databases:
        if export is not None:
            databases.journal.export(export)
            print(
                f"copied the journal to {export};"
                " beside a database of the same name, genretag uses it as the journal"
            )
            return
        runs = databases.journal.runs()
        in_place = {
            r.id: sum(1 for _ in databases.journal.changes(r.id, ("replaced",)))
            for r in runs
            if r.kind == "apply"
        }
    if json:
        for run in runs:
            print(json_lib.dumps({**vars(run), "standing": in_place.get(run.id)}))
        return
    table = plain_table("run", "when", "what", "counts", "still written")
    for run in runs:
        when, written = format_time(run.began), str(in_place.get(run.id, ""))
        table.add_row(str(run.id), when, run.kind, _describe_counts(run), written)
    result_console().print(table if runs else "nothing has been done yet")


def _describe_counts(run: Run) -> str:
    """Return a run's counts as text; a run without an end was killed."""
    counts = ", ".join(f"{n:,} {what}" for what, n in run.counts.items() if n)
    return counts or ("stopped" if run.ended is None else "")
