"""``genretag playlist``: playlists of genres and of unsure tracks."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.option_groups import FILES, one_call, output_file
from genretag.cli.options import Database, Paths, Relative
from genretag.cli.output import PLAYLIST_SUFFIXES, message_console, output_mode
from genretag.cli.plans import NOTHING_ANALYSED, absolute_paths, plans_in_force, rows_of
from genretag.errors import RunError, UsageError
from genretag.text import count, escape_control
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.decisions.rows import Row
    from genretag.writing.session import Databases

UNSURE = "unsure"
_MAX_NAME = 80  # characters of a file name


def complete_genre(incomplete: str) -> Iterator[str]:
    """Offer the genres of the last scan to the shell."""
    with open_databases(None) as databases:
        for name in _rows_by_genre(databases, None):
            if name.casefold().startswith(incomplete.casefold()):
                yield name


def playlist(
    context: typer.Context,
    paths: Paths = None,
    genre: Annotated[
        list[str] | None,
        one_call(
            "--genre",
            metavar="NAME",
            rich_help_panel=FILES,
            show_default=False,
            autocompletion=complete_genre,
            help="Tracks of this genre; repeatable.",
        ),
    ] = None,
    unsure: Annotated[
        bool,
        one_call(
            "--unsure",
            rich_help_panel=FILES,
            help="Unsure tracks.\n\nThe most certain of them come first.",
        ),
    ] = False,
    all_genres: Annotated[
        bool,
        one_call(
            "--all",
            rich_help_panel=FILES,
            help="One playlist per genre, in the folder -O.\n\nAnd one of the unsure tracks.",
        ),
    ] = False,
    relative: Relative = False,
    output: Annotated[
        Path,
        output_file(
            help="Playlist (.m3u8) to write; with --all, a folder.\n\n- is standard output.",
        ),
    ] = Path("genretag.m3u8"),
    db: Database = None,
) -> None:
    """Write playlists by genre, or of the unsure tracks.

    A track's genre is the planned one, else the one in its tag, else the model's.

    Examples:
      genretag playlist --genre Jazz -O jazz.m3u8
      genretag playlist --unsure
      genretag playlist --all -O ~/Playlists
    """
    from genretag.report.formats import is_stdout

    if not (genre or unsure or all_genres):
        raise UsageError("choose tracks: --genre NAME, --unsure, or --all")
    if all_genres and is_stdout(output):
        raise UsageError("-O -: --all writes several playlists; give a folder")
    if not all_genres and not is_stdout(output) and output.suffix.lower() not in PLAYLIST_SUFFIXES:
        raise UsageError(f"{output}: the name of a playlist must end in .m3u8")
    with open_databases(db) as databases:
        lists = _rows_by_genre(databases, paths)
    if all_genres:
        names = _file_names(sorted(lists, key=lambda name: (name != UNSURE, name)))
        for name, rows in sorted(lists.items()):
            _write_list(rows, output / f"{names[name]}.m3u8", relative, context)
        return
    wanted = [row for name in genre or [] for row in lists.get(_match_genre(lists, name), [])]
    wanted += lists.get(UNSURE, []) if unsure else []
    if not wanted:
        known = ", ".join(f"{name} ({len(rows):,})" for name, rows in sorted(lists.items()))
        raise UsageError(f"no track matches; there are: {known or 'none'}")
    _write_list(wanted, output, relative, context)


def _rows_by_genre(databases: Databases, paths: list[Path] | None) -> dict[str, list[Row]]:
    """Return the last scan's tracks by genre, and the unsure ones."""
    from genretag.decisions.vote import Status
    from genretag.report.selection import genres_of

    tops = absolute_paths(paths)
    plans = plans_in_force(databases, tops, missing=NOTHING_ANALYSED)
    lists: dict[str, list[Row]] = defaultdict(list)
    for row in rows_of(databases, plans, tops):
        if row.status == Status.UNSURE:
            lists[UNSURE].append(row)
        elif row.status == Status.OK:
            for name in genres_of(row):
                lists[name].append(row)
    lists[UNSURE].sort(key=lambda r: (-(r.confidence or 0), r.path))
    return {name: rows for name, rows in lists.items() if rows}


def _match_genre(lists: dict[str, list[Row]], name: str) -> str:
    """Return the genre of the lists that a name means, whatever its case."""
    from genretag.decisions.vocabulary import normalise_genre

    wanted = normalise_genre(name)
    return next((known for known in lists if normalise_genre(known) == wanted), name)


def _file_name(genre: str) -> str:
    """Return a genre as a file name that every system accepts."""
    # Escapes begin with a backslash, so that their characters become a hyphen, too.
    safe = re.sub(r'[\x00-\x1f<>:"/\\|?*]+', "-", escape_control(genre))
    return safe.strip(" .")[:_MAX_NAME] or "genre"


def _file_names(genres: Iterable[str]) -> dict[str, str]:
    """Return a file name for each genre; equal ones, or equal but for case, get numbers."""
    names, taken = dict[str, str](), set[str]()
    for genre in genres:
        name = first = _file_name(genre)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{first} ({number})"
        taken.add(name.casefold())
        names[genre] = name
    return names


def _write_list(rows: list[Row], path: Path, relative: bool, context: typer.Context) -> None:
    """Write one playlist, and print its length."""
    from genretag.report.formats import is_stdout
    from genretag.report.playlists import write_playlist

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path.parent}: the folder cannot be made: {error.strerror}") from error
    write_playlist(rows, path, Path(os.path.abspath(path.parent)) if relative else None)
    if not is_stdout(path) and not output_mode(context).quiet:
        message_console().print(f"{path}: {count(len(rows), 'track')}")
