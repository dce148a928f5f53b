"""Options that a user set for good: config.toml and GENRETAG_* variables, put under the flags of every command.

A flag counts before a variable, a variable before the file, the file before the default. A key at the top of
config.toml is for every command that has such an option; a table [scan], [train] ... is for one. What belongs to
one call (where to write, how to print) can only be set in a table.
"""

from __future__ import annotations

import difflib
import json as json_lib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from genretag.cli import session
from genretag.errors import UsageError
from genretag.storage import config as file

#: Options of one call: not to be set for all commands at once.
OF_ONE_CALL = frozenset(
    (
        "output json limit yes dry_run explain everything export card bundled tags from_review run seed help"
        " system compare members majority window pca augment weights"
        " html from_scratch epochs deep genre unsure all_genres relative"
    ).split()
)
#: What decides a plan: apply takes these from its flags alone, for it writes the plan that was shown.
OF_A_PLAN = frozenset(
    (
        "min_confidence existing skip_existing force keep_existing top vote album coarsen vocabulary hardlinks separator"
        " player id3v2_version"
    ).split()
)
#: Variables that are no options of a command.
_OTHER_VARIABLES = frozenset({"GENRETAG_CONFIG", "GENRETAG_PLAIN"})
#: Keys that are no options: the default model, and what is protected.
OTHER_KEYS = frozenset({"model", "protect"})


@dataclass(frozen=True)
class Option:
    """One option of one command."""

    command: str
    name: str
    param: Any  # click's

    @property
    def shared(self) -> bool:
        """Whether a key or variable for all commands sets it."""
        return self.name not in OF_ONE_CALL and not (
            self.command == "apply" and self.name in OF_A_PLAN
        )

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        if not self.shared:
            return f"GENRETAG_{self.command}_{self.name}".upper().replace("-", "_")
        return f"GENRETAG_{self.name}".upper()


def options_of(root: Any) -> Iterator[Option]:
    """Yield every option of every command."""
    for name, command in root.commands.items():
        for inner in getattr(command, "commands", {}).values():
            yield from (
                Option(f"{name} {inner.name}", p.name, p)
                for p in inner.params
                if p.param_type_name == "option"
            )
        yield from (
            Option(name, p.name, p) for p in command.params if p.param_type_name == "option"
        )


def install(root: Any) -> dict[str, Any]:
    """Give every option its variable, and return the defaults of the file as click takes them.

    Raises:
        UsageError: a key that no command has; the text suggests the nearest.
    """
    options = [o for o in options_of(root) if o.name != "help"]
    for o in options:
        if not o.param.envvar:
            o.param.envvar, o.param.show_envvar = o.variable, False
    _tell_of_unknown_variables({o.param.envvar for o in options})
    settings = file.read()
    _check(settings, options)
    defaults: dict[str, Any] = {}
    for o in options:
        table = settings.get(o.command.split()[0])
        own = table.get(o.name) if isinstance(table, dict) else None
        shared = settings.get(o.name) if o.shared and o.name not in OTHER_KEYS else None
        value = own if own is not None else shared
        if value is not None:
            at = defaults
            for part in o.command.split():
                at = at.setdefault(part, {})
            at[o.name] = value
    return defaults


def _tell_of_unknown_variables(known: set[str]) -> None:
    """Say on stderr which GENRETAG_... variables set nothing: a misspelt one must not look as if it held."""
    import difflib

    for name in sorted(os.environ):
        if name.startswith("GENRETAG_") and name not in known | _OTHER_VARIABLES:
            near = difflib.get_close_matches(name, known, 1)
            print(
                f"genretag: {name} sets nothing" + (f"; did you mean {near[0]}?" if near else ""),
                file=sys.stderr,
            )


def _check(settings: dict[str, Any], options: list[Option]) -> None:
    """Refuse keys that nothing knows."""
    names = {o.name for o in options}
    commands = {o.command.split()[0] for o in options}
    for key, value in settings.items():
        if key in commands and isinstance(value, dict):
            own = {o.name for o in options if o.command.split()[0] == key}
            for inner in value:
                if inner not in own:
                    raise UsageError(_unknown(f"[{key}] {inner}", inner, own))
        elif key in OF_ONE_CALL and key in names:
            where = ", ".join(
                sorted({f"[{o.command.split()[0]}]" for o in options if o.name == key})
            )
            raise UsageError(
                f"{file.config_path()}: {key} belongs to one command; put it into its table ({where})"
            )
        elif key not in names | OTHER_KEYS:
            raise UsageError(_unknown(key, key, names | OTHER_KEYS | commands))


def _unknown(escape_control: str, key: str, known: set[str] | frozenset[str]) -> str:
    near = difflib.get_close_matches(key.replace("-", "_"), sorted(known), 1)
    return f"{file.config_path()}: {escape_control} is no setting" + (
        f"; did you mean {near[0]}?" if near else ""
    )


@dataclass(frozen=True)
class Setting:
    """What holds for one option, and from where."""

    name: str
    value: Any
    source: str  # GENRETAG_..., config.toml, default
    commands: tuple[str, ...]


def settings_now(root: Any) -> list[Setting]:
    """Return what holds for each option that can be set for good."""
    out: dict[tuple[str, str], Setting] = {}
    settings = file.read()
    for o in options_of(root):
        table = settings.get(o.command.split()[0])
        own = table if isinstance(table, dict) else {}
        if o.name == "help" or not (o.shared or o.name in own):
            continue
        variable = o.param.envvar if isinstance(o.param.envvar, str) else o.variable
        if os.environ.get(variable):
            value, source = os.environ[variable], variable
        elif o.name in own:
            value, source = own[o.name], f"config.toml [{o.command.split()[0]}]"
        elif o.name in settings and o.shared:
            value, source = settings[o.name], "config.toml"
        else:
            escape_control = o.param.show_default
            value, source = (
                (escape_control if isinstance(escape_control, str) else o.param.default),
                "default",
            )
        key = (o.name, f"{value} {source}")
        commands = (*out[key].commands, o.command) if key in out else (o.command,)
        out[key] = Setting(o.name, value, source, commands)
    return sorted(out.values(), key=lambda s: s.name)


def config(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show which settings hold, and from where: a variable, the file, or the default."""
    from rich.text import Text

    from genretag.text import escape_control

    root = context.find_root().command
    rows = settings_now(root)
    protect = file.read().get("protect", {})
    if json:
        for s in rows:
            print(
                json_lib.dumps(
                    {
                        **vars(s),
                        "value": s.value
                        if isinstance(s.value, str | int | float | bool | list)
                        else _text(s.value),
                    }
                )
            )
        return
    table = session.plain_table("setting", "value", "from", "commands")
    for s in rows:
        style = "" if s.source != "default" else "dim"
        table.add_row(
            s.name,
            Text(escape_control(_text(s.value)), style=style),
            Text(s.source, style=style),
            Text(", ".join(s.commands), style="dim"),
        )
    for what, words in protect.items():
        table.add_row(f"protect.{what}", escape_control(_text(words)), "config.toml", "")
    out = session.results()
    out.print(table)
    path = file.config_path()
    out.print(f"\nfile: {path}{'' if path.exists() else ' (not there)'}", soft_wrap=True)


def _text(value: Any) -> str:
    if value is None or value is False:
        return "—" if value is None else "no"
    if value is True:
        return "yes"
    return (
        ", ".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(getattr(value, "value", value))
    )
