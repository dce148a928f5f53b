"""Help texts: a short form of one line per option (-h), and a long one with examples (--help).

Options are shown under the headings of their groups. Nothing is cut: where the terminal is too
narrow, lines are wrapped.
"""

from __future__ import annotations

import inspect
import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

_MIN_WIDTH, _MAX_WIDTH = 40, 100  # columns
_EXAMPLES = "Examples:"
_OTHER = "Other options"
#: Texts of options that typer declares.
_OWN_TEXTS = {
    "--help": "Show all details, and examples.",
    "--show-completion": "Print the completion of the current shell.",
}


def _print_short_help(context: Any, _param: Any, wanted: bool) -> None:
    """Print the short help and exit."""
    if wanted and not context.resilient_parsing:
        typer.echo(help_text(context, short=True))
        context.exit()


_SHORT_HELP = TyperOption(
    param_decls=["-h"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    default=False,
    callback=_print_short_help,
    help="Show a short summary.",
)


class _Help:
    """Both forms of help, for a command or a group."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with -h beside --help."""
        return [*super().get_params(ctx), _SHORT_HELP]  # type: ignore[misc]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the long help."""
        formatter.write(help_text(ctx, short=False) + "\n")


class Command(_Help, TyperCommand):
    """A command with a short and a long help."""


class Group(_Help, TyperGroup):
    """A group of commands with a short and a long help."""


def help_text(context: Any, *, short: bool) -> str:
    """Return the help of a context's command."""
    width = max(_MIN_WIDTH, min(shutil.get_terminal_size().columns, _MAX_WIDTH))
    return "\n".join(_lines(context, short, width)).rstrip()


def _lines(context: Any, short: bool, width: int) -> Iterator[str]:
    """Yield the lines of a help text."""
    command = context.command
    paragraphs, examples = _split_examples(inspect.cleandoc(command.help or ""))
    pieces = " ".join(piece.strip("{}") for piece in command.collect_usage_pieces(context))
    yield from _wrap(f"Usage: {context.command_path} {pieces}", width, "  ")
    for paragraph in paragraphs[: 1 if short else None]:
        yield ""
        yield from _wrap(paragraph, width)
    params = [p for p in command.get_params(context) if not getattr(p, "hidden", False)]
    sections = {**_command_sections(context), **_param_sections(params, context)}
    for heading, entries in sections.items():
        yield ""
        yield _bold(f"{heading}:")
        yield from _summaries(entries, width) if short else _details(entries, width)
    if short:
        yield ""
        yield from _wrap(f"More: {context.command_path} --help", width)
    elif examples:
        yield ""
        yield _bold(_EXAMPLES)
        yield from (f"  {line}" for line in examples)


def _split_examples(text: str) -> tuple[list[str], list[str]]:
    """Return the paragraphs of a docstring, and the lines of its examples."""
    prose, _, examples = text.partition(_EXAMPLES)
    return [" ".join(p.split()) for p in prose.split("\n\n") if p.strip()], [
        line.strip() for line in examples.splitlines() if line.strip()
    ]


class _Entry:
    """One line of a help text: an option, an argument or a command."""

    def __init__(self, short: str, long: str, text: str, notes: Iterable[str] = ()) -> None:
        paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
        self.short, self.long = short, long
        self.summary, self.details = paragraphs[0], [*paragraphs[1:], *notes]


def _command_sections(context: Any) -> dict[str, list[_Entry]]:
    """Return the commands of a group by heading."""
    sections: dict[str, list[_Entry]] = {}
    for name, command in getattr(context.command, "commands", {}).items():
        if not command.hidden:
            paragraphs, _ = _split_examples(inspect.cleandoc(command.help or ""))
            heading = command.rich_help_panel or "Commands"
            sections.setdefault(heading, []).append(_Entry(name, name, paragraphs[0]))
    return sections


def _param_sections(params: list[Any], context: Any) -> dict[str, list[_Entry]]:
    """Return arguments and options by heading; those without a heading come last."""
    sections: dict[str, list[_Entry]] = {}
    others: list[_Entry] = []
    for param in params:
        if param.param_type_name == "argument":
            name = param.make_metavar(context)
            sections.setdefault("Arguments", []).append(_Entry(name, name, param.help or ""))
        elif heading := getattr(param, "rich_help_panel", None):
            sections.setdefault(heading, []).append(_option_entry(param))
        else:
            others.append(_option_entry(param))
    return {**sections, **({_OTHER if sections else "Options": others} if others else {})}


def _option_entry(param: Any) -> _Entry:
    """Return an option's entry: the short form names one long flag, the long form all."""
    letters = [o for o in param.opts if not o.startswith("--")]
    flags = [o for o in param.opts if o.startswith("--")]
    value = "" if param.is_flag or getattr(param, "count", False) else f" {_metavar(param)}"
    indent = "" if letters else "    "  # flags stand below each other
    short = indent + ", ".join([*letters[:1], *flags[:1]]) + value
    long = indent + ", ".join([*letters, *flags, *param.secondary_opts]) + value
    text = _OWN_TEXTS.get(flags[-1] if flags else "", param.help or "")
    return _Entry(short, long, text, _notes(param))


def _metavar(param: Any) -> str:
    """Return the placeholder of an option's value."""
    return str(param.metavar or param.type.name.upper())


def _notes(param: Any) -> Iterator[str]:
    """Yield the possible values, the default and the variable of an option."""
    if choices := getattr(param.type, "choices", None):
        yield f"[possible values: {', '.join(str(getattr(c, 'value', c)) for c in choices)}]"
    shown, default = param.show_default, param.default
    if isinstance(shown, str):
        yield f"[default: {shown}]"
    elif shown and not param.is_flag and default not in (None, (), [], 0):
        yield f"[default: {getattr(default, 'value', default)}]"
    if isinstance(param.envvar, str) and param.show_envvar:
        yield f"[environment: {param.envvar}]"


def _summaries(entries: list[_Entry], width: int) -> Iterator[str]:
    """Yield one line per entry; more only where the terminal is too narrow."""
    column = max(len(e.short) for e in entries) + 4
    for entry in entries:
        first = f"  {entry.short:<{column - 2}}"
        yield from _wrap(entry.summary, width, " " * column, first)


def _details(entries: list[_Entry], width: int) -> Iterator[str]:
    """Yield all that is known of each entry."""
    if all(not e.details and not e.long.lstrip().startswith("-") for e in entries):
        yield from _summaries(entries, width)
        return
    for entry in entries:
        yield f"  {entry.long}"
        for text in (entry.summary, *entry.details):
            yield from _wrap(text, width, " " * 10, " " * 10)


def _wrap(text: str, width: int, indent: str = "", first: str = "") -> list[str]:
    """Wrap a paragraph; long words stay whole, so that paths can be copied."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def _bold(text: str) -> str:
    """Return a heading, bold unless NO_COLOR is set; click drops codes off a terminal."""
    return text if os.environ.get("NO_COLOR") else typer.style(text, bold=True)
