"""``genretag undo``: restore files exactly as they were."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from genretag.cli.options import FILES, ApprovalOptions, Database, one_call
from genretag.cli.output import confirm, file_progress, output_mode
from genretag.cli.plans import show_result
from genretag.cli.runs import complete_run
from genretag.errors import UsageError
from genretag.writing.session import open_databases, writing


def undo(
    context: typer.Context,
    approval: ApprovalOptions,
    run: Annotated[
        int | None,
        typer.Argument(
            help="The run to undo (see history); default: the last.", autocompletion=complete_run
        ),
    ] = None,
    everything: Annotated[
        bool,
        one_call("--all", rich_help_panel=FILES, help="Undo everything genretag ever wrote."),
    ] = False,
    db: Database = None,
) -> None:
    """Restore files exactly as they were before a run wrote them.

    Every byte and the modification time are restored. The plan can be applied again afterwards.

    Examples:
      genretag undo
      genretag undo 12 --dry-run
      genretag undo --all --yes
    """
    import genretag
    from genretag.writing.apply import undo_runs

    mode = output_mode(context)
    with open_databases(db) as databases:
        changes = sorted(databases.journal.changes(states=("replaced",)), key=lambda c: -c.id)
        if not everything:
            number = run if run is not None else max((c.run for c in changes), default=0)
            changes = [c for c in changes if c.run == number]
        if not changes:
            raise UsageError(
                f"run {run} has nothing to undo" if run else "there is nothing to undo"
            )
        if not confirm(len(changes), approval, verb="restore", noun="file"):
            raise typer.Exit(0)
        total = len(changes)
        with writing(databases), file_progress(total, quiet=mode.quiet) as progress:
            runs = sorted({c.run for c in changes})
            undoing = databases.journal.begin("undo", genretag.__version__, {"runs": runs})
            counts = undo_runs(
                databases.store,
                databases.journal,
                undoing,
                changes,
                lambda result: show_result(progress, result),
            )
            databases.journal.end(undoing, dict(counts))
    if not mode.quiet:
        print(f"restored {counts['undone']:,} of {total:,} files, byte for byte", file=sys.stderr)
    raise typer.Exit(1 if counts["failed"] or counts["interrupted"] else 0)
