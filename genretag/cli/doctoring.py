"""``genretag doctor``: what works here."""

from __future__ import annotations

import json as json_lib
from pathlib import Path
from typing import Annotated

import typer

from genretag.cli import session


def doctor(
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Another model than the default one.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    db: session.Database = None,
) -> None:
    """Try out what works here: each container by a tiny clip, the model, threads, databases, disk. Status 1: something is broken."""
    from rich.text import Text

    from genretag.doctor import Health, examine
    from genretag.text import escape_control

    out, broken = session.results(), 0
    style = {Health.FINE: "green", Health.NOTE: "yellow", Health.BROKEN: "bold red"}
    for f in examine(session.database_path(db), model):
        broken += f.health is Health.BROKEN
        if json:
            print(json_lib.dumps(vars(f)))
        else:
            out.print(
                Text.assemble(
                    (f"{f.health:<7}", style[f.health]), f"{f.what:<12} ", escape_control(f.told)
                ),
                soft_wrap=True,
            )
    if not json:
        out.print(
            "everything that was tried works" if not broken else f"{broken} of these are broken"
        )
    raise typer.Exit(1 if broken else 0)
