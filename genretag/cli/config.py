"""``genretag config``: show the settings in effect."""

from __future__ import annotations

import json as json_lib
import sys
from typing import Any

import typer

from genretag.cli.options import Json
from genretag.cli.output import plain_table, result_console
from genretag.cli.settings import Setting, current_settings, find_mistakes
from genretag.storage import config as file
from genretag.text import escape_control

_WRONG_USAGE = 2  # exit status


def config(context: typer.Context, json: Json = False) -> None:
    """Show all settings, what sets each of them, and mistakes in them.

    A flag overrides a GENRETAG_ variable, a variable the file config.toml, and the file the
    default.

    Examples:
      genretag config
      genretag config --json
    """
    root = context.find_root().command
    settings, mistakes = current_settings(root), find_mistakes(root)
    if json:
        for setting in settings:
            print(json_lib.dumps(_to_dict(setting)))
    else:
        _print_settings(settings)
    for mistake in mistakes:
        print(f"genretag: {escape_control(mistake)}", file=sys.stderr)
    if mistakes:
        raise typer.Exit(_WRONG_USAGE)


def _print_settings(settings: list[Setting]) -> None:
    """Print the settings and the protected files as a table."""
    from rich.text import Text

    table = plain_table("setting", "value", "from", "commands")
    for s in settings:
        style = "dim" if s.source == "default" else ""
        value = Text(escape_control(_describe(s.value)), style=style)
        commands = Text(", ".join(s.commands), style="dim")
        table.add_row(s.name, value, Text(s.source, style=style), commands)
    protect = file.read().get("protect", {})
    for name, words in protect.items() if isinstance(protect, dict) else ():
        table.add_row(f"protect.{name}", escape_control(_describe(words)), "config.toml", "")
    servers = file.read().get("servers", {})
    for name, place in servers.items() if isinstance(servers, dict) else ():
        for key, value in place.items() if isinstance(place, dict) else ():
            # A password has no place there; it is reported, and not shown.
            if key in ("url", "user"):
                shown = escape_control(_describe(value))
                table.add_row(f"servers.{name}.{key}", shown, "config.toml", "")
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
