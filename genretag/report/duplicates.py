"""Groups of files with the same audio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.text import Text

from genretag.decisions.rows import Row
from genretag.decisions.vote import Status
from genretag.library.urls import home_relative
from genretag.text import count, escape_control, two_digits, words


def duplicate_groups(
    groups: Iterable[Iterable[Row]], is_wanted: Callable[[Row], bool]
) -> Iterator[list[Row]]:
    """Yield what is wanted of each group, where that is two files or more."""
    for group in groups:
        if len(copies := [row for row in group if is_wanted(row)]) > 1:
            yield copies


def print_duplicates(console: Console, groups: Iterable[list[Row]]) -> None:
    """Print groups: the model's verdict, and below it each file with its size and genres."""
    total = files = 0
    for group in groups:
        total, files = total + 1, files + len(group)
        console.print(Text(f"{_verdict(group[0])}, {len(group)} files", style="bold"))
        for row in group:
            about = f"{row.size / 1e6:,.1f} MB, {words(row.old) if row.old else 'no genre'}"
            name = escape_control(home_relative(row.absolute))
            console.print(Text.assemble(f"  {name}  ", (about, "dim")), soft_wrap=True)
        console.print()
    console.print(f"{count(files, 'file')} in {count(total, 'group')} of the same audio")


def _verdict(row: Row) -> str:
    """Return the model's genre and its confidence."""
    if row.genre is None or row.confidence is None:
        return "not music" if row.status == Status.NONMUSIC else row.status
    return f"{row.genre} {two_digits(row.confidence)}"
