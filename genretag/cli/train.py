"""``genretag train`` and ``genretag evaluate``: learn a user's own labels, and hold the ear against labels."""

from __future__ import annotations

import json as json_lib
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.cli import classics, session
from genretag.cli.scan import Device
from genretag.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from genretag.evaluation.evaluate import TagComparison
    from genretag.evaluation.metrics import ClassifierMetrics
    from genretag.inference.metadata import ModelMetadata
    from genretag.inference.model import Model
    from genretag.training.collection import Collection
    from genretag.training.layouts import LabelledTracks
    from genretag.training.results import Split, TrainingResult


class SplitName(StrEnum):
    """``--split``."""

    artist = "artist"
    official = "official"
    random = "random"


Subset = Annotated[
    str | None,
    typer.Option(
        "--subset", help="Of FMA's tracks.csv: small, medium, large or full.", show_default=False
    ),
]
Audio = Annotated[
    Path | None,
    typer.Option(
        "--audio", help="Where a table's paths begin, if not beside it.", show_default=False
    ),
]
Classes = Annotated[
    str | None,
    typer.Option("--classes", help="Only these labels, with commas between.", show_default=False),
]


def train(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A folder of genre folders, or a .csv of path and label (FMA's tracks.csv too).",
            metavar="FOLDER|CSV",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "-O", "--output", help="The model file to make; its card and report go beside it."
        ),
    ] = Path("my.onnx"),
    from_review: Annotated[
        Path | None,
        typer.Option(
            "--from-review",
            help="A corrected plan (.jsonl): the genres that were changed are labels.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        SplitName,
        typer.Option(
            "--split",
            help="How tracks are kept apart for judging. random leaks artists, and its figures compare with nothing.",
        ),
    ] = SplitName.artist,
    classes: Classes = None,
    subset: Subset = None,
    audio: Audio = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help=r"Train the network itself, not only its head (pip install 'genretag\[train]').",
        ),
    ] = False,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            help="Train a classic of the field from scratch: mel-cnn, crnn, svm ... (genretag help classics).",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            help="Several classics on one split, with a table: NAME,NAME... or all.",
            show_default=False,
        ),
    ] = None,
    members: Annotated[
        str, typer.Option("--members", help="With --system ensemble: the systems that vote.")
    ] = "mel-cnn,cnn-bn,crnn",
    majority: Annotated[
        bool,
        typer.Option(
            "--majority", help="With --system ensemble: one vote each, instead of weighted."
        ),
    ] = False,
    window: Annotated[
        float | None,
        typer.Option(
            "--window",
            min=0.1,
            max=30,
            help="With --system: what it hears at once, in seconds.",
            show_default="its own",
        ),
    ] = None,
    pca: Annotated[
        int | None,
        typer.Option(
            "--pca",
            min=2,
            max=100,
            help="With --system svm and kin: so many components.",
            show_default="none",
        ),
    ] = None,
    augment: Annotated[
        bool,
        typer.Option("--augment", help="With --system: vary what it learns from, as --deep does."),
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="With --system mobilenet: ImageNet weights in torchvision's layout.",
            show_default=False,
        ),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="With --deep: begin with random weights.")
    ] = False,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=10_000, help="With --deep: the most epochs.")
    ] = 30,
    device: Annotated[
        Device, typer.Option("--device", help="With --deep: where to train.")
    ] = Device.auto,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", help="With --deep: where log-mels are kept for training.", show_default=False
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            "--tensorboard",
            help="With --deep: write curves for TensorBoard here.",
            show_default=False,
        ),
    ] = None,
    jobs: session.Jobs = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed makes other parts.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    db: session.Database = None,
) -> None:
    """Learn your own genres from folders named for them; needs minutes, and no GPU.

    The bundled ear listens (tracks that were scanned before cost nothing), a calibrated head learns
    your labels, is judged on artists that it never met, and becomes one file:
    genretag scan ~/Music --model my.onnx.
    """
    from genretag.inference.model import Model, model_threads
    from genretag.training import collection, linear, model_report, results

    if output.suffix.lower() != ".onnx":
        raise UsageError(f"{output}: the name of a model file ends in .onnx")
    if deep:
        _check_deep(device.value, tensorboard)
    names = classics.names_asked(system, compare, members, weights, deep=deep)
    labelled = labelled_of(source, from_review, classes, subset, audio)
    talk = session.talk(session.is_quiet(context))
    workers = session.jobs_of(jobs)
    model = Model(threads=model_threads(workers, None))
    talk.print(f"{len(labelled.examples):,} labelled files; hearing what is not known yet ...")
    with session.open_databases(db) as databases:
        analyse_tracks(databases, model, [e.path for e in labelled.examples], workers, context)
        gathered = collection.load_collection(
            databases.store, model.metadata.id, labelled.examples, labelled.notes
        )
    if split is SplitName.random:
        print(
            "--split random: artists will be on both sides; the figures will be too good, and compare with nothing",
            file=sys.stderr,
        )
    how, say = results.Split(split.value), lambda text: talk.print(f"  {text}")
    if names:
        asked = classics.asked_for(
            names,
            members,
            output,
            how,
            epochs,
            seed,
            window,
            pca,
            majority,
            augment,
            weights,
            cache,
            workers,
        )
        classics.teach(gathered, asked, talk, json)
        raise typer.Exit(1 if gathered.unreadable else 0)
    if deep:
        plan = DeepPlan(from_scratch, epochs, device.value, seed, tensorboard, cache, workers)
        result, metadata = _deep(gathered, how, model, plan, output, say)
    else:
        result, fitted = linear.train_head(gathered, how, seed, say)
        metadata = linear.write_head_model(result, fitted, model, output)
    written = model_report.write_report(result, metadata, output)
    if json:
        print(json_lib.dumps({**result.to_dict(), "model": str(output), "page": str(written.page)}))
    else:
        print_training_result(result)
    talk.print(
        f"made {output} ({output.stat().st_size / 1e6:.1f} MB), {written.model_card.name}, {written.page.name}, {written.plots.name}/"
    )
    if result.advice is None:
        talk.print(
            f"try it: genretag scan FOLDER --dry-run --model {output}"
            f"     for good: genretag models use {output}"
        )
    raise typer.Exit(1 if gathered.unreadable else 0)


def _check_deep(device: str, tensorboard: Path | None) -> None:
    """Raise for what --deep lacks here, before hours are spent on hearing."""
    try:
        from genretag.training import deep_loop
    except ImportError as error:
        raise RunError(
            "--deep needs PyTorch: pip install 'genretag[train]' (for the CPU alone: a +cpu build of torch first)"
        ) from error
    deep_loop.select_device(device)
    deep_loop.check_tensorboard(tensorboard)


@dataclass(frozen=True)
class DeepPlan:
    """What was asked for with ``--deep``."""

    from_scratch: bool
    epochs: int
    device: str
    seed: int
    tensorboard: Path | None
    cache: Path | None
    jobs: int


def _deep(
    gathered: Collection,
    split: Split,
    model: Model,
    asked: DeepPlan,
    output: Path,
    say: Callable[[str], None],
) -> tuple[TrainingResult, ModelMetadata]:
    """Cache the log-mels and train the network."""
    from genretag.features import FrontEnd
    from genretag.training import deep, deep_loop
    from genretag.training.cache import FeatureCache, default_folder, ensure_cached

    folder = asked.cache or default_folder()
    if not isinstance(model.metadata.front_end, FrontEnd):
        raise UsageError(
            f"{model.path}: --deep trains networks that hear genretag's own log-mel, and this one hears something else"
        )
    features = FeatureCache(folder, model.metadata.front_end)
    new, size = features.missing(gathered.keys, gathered.seconds)
    say(
        f"log-mels of {new:,} tracks to make ({size / 1e6:,.0f} MB), {len(gathered.keys) - new:,} are in {features.folder}"
    )
    options = deep_loop.DeepOptions(
        asked.from_scratch,
        asked.epochs,
        device=asked.device,
        seed=asked.seed,
        tensorboard=asked.tensorboard,
    )
    try:
        ensure_cached(features, gathered.keys, gathered.paths, asked.jobs)
        return deep.train_deep(gathered, split, model, features, options, output, say)
    except KeyboardInterrupt as error:
        raise session.stopped("the same command goes on after the last whole epoch") from error


def labelled_of(
    source: Path | None,
    review: Path | None,
    classes: str | None,
    subset: str | None,
    audio: Path | None,
) -> LabelledTracks:
    """Read all labels that were given, and check that something can be learned from them."""
    from genretag.training import layouts

    if source is None and review is None:
        raise UsageError(
            "say what to learn from: a folder of genre folders, a .csv, or --from-review PLAN.jsonl"
        )
    read = [layouts.read_labelled(source, subset=subset, audio=audio)] if source else []
    if review is not None:
        read.insert(0, layouts.read_corrected_plan(review))
    first: dict[Path, Any] = {}
    for one in read:  # what a person corrected counts before what a folder says
        for e in one.examples:
            first.setdefault(e.path.absolute(), e)
    labelled = layouts.merge_spellings(
        layouts.LabelledTracks(list(first.values()), [n for one in read for n in one.notes])
    )
    if classes is not None:
        labelled = layouts.select_labels(
            labelled, [c.strip() for c in classes.split(",") if c.strip()]
        )
    return layouts.drop_small_labels(labelled)


def analyse_tracks(
    databases: session.Databases, model: Model, paths: list[Path], jobs: int, context: typer.Context
) -> None:
    """Hear what is not known yet, with a progress line on a terminal."""
    from genretag.cli.scan import _progress
    from genretag.training.collection import analyse_tracks as hear_all

    try:
        with _progress(session.is_quiet(context)) as show:
            hear_all(databases.store, model, paths, jobs, show)
    except KeyboardInterrupt as error:
        raise session.stopped(
            "what was heard is kept, and the same command goes on from there"
        ) from error


def print_training_result(result: TrainingResult) -> None:
    """Print what was learned."""
    from genretag.library.urls import home_relative
    from genretag.text import escape_control
    from genretag.training.model_report import summary_lines

    out = session.results()
    c = result.collection
    for note in c.notes:
        out.print(f"noticed: {escape_control(note)}", soft_wrap=True)
    for d in c.duplicates[:10]:
        how = "the same recording" if d.cosine == 1.0 else f"sound alike ({d.cosine:.3f})"
        labels = (
            f" under {escape_control(d.labels[0])} and {escape_control(d.labels[1])}"
            if d.conflicting
            else ""
        )
        out.print(
            f"noticed: {home_relative(d.a)} and {home_relative(d.b)} are {how}{labels}",
            soft_wrap=True,
        )
    if len(c.duplicates) > 10:
        out.print(
            f"noticed: {len(c.duplicates) - 10:,} more pairs that are alike (on the page, and with --json)",
            soft_wrap=True,
        )
    for u in c.unreadable[:10]:
        out.print(f"not heard: {home_relative(u.path)}: {escape_control(u.error)}", soft_wrap=True)
    if len(c.unreadable) > 10:
        out.print(f"not heard: {len(c.unreadable) - 10:,} more files", soft_wrap=True)
    out.print()
    for line in summary_lines(result):
        out.print(line, soft_wrap=True)
    if result.metrics is None:
        return
    out.print()
    out.print(_label_table(result.metrics))


def evaluate(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder of genre folders or a .csv; with --tags, any music.",
            metavar="FOLDER|CSV|PATH",
        ),
    ],
    tags: Annotated[
        bool, typer.Option("--tags", help="Hold the ear against the genres in the files' own tags.")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Another model than the default one.", show_default=False),
    ] = None,
    min_confidence: session.MinConfidence = None,
    classes: Classes = None,
    subset: Subset = None,
    audio: Audio = None,
    jobs: session.Jobs = "auto",
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the figures as JSON; with --tags one disagreement a line."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-O",
            "--output",
            help="With --tags: the disagreements as a plan (.jsonl), .csv or playlist (.m3u8).",
        ),
    ] = None,
    db: session.Database = None,
) -> None:
    """Hold the ear against labels, or against the genres that are in the tags. Nothing is written into music."""
    from genretag.cli.scan import _load

    if not source.exists():
        raise UsageError(f"{source}: there is no such file or folder")
    workers = session.jobs_of(jobs)
    loaded = _load(model, "cpu", workers)
    with session.open_databases(db) as databases:
        if tags:
            failed = _evaluate_tags(
                databases, loaded, source, workers, context, min_confidence, json, output
            )
        else:
            failed = _evaluate_labels(
                databases,
                loaded,
                labelled_of(source, None, classes, subset, audio),
                workers,
                context,
                json,
            )
    raise typer.Exit(1 if failed else 0)


def _evaluate_labels(
    databases: session.Databases,
    model: Model,
    labelled: LabelledTracks,
    jobs: int,
    context: typer.Context,
    json: bool,
) -> int:
    from genretag.evaluation.evaluate import evaluate_labels
    from genretag.text import escape_control

    analyse_tracks(databases, model, [e.path for e in labelled.examples], jobs, context)
    artists = {e.path: name for e in labelled.examples if (name := e.artist or e.folder)}
    found = evaluate_labels(
        databases.store, model.metadata, [(e.path, e.label) for e in labelled.examples], artists
    )
    j = found.metrics
    if json:
        print(json_lib.dumps({**found.to_dict(), "notes": labelled.notes}))
        return len(found.not_analysed)
    out = session.results()
    for note in labelled.notes:
        out.print(f"noticed: {escape_control(note)}", soft_wrap=True)
    for label, n in found.unknown.items():
        out.print(
            f"noticed: {escape_control(label)} ({n:,} tracks) is no label of this model, and was left out",
            soft_wrap=True,
        )
    out.print(
        f"{model.metadata.name} {model.metadata.version} on {j.tracks:,} tracks of {j.groups:,} artists",
        soft_wrap=True,
    )
    out.print(
        f"accuracy {j.accuracy}, macro recall {j.macro_recall}, macro F1 {j.macro_f1}, right among the first two {j.top2}",
        soft_wrap=True,
    )
    sure = f", {j.precision:.0%} of them rightly" if j.precision is not None else ""
    out.print(
        f"{j.calibration}; at the threshold {j.coverage:.0%} get a genre{sure}; {found.nonmusic:,} taken for no music",
        soft_wrap=True,
    )
    out.print()
    out.print(_label_table(j))
    return len(found.not_analysed)


def _label_table(j: ClassifierMetrics) -> Table:
    """Return the labels' figures as a table."""
    from genretag.training.model_report import label_rows

    table = session.plain_table("label")
    learned = any(c.train for c in j.classes)
    for name in (*(["learned"] if learned else []), "judged", "recall", "precision", "F1"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, c in zip(label_rows(j), j.classes, strict=True):
        if c.train or c.test:
            table.add_row(row[0], *(row[1:] if learned else row[2:]))
    return table


def _evaluate_tags(
    databases: session.Databases,
    model: Model,
    source: Path,
    jobs: int,
    context: typer.Context,
    min_confidence: float | None,
    json: bool,
    output: Path | None,
) -> int:
    from genretag.evaluation.evaluate import compare_with_tags
    from genretag.library.walk import Found, walk

    paths = [found.path for found in walk([source]) if isinstance(found, Found)]
    analyse_tracks(databases, model, [source], jobs, context)
    found = compare_with_tags(databases.store, model.metadata, paths, min_confidence)
    if output is not None:
        _write_disagreements(found, output)
    if json:
        for d in found.disagreements:
            facts = {k: v for k, v in vars(d).items() if k != "row"}
            print(json_lib.dumps({"path": d.row.path, **facts, "row": d.row.to_dict()}))
    else:
        _print_comparison(found, output)
    return len(found.not_analysed)


def _print_comparison(found: TagComparison, output: Path | None) -> None:
    from rich.text import Text

    from genretag.library.urls import home_relative
    from genretag.text import escape_control

    out = session.results()
    if found.disagreements:
        table = session.plain_table("file", "tag", "sounds like", "sure", "looks wrong", "why")
        for d in found.disagreements[:50]:
            table.add_row(
                Text(home_relative(d.row.absolute)),
                Text(escape_control(d.tag)),
                d.said,
                f"{d.confidence:.2f}",
                Text(d.suspect, style={"tag": "bold red", "ear": "yellow"}.get(d.suspect, "dim")),
                Text(escape_control(d.why), style="dim"),
            )
        out.print(table)
        out.print()
    share = f" ({found.agreeing / found.compared:.0%})" if found.compared else ""
    out.print(
        f"{found.agreeing:,} of {found.compared:,} tracks agree{share}; {len(found.disagreements):,} do not",
        soft_wrap=True,
    )
    others = ", ".join(
        f"{escape_control(g)} ({n:,})" for g, n in list(found.incomparable.items())[:8]
    )
    out.print(
        f"not compared: {found.untagged:,} without a genre, {found.unsure:,} that the ear is unsure of,"
        f" {sum(found.incomparable.values()):,} whose genre is none of its labels{': ' + others if others else ''}",
        soft_wrap=True,
    )
    if found.not_analysed:
        out.print(
            f"{len(found.not_analysed):,} files could not be heard: genretag errors", soft_wrap=True
        )
    if found.disagreements and output is None:
        out.print(
            "-O plan.jsonl writes them as a plan for genretag apply, -O list.m3u8 as a playlist to listen to",
            soft_wrap=True,
        )


def _write_disagreements(found: TagComparison, output: Path) -> None:
    """Write the disagreements as a plan, a table or a playlist."""
    from genretag.report.formats import write_report
    from genretag.report.playlists import write_playlist

    rows = [d.row for d in found.disagreements]
    if output.suffix.lower() in (".m3u8", ".m3u"):
        write_playlist(rows, output)
    else:
        write_report(rows, output)
