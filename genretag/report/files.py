"""Reports as files and streams: JSON lines and CSV."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from genretag.decisions.plan import Row
from genretag.errors import RunError, UsageError
from genretag.library.urls import is_url, to_url
from genretag.text import cell, escape_control, words

CSV_COLUMNS = (
    "path",
    "action",
    "reason",
    "old",
    "new",
    "genre",
    "confidence",
    "windows",
    "agreement",
    "status",
    "error",
)


def json_line(row: Row) -> str:
    """Return a row as one line of ASCII JSON, in which no text can act on a terminal."""
    return json.dumps(row.to_dict())


def write_json(rows: Iterable[Row], out: IO[str]) -> None:
    """Write rows as JSON lines; ``genretag apply`` takes them back."""
    for row in rows:
        out.write(json_line(row) + "\n")


def write_csv(rows: Iterable[Row], out: IO[str]) -> None:
    """Write rows as CSV, safe to open in a spreadsheet."""
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        data = row.to_dict()
        data["old"], data["new"] = "; ".join(row.old), "; ".join(row.new)
        values = ["" if data[c] is None else data[c] for c in CSV_COLUMNS]
        writer.writerow([cell(v) if isinstance(v, str) else v for v in values])


def write_markdown(rows: Iterable[Row], out: IO[str]) -> None:
    """Write rows as a Markdown table."""
    out.write("| file | old | new | sure | why |\n| --- | --- | --- | --- | --- |\n")
    for row in rows:
        sure = "" if row.confidence is None else f"{row.confidence:.2f}"
        new = words(row.new) if row.action == "write" else ""
        cells = (
            escape_control(row.path),
            words(row.old),
            new,
            sure,
            escape_control(row.error or row.reason),
        )
        out.write("| " + " | ".join(_markdown(c) for c in cells) + " |\n")


def _markdown(text: str) -> str:
    """Return text in which nothing acts as Markdown or HTML."""
    for char in "\\`*_[]<>|#":
        text = text.replace(char, f"\\{char}" if char != "<" else "&lt;")
    return text


def write_text(path: Path, text: str) -> None:
    """Write a file; raise ``RunError`` that names it where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: it cannot be written: {error.strerror}") from error


_WRITERS = {".csv": write_csv, ".json": write_json, ".jsonl": write_json, ".md": write_markdown}


def check_name(path: Path) -> None:
    """Raise ``UsageError`` for a name that tells no format."""
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(f"{path}: the name must end in .csv, .jsonl or .md")


def write_report(rows: Iterable[Row], path: Path) -> None:
    """Write rows to a file, in the format that its name asks for."""
    check_name(path)
    try:
        with path.open("w", newline="", encoding="utf-8") as out:
            _WRITERS[path.suffix.lower()](rows, out)
    except OSError as error:
        raise RunError(f"{path}: the report cannot be written: {error.strerror}") from error


def write_playlist(rows: Iterable[Row], path: Path, base: Path | None = None) -> None:
    """Write the rows' files as an extended M3U playlist in UTF-8, as absolute paths or from ``base`` on.

    A name that such a playlist cannot hold (a line break, bytes that are not UTF-8) is left out with a remark.
    """
    lines = ["#EXTM3U"]
    for row in rows:
        title = escape_control(
            f"{row.absolute.name} ({', '.join(row.new) or row.genre or row.status})"
        )
        name = (
            to_url(row.absolute)
            if base is None or is_url(row.absolute)
            else os.path.relpath(row.absolute, base)
        )
        fits = (
            "\n" not in name
            and "\r" not in name
            and not any(0xD800 <= ord(c) <= 0xDFFF for c in name)
        )
        name = f"./{name}" if name.startswith("#") else name
        lines += [
            f"#EXTINF:{round(row.seconds or -1)},{title}",
            name if fits else f"# left out: {escape_control(name)}",
        ]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: the playlist cannot be written: {error.strerror}") from error


def read_plan(path: Path) -> Iterable[Row]:
    """Yield the rows of a plan in JSON lines; raise ``RunError`` that names the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: the plan cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Row.from_dict(json.loads(line))
        except (ValueError, AttributeError, RunError) as error:
            raise RunError(f"{path}, line {number}: {error}") from error
