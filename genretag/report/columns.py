"""Columns of a terminal: widths that fit, names cut in the middle, cells that wrap."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from genretag.library.urls import home_relative
from genretag.text import escape_control

GAP = 2  # spaces between columns


def share_width(wanted: list[int], available: int) -> list[int]:
    """Return widths of at most ``available`` together: small ones in full, the rest equally."""
    if sum(wanted) <= available:
        return wanted
    given = dict.fromkeys(range(len(wanted)), 0)
    left = available
    for place, index in enumerate(sorted(given, key=lambda i: wanted[i])):
        given[index] = max(1, min(wanted[index], left // (len(wanted) - place)))
        left -= given[index]
    return [given[i] for i in range(len(wanted))]


def cut_middle(text: str, width: int) -> str:
    """Return text of at most ``width`` terminal cells; an ellipsis replaces its middle."""
    if cell_len(text) <= width:
        return text
    front, back = list[str](), list[str]()
    room = width - 1
    # The ends of names say most (number, extension): they get the odd cell.
    for side, characters, limit in ((back, reversed(text), room - room // 2), (front, text, room)):
        for char in characters:
            if cell_len("".join([*front, *back, char])) > limit:
                break
            side.append(char)
    return f"{''.join(front)}…{''.join(reversed(back))}"


def line_of(cells: list[Text], widths: list[int], numbers: Collection[int]) -> Text:
    """Return cells as one line; those at the positions ``numbers`` end below each other."""
    line = Text()
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        if width == 0 and index:
            continue
        padded = cell.copy()
        padded.align("right" if index in numbers else "left", width)
        line.append(" " * GAP).append_text(padded)
    line.rstrip()
    return line


def wrapped_lines(
    cells: list[Text], widths: list[int], numbers: Collection[int], console: Console
) -> Iterator[Text]:
    """Yield the lines of a row whose cells are as wide as ``widths``."""
    columns = [
        [cell]
        if width == 0 or cell_len(cell.plain) <= width
        else list(cell.wrap(console, width, overflow="fold"))
        for cell, width in zip(cells, widths, strict=True)
    ]
    for parts in zip_longest(*columns, fillvalue=Text()):
        yield line_of(list(parts), widths, numbers)


def common_folder(paths: Iterable[Path]) -> Path | None:
    """Return the folder in which all files lie; None if there is none but the root, or no file."""
    try:
        folder = Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # no file, other drives, or URLs beside paths
        return None
    return folder if folder.name else None


def print_files(
    console: Console, heads: Sequence[str], rows: Sequence[tuple[Path, Sequence[str]]], place: int
) -> None:
    """Print files below the name of their common folder, with columns below each other.

    Args:
        console: where to print.
        heads: the headings.
        rows: each file with its other cells. All of them continue on the next line.
        place: the column of the file; the columns before it are numbers.
    """
    folder = common_folder(path for path, _ in rows)
    if folder is not None:
        console.print(Text(home_relative(folder), style="bold", overflow="fold"))
    lines = []
    for path, cells in rows:
        name = escape_control(path.relative_to(folder)) if folder else home_relative(path)
        lines.append([*cells[:place], name, *cells[place:]])
    wanted = [max(map(cell_len, column)) for column in zip(heads, *lines, strict=True)]
    numbers = set(range(place))
    room = console.width - sum(wanted[:place]) - GAP * len(wanted)
    # The files say most: they get half of the room, or what the other columns leave.
    others = wanted[place + 1 :]
    file = min(wanted[place], max(room // 2, room - sum(others)))
    widths = [*wanted[:place], file, *share_width(others, room - file)]
    printed = [line_of([Text(head, style="dim") for head in heads], widths, numbers)]
    for line in lines:
        printed += wrapped_lines([Text(cell) for cell in line], widths, numbers, console)
    console.print(Text("\n").join(printed), soft_wrap=True)
