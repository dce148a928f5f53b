"""``genretag doctor``: test what works on this machine."""

from __future__ import annotations

import json as json_lib

import typer

from genretag.cli.options import Database, Json
from genretag.cli.output import result_console
from genretag.cli.scan_options import ModelFile
from genretag.writing.session import database_path


def doctor(model: ModelFile = None, json: Json = False, db: Database = None) -> None:
    """Test what works here: containers, model, threads, databases and disk.

    Each container is written and read once with a tiny clip. Exit status 1 means that something
    is broken.

    Examples:
      genretag doctor
      genretag doctor --json
    """
    from rich.text import Text

    from genretag.doctor import Health, examine
    from genretag.text import escape_control

    out, broken = result_console(), 0
    styles = {Health.FINE: "green", Health.NOTE: "yellow", Health.BROKEN: "bold red"}
    for finding in examine(database_path(db), model):
        broken += finding.health is Health.BROKEN
        if json:
            print(json_lib.dumps(vars(finding)))
            continue
        health = (f"{finding.health:<7}", styles[finding.health])
        text = Text.assemble(health, f"{finding.what:<12} ", escape_control(finding.told))
        out.print(text, soft_wrap=True)
    if not json:
        out.print(f"{broken} of these are broken" if broken else "everything that was tested works")
    raise typer.Exit(1 if broken else 0)
