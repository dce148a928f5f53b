"""The report as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genretag.decisions.plan import Action, Row
from genretag.decisions.vote import Status
from genretag.library.urls import home_relative
from genretag.report.summary import Summary, is_partly_corrupt
from genretag.text import count, escape_control, two_digits, words

#: Longer plans are shown as their extremes and totals; ``--json`` and ``-O`` give every row.
MAX_LISTED_ROWS = 200


def _genre_text(row: Row) -> Text:
    """Return the old genre and, if one will be written, the new genre."""
    if row.action == Action.WRITE:
        return Text.assemble((words(row.old), "dim"), " → ", (words(row.new), "bold green"))
    return Text(words(row.old), style="" if row.action == Action.KEEP else "dim")


def _reason_text(row: Row) -> Text:
    """Return the reason for a decision, and what the model found where that differs."""
    if row.status == Status.FAILED:
        return Text(escape_control(row.error or row.reason), style="red")
    text = Text(escape_control(row.reason), style=_reason_style(row))
    if row.status == Status.UNSURE and row.scores:
        text.append(f" ({' or '.join(list(row.scores)[:2])}?)", style="dim")
    elif (genre := _other_genre(row)) is not None:
        text.append(f" (sounds like {genre})", style="dim")
    if is_partly_corrupt(row):
        text.append(f"; partly corrupt, {row.share:.0%} decoded", style="red")
    return text


def _reason_style(row: Row) -> str:
    if row.action == Action.WRITE:
        return ""
    return "yellow" if row.status != Status.OK else "dim"


def _other_genre(row: Row) -> str | None:
    """Return the model's genre if it is neither the one in the file nor the one to write."""
    if row.action == Action.KEEP and row.genre and row.genre not in row.old:
        return row.genre
    if row.action == Action.WRITE and row.scores and not row.reviewed:
        best = next(iter(row.scores))
        return best if best != row.genre else None
    return None


def _votes(row: Row) -> str:
    """Return how many of the windows voted for the genre, as ``6/8``."""
    if not row.windows or row.agreement is None:
        return ""
    return f"{round(row.agreement * row.windows)}/{row.windows}"


def _confidence(row: Row) -> str:
    if row.confidence is None or row.status == Status.NONMUSIC:
        return ""
    return two_digits(row.confidence)


def _table(rows: Iterable[Row], *, show_folder: bool = False) -> Table:
    """Return rows as a table."""
    table = Table(
        box=None, pad_edge=False, show_header=True, header_style="dim", padding=(0, 2, 0, 0)
    )
    table.add_column("  file", overflow="fold", ratio=5)
    table.add_column("genre", overflow="fold", ratio=4)
    table.add_column("confidence", justify="right", no_wrap=True)
    table.add_column("windows", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=5)
    for row in rows:
        path = Path(row.path)
        name = home_relative(path) if show_folder else escape_control(path.name)
        table.add_row(
            Text("  " + name), _genre_text(row), _confidence(row), _votes(row), _reason_text(row)
        )
    return table


def print_list(console: Console, rows: Iterable[Row]) -> None:
    """Print every row, grouped by folder."""
    for folder, group in groupby(rows, key=lambda row: Path(row.path).parent):
        console.print(Text(home_relative(folder), style="bold"))
        console.print(_table(group))
        console.print()


def print_extremes(console: Console, summary: Summary) -> None:
    """Print the most and the least certain of the rows to write."""
    extremes = (
        ("most certain", summary.most_certain),
        ("least certain", summary.least_certain),
    )
    for title, heap in extremes:
        if heap:
            rows = (row for _, _, row in sorted(heap, reverse=True))
            console.print(Text(title, style="bold"))
            console.print(_table(rows, show_folder=True))
            console.print()


def print_totals(console: Console, summary: Summary) -> None:
    """Print the number of files for each genre and each reason."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for genre, files in summary.writes.most_common():
        table.add_row(f"{files:,}", Text.assemble("→ ", (escape_control(genre), "bold green")))
    for reason, files in summary.left.most_common():
        style = "red" if reason == "failed" else "yellow"
        table.add_row(f"{files:,}", Text(f"left alone: {escape_control(reason)}", style=style))
    console.print(table)
    if summary.partly:
        verb = "is" if summary.partly == 1 else "are"
        console.print(
            Text(f"{count(summary.partly, 'file')} {verb} partly corrupt; the rest was analysed")
        )


def print_report(console: Console, rows: Iterable[Row], summary: Summary, whole_list: str) -> None:
    """Print the totals, and before them the list or, for a long plan, its extremes.

    ``whole_list`` says where to find every row of a long plan.
    """
    if summary.files <= MAX_LISTED_ROWS:
        print_list(console, rows)
    else:
        print_extremes(console, summary)
        console.print(Text(f"All {summary.files:,} files: {whole_list}", style="dim"))
        console.print()
    print_totals(console, summary)
