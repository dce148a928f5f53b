"""``genretag similar``: tracks that sound like one."""

from __future__ import annotations

import json as json_lib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.cli.analysis import analyse_file, stored_analysis
from genretag.cli.option_groups import OUTPUT, one_call, output_file
from genretag.cli.options import Database, Json, Relative
from genretag.cli.output import (
    PLAYLIST_SUFFIXES,
    OutputMode,
    message_console,
    output_mode,
    require_file,
    result_console,
)
from genretag.cli.scan_options import ModelFile
from genretag.errors import RunError, UsageError
from genretag.text import count as count_of
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.inference.metadata import ModelMetadata
    from genretag.records import Analysis
    from genretag.report.similar import Neighbours, SimilarTrack

_DEFAULT_PLAYLIST = Path("similar.m3u8")
MAX_COUNT = 10_000


def similar(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A music file.")],
    count: Annotated[
        int,
        one_call(
            "--count",
            metavar="N",
            min=1,
            max=MAX_COUNT,
            rich_help_panel=OUTPUT,
            help="Number of tracks.",
        ),
    ] = 20,
    playlist: Annotated[
        bool,
        one_call(
            "--playlist",
            rich_help_panel=OUTPUT,
            help="Write a playlist: FILE, then the tracks that sound like it.",
        ),
    ] = False,
    relative: Relative = False,
    output: Annotated[
        Path | None,
        output_file(
            show_default="similar.m3u8",
            help="Playlist (.m3u8) to write.\n\n- is standard output.",
        ),
    ] = None,
    model: ModelFile = None,
    json: Json = False,
    db: Database = None,
) -> None:
    """List the tracks of the database that sound most like one.

    They are compared by the embeddings of their analyses; only FILE is analysed, if it is new.
    Files with the same audio count as one, and FILE's own copies are left out. The similarity is
    1 for the same sound and about 0 for tracks that have no more in common than any two.

    Examples:
      genretag similar ~/Music/track.mp3
      genretag similar ~/Music/track.mp3 --count 50 --playlist -O like-track.m3u8
    """
    from genretag.report.similar import find_similar

    mode = output_mode(context)
    target = _playlist_name(playlist, output)
    require_file(file)
    with open_databases(db) as databases:
        known = stored_analysis(databases, file, model)
    metadata, analysis = known or _analyse(file, model, db, mode)
    with open_databases(db) as databases:
        try:
            found = find_similar(databases.store, metadata, analysis, count)
        except RunError as error:
            raise RunError(f"{file}: {error}") from error
    _report_damage(found, mode)
    if target is not None:
        _write_playlist(file, analysis, found, target, relative, mode)
    if json:
        for track in found.tracks:
            print(json_lib.dumps(_to_dict(track)))
    elif target is None or not (mode.quiet or target == Path("-")):
        _print_tracks(found, mode)


def _playlist_name(playlist: bool, output: Path | None) -> Path | None:
    """Return the playlist to write; None: none.

    Raises:
        UsageError: the name is not that of a playlist.
    """
    from genretag.report.formats import is_stdout

    if output is None:
        return _DEFAULT_PLAYLIST if playlist else None
    if not is_stdout(output) and output.suffix.lower() not in PLAYLIST_SUFFIXES:
        raise UsageError(f"{output}: the name of a playlist must end in .m3u8")
    return output


def _analyse(
    file: Path, model: Path | None, db: Path | None, mode: OutputMode
) -> tuple[ModelMetadata, Analysis]:
    """Analyse a file that the database does not hold, and say so."""
    from genretag.library.urls import home_relative

    message_console(mode.quiet).print(f"{home_relative(file)} was not analysed yet; analysing it")
    metadata, _, analysis = analyse_file(file, model, db)
    return metadata, analysis


def _report_damage(found: Neighbours, mode: OutputMode) -> None:
    """Print how many stored embeddings were left out."""
    if found.damaged:
        message_console(mode.quiet).print(
            f"{count_of(found.damaged, 'damaged embedding')} left out;"
            " genretag scan FOLDER --rescan --dry-run makes them again"
        )


def _write_playlist(
    file: Path,
    analysis: Analysis,
    found: Neighbours,
    target: Path,
    relative: bool,
    mode: OutputMode,
) -> None:
    """Write the playlist: the track itself, then those that sound like it."""
    import os

    from genretag.library.urls import absolute
    from genretag.report.formats import is_stdout
    from genretag.report.playlists import write_playlist
    from genretag.report.similar import SimilarTrack

    own = SimilarTrack(absolute(file), 1.0, [], "", "", analysis.seconds)
    base = Path(os.path.abspath(target.parent)) if relative else None
    write_playlist([own, *found.tracks], target, base)
    if not is_stdout(target):
        length = count_of(1 + len(found.tracks), "track")
        message_console(mode.quiet).print(f"{target}: {length}")


def _to_dict(track: SimilarTrack) -> dict[str, Any]:
    """Return the object that ``similar --json`` prints."""
    from genretag.library.urls import to_url

    return {
        "path": to_url(track.absolute),
        "similarity": round(track.similarity, 4),
        "genres": track.genres,
        "artist": track.artist,
        "album": track.album,
        "seconds": track.seconds,
        "copies": [to_url(path) for path in track.copies],
    }


def _print_tracks(found: Neighbours, mode: OutputMode) -> None:
    """Print the tracks as a table, or as sentences with --plain."""
    from genretag.library.urls import home_relative
    from genretag.report.columns import print_files
    from genretag.text import two_digits, word, words

    if not found.tracks:
        print("none of the analysed tracks has a file any more")
        return
    rows = []
    for track in found.tracks:
        artist = word(track.artist)
        similarity = two_digits(max(0.0, track.similarity))
        number = len(track.copies)
        copies = f"and {number} cop{'y' if number == 1 else 'ies'}" if number else ""
        if mode.plain:
            name, by = home_relative(track.absolute), f" by {artist}" if artist else ""
            print(f"{name}{by}: similarity {similarity}; genre {words(track.genres)}")
        else:
            rows.append((track.absolute, (similarity, artist, words(track.genres), copies)))
    if not mode.plain:
        print_files(result_console(), ("similarity", "file", "artist", "genre", ""), rows, 1)
