"""``genretag verify``: compare written files with the journal."""

from __future__ import annotations

import json as json_lib
import sys
from typing import Annotated

import typer

from genretag.cli.options import Database, Json
from genretag.cli.runs import complete_run
from genretag.writing.session import open_databases


def verify(
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

    Reports files whose audio, genre or other tags another program changed since. Exit status 1
    means that a file changed or is missing.

    Examples:
      genretag verify
      genretag verify 12 --json
    """
    from genretag.library.urls import home_relative
    from genretag.text import escape_control
    from genretag.writing.apply import verify_change

    unchanged = changed = 0
    with open_databases(db) as databases:
        for change in databases.journal.changes(run, ("replaced",)):
            verified = verify_change(change)
            if verified.finding is None:
                unchanged += 1
            else:
                changed += 1
            if json:
                finding = {"genres": verified.genres, "finding": verified.finding}
                print(json_lib.dumps({"path": str(verified.path), **finding}))
            elif verified.finding:
                print(f"{home_relative(verified.path)}: {escape_control(verified.finding)}")
    print(
        f"{unchanged:,} of {unchanged + changed:,} files are as they were written, byte for byte",
        file=sys.stderr,
    )
    raise typer.Exit(1 if changed else 0)
