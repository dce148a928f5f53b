"""The report as a person sees it in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genretag.decisions.plan import Action, Row
from genretag.decisions.vote import Status
from genretag.library.urls import home_relative
from genretag.report.summary import Summary
from genretag.text import escape_control, two_digits, words

#: A longer list than this is summed up; the whole of it goes to --json or -O.
LONGEST_LIST = 200


def _genre_text(row: Row) -> Text:
    """Return old -> new as one text."""
    if row.action == Action.WRITE:
        return Text.assemble((words(row.old), "dim"), " → ", (words(row.new), "bold green"))
    if row.action == Action.KEEP:
        return Text(words(row.old))
    return Text(words(row.old), style="dim")


def _why(row: Row, heard: bool) -> Text:
    """Return why a row is what it is; for what is left alone, what was heard as well."""
    if row.status == Status.FAILED:
        return Text(escape_control(row.error or row.reason), style="red")
    text = Text(
        escape_control(row.reason),
        style="" if row.action == Action.WRITE else "yellow" if row.status != Status.OK else "dim",
    )
    if heard and row.status == Status.UNSURE and row.scores:
        likely = " or ".join(list(row.scores)[:2])
        text.append(f" ({likely}?)", style="dim")
    elif row.action == Action.KEEP and row.genre and row.genre not in row.old:
        text.append(f" (heard: {row.genre})", style="dim")
    elif (
        row.action == Action.WRITE
        and row.scores
        and row.genre != next(iter(row.scores))
        and not row.reviewed
    ):
        text.append(f" (heard: {next(iter(row.scores))})", style="dim")
    if row.share is not None and row.share < 0.995:
        text.append(f"; partly corrupt, {row.share:.0%} heard", style="red")
    return text


def _votes(row: Row) -> str:
    if not row.windows or row.agreement is None:
        return ""
    return f"{round(row.agreement * row.windows)}/{row.windows}"


def _table(rows: Iterable[Row], show_folder: bool = False) -> Table:
    """Return rows as a table."""
    table = Table(
        box=None, pad_edge=False, show_header=True, header_style="dim", padding=(0, 2, 0, 0)
    )
    table.add_column("  file", overflow="fold", ratio=5)
    table.add_column("genre", overflow="fold", ratio=4)
    table.add_column("sure", justify="right", no_wrap=True)
    table.add_column("windows", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=5)
    for row in rows:
        name = home_relative(Path(row.path)) if show_folder else escape_control(Path(row.path).name)
        sure = (
            ""
            if row.confidence is None or row.status == Status.NONMUSIC
            else two_digits(row.confidence)
        )
        table.add_row(Text("  " + name), _genre_text(row), sure, _votes(row), _why(row, heard=True))
    return table


def _by_folder(rows: Iterable[Row]) -> Iterator[tuple[Path, list[Row]]]:
    for folder, group in groupby(rows, key=lambda r: Path(r.path).parent):
        yield folder, list(group)


def print_list(console: Console, rows: Iterable[Row]) -> None:
    """Print every row, grouped by folder."""
    for folder, group in _by_folder(rows):
        console.print(Text(home_relative(folder), style="bold"))
        console.print(_table(group))
        console.print()


def print_extremes(console: Console, summary: Summary) -> None:
    """Print the most and the least certain of what would be written."""
    for title, heap in (("most certain", summary.surest), ("least certain", summary.least)):
        if heap:
            console.print(Text(title, style="bold"))
            console.print(
                _table((row for _, _, row in sorted(heap, reverse=True)), show_folder=True)
            )
            console.print()


def print_totals(console: Console, summary: Summary) -> None:
    """Print totals per genre and per reason."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for genre, count in summary.writes.most_common():
        table.add_row(f"{count:,}", Text.assemble("→ ", (escape_control(genre), "bold green")))
    for reason, count in summary.left.most_common():
        style = "red" if reason == "failed" else "yellow"
        table.add_row(f"{count:,}", Text(f"left alone: {escape_control(reason)}", style=style))
    console.print(table)
    if summary.partly:
        console.print(
            Text(
                f"{summary.partly:,} of these are partly corrupt files, heard as far as they decode"
            )
        )


def print_report(console: Console, rows: Iterable[Row], summary: Summary, whole_list: str) -> None:
    """Print the list, or for long libraries what matters of it; then the totals."""
    if summary.files <= LONGEST_LIST:
        print_list(console, rows)
    else:
        print_extremes(console, summary)
        console.print(Text(f"The whole list of {summary.files:,} files: {whole_list}", style="dim"))
        console.print()
    print_totals(console, summary)
