"""``genretag config``: show the settings in effect."""

from __future__ import annotations

import json as json_lib
from typing import Any

import typer

from genretag.cli.options import Json
from genretag.cli.output import plain_table, result_console
from genretag.cli.settings import Setting, current_settings
from genretag.storage import config as file


def config(context: typer.Context, json: Json = False) -> None:
    """Show all settings, and what sets each of them.

    A flag overrides a GENRETAG_ variable, a variable the file config.toml, and the file the
    default.

    Examples:
      genretag config
      genretag config --json
    """
    settings = current_settings(context.find_root().command)
    if json:
        for setting in settings:
            print(json_lib.dumps(_to_dict(setting)))
        return
    from rich.text import Text

    from genretag.text import escape_control

    table = plain_table("setting", "value", "from", "commands")
    for s in settings:
        style = "dim" if s.source == "default" else ""
        value = Text(escape_control(_describe(s.value)), style=style)
        commands = Text(", ".join(s.commands), style="dim")
        table.add_row(s.name, value, Text(s.source, style=style), commands)
    for name, words in file.read().get("protect", {}).items():
        table.add_row(f"protect.{name}", escape_control(_describe(words)), "config.toml", "")
    out = result_console()
    out.print(table)
    path = file.config_path()
    out.print(f"\nfile: {path}{'' if path.exists() else ' (does not exist)'}", soft_wrap=True)


def _to_dict(setting: Setting) -> dict[str, Any]:
    """Return the object that ``config --json`` prints."""
    value = setting.value
    is_json = isinstance(value, str | int | float | bool | list)
    return {**vars(setting), "value": value if is_json else _describe(value)}


def _describe(value: Any) -> str:
    """Return a value as text."""
    if value is None or isinstance(value, bool):
        return {None: "—", True: "yes", False: "no"}[value]
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(getattr(value, "value", value))
