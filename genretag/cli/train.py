"""``genretag train``: train a model on your own genres."""

from __future__ import annotations

import json as json_lib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import systems
from genretag.cli.analysis import analyse_tracks
from genretag.cli.labelled import label_table, read_labels
from genretag.cli.option_groups import FILES, OUTPUT, one_call, output_file
from genretag.cli.options import Database, LabelOptions
from genretag.cli.output import exit_interrupted, message_console, output_mode, result_console
from genretag.cli.scan_options import Device, Jobs, parse_jobs
from genretag.errors import RunError, UsageError
from genretag.text import count
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.inference.metadata import ModelMetadata
    from genretag.inference.model import Model
    from genretag.training.collection import Collection
    from genretag.training.layouts import LabelledTracks
    from genretag.training.results import TrainingResult

TRAINING, DEEP = "Training", "Deep training (--deep)"
_MAX_LISTED = 10  # duplicates and unreadable files; the page has all

INSTALL_TORCH = (
    "pip install 'genretag[train]' (for a CPU only: install a +cpu build of torch first)"
)


class SplitName(StrEnum):
    """How tracks are divided into training and test parts."""

    artist = "artist"
    official = "official"
    random = "random"


@dataclass(frozen=True)
class TrainingOptions:
    """Options of all three ways to train."""

    split: Annotated[
        SplitName,
        typer.Option(
            "--split",
            metavar="RULE",
            rich_help_panel=TRAINING,
            help="How to divide training and test tracks.\n\n"
            "artist keeps each artist on one side. random does not: its figures are too good, and"
            " compare with nothing.",
        ),
    ] = SplitName.artist
    epochs: Annotated[
        int,
        one_call(
            "--epochs",
            metavar="N",
            min=1,
            max=10_000,
            rich_help_panel=TRAINING,
            help="Maximum number of epochs.\n\nWith --deep and --system.",
        ),
    ] = 30
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="FOLDER",
            rich_help_panel=TRAINING,
            show_default=False,
            help="Folder for log-mels between trainings.\n\nWith --deep and --system.",
        ),
    ] = None
    seed: Annotated[
        int,
        one_call(
            "--seed",
            metavar="N",
            min=0,
            rich_help_panel=TRAINING,
            help="Seed of the split and of the training.",
        ),
    ] = 0
    jobs: Jobs = "auto"


@dataclass(frozen=True)
class DeepTrainingOptions:
    """Options of a training of the whole network."""

    deep: Annotated[
        bool,
        one_call(
            "--deep",
            rich_help_panel=DEEP,
            help="Train the whole network, not only its head.\n\n"
            "Needs PyTorch: pip install 'genretag[train]'.",
        ),
    ] = False
    from_scratch: Annotated[
        bool,
        one_call("--from-scratch", rich_help_panel=DEEP, help="Start from random weights."),
    ] = False
    device: Annotated[
        Device,
        typer.Option("--device", metavar="NAME", rich_help_panel=DEEP, help="Where to train."),
    ] = Device.auto
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            "--tensorboard",
            metavar="FOLDER",
            rich_help_panel=DEEP,
            show_default=False,
            help="Write curves for TensorBoard here.",
        ),
    ] = None


@dataclass(frozen=True)
class _Request:
    """A training of a network or of its head, ready to run."""

    collection: Collection
    model: Model
    options: TrainingOptions
    output: Path
    say: Callable[[str], None]


def train(
    context: typer.Context,
    labels: LabelOptions,
    training: TrainingOptions,
    deep: DeepTrainingOptions,
    system: systems.SystemOptions,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER|CSV",
            help="A folder of genre folders, or a table.\n\n"
            "A .csv with a path and a label per line, or FMA's tracks.csv.",
        ),
    ] = None,
    from_review: Annotated[
        Path | None,
        one_call(
            "--from-review",
            metavar="FILE",
            rich_help_panel=FILES,
            show_default=False,
            help="Learn from a corrected plan (.jsonl).\n\nThe genres that you changed are labels.",
        ),
    ] = None,
    output: Annotated[
        Path,
        output_file(
            help="Model file to write.\n\nIts card and its report are written beside it.",
        ),
    ] = Path("my.onnx"),
    json: Annotated[
        bool, one_call("--json", rich_help_panel=OUTPUT, help="Print the figures as JSON.")
    ] = False,
    db: Database = None,
) -> None:
    """Train a model on your own genres; takes minutes and needs no GPU.

    The bundled model analyses the tracks once; tracks that were scanned before need no time. A
    head then learns your labels, is tested on artists that it was not trained on, is calibrated,
    and becomes one file for genretag scan --model. --deep trains the whole network instead, and
    --system or --compare a classic system from the literature.

    Examples:
      genretag train ~/Labelled -O my.onnx
      genretag train --from-review answers.jsonl
      genretag train ~/Labelled --deep
      genretag train ~/Labelled --compare mel-cnn,svm
    """
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"{output}: the name of a model file must end in .onnx")
    if deep.deep:
        _check_deep(deep)
    names = systems.requested_systems(system, deep=deep.deep)
    labelled = read_labels(source, labels, from_review)
    messages = message_console(output_mode(context).quiet)
    collection, model = _analyse_labelled(context, labelled, training, db)
    if training.split is SplitName.random:
        print(
            "--split random: artists are on both sides, so the figures are too good",
            file=sys.stderr,
        )
    if names:
        options = systems.comparison_options(names, system, training, output)
        systems.train_systems(collection, options, messages, json)
        raise typer.Exit(1 if collection.unreadable else 0)
    request = _Request(
        collection, model, training, output, lambda text: messages.print(f"  {text}")
    )
    result, metadata = _train_deep(request, deep) if deep.deep else _train_head(request)
    _report_training(result, metadata, output, messages.print, json=json)
    raise typer.Exit(1 if collection.unreadable else 0)


def _check_deep(options: DeepTrainingOptions) -> None:
    """Raise if --deep cannot work here, before tracks are analysed for hours."""
    try:
        from genretag.training import deep_loop
    except ImportError as error:
        raise RunError(f"--deep needs PyTorch: {INSTALL_TORCH}") from error
    deep_loop.select_device(options.device.value)
    deep_loop.check_tensorboard(options.tensorboard)


def _analyse_labelled(
    context: typer.Context, labelled: LabelledTracks, options: TrainingOptions, db: Path | None
) -> tuple[Collection, Model]:
    """Analyse labelled tracks with the bundled model, and load their embeddings."""
    from genretag.inference.model import Model, model_threads
    from genretag.training import collection

    workers, mode = parse_jobs(options.jobs), output_mode(context)
    model = Model(threads=model_threads(workers, None))
    message_console(mode.quiet).print(
        f"{len(labelled.examples):,} labelled files; analysing those that are new ..."
    )
    with open_databases(db) as databases:
        paths = [example.path for example in labelled.examples]
        analyse_tracks(databases, model, paths, workers, mode)
        loaded = collection.load_collection(
            databases.store, model.metadata.id, labelled.examples, labelled.notes
        )
    return loaded, model


def _train_head(request: _Request) -> tuple[TrainingResult, ModelMetadata]:
    """Train a head on the bundled model's embeddings."""
    from genretag.training import linear, results

    options = request.options
    split = results.Split(options.split.value)
    result, fitted = linear.train_head(request.collection, split, options.seed, request.say)
    return result, linear.write_head_model(result, fitted, request.model, request.output)


def _train_deep(
    request: _Request, deep_options: DeepTrainingOptions
) -> tuple[TrainingResult, ModelMetadata]:
    """Cache the log-mels, and train the whole network."""
    from genretag.features import FrontEnd
    from genretag.training import deep, deep_loop, results
    from genretag.training.cache import FeatureCache, default_folder, ensure_cached

    collection, model, options = request.collection, request.model, request.options
    if not isinstance(model.metadata.front_end, FrontEnd):
        raise UsageError(
            f"{model.path}: --deep trains only networks with genretag's own log-mel front end"
        )
    features = FeatureCache(options.cache or default_folder(), model.metadata.front_end)
    new, size = features.missing(collection.keys, collection.seconds)
    request.say(
        f"log-mels of {count(new, 'track')} to make ({size / 1e6:,.0f} MB),"
        f" {len(collection.keys) - new:,} are in {features.folder}"
    )
    settings = deep_loop.DeepOptions(
        deep_options.from_scratch,
        options.epochs,
        device=deep_options.device.value,
        seed=options.seed,
        tensorboard=deep_options.tensorboard,
    )
    run = partial(deep.train_deep, collection, results.Split(options.split.value), model, features)
    try:
        ensure_cached(features, collection.keys, collection.paths, parse_jobs(options.jobs))
        return run(settings, request.output, request.say)
    except KeyboardInterrupt as error:
        raise exit_interrupted("the same command goes on after the last whole epoch") from error


def _report_training(
    result: TrainingResult,
    metadata: ModelMetadata,
    output: Path,
    say: Callable[[str], None],
    *,
    json: bool,
) -> None:
    """Write the card and the report of a model, and print its figures."""
    from genretag.training import model_report

    written = model_report.write_report(result, metadata, output)
    if json:
        print(json_lib.dumps({**result.to_dict(), "model": str(output), "page": str(written.page)}))
    else:
        print_training_result(result)
    size = f"{output.stat().st_size / 1e6:.1f} MB"
    files = [written.model_card.name, written.page.name]
    if written.plots.exists():
        files.append(f"{written.plots.name}/")
    say(f"made {output} ({size}), {', '.join(files)}")
    if not written.plots.exists():
        say("for plots: pip install 'genretag[plots]'")
    if result.advice is None:
        say(
            f"to try it: genretag scan FOLDER --dry-run --model {output}\n"
            f"to make it the default: genretag models use {output}"
        )


def print_training_result(result: TrainingResult) -> None:
    """Print notes on the tracks, the summary, and the figures by label."""
    from genretag.training.model_report import summary_lines

    out = result_console()
    for line in (*_collection_lines(result.collection), "", *summary_lines(result)):
        out.print(line, soft_wrap=True)
    if result.metrics is not None:
        out.print()
        out.print(label_table(result.metrics))


def _collection_lines(collection: Collection) -> list[str]:
    """Return notes, duplicates and unreadable files of a collection, a line each."""
    from genretag.library.urls import home_relative
    from genretag.text import escape_control

    lines = [f"note: {escape_control(note)}" for note in collection.notes]
    for d in collection.duplicates[:_MAX_LISTED]:
        alike = "are the same recording" if d.cosine == 1.0 else f"sound alike ({d.cosine:.3f})"
        labels = " under {} and {}".format(*map(escape_control, d.labels)) if d.conflicting else ""
        lines.append(f"note: {home_relative(d.a)} and {home_relative(d.b)} {alike}{labels}")
    if (more := len(collection.duplicates) - _MAX_LISTED) > 0:
        lines.append(f"note: {more:,} more pairs sound alike (see the page, or --json)")
    for u in collection.unreadable[:_MAX_LISTED]:
        lines.append(f"not analysed: {home_relative(u.path)}: {escape_control(u.error)}")
    if (more := len(collection.unreadable) - _MAX_LISTED) > 0:
        lines.append(f"not analysed: {more:,} more files")
    return lines
