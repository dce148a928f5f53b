"""Commands that look: info, history, errors; and demo, which makes something to look at."""

from __future__ import annotations

import json as json_lib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import session
from genretag.errors import RunError, UsageError

if TYPE_CHECKING:
    from genretag.decisions.vote import Verdict
    from genretag.inference.metadata import ModelMetadata
    from genretag.records import Analysis, FileRow

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def _when(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""


# --- info --------------------------------------------------------------------------------------------------------


def info(
    file: Annotated[Path, typer.Argument(help="A music file.")],
    model: Annotated[
        Path | None, typer.Option("--model", help="Another model than the bundled one.")
    ] = None,
    json: Json = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw its log-mel and the timeline of its genres.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-O",
            "--output",
            help="Draw into a .svg, .png or .pdf file instead of the terminal.",
            show_default=False,
        ),
    ] = None,
    db: session.Database = None,
) -> None:
    """Show one track: its tags, what each window along it sounded like, and the vote."""
    from genretag.decisions.vote import vote

    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    metadata, f, heard = _heard_of(file, model, db)
    verdict = vote(heard, metadata)
    if json:
        print(json_lib.dumps(_info_dict(file, f, heard, verdict, metadata)))
    else:
        _print_info(file, f, heard, verdict, metadata)
    if plot or output is not None:
        _draw(file, heard, verdict, metadata, output)


def _draw(
    file: Path, heard: Analysis, verdict: Verdict, metadata: ModelMetadata, output: Path | None
) -> None:
    """Draw a track into a file, or into the terminal."""
    from genretag.errors import TrackError
    from genretag.report import picture

    try:
        mel = picture.compute_spectrogram(file, metadata.front_end)
    except TrackError as error:
        raise RunError(f"{file}: {error}") from error
    view = picture.TrackView(mel, heard, verdict, metadata)
    if output is not None:
        picture.save_figure(view, file.name, output)
        print(f"drew {output}", file=sys.stderr)
        return
    out = session.results()
    out.print()
    for line in picture.terminal_lines(view, out.width):
        out.print(line, no_wrap=True)


def _heard_of(
    file: Path, model: Path | None, db: Path | None
) -> tuple[ModelMetadata, FileRow, Analysis]:
    """Return what is known of a file; one that is not known is heard now (without making a plan)."""
    from genretag.features import FEATURE_VERSION
    from genretag.inference.model import Model
    from genretag.library.walk import on_disk_case
    from genretag.scan.scanner import Options, Scanner, absolute
    from genretag.storage.config import default_model

    loaded = Model(model or default_model())
    with session.open_databases(db) as databases:
        Scanner(databases.store, loaded, Options((file,), retry_failed=True), run=0).hear()
        path = absolute(on_disk_case(file))
        if (failure := databases.store.failure(path)) is not None:
            raise RunError(f"{file}: {failure.error}")
        known = databases.store.known(path, loaded.metadata.id, FEATURE_VERSION)
    if known is None:
        raise RunError(f"{file}: it could not be heard")
    return loaded.metadata, *known


def _info_dict(
    file: Path, f: FileRow, heard: Analysis, verdict: Verdict, metadata: ModelMetadata
) -> dict[str, object]:
    """Return what ``info --json`` prints."""
    from genretag.decisions.vote import window_scores

    windows = [
        {
            "start": float(s),
            "scores": {g: round(float(p), 4) for g, p in zip(metadata.labels, row, strict=True)},
        }
        for s, row in zip(
            heard.starts, window_scores(heard.logits, metadata, heard.length_of_window), strict=True
        )
    ]
    return {
        "path": str(file),
        "genres": f.tags.genres,
        "field": f.tags.field,
        "problem": f.tags.problem,
        "artist": f.tags.album.artist,
        "album": f.tags.album.album,
        "seconds": heard.seconds,
        "share": heard.share,
        "status": verdict.status,
        "genre": verdict.genre,
        "confidence": verdict.confidence,
        "scores": verdict.scores,
        "agreement": verdict.agreement,
        "music": verdict.music,
        "styles": verdict.styles,
        "windows": windows,
        "model": metadata.id,
        "content_key": f.content_key,
    }


def _print_info(
    file: Path, f: FileRow, heard: Analysis, verdict: Verdict, metadata: ModelMetadata
) -> None:
    from rich.text import Text

    from genretag.decisions.vote import Status, window_scores
    from genretag.library.urls import home_relative
    from genretag.text import escape_control, words

    out = session.results()
    out.print(Text(home_relative(file), style="bold"))
    facts = session.plain_table("", "")
    facts.show_header = False
    part = f" heard of {heard.of}" if heard.of else ""
    for name, value in (
        ("artist", f.tags.album.artist),
        ("album", f.tags.album.album),
        ("genre", words(f.tags.genres)),
        ("field", f.tags.field or f.tags.problem or ""),
        ("length", f"{heard.seconds:,.0f} s, {len(heard.starts)} window(s){part}"),
        ("decoded", "" if heard.share > 0.995 else f"{heard.share:.0%}"),
    ):
        if value:
            facts.add_row(Text(name, style="dim"), Text(escape_control(value)))
    out.print(facts)
    out.print()
    table = session.plain_table("from", "sounds like", "")
    for start, row in zip(
        heard.starts, window_scores(heard.logits, metadata, heard.length_of_window), strict=True
    ):
        best = row.argsort()[::-1][:3]
        share = float(row[best[0]])
        rest = ", ".join(f"{metadata.labels[i]} {row[i]:.2f}" for i in best)
        table.add_row(
            f"{int(start) // 60}:{int(start) % 60:02d}",
            Text("█" * round(share * 20), style="green"),
            rest,
        )
    out.print(table)
    out.print()
    said = {
        Status.OK: f"{verdict.genre}, {verdict.confidence:.2f} sure",
        Status.UNSURE: f"unsure: {verdict.genre} at {verdict.confidence:.2f} is below {metadata.confidence_threshold:.2f}",
        Status.NONMUSIC: f"not music ({verdict.music:.2f})",
    }[verdict.status]
    votes = round(verdict.agreement * verdict.windows)
    out.print(Text(f"vote: {said}; {votes} of {verdict.windows} window(s) agree", style="bold"))
    if verdict.styles:
        out.print(
            Text(
                f"styles: {', '.join(f'{escape_control(name)} {p:.2f}' for name, p in verdict.styles.items())}"
            )
        )


# --- history, errors -------------------------------------------------------------------------------------


def history(
    json: Json = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Copy the whole journal, that undo lives on, to this file."),
    ] = None,
    db: session.Database = None,
) -> None:
    """List what genretag did: scans, writes and undos, with what is still written."""
    with session.open_databases(db) as databases:
        if export is not None:
            databases.journal.export(export)
            print(
                f"the journal was copied to {export}; beside a database it is taken as that one's journal"
            )
            return
        runs = databases.journal.runs()
        standing = {
            r.id: sum(1 for _ in databases.journal.changes(r.id, ("replaced",)))
            for r in runs
            if r.kind == "apply"
        }
    table = session.plain_table("run", "when", "what", "counts", "still written")
    for run in runs:
        counts = ", ".join(f"{n:,} {what}" for what, n in run.counts.items() if n) or (
            "stopped" if run.ended is None else ""
        )
        if json:
            print(json_lib.dumps({**vars(run), "standing": standing.get(run.id)}))
        table.add_row(
            str(run.id), _when(run.began), run.kind, counts, str(standing.get(run.id, ""))
        )
    if not json:
        session.results().print(table if runs else "nothing has been done yet")


def errors(json: Json = False, db: session.Database = None) -> None:
    """List the files that could not be heard, and why."""
    from rich.text import Text

    from genretag.library.urls import home_relative
    from genretag.text import escape_control

    with session.open_databases(db) as databases:
        failures = list(databases.store.failures())
    table = session.plain_table("file", "stage", "why", "tries")
    for f in failures:
        if json:
            print(json_lib.dumps({**vars(f), "path": str(f.path)}))
        table.add_row(
            Text(home_relative(f.path)), f.stage, Text(escape_control(f.error)), str(f.times)
        )
    if not json:
        session.results().print(table if failures else "no file failed")


def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where to make it; the folder must not exist, or be empty.")
    ],
) -> None:
    """Make a small folder of music (synthesised, in several containers) to try genretag on."""
    from genretag.audio import synthesis as maker

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: it exists and is not empty")
    made = maker.make_library(folder)
    print(f"made {len(made)} tracks in {folder}; now: genretag scan {folder} --dry-run")
