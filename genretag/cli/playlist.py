"""``genretag playlist``: what was heard, as playlists to listen to."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import session
from genretag.errors import UsageError

if TYPE_CHECKING:
    from genretag.decisions.plan import Row


def _complete(incomplete: str) -> Iterator[str]:
    """Offer the genres of the last scan to the shell."""
    with session.open_databases(None) as databases:
        yield from (
            name
            for name in _gathered(databases, None)
            if name.casefold().startswith(incomplete.casefold())
        )


def playlist(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Only what lies below these.", metavar="[PATH...]")
    ] = None,
    genre: Annotated[
        list[str] | None,
        typer.Option(
            "--genre",
            help="A genre; several times for several.",
            show_default=False,
            autocompletion=_complete,
        ),
    ] = None,
    unsure: Annotated[
        bool,
        typer.Option(
            "--unsure", help="The tracks that the ear is unsure of, the nearest to sure first."
        ),
    ] = False,
    all_genres: Annotated[
        bool,
        typer.Option(
            "--all", help="One playlist a genre, and one of the unsure, into the folder -O."
        ),
    ] = False,
    relative: Annotated[
        bool,
        typer.Option(
            "--relative/--absolute", help="Paths from the playlist's folder on, or from the root."
        ),
    ] = False,
    output: Annotated[
        Path,
        typer.Option("-O", "--output", help="The playlist (.m3u8) to write; with --all a folder."),
    ] = Path("genretag.m3u8"),
    db: session.Database = None,
) -> None:
    """Write playlists of what was heard by the last scan: by what a file has or would get, and by what is unsure."""
    if not (genre or unsure or all_genres):
        raise UsageError("say which tracks: --genre WORD, --unsure, or --all")
    if not all_genres and output.suffix.lower() not in (".m3u", ".m3u8"):
        raise UsageError(f"{output}: the name of a playlist ends in .m3u8")
    with session.open_databases(db) as databases:
        lists = _gathered(databases, paths)
    if all_genres:
        for name, rows in sorted(lists.items()):
            _write(rows, output / f"{_file_name(name)}.m3u8", relative, context)
        return
    wanted = [row for word in genre or [] for row in lists.get(_key(lists, word), [])] + (
        lists.get(UNSURE, []) if unsure else []
    )
    if not wanted:
        known = (
            ", ".join(f"{name} ({len(rows):,})" for name, rows in sorted(lists.items())) or "none"
        )
        raise UsageError(f"no track for that; there are: {known}")
    _write(wanted, output, relative, context)


UNSURE = "unsure"


def _gathered(databases: session.Databases, paths: list[Path] | None) -> dict[str, list[Row]]:
    """Return the last scan's tracks by genre: what is planned, what is there, else what was heard."""
    from genretag.cli.reporting import NOTHING_HEARD, last_scan, plan_rows
    from genretag.decisions.vote import Status
    from genretag.library.walk import below, on_disk_case

    last = last_scan(databases, NOTHING_HEARD)
    tops = [on_disk_case(p).absolute() for p in paths] if paths else None
    lists: dict[str, list[Row]] = defaultdict(list)
    for _, row in plan_rows(databases, last.run):
        if not below(row.absolute, tops):
            continue
        if row.status == Status.UNSURE:
            lists[UNSURE].append(row)
        elif row.status == Status.OK:
            for name in (row.new if row.action == "write" else row.old) or (
                [row.genre] if row.genre else []
            ):
                lists[name].append(row)
    lists[UNSURE].sort(key=lambda r: (-(r.confidence or 0), r.path))
    return {name: rows for name, rows in lists.items() if rows}


def _key(lists: dict[str, list[Row]], word: str) -> str:
    """Return the genre that a word means, whatever its case."""
    from genretag.decisions.vocabulary import normalise_genre

    return next((name for name in lists if normalise_genre(name) == normalise_genre(word)), word)


def _file_name(genre: str) -> str:
    """Return a genre as a file name that every system takes."""
    return re.sub(r'[\x00-\x1f<>:"/\\|?*]+', "-", genre).strip(" .")[:80] or "genre"


def _write(rows: list[Row], path: Path, relative: bool, context: typer.Context) -> None:
    from genretag.report.playlists import write_playlist

    path.parent.mkdir(parents=True, exist_ok=True)
    write_playlist(rows, path, Path(os.path.abspath(path.parent)) if relative else None)
    if not session.is_quiet(context):
        session.talk().print(f"{path}: {len(rows):,} tracks")
