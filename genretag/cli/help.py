"""``genretag help``: the manual's pages and the help of commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import resources
from typing import Annotated, Any

import typer

from genretag.cli.formatting import help_text
from genretag.cli.output import output_mode
from genretag.cli.pager import paged_console
from genretag.errors import UsageError
from genretag.text import suggestion

#: Pages in reading order.
TOPICS = (
    "everyday",
    "vocabulary",
    "confidence",
    "safety",
    "notify",
    "containers",
    "training",
    "classics",
    "reports",
    "hearing",
    "models",
    "speed",
    "architecture",
)


def page(topic: str) -> str:
    """Return a page as Markdown."""
    return resources.files("genretag").joinpath("docs", f"{topic}.md").read_text(encoding="utf-8")


def _complete_topic(context: typer.Context, incomplete: str) -> list[str]:
    """Offer pages and commands to the shell."""
    names = (*TOPICS, *_commands(context))
    return sorted({name for name in names if name.startswith(incomplete)})


def _commands(context: typer.Context) -> dict[str, Any]:
    """Return all commands by name."""
    return dict(getattr(context.find_root().command, "commands", {}))


def help_(
    context: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="[PAGE|COMMAND]",
            help="A page, the beginning of its name, or a command.",
            autocompletion=_complete_topic,
        ),
    ] = None,
) -> None:
    """Read the manual: vocabularies, confidence, safety, training and more.

    Without an argument, lists all pages.

    Examples:
      genretag help
      genretag help vocabulary
      genretag help scan
    """
    if topic is None:
        for name in TOPICS:
            print(f"genretag help {name:<14} {page(name).splitlines()[0].removeprefix('# ')}")
        return
    commands = _commands(context)
    # "models" is both: the page wins, since its name has meant the page since 0.1.0.
    if topic not in TOPICS and topic in commands:
        command = commands[topic]
        with command.make_context(topic, [], context.find_root(), resilient_parsing=True) as inner:
            typer.echo(help_text(inner, short=False))
        return
    _show_page(_find_page(topic, commands), context)


def _find_page(topic: str, commands: Iterable[str]) -> str:
    """Return the page with this name, or the only one whose name begins so.

    Raises:
        UsageError: there is none, or there are several.
    """
    found = [topic] if topic in TOPICS else [name for name in TOPICS if name.startswith(topic)]
    if len(found) == 1:
        return found[0]
    hint = suggestion(topic, [*TOPICS, *commands])
    problem = f"several pages begin so: {', '.join(found)}" if found else f"no such page{hint}"
    raise UsageError(
        f"help {topic}: {problem}; pages: {', '.join(TOPICS)} (genretag --help lists the commands)"
    )


def _show_page(topic: str, context: typer.Context) -> None:
    """Print a page: rendered on a terminal, as Markdown elsewhere."""
    text = page(topic)
    if not sys.stdout.isatty() or output_mode(context).plain:
        print(text)
        return
    from rich.markdown import Markdown

    with paged_console(wanted=True) as out:
        out.print(Markdown(text))
