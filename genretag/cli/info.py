"""``genretag info``: one track's tags, windows and vote."""

from __future__ import annotations

import json as json_lib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.analysis import analyse_file
from genretag.cli.option_groups import ANALYSIS, OUTPUT, output_file
from genretag.cli.options import Database, JsonObject
from genretag.cli.output import plain_table, require_file, result_console
from genretag.cli.scan_options import ModelFile
from genretag.decisions.policy import Windows
from genretag.errors import RunError
from genretag.text import count_windows, two_digits

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.table import Table

    from genretag.decisions.vote import Verdict
    from genretag.inference.metadata import ModelMetadata
    from genretag.records import Analysis, FileRow

_BAR_WIDTH = 20  # characters for a probability of 1
_NAMED_LABELS = 3  # per window
_EQUAL = 0.2  # neighbouring windows whose best scores differ by less are shown as one
_COMPLETE_SHARE = 0.995  # of the declared length; below, the decoded share is shown


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A music file.")],
    model: ModelFile = None,
    windows: Annotated[
        Windows | None,
        typer.Option(
            "--windows",
            metavar="MODE",
            rich_help_panel=ANALYSIS,
            show_default=False,
            help="How much of it to analyse.\n\nAll of it, or (sparse) pieces of 5 s. "
            "Without it, a stored analysis is shown as it is; a track that is new or drawn is"
            " analysed whole.",
        ),
    ] = None,
    json: JsonObject = False,
    plot: Annotated[
        bool,
        typer.Option(
            "--plot", rich_help_panel=OUTPUT, help="Draw its log-mel and its genres over time."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        output_file(
            show_default=False,
            help="Draw into a .svg, .png or .pdf file.",
        ),
    ] = None,
    db: Database = None,
) -> None:
    """Show one track: its tags, the genre of each window, and the vote.

    A track that is not in the database yet is analysed first; the plan stays as it is. A track that
    a sparse scan judged by pieces is shown so; --windows all analyses the whole of it.

    Examples:
      genretag info ~/Music/track.mp3
      genretag info ~/Music/track.mp3 --plot
      genretag info ~/Music/track.mp3 -O track.svg
    """
    from genretag.decisions.vote import vote

    require_file(file)
    # A drawing shows the genres over time, and decodes the whole track for the log-mel.
    drawn = plot or output is not None
    covered = Windows.ALL if drawn else windows
    metadata, row, analysis = analyse_file(file, model, db, covered)
    track = _Track(file, row, analysis, vote(analysis, metadata), metadata)
    if json:
        print(json_lib.dumps(track.to_dict()))
    else:
        _print_track(track)
    if drawn:
        _draw_track(track, output)


@dataclass(frozen=True)
class _Track:
    """Everything that is known of one track."""

    file: Path
    row: FileRow
    analysis: Analysis
    verdict: Verdict
    metadata: ModelMetadata

    @cached_property
    def scores(self) -> npt.NDArray[np.float64]:
        """Probabilities [windows, labels]."""
        from genretag.decisions.vote import window_scores

        length = self.analysis.length_of_window
        return window_scores(self.analysis.logits, self.metadata, length)

    def to_dict(self) -> dict[str, object]:
        """Return the object that ``info --json`` prints."""
        labels, verdict, tags = self.metadata.labels, self.verdict, self.row.tags
        windows = [
            {
                "start": float(start),
                "scores": {g: round(float(p), 4) for g, p in zip(labels, row, strict=True)},
            }
            for start, row in zip(self.analysis.starts, self.scores, strict=True)
        ]
        return {
            "path": str(self.file),
            "genres": tags.genres,
            "field": tags.field,
            "problem": tags.problem,
            "artist": tags.album.artist,
            "album": tags.album.album,
            "seconds": self.analysis.seconds,
            "share": self.analysis.share,
            "status": verdict.status,
            "genre": verdict.genre,
            "confidence": verdict.confidence,
            "scores": verdict.scores,
            "further": verdict.further,
            "agreement": verdict.agreement,
            "music": verdict.music,
            "styles": verdict.styles,
            "windows": windows,
            "model": self.metadata.id,
            "content_key": self.row.content_key,
            "audio_key": self.row.audio_key,
            "piece": self.analysis.piece,
        }


def _print_track(track: _Track) -> None:
    """Print a track's tags, its windows and its vote."""
    from rich.text import Text

    from genretag.library.urls import home_relative
    from genretag.text import escape_control

    out, verdict = result_console(), track.verdict
    out.print(Text(home_relative(track.file), style="bold"))
    out.print(_facts_table(track))
    out.print()
    out.print(_windows_table(track))
    out.print()
    votes = round(verdict.agreement * verdict.windows)
    verb = "agrees" if votes == 1 else "agree"
    analysed = count_windows(verdict.windows, track.analysis.piece)
    agreement = f"{votes} of {analysed} {verb}"
    out.print(Text(f"vote: {_describe_verdict(track)}; {agreement}", style="bold"))
    if verdict.styles:
        styles = (f"{escape_control(name)} {two_digits(p)}" for name, p in verdict.styles.items())
        out.print(Text(f"styles: {', '.join(styles)}"))


def _facts_table(track: _Track) -> Table:
    """Return the table of a track's tags and length."""
    from rich.text import Text

    from genretag.text import escape_control

    table = plain_table("", "")
    table.show_header = False
    for name, value in _facts(track):
        if value:
            table.add_row(Text(name, style="dim"), Text(escape_control(value)))
    return table


def _facts(track: _Track) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of a track's tags and length; the value may be empty."""
    from genretag.text import words

    tags, analysis = track.row.tags, track.analysis
    part = f" analysed of {analysis.of}" if analysis.of and not analysis.piece else ""
    if not analysis.whole:
        part = "; --windows all analyses the whole track"
    analysed = count_windows(len(analysis.starts), analysis.piece)
    yield "artist", tags.album.artist
    yield "album", tags.album.album
    yield "genre", words(tags.genres)
    yield "field", tags.field or tags.problem or ""
    yield "length", f"{analysis.seconds:,.0f} s, {analysed}{part}"
    yield "decoded", "" if analysis.share > _COMPLETE_SHARE else f"{analysis.share:.0%}"


def _windows_table(track: _Track) -> Table:
    """Return the table of windows: time, a bar of the best score, and the best labels.

    Equal neighbours are one line, so that a long track does not fill the screen.
    """
    from rich.text import Text

    table = plain_table("from", "sounds like", "")
    for start, group in _joined_windows(track):
        row = group.mean(axis=0)
        best = row.argsort()[::-1][:_NAMED_LABELS]
        bar = "█" * round(float(row[best[0]]) * _BAR_WIDTH)
        names = ", ".join(f"{track.metadata.labels[i]} {two_digits(row[i])}" for i in best)
        if len(group) > 1:
            names += f" ({count_windows(len(group), track.analysis.piece)})"
        time = f"{int(start) // 60}:{int(start) % 60:02d}"
        table.add_row(time, Text(bar, style="green"), names)
    return table


def _joined_windows(track: _Track) -> Iterator[tuple[float, npt.NDArray[np.float64]]]:
    """Yield (start, scores [windows, labels]) of runs of neighbours with the same best label.

    A window joins a run whose mean score of that label is within ``_EQUAL`` of its own.
    """
    begin, best = 0, [int(row.argmax()) for row in track.scores]
    for i in range(1, len(best) + 1):
        label = best[begin]
        mean = float(track.scores[begin:i, label].mean())
        if i < len(best) and best[i] == label and abs(track.scores[i, label] - mean) <= _EQUAL:
            continue
        yield float(track.analysis.starts[begin]), track.scores[begin:i]
        begin = i


def _describe_verdict(track: _Track) -> str:
    """Return the verdict as text."""
    from genretag.decisions.vote import Status

    verdict, threshold = track.verdict, track.metadata.confidence_threshold
    if verdict.status is Status.NONMUSIC:
        return f"not music ({two_digits(verdict.music)})"
    if verdict.status is Status.UNSURE:
        return (
            f"unsure: {verdict.genre} at {two_digits(verdict.confidence)} is below {threshold:.2f}"
        )
    return f"{verdict.genre}, confidence {two_digits(verdict.confidence)}"


def _draw_track(track: _Track, output: Path | None) -> None:
    """Draw a track into a file, or in the terminal."""
    from genretag.errors import TrackError
    from genretag.report import picture

    try:
        mel = picture.compute_spectrogram(track.file, track.metadata.front_end)
    except TrackError as error:
        raise RunError(f"{track.file}: {error}") from error
    view = picture.TrackView(mel, track.analysis, track.verdict, track.metadata)
    if output is not None:
        picture.save_figure(view, track.file.name, output)
        print(f"drew {output}", file=sys.stderr)
        return
    out = result_console()
    out.print()
    for line in picture.terminal_lines(view, out.width):
        out.print(line, no_wrap=True)
