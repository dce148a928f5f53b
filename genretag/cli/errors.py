"""``genretag errors``: list the files that could not be analysed."""

from __future__ import annotations

import json as json_lib

from genretag.cli.options import Database, Json
from genretag.cli.output import plain_table, result_console
from genretag.writing.session import open_databases


def errors(json: Json = False, db: Database = None) -> None:
    """List the files that could not be analysed, and why.

    Examples:
      genretag errors
      genretag errors --json
    """
    from rich.text import Text

    from genretag.library.urls import home_relative
    from genretag.text import escape_control

    with open_databases(db) as databases:
        failures = list(databases.store.failures())
    if json:
        for f in failures:
            print(json_lib.dumps({**vars(f), "path": str(f.path)}))
        return
    table = plain_table("file", "stage", "why", "tries")
    for f in failures:
        name, why = Text(home_relative(f.path)), Text(escape_control(f.error))
        table.add_row(name, f.stage, why, str(f.times))
    result_console().print(table if failures else "no file failed")
