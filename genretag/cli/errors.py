"""``genretag errors``: list the files that could not be analysed."""

from __future__ import annotations

import json as json_lib

from genretag.cli.options import Database, Json
from genretag.cli.output import result_console
from genretag.writing.session import open_databases


def errors(json: Json = False, db: Database = None) -> None:
    """List the files that could not be analysed, and why.

    Examples:
      genretag errors
      genretag errors --json
    """
    from genretag.report.columns import print_files
    from genretag.text import escape_control

    with open_databases(db) as databases:
        failures = list(databases.store.failures())
    if json:
        for f in failures:
            print(json_lib.dumps({**vars(f), "path": str(f.path)}))
        return
    if not failures:
        result_console().print("no file failed")
        return
    rows = [(f.path, (f.stage, escape_control(f.error), str(f.times))) for f in failures]
    print_files(result_console(), ("file", "stage", "why", "tries"), rows, 0)
