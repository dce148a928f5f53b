"""``genretag evaluate``: compare a model with labels or with the tags of files."""

from __future__ import annotations

import json as json_lib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.analysis import analyse_tracks, load_model
from genretag.cli.labelled import label_table, read_labels
from genretag.cli.option_groups import FILES, OUTPUT, one_call, output_file
from genretag.cli.options import Database, LabelOptions
from genretag.cli.output import (
    PLAYLIST_SUFFIXES,
    OutputMode,
    output_mode,
    plain_table,
    result_console,
)
from genretag.cli.policy_options import MinConfidence
from genretag.cli.scan_options import Jobs, ModelFile, parse_jobs
from genretag.errors import UsageError
from genretag.text import count
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from rich.table import Table

    from genretag.evaluation.evaluate import Disagreement, Evaluation, TagComparison
    from genretag.inference.model import Model
    from genretag.training.layouts import LabelledTracks
    from genretag.writing.session import Databases

_MAX_ROWS = 50  # disagreements that are printed; -O writes all
_MAX_GENRES = 8  # genres without a label that are named


@dataclass(frozen=True)
class _Setup:
    """What both evaluations need."""

    databases: Databases
    model: Model
    jobs: int
    mode: OutputMode
    json: bool


def evaluate(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|CSV|PATH",
            help="Genre folders or a .csv; with --tags, any music.",
        ),
    ],
    labels: LabelOptions,
    tags: Annotated[
        bool,
        one_call("--tags", rich_help_panel=FILES, help="Compare with the genres in the tags."),
    ] = False,
    model: ModelFile = None,
    min_confidence: MinConfidence = None,
    jobs: Jobs = "auto",
    json: Annotated[
        bool,
        one_call(
            "--json",
            rich_help_panel=OUTPUT,
            help="Print the figures as JSON.\n\nWith --tags, one disagreement per line.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        output_file(
            show_default=False,
            help="With --tags: write the disagreements.\n\n"
            "As a plan (.jsonl), a table (.csv) or a playlist (.m3u8).",
        ),
    ] = None,
    db: Database = None,
) -> None:
    """Evaluate a model against labels, or against the genres in tags.

    With --tags it lists the tracks whose tag and whose sound disagree. No music file is changed.

    Examples:
      genretag evaluate ~/Labelled
      genretag evaluate ~/Music --tags -O disagreements.m3u8
    """
    if not source.exists():
        raise UsageError(f"{source}: there is no such file or folder")
    workers = parse_jobs(jobs)
    loaded = load_model(model, "cpu", workers)
    with open_databases(db) as databases:
        setup = _Setup(databases, loaded, workers, output_mode(context), json)
        if tags:
            failed = _evaluate_tags(setup, source, min_confidence, output)
        else:
            failed = _evaluate_labels(setup, read_labels(source, labels))
    raise typer.Exit(1 if failed else 0)


def _evaluate_labels(setup: _Setup, labelled: LabelledTracks) -> int:
    """Compare a model with labels; return the number of files without an analysis."""
    from genretag.evaluation.evaluate import evaluate_labels

    examples = labelled.examples
    paths = [example.path for example in examples]
    analyse_tracks(setup.databases, setup.model, paths, setup.jobs, setup.mode)
    artists = {e.path: name for e in examples if (name := e.artist or e.folder)}
    pairs = [(e.path, e.label) for e in examples]
    found = evaluate_labels(setup.databases.store, setup.model.metadata, pairs, artists)
    if setup.json:
        print(json_lib.dumps({**found.to_dict(), "notes": labelled.notes}))
    else:
        _print_evaluation(found, labelled.notes, setup.model)
    return len(found.not_analysed)


def _print_evaluation(found: Evaluation, notes: list[str], model: Model) -> None:
    """Print the figures of a model."""
    from genretag.text import escape_control

    out, m = result_console(), found.metrics
    missing = (
        f"{label} ({count(n, 'track')}) is not a label of this model, and was left out"
        for label, n in found.unknown.items()
    )
    right = f", {m.precision:.0%} of them correctly" if m.precision is not None else ""
    name = f"{model.metadata.name} {model.metadata.version}"
    lines = (
        *(f"note: {escape_control(note)}" for note in (*notes, *missing)),
        f"{name} on {count(m.tracks, 'track')} of {count(m.groups, 'artist')}",
        f"accuracy {m.accuracy}, macro recall {m.macro_recall}, macro F1 {m.macro_f1},"
        f" among the first two {m.top2}",
        f"{m.calibration}; at the threshold {m.coverage:.0%} get a genre{right};"
        f" {found.nonmusic:,} were taken for no music",
    )
    for line in lines:
        out.print(line, soft_wrap=True)
    out.print()
    out.print(label_table(m))


def _evaluate_tags(
    setup: _Setup, source: Path, min_confidence: float | None, output: Path | None
) -> int:
    """Compare a model with tags; return the number of files without an analysis."""
    from genretag.evaluation.evaluate import compare_with_tags
    from genretag.library.walk import Found, walk

    paths = [found.path for found in walk([source]) if isinstance(found, Found)]
    analyse_tracks(setup.databases, setup.model, [source], setup.jobs, setup.mode)
    found = compare_with_tags(setup.databases.store, setup.model.metadata, paths, min_confidence)
    if output is not None:
        _write_disagreements(found, output)
    if setup.json:
        for d in found.disagreements:
            facts = {k: v for k, v in vars(d).items() if k != "row"}
            print(json_lib.dumps({"path": d.row.path, **facts, "row": d.row.to_dict()}))
    else:
        _print_comparison(found, output)
    return len(found.not_analysed)


def _print_comparison(found: TagComparison, output: Path | None) -> None:
    """Print the disagreements, and how many tracks were compared."""
    out = result_console()
    if found.disagreements:
        out.print(_disagreement_table(found.disagreements[:_MAX_ROWS]))
        out.print()
    for line in _comparison_lines(found, output):
        out.print(line, soft_wrap=True)


def _comparison_lines(found: TagComparison, output: Path | None) -> list[str]:
    """Return the summary of a comparison."""
    from genretag.text import word

    share = f" ({found.agreeing / found.compared:.0%})" if found.compared else ""
    genres = [f"{word(g)} ({n:,})" for g, n in list(found.incomparable.items())[:_MAX_GENRES]]
    lines = [
        f"{found.agreeing:,} of {found.compared:,} tracks agree{share};"
        f" {len(found.disagreements):,} do not",
        f"not compared: {found.untagged:,} without a genre, {found.unsure:,} unsure,"
        f" {sum(found.incomparable.values()):,} whose genre is no label of the model"
        + (f": {', '.join(genres)}" if genres else ""),
    ]
    if found.not_analysed:
        lines.append(
            f"{count(len(found.not_analysed), 'file')} could not be analysed: genretag errors"
        )
    if found.disagreements and output is None:
        lines.append(
            "-O plan.jsonl writes them as a plan for genretag apply, -O list.m3u8 as a playlist"
        )
    return lines


def _disagreement_table(disagreements: list[Disagreement]) -> Table:
    """Return the table of disagreements."""
    from rich.text import Text

    from genretag.library.urls import home_relative
    from genretag.text import escape_control, word

    table = plain_table("file", "tag", "sounds like", "confidence", "looks wrong", "why")
    styles = {"tag": "bold red", "ear": "yellow"}
    for d in disagreements:
        table.add_row(
            Text(home_relative(d.row.absolute)),
            Text(word(d.tag)),
            d.said,
            f"{d.confidence:.2f}",
            Text(d.suspect, style=styles.get(d.suspect, "dim")),
            Text(escape_control(d.why), style="dim"),
        )
    return table


def _write_disagreements(found: TagComparison, output: Path) -> None:
    """Write the disagreements as a plan, a table or a playlist."""
    from genretag.report.formats import write_report
    from genretag.report.playlists import write_playlist

    rows = [d.row for d in found.disagreements]
    if output.suffix.lower() in PLAYLIST_SUFFIXES:
        write_playlist(rows, output)
    else:
        write_report(rows, output)
