"""Report formats that are written row by row: CSV, JSON lines and Markdown.

A new format needs a function that writes rows to an open file, and a line in ``WRITERS``.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from genretag.atomic import output
from genretag.decisions.policy import Field
from genretag.decisions.reasons import Action
from genretag.decisions.rows import Row
from genretag.errors import RunError, UsageError, describe_error
from genretag.report.changes import written_fields
from genretag.text import cell, escape_control, two_digits, words

CSV_COLUMNS = (
    *("path", "action", "reason", "old", "new", "genre"),
    *("confidence", "windows", "agreement", "status", "error", "source"),
    *("mood", "mood_reason", "style", "style_reason"),
)


def json_line(row: Row) -> str:
    """Return a row as one line of JSON. It is ASCII, so that no text can control a terminal."""
    return json.dumps(row.to_dict())


def write_json(rows: Iterable[Row], out: IO[str]) -> None:
    """Write rows as JSON lines, the format that ``genretag apply`` reads."""
    for row in rows:
        out.write(json_line(row) + "\n")


def write_csv(rows: Iterable[Row], out: IO[str]) -> None:
    """Write rows as CSV that is safe to open in a spreadsheet."""
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        data = row.to_dict()
        data["old"], data["new"] = "; ".join(row.old), "; ".join(row.new)
        for name in (Field.MOOD, Field.STYLE):
            plan = row.fields.get(name)
            data[name] = None if plan is None else "; ".join(plan["new"])
            data[f"{name}_reason"] = None if plan is None else plan["reason"]
        values = ["" if data[column] is None else data[column] for column in CSV_COLUMNS]
        writer.writerow([cell(v) if isinstance(v, str) else v for v in values])


def write_markdown(rows: Iterable[Row], out: IO[str]) -> None:
    """Write rows as a Markdown table."""
    out.write("| file | old | new | confidence | reason |\n| --- | --- | --- | --- | --- |\n")
    for row in rows:
        cells = (
            escape_control(row.path),
            words(row.old),
            _new_text(row),
            "" if row.confidence is None else two_digits(row.confidence),
            escape_control(row.error or row.reason),
        )
        out.write("| " + " | ".join(map(_escape_markdown, cells)) + " |\n")


def _new_text(row: Row) -> str:
    """Return the new values of a row, those of fields beside the genre with their names."""
    parts = [words(row.new)] if row.action == Action.WRITE else []
    parts += [f"{name}: {words(plan['new'])}" for name, plan in written_fields(row).items()]
    return "; ".join(parts)


def _escape_markdown(text: str) -> str:
    """Return text without active Markdown or HTML."""
    # The backslash comes first: those that escape the other characters are not escaped again.
    for char in "\\`*_[]>|#":
        text = text.replace(char, f"\\{char}")
    return text.replace("<", "&lt;")


#: File name extension -> function that writes rows in this format.
WRITERS: dict[str, Callable[[Iterable[Row], IO[str]], None]] = {
    ".csv": write_csv,
    ".json": write_json,
    ".jsonl": write_json,
    ".md": write_markdown,
}


def is_stdout(path: Path) -> bool:
    """Return whether a file name means standard output."""
    return path == Path("-")


def check_suffix(path: Path) -> None:
    """Check that a file name says which format to write; ``-`` is JSON lines on stdout.

    Raises:
        UsageError: the extension is not that of a report format.
    """
    if not is_stdout(path) and path.suffix.lower() not in WRITERS:
        *others, last = WRITERS
        raise UsageError(f"{path}: the file name must end in {', '.join(others)} or {last}")


def write_report(rows: Iterable[Row], path: Path) -> None:
    """Write rows to a file, in the format of its extension.

    Raises:
        UsageError: the extension is not that of a report format.
        RunError: the file cannot be written.
    """
    check_suffix(path)
    if is_stdout(path):
        write_json(rows, sys.stdout)
        return
    with output(path, "the report") as part, part.open("w", newline="", encoding="utf-8") as out:
        WRITERS[path.suffix.lower()](rows, out)


def write_text(path: Path, text: str, what: str = "") -> None:
    """Write text to a file; ``-`` is stdout. ``what`` names it in a message.

    Raises:
        RunError: the file cannot be written.
    """
    if is_stdout(path):
        sys.stdout.buffer.write(text.encode())
        return
    with output(path, what) as part:
        part.write_bytes(text.encode())


def read_plan(path: Path) -> Iterable[Row]:
    """Yield the rows of a plan in JSON lines.

    Raises:
        RunError: the file cannot be read, or a line is not a row; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: the plan cannot be read: {describe_error(error)}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Row.from_dict(json.loads(line))
        except (ValueError, AttributeError, RunError) as error:
            raise RunError(f"{path}, line {number}: {error}") from error
