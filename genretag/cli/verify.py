"""``genretag verify``: compare written files with the journal."""

from __future__ import annotations

import json as json_lib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.options import Database, Json
from genretag.cli.output import output_mode
from genretag.cli.runs import complete_run
from genretag.errors import UsageError
from genretag.text import count
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.storage.changes import Change
    from genretag.writing.session import Databases


def verify(
    context: typer.Context,
    run: Annotated[
        int | None,
        typer.Argument(
            help="The run to check (see history); default: all.", autocompletion=complete_run
        ),
    ] = None,
    json: Json = False,
    db: Database = None,
) -> None:
    """Check that files are still as genretag wrote them.

    Reports files whose audio, genre or other tags another program changed since. Only the last
    write of a file counts. A file that was moved is found by its content below the folders of
    the last scan. Exit status 1 means that a file changed or is missing.

    Examples:
      genretag verify
      genretag verify 12 --json
    """
    from genretag.library.urls import home_relative
    from genretag.text import escape_control
    from genretag.writing.apply import verify_change
    from genretag.writing.moved import find_moved, relocate

    unchanged = changed = 0
    with open_databases(db) as databases:
        changes, older = _changes_to_check(databases, run)
        moved = find_moved(databases.store, databases.journal, changes, retagged=True)
        for change, now in zip(changes, relocate(changes, moved), strict=True):
            verified = verify_change(now)
            place = None if now.path == change.path else str(change.path)
            if verified.finding is None:
                unchanged += 1
            else:
                changed += 1
            if json:
                fields = {name: written.new for name, written in change.fields.items()}
                row = {"genres": verified.genres, "fields": fields, "finding": verified.finding}
                row["moved_from"] = place
                print(json_lib.dumps({"path": str(verified.path), **row}))
            elif verified.finding:
                print(f"{home_relative(verified.path)}: {escape_control(verified.finding)}")
    if not output_mode(context).quiet:
        _print_totals(unchanged, changed, len(moved), older)
    raise typer.Exit(1 if changed else 0)


def _changes_to_check(databases: Databases, run: int | None) -> tuple[list[Change], int]:
    """Return the last changes of files, of one run or of all, and the number of replaced ones.

    Raises:
        UsageError: there is no such run, or nothing that it wrote is left to check.
    """
    from genretag.writing.moved import last_changes

    written = list(databases.journal.changes(states=("replaced",)))
    last = last_changes(written)
    if run is None:
        return last, 0
    changes = [change for change in last if change.run == run]
    older = sum(change.run == run for change in written) - len(changes)
    if not changes:
        raise UsageError(f"{_why_nothing(databases, run, older)}; genretag history lists the runs")
    return changes, older


def _why_nothing(databases: Databases, run: int, older: int) -> str:
    """Return why nothing of a run can be checked."""
    if older:
        return f"run {run}: genretag wrote all of its files again later"
    found = next((r for r in databases.journal.runs() if r.id == run), None)
    if found is None:
        return f"there is no run {run}"
    if any(True for _ in databases.journal.changes(run, ("undone",))):
        return f"run {run}: all of its writes were undone"
    return f"run {run} ({found.kind}) wrote no file"


def _print_totals(unchanged: int, changed: int, moved: int, older: int) -> None:
    """Print how many files are as they were written."""
    if not unchanged + changed:
        print("no write to verify: there was none, or all were undone", file=sys.stderr)
        return
    verb = "is" if unchanged == 1 else "are"
    parts = [
        f"{unchanged:,} of {count(unchanged + changed, 'file')} {verb} as written, byte for byte"
    ]
    if moved:
        parts.append(f"{moved:,} found at another place")
    if older:
        parts.append(f"{older:,} not checked: genretag wrote them again later")
    print("; ".join(parts), file=sys.stderr)
