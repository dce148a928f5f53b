"""Extended M3U playlists."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from genretag.decisions.plan import Row
from genretag.errors import RunError
from genretag.library.urls import is_url, to_url
from genretag.text import escape_control


def write_playlist(rows: Iterable[Row], path: Path, base: Path | None = None) -> None:
    """Write the files of rows as an extended M3U playlist in UTF-8.

    Paths are absolute, or relative to ``base``. A name that a playlist cannot hold (it contains
    a line break or bytes that are not UTF-8) is replaced by a comment.

    Raises:
        RunError: the file cannot be written.
    """
    lines = ["#EXTM3U", *(line for row in rows for line in _entry(row, base))]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: the playlist cannot be written: {error.strerror}") from error


def _entry(row: Row, base: Path | None) -> tuple[str, str]:
    """Return the two lines of a track: its length and title, and its path."""
    genres = ", ".join(row.new) or row.genre or row.status
    title = escape_control(f"{row.absolute.name} ({genres})")
    if base is None or is_url(row.absolute):
        name = to_url(row.absolute)
    else:
        name = os.path.relpath(row.absolute, base)
    # A name that starts with # would be a comment.
    entry = f"./{name}" if name.startswith("#") else name
    fits = _is_one_line(name) and _is_unicode(name)
    return (
        f"#EXTINF:{round(row.seconds or -1)},{title}",
        entry if fits else f"# left out: {escape_control(entry)}",
    )


def _is_one_line(name: str) -> bool:
    return "\n" not in name and "\r" not in name


def _is_unicode(name: str) -> bool:
    """Return whether a name is free of surrogates, which stand for bytes that are not UTF-8."""
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in name)
