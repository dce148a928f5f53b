"""``genretag help``: the pages that come along, in the terminal."""

from __future__ import annotations

import sys
from importlib import resources
from typing import Annotated

import typer

from genretag.cli import session
from genretag.errors import UsageError

#: In the order in which one would read them.
TOPICS = (
    "everyday",
    "vocabulary",
    "confidence",
    "safety",
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


def _topics(incomplete: str) -> list[str]:
    return [t for t in TOPICS if t.startswith(incomplete)]


def help_(
    context: typer.Context,
    topic: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(TOPICS)}.", autocompletion=_topics)
    ] = None,
) -> None:
    """Read more: how it hears, what happens to your files, your own words, training, and so on."""
    if topic is None:
        for name in TOPICS:
            print(f"genretag help {name:<14} {page(name).splitlines()[0].removeprefix('# ')}")
        return
    if topic not in TOPICS:
        raise UsageError(
            f"help {topic}: there is no such page; there are {', '.join(TOPICS)} (genretag COMMAND --help tells of a command)"
        )
    if not sys.stdout.isatty() or session.is_plain(context):
        print(page(topic))
        return
    from rich.markdown import Markdown

    out = session.results()
    if out.height < page(topic).count("\n"):
        with out.pager(styles=True):
            out.print(Markdown(page(topic)))
    else:
        out.print(Markdown(page(topic)))
