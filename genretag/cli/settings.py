"""Lasting options: config.toml and GENRETAG_ variables, below the flags of every command.

A flag overrides a variable, a variable the file, and the file the default. A key at the top of
config.toml holds for every command with such an option; a table ([scan], [train], ...) for one.
Options that describe one call (where to write, how to print) can be set only in a table.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genretag.cli.option_groups import ONE_CALL
from genretag.cli.policy_options import POLICY_NAMES
from genretag.errors import GenretagError, UsageError
from genretag.notify.servers import VARIABLES as SERVER_VARIABLES
from genretag.notify.servers import check_tables
from genretag.storage import config as file
from genretag.storage.protection import read_protection
from genretag.storage.vocabularies import default_vocabulary
from genretag.text import suggestion

#: Variables that are not an option of any command.
_OTHER_VARIABLES = frozenset({"GENRETAG_CONFIG", "GENRETAG_PLAIN"}) | SERVER_VARIABLES
#: Keys of config.toml that are not options: the default model, protected files, and addresses of
#: players' servers.
OTHER_KEYS = frozenset({"model", "protect", "servers"})


@dataclass(frozen=True)
class Option:
    """One option of one command."""

    command: str  # "models use" for an inner command
    name: str
    param: Any  # click's parameter

    @property
    def is_one_call(self) -> bool:
        """Whether the option describes one call."""
        return not ONE_CALL.isdisjoint(self.param.opts)

    @property
    def shared(self) -> bool:
        """Whether a key or variable for all commands sets it.

        ``apply`` writes the plan that was shown, so only its flags and its own table change it.
        """
        return not self.is_one_call and not (self.command == "apply" and self.name in POLICY_NAMES)

    @property
    def table(self) -> str:
        """Name of the command's table in config.toml."""
        return self.command.split()[0]

    @property
    def variable(self) -> str:
        """Environment variable that sets it."""
        if not self.shared:
            return f"GENRETAG_{self.command}_{self.name}".upper().replace("-", "_")
        return _variable(self.name)


def _variable(name: str) -> str:
    """Return the environment variable that sets an option for all commands."""
    return f"GENRETAG_{name}".upper()


def options_of(root: Any) -> Iterator[Option]:
    """Yield every option of every command."""
    for name, command in root.commands.items():
        for inner in getattr(command, "commands", {}).values():
            yield from _options_of_command(f"{name} {inner.name}", inner)
        yield from _options_of_command(name, command)


def _options_of_command(name: str, command: Any) -> Iterator[Option]:
    """Yield the options of one command."""
    yield from (Option(name, p.name, p) for p in command.params if p.param_type_name == "option")


def shared_value(flag: str) -> Any:
    """Return the variable or key that sets a flag for all commands; None if neither is set."""
    name = flag.removeprefix("--").replace("-", "_")
    return os.environ.get(_variable(name)) or file.read().get(name)


def install(root: Any, *, strict: bool = True) -> dict[str, Any]:
    """Give every option its variable; return the defaults of config.toml in click's form.

    Raises:
        UsageError: ``strict``, and a key belongs to no option; the message suggests the nearest.
    """
    options = [o for o in options_of(root) if o.name != "help"]
    for option in options:
        # An option with a variable of its own, such as --db, keeps it.
        if not option.param.envvar:
            option.param.envvar, option.param.show_envvar = option.variable, False
    _report_unknown_variables({o.param.envvar for o in options})
    settings = file.read()
    if strict and (unknown := next(_unknown_keys(settings, options), None)) is not None:
        raise UsageError(unknown)
    defaults: dict[str, Any] = {}
    for option in options:
        value = _value_in_file(option, settings)
        if value is not None:
            level = defaults
            for part in option.command.split():
                level = level.setdefault(part, {})
            level[option.name] = value
    return defaults


def _value_in_file(option: Option, settings: dict[str, Any]) -> Any:
    """Return an option's value in config.toml: of the command's table, else the shared one."""
    table = settings.get(option.table)
    if isinstance(table, dict) and option.name in table:
        return table[option.name]
    value = settings.get(option.name) if option.shared and option.name not in OTHER_KEYS else None
    return [value] if isinstance(value, str) and option.param.multiple else value


def _report_unknown_variables(known: set[str]) -> None:
    """Print which GENRETAG_ variables set nothing, so that a misspelled one does not go unseen."""
    for name in sorted(os.environ):
        if name.startswith("GENRETAG_") and name not in known | _OTHER_VARIABLES:
            hint = suggestion(name, sorted(known))
            print(f"genretag: {name} sets nothing{hint}", file=sys.stderr)


def _unknown_keys(settings: dict[str, Any], options: list[Option]) -> Iterator[str]:
    """Yield a message for each key that belongs to no option."""
    names, commands = {o.name for o in options}, {o.table for o in options}
    one_call = {o.name for o in options if o.is_one_call}
    for key, value in settings.items():
        if key in commands and isinstance(value, dict):
            own = {o.name for o in options if o.table == key}
            for inner in value:
                if inner not in own:
                    yield _unknown_key(f"[{key}] {inner}", inner, own)
        elif key in one_call and key not in OTHER_KEYS:
            tables = ", ".join(sorted({f"[{o.table}]" for o in options if o.name == key}))
            path = file.config_path()
            yield f"{path}: {key} belongs to one command; put it in a table ({tables})"
        elif key not in names | OTHER_KEYS:
            yield _unknown_key(key, key, names | OTHER_KEYS | commands)


def _unknown_key(shown: str, key: str, known: Collection[str]) -> str:
    """Return the message for an unknown key."""
    hint = suggestion(key.replace("-", "_"), sorted(known))
    return f"{file.config_path()}: {shown} is no setting{hint}"


@dataclass(frozen=True)
class Setting:
    """The value of an option, and where it comes from."""

    name: str
    value: Any
    source: str  # a GENRETAG_ variable, config.toml or default
    commands: tuple[str, ...]


def current_settings(root: Any) -> list[Setting]:
    """Return the value of every option that can be set for good."""
    settings = file.read()
    found: dict[tuple[str, str], Setting] = {}
    for option in options_of(root):
        table = settings.get(option.table)
        own = table if isinstance(table, dict) else {}
        if option.name == "help" or not (option.shared or option.name in own):
            continue
        value, source = _value_and_source(option, settings, own)
        key = (option.name, f"{value} {source}")
        before = found[key].commands if key in found else ()
        found[key] = Setting(option.name, value, source, (*before, option.command))
    return sorted(found.values(), key=lambda s: s.name)


def _value_and_source(
    option: Option, settings: dict[str, Any], own: dict[str, Any]
) -> tuple[Any, str]:
    """Return an option's value, and the variable, table or default that sets it."""
    envvar = option.param.envvar
    variable = envvar if isinstance(envvar, str) else option.variable
    if os.environ.get(variable):
        return os.environ[variable], variable
    if option.name in own:
        return own[option.name], f"config.toml [{option.table}]"
    if option.name in settings and option.shared:
        return settings[option.name], "config.toml"
    shown = option.param.show_default
    return (shown if isinstance(shown, str) else option.param.default), "default"


def find_mistakes(root: Any) -> list[str]:
    """Return a message for each key and value in config.toml or a variable that none accepts."""
    settings = file.read()
    unknown = _unknown_keys(settings, [o for o in options_of(root) if o.name != "help"])
    checks = (read_protection, default_vocabulary, file.default_model, check_tables)
    messages = [*unknown, *(str(error) for c in checks if (error := _error_of(c)) is not None)]
    for option in options_of(root):
        if option.name == "help":
            continue
        table = settings.get(option.table)
        own = table if isinstance(table, dict) else {}
        value, source = _value_and_source(option, settings, own)
        if source == "default":
            continue
        if source.startswith("config.toml"):
            table_name = f"[{option.table}] " if source.endswith("]") else ""
            name = f"{file.config_path()}: {table_name}{option.name}"
        else:
            name = source  # a variable
        if (why := _why_invalid(option.param, value)) is not None:
            messages.append(f"{name} = {value!r}: {why}")
    return list(dict.fromkeys(messages))  # an option of several commands has one mistake


def _error_of(check: Callable[[], object]) -> GenretagError | None:
    """Return the error that reading a part of the settings raises."""
    try:
        check()
    except GenretagError as error:
        return error
    return None


def _why_invalid(param: Any, value: Any) -> str | None:
    """Return why an option does not take a value; None if it does."""
    if param.name == "vocabulary":
        return None if Path(str(value)).expanduser().is_file() else "there is no such file"
    if (param.is_flag or isinstance(value, bool)) and not isinstance(value, str):
        wanted = "true or false" if param.is_flag else "a value, not true or false"
        return None if param.is_flag and isinstance(value, bool) else f"it must be {wanted}"
    values = value if isinstance(value, list | tuple) else [value]
    try:
        for item in values:
            param.type.convert(item, param, None)
    except Exception as error:  # typer has a click of its own, whose errors have a message
        message = str(getattr(error, "message", error)).rstrip(".")
        return message[:1].lower() + message[1:]
    return None
