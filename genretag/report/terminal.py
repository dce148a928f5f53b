"""The report as tables in the terminal.

The columns of a list stand below each other in every folder. Names are cut in the middle, and
nothing else is: genres and reasons continue on the next line. Below ``_MIN_ONE_LINE`` columns a
row takes two lines: its name and confidence, and below them its change and reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genretag.decisions.reasons import Action
from genretag.decisions.rows import Row
from genretag.decisions.vote import Status
from genretag.library.urls import home_relative
from genretag.report.changes import shown_path, written_fields
from genretag.report.columns import GAP, cut_middle, line_of, share_width, wrapped_lines
from genretag.report.summary import (
    REPLACED,
    RISKS,
    Scope,
    Summary,
    agreement_of,
    describe_pieces,
    describe_sources,
    is_partly_corrupt,
)
from genretag.text import count, escape_control, two_digits, word, words

#: Longer plans are shown as their riskiest changes and totals; ``report --all`` lists every row.
MAX_LISTED_ROWS = 200

_MEASURED_ROWS = 2_000  # the first rows of a list decide how wide its columns are
_MIN_ONE_LINE, _MIN_WINDOWS = 64, 100  # columns of a terminal for one line per row, for windows
_NUMBERS = frozenset({2, 3})  # positions of confidence and windows in a row of one line


def _genre_text(row: Row) -> Text:
    """Return the old genre and, if one will be written, the new genre; then the other fields."""
    if row.action == Action.WRITE:
        text = Text.assemble((words(row.old), "dim"), " → ", (words(row.new), "bold green"))
    else:
        text = Text(words(row.old), style="" if row.action == Action.KEEP else "dim")
    for name, plan in written_fields(row).items():
        text.append(f"; {name} ", style="dim").append(words(plan["new"]), style="bold green")
    return text


def _reason_text(row: Row) -> Text:
    """Return the reason for a decision, and what the model found where that differs."""
    if row.status == Status.FAILED:
        return Text(escape_control(row.error or row.reason), style="red")
    text = Text(escape_control(row.reason), style=_reason_style(row))
    if row.status == Status.UNSURE and row.scores:
        text.append(f" ({' or '.join(list(row.scores)[:2])}?)", style="dim")
    elif agrees := agreement_of(row):
        text.append(f" ({agrees})", style="dim")
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


@dataclass(frozen=True)
class _Columns:
    """The widths of a list's columns, in terminal cells; 0: the column is left out."""

    name: int
    change: int
    confidence: int
    windows: int
    reason: int
    stacked: bool = False  # change and reason stand on a line of their own

    @classmethod
    def fit(cls, rows: list[Row], width: int, *, show_folder: bool) -> _Columns:
        """Return widths that suit rows, and together fill at most ``width``."""
        names = max((cell_len(_name(row, show_folder)) for row in rows), default=0)
        changes = max((cell_len(_genre_text(row).plain) for row in rows), default=0)
        reasons = max((cell_len(_reason_text(row).plain) for row in rows), default=0)
        if width < _MIN_ONE_LINE:
            numbers = len("0.00")
            name = width - GAP - GAP - numbers
            change, reason = share_width([changes, reasons], width - 3 * GAP)
            return cls(name, change, numbers, 0, reason, stacked=True)
        wide = width >= _MIN_WINDOWS
        confidence, windows = (len("confidence"), len("windows")) if wide else (len("conf."), 0)
        # A plan without analyses has neither: its names and genres get the room.
        confidence *= any(map(_confidence, rows))
        windows *= any(map(_votes, rows))
        gaps = GAP * (3 + bool(confidence) + bool(windows))
        name, change, reason = share_width(
            [max(names, len("file")), max(changes, len("genre")), reasons],
            width - confidence - windows - gaps,
        )
        return cls(name, change, confidence, windows, reason)

    def header(self) -> list[Text]:
        """Return the line of headings; none where a row has two lines."""
        if self.stacked:
            return []
        confidence = "confidence" if self.confidence == len("confidence") else "conf."
        names = ("file", "genre", confidence, "windows", "reason")
        return [line_of([Text(name, style="dim") for name in names], self._widths, _NUMBERS)]

    def lines(self, row: Row, console: Console, *, show_folder: bool) -> Iterator[Text]:
        """Yield the lines of a row."""
        name = Text(cut_middle(_name(row, show_folder), self.name))
        change, reason = _genre_text(row), _reason_text(row)
        if self.stacked:
            yield line_of([name, Text(_confidence(row))], [self.name, self.confidence], {1})
            # An empty first cell indents the second line.
            widths = [0, self.change, self.reason]
            yield from wrapped_lines([Text(), change, reason], widths, (), console)
            return
        cells = [name, change, Text(_confidence(row)), Text(_votes(row)), reason]
        yield from wrapped_lines(cells, self._widths, _NUMBERS, console)

    @property
    def _widths(self) -> list[int]:
        return [self.name, self.change, self.confidence, self.windows, self.reason]


def _name(row: Row, show_folder: bool) -> str:
    path = shown_path(row)
    return home_relative(path) if show_folder else escape_control(path.name)


def _print_rows(
    console: Console, rows: Iterable[Row], columns: _Columns, *, show_folder: bool = False
) -> None:
    """Print rows as one block."""
    lines = (line for row in rows for line in columns.lines(row, console, show_folder=show_folder))
    console.print(Text("\n").join(lines), soft_wrap=True)


def print_list(console: Console, rows: Iterable[Row]) -> None:
    """Print every row, grouped by folder, with the same columns in all folders."""
    rest = iter(rows)
    first = list(islice(rest, _MEASURED_ROWS))
    columns = _Columns.fit(first, console.width, show_folder=False)
    for line in columns.header():
        console.print(line, soft_wrap=True)
    for folder, group in groupby(chain(first, rest), key=lambda row: shown_path(row).parent):
        console.print(Text(home_relative(folder), style="bold", overflow="fold"))
        _print_rows(console, group, columns)
        console.print()


def print_risks(console: Console, summary: Summary) -> None:
    """Print examples of the changes that deserve a look, the riskiest kind first."""
    examples = {risk: summary.least_certain(risk) for risk in RISKS}
    columns = _Columns.fit(list(chain(*examples.values())), console.width, show_folder=True)
    for risk, rows in examples.items():
        if rows:
            number = f" ({summary.risks[risk]:,})" if summary.risks[risk] > len(rows) else ""
            console.print(Text(f"{risk}{number}", style="bold"))
            _print_rows(console, rows, columns, show_folder=True)
            console.print()


def print_totals(console: Console, summary: Summary) -> None:
    """Print the number of files for each genre and each reason."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for genre, files in summary.writes.most_common():
        table.add_row(f"{files:,}", Text.assemble("→ ", (word(genre), "bold green")))
    for (name, value), files in summary.field_totals():
        text = Text.assemble(f"→ {name} ", (word(value), "bold green"))
        table.add_row(f"{files:,}", text)
    for reason, files in summary.left.most_common():
        style = "red" if reason == "failed" else "yellow"
        table.add_row(f"{files:,}", Text(f"left alone: {escape_control(reason)}", style=style))
    console.print(table)
    if sources := describe_sources(summary):
        console.print(Text(sources, style="dim"))
    if summary.from_pieces:
        console.print(Text(describe_pieces(summary), style="dim"))
    if summary.partly:
        verb = "is" if summary.partly == 1 else "are"
        console.print(
            Text(f"{count(summary.partly, 'file')} {verb} partly corrupt; the rest was analysed")
        )


def next_commands(summary: Summary, scope: Scope, *, listed: bool) -> Iterator[tuple[str, str]]:
    """Yield (command, what it does) for each group of a plan that has one."""
    if not listed:
        yield scope.command("report --all"), f"lists all {count(summary.files, 'file')}"
    if replaced := summary.risks[REPLACED]:
        yield scope.command("report --replaced"), f"lists {count(replaced, 'replaced genre')}"
    if summary.unsure and scope.run is None and scope.tidied is None:
        yield scope.command("review"), f"asks about {count(summary.unsure, 'unsure track')}"
    if summary.failed:
        yield "genretag errors", f"says why {count(summary.failed, 'file')} failed"
    if scope.tidied:
        table = f" --table {scope.table}" if scope.table else ""
        yield scope.command("tidy") + table, f"writes {count(scope.tidied, 'tidied file')} only"
    others = scope.writes - (scope.tidied or 0)
    if others:
        also = f", {others:,} of them planned by a scan" if scope.tidied else ""
        # After tidy, apply writes the whole plan, whatever folder was tidied.
        places = scope if scope.tidied is None else replace(scope, paths="")
        yield places.command("apply"), f"writes {count(scope.writes, 'file')}{also}"


def print_report(
    console: Console,
    rows: Iterable[Row],
    summary: Summary,
    *,
    everything: bool = False,
    scope: Scope | None = None,
) -> None:
    """Print the list or, for a long plan, its riskiest changes; then the totals.

    Args:
        console: where to print.
        rows: the rows of the plan.
        summary: their totals.
        everything: list a long plan, too.
        scope: the files, for the next commands; None: name no commands, for the rows are a choice.
    """
    listed = everything or summary.files <= MAX_LISTED_ROWS
    if listed:
        print_list(console, rows)
    else:
        print_risks(console, summary)
    print_totals(console, summary)
    if scope is None:
        return
    commands = list(next_commands(summary, scope, listed=listed))
    if commands:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for command, what in commands:
            table.add_row(Text(command, style="bold"), Text(what, style="dim"))
        console.print()
        console.print(table)
