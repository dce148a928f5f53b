"""The table of genres that ``genretag tidy`` writes, and reads again after an edit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from genretag.atomic import output
from genretag.decisions.tidy import Table
from genretag.errors import RunError, UsageError
from genretag.text import cell, escape_control, suggestion

OLD, NEW, FILES = "old value", "new value", "files"
_DELIMITERS = (",", ";", "\t")  # spreadsheets save with that of the user's country


def write_table(path: Path, values: Mapping[str, int], table: Table) -> None:
    """Write genres, what they become, and their files as CSV; the most frequent first.

    Raises:
        UsageError: the file name does not end in .csv.
        RunError: the file cannot be written.
    """
    check_table_name(path)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow((OLD, NEW, FILES))
    for value in by_frequency(values):
        writer.writerow((cell(value), _words_cell(table.get(value, [value])), values[value]))
    with output(path, "the table") as part:
        part.write_bytes(out.getvalue().encode())


def check_table_name(path: Path) -> None:
    """Raise ``UsageError`` unless a file name ends in .csv."""
    if path.suffix.lower() != ".csv":
        raise UsageError(f"{path}: the name of a table must end in .csv")


def by_frequency(values: Mapping[str, int]) -> list[str]:
    """Return values, the most frequent first."""
    return sorted(values, key=lambda value: (-values[value], value))


def _words_cell(words: list[str]) -> str:
    return cell("; ".join(words))


def read_table(path: Path, values: Iterable[str], proposals: Table) -> dict[str, list[str]]:
    """Return the new values of an edited table; genres that it does not name stay.

    Args:
        path: the table.
        values: the genres in the tags.
        proposals: the new values that a table has before it is edited.

    Raises:
        RunError: the file cannot be read.
        UsageError: a row is not understood, or names a genre that is not there.
    """
    by_cell = {cell(value): value for value in values}
    table: dict[str, list[str]] = {}
    for number, old, new in _rows(path):
        value = by_cell.get(old, by_cell.get(old.strip()))
        if value is None:
            hint = suggestion(old, by_cell, cutoff=0.5)
            raise UsageError(f"{path}, line {number}: no file has the genre {old!r}{hint}")
        # An untouched cell means the proposal, even if a word has a semicolon of its own.
        proposed = proposals.get(value, [value])
        words = proposed if new == _words_cell(proposed) else _split(path, number, new)
        if table.setdefault(value, words) != words:
            raise UsageError(f"{path}, line {number}: {old!r} has two different new values")
    return table


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """Return (line, old value, new value) of a table."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RunError(f"{path}: the table is not UTF-8; save it as CSV UTF-8") from error
    except OSError as error:
        raise RunError(f"{path}: the table cannot be read: {error.strerror}") from error
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    out: list[tuple[int, str, str]] = []
    places: tuple[int, int] | None = None
    try:
        for row in reader:
            if places is None:
                names = [name.strip().casefold() for name in row]
                if OLD not in names or NEW not in names:
                    raise UsageError(f"{path}: the first line must name {OLD} and {NEW}")
                places = names.index(OLD), names.index(NEW)
            elif any(field.strip() for field in row):
                if len(row) <= max(places):
                    raise UsageError(f"{path}, line {reader.line_num}: a column is missing")
                out.append((reader.line_num, row[places[0]], row[places[1]]))
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}") from error
    if places is None:
        raise UsageError(f"{path}: the table is empty; genretag tidy -O {path.name} writes one")
    return out


def _split(path: Path, number: int, new: str) -> list[str]:
    """Return the values of an edited cell."""
    if escape_control(new) != new:
        raise UsageError(f"{path}, line {number}: the new value has a control character")
    words = [word.strip() for word in new.split(";")]
    # ``cell`` puts an apostrophe before what a spreadsheet would take for a formula.
    words = [word[1:] if word[:1] == "'" and cell(word[1:]) == word else word for word in words]
    return list(dict.fromkeys(word for word in words if word))
