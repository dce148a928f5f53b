"""Extended M3U playlists."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from genretag.library.urls import is_url, to_url
from genretag.report.formats import write_text
from genretag.tags.titles import read_title
from genretag.text import escape_control, is_unicode


class Listed(Protocol):
    """A track that a playlist can hold."""

    @property
    def absolute(self) -> Path:
        """Absolute path of the file."""

    @property
    def artist(self) -> str:
        """Artist; empty if unknown."""

    @property
    def seconds(self) -> float | None:
        """Length; None if unknown."""


def write_playlist(rows: Iterable[Listed], path: Path, base: Path | None = None) -> None:
    """Write the files of rows as an extended M3U playlist in UTF-8.

    Paths are absolute, or relative to ``base``. A name that a playlist cannot hold (it contains a
    line break or bytes that are not UTF-8) is replaced by a comment. ``path`` ``-`` is stdout.

    Raises:
        RunError: the file cannot be written.
    """
    lines = ["#EXTM3U", *(line for row in rows for line in _entry(row, base))]
    text = "\n".join(lines) + "\n"
    write_text(path, text, "the playlist")


def _entry(row: Listed, base: Path | None) -> tuple[str, str]:
    """Return the two lines of a track: its length and title, and its path."""
    title = escape_control(_display_title(row))
    if base is None or is_url(row.absolute):
        name = to_url(row.absolute)
    else:
        name = os.path.relpath(row.absolute, base)
    # A name that starts with # would be a comment.
    entry = f"./{name}" if name.startswith("#") else name
    fits = _is_one_line(name) and is_unicode(name)
    return (
        f"#EXTINF:{round(row.seconds or -1)},{title}",
        entry if fits else f"# left out: {escape_control(entry)}",
    )


def _display_title(row: Listed) -> str:
    """Return ``Artist - Title`` as players show it; without a title in the tags, the file's name.

    Players take the text before the first " - " for the artist.
    """
    artist, title = ("", "") if is_url(row.absolute) else read_title(row.absolute)
    artist, title = artist or row.artist, title or row.absolute.stem
    return f"{artist} - {title}" if artist else title


def _is_one_line(name: str) -> bool:
    return "\n" not in name and "\r" not in name
