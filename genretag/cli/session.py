"""What commands share: options, the consoles, and the question before a write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.errors import UsageError
from genretag.writing.session import Databases as Databases
from genretag.writing.session import database_path as database_path
from genretag.writing.session import open_databases as open_databases
from genretag.writing.session import writing as writing

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


Database = Annotated[
    Path | None,
    typer.Option(
        "--db",
        envvar="GENRETAG_DB",
        help="Where genretag keeps what it heard, and its journal.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("-n", "--dry-run", "--pretend", help="Only show what would be written.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        min=0.0,
        max=1.0,
        show_default="the model's own, 0.7",
        help="Leave a track alone if the ear is less sure than this (0 to 1).",
    ),
]


Jobs = Annotated[
    str, typer.Option("-j", "--jobs", help="Work on so many tracks at once, or auto: one a core.")
]


def jobs_of(text: str) -> int:
    """Return how many tracks are worked on at once."""
    from genretag.scan.cores import automatic_jobs

    if text == "auto":
        return automatic_jobs()
    if text.isdigit() and 1 <= int(text) <= 256:
        return int(text)
    raise UsageError(f"--jobs {text}: a number from 1 to 256, or auto")


def results(**options: Any) -> Console:
    """Return the console for results: stdout."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False, **options)


def plain_table(*columns: str) -> Table:
    """Return an unboxed table with these columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def talk(quiet: bool = False) -> Console:
    """Return the console for talk: stderr."""
    from rich.console import Console

    return Console(
        stderr=True, highlight=False, markup=False, emoji=False, quiet=quiet, soft_wrap=True
    )


def stopped(what_stays: str) -> typer.Exit:
    """Say what Ctrl-C leaves, and return the exit to raise."""
    print(f"stopped; {what_stays}", file=sys.stderr)
    return typer.Exit(130)


def is_quiet(context: typer.Context) -> bool:
    """Return whether -q was given."""
    return bool(context.obj and context.obj.get("quiet"))


def is_plain(context: typer.Context) -> bool:
    """Return whether --plain was given, to this command or to the program."""
    return bool(context.obj and context.obj.get("plain"))


def confirmed(
    count: int, *, yes: bool, dry_run: bool, verb: str = "write", noun: str = "genre"
) -> bool:
    """Return whether to go on: asks once on a terminal; elsewhere only ``--yes`` is a yes."""
    things = f"{count:,} {noun}{'' if count == 1 else 's'}"
    if dry_run:
        print(f"dry run: nothing was changed; {things} to {verb}", file=sys.stderr)
        return False
    if yes:
        return True
    if sys.stdin.isatty() and sys.stderr.isatty():
        return typer.confirm(f"{verb} {things}?", default=False, err=True)
    print(
        f"no terminal to ask on and no --yes, so this was a dry run; {things} to {verb}",
        file=sys.stderr,
    )
    return False
