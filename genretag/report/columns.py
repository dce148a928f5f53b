"""Columns of a terminal: widths that fit, names cut in the middle, cells that wrap."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

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
