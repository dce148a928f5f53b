"""``genretag models``: the model that listens, its card, and which one is the default."""

from __future__ import annotations

import json as json_lib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import session
from genretag.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genretag.inference.model import Model

_MAX_LABELS = 24  # that are listed

models = typer.Typer(
    invoke_without_command=True,
    help="Show the model in use: what it hears, how it was made, how well it does.",
)


@models.callback()
def show(
    context: typer.Context,
    card: Annotated[bool, typer.Option("--card", help="Show the whole model card.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the model in use: what it hears, how it was made, and how well it does."""
    if context.invoked_subcommand is not None:
        return
    from genretag.inference.model import bundled_model
    from genretag.storage.config import default_model

    describe(default_model() or bundled_model(), card, json)


def describe(path: Path, card: bool, json: bool, *, tried: bool = False) -> None:
    """Print what a model's metadata say, or the card beside it; ``tried``: and how it does on a clip."""
    from rich.text import Text

    from genretag.inference.model import Model, bundled_model

    text = path.with_suffix(".md")
    if card:
        if not text.exists():
            raise UsageError(f"{path}: no card {text.name} lies beside it")
        print(text.read_text(encoding="utf-8"))
        return
    model = Model(None if path == bundled_model() else path)
    c = model.metadata
    if json:
        about = {
            "name": c.name,
            "version": c.version,
            "id": c.id,
            "labels": list(c.labels),
            "about": c.about,
        }
        print(
            json_lib.dumps(
                {
                    "path": str(path),
                    "bytes": path.stat().st_size,
                    "front_end": c.front_end.to_metadata(),
                    **about,
                }
            )
        )
        return
    out = session.results()
    where = "" if path == bundled_model() else f" {path}"
    out.print(
        Text(f"{c.name} {c.version} ({path.stat().st_size / 1e6:.1f} MB, {c.id}){where}"),
        soft_wrap=True,
    )
    for line in _facts(model):
        out.print(Text(line), soft_wrap=True)
    if text.exists():
        out.print("genretag models --card shows how it was made, and what it does not hear")
    if tried:
        out.print(Text(_tried(model)), soft_wrap=True)


def _facts(model: Model) -> Iterator[str]:
    """Yield what is worth knowing of a model, a line each."""
    from genretag.text import escape_control

    c = model.metadata
    shown_labels = [escape_control(label) for label in c.labels]
    labels = (
        ", ".join(shown_labels)
        if len(shown_labels) <= _MAX_LABELS
        else f"{', '.join(shown_labels[:_MAX_LABELS])} ..."
    )
    yield f"{len(c.labels)} labels: {labels}" + (
        "; and music or not" if model.detects_music else "; noise is taken for music, too"
    )
    if c.styles is not None:
        yield f"styles, told and not written: {', '.join(map(escape_control, c.styles.names))}"
    yield f"hears: {c.front_end.describe()}"
    yield f"each label {'for itself' if c.activation == 'sigmoid' else 'against the others'}; below {c.confidence_threshold:g} it is unsure"
    for name, value in c.about.items():
        if isinstance(value, str) and value:
            yield f"{name}: {escape_control(value)}"
    figures = c.about.get("figures", {})
    for name, value in figures.items() if isinstance(figures, dict) else ():
        yield f"{name}: {escape_control(str(value))}"


def _tried(model: Model) -> str:
    """Return how a model does on a clip of half a minute that is made for it: what it costs, and that it answers."""
    import time

    import numpy as np

    from genretag.audio import synthesis
    from genretag.decisions.vote import window_scores
    from genretag.features import build_features
    from genretag.inference.model import cut_chunks
    from genretag.text import escape_control

    samples = np.ascontiguousarray(
        synthesis.piece(3, 30, model.metadata.front_end.sample_rate).mean(0), np.float32
    )
    heard = np.stack(
        cut_chunks(build_features(model.metadata.front_end)(samples), model.metadata.chunks)
    )
    model.run(heard)
    began = time.perf_counter()
    scores = model.run(heard)
    ms = (time.perf_counter() - began) * 1000
    p = window_scores(scores.logits.mean(0, keepdims=True), model.metadata)[0]
    if not np.isfinite(p).all():
        return "tried on a made-up clip: its answer is no number; it cannot be used"
    return f"tried on a made-up clip: {escape_control(model.metadata.labels[int(p.argmax())])} {p.max():.2f}; {ms:.0f} ms a 30 s window on one thread"


@models.command("use")
def use(
    file: Annotated[Path | None, typer.Argument(help="A model file (.onnx).")] = None,
    bundled: Annotated[
        bool, typer.Option("--bundled", help="Go back to the bundled model.")
    ] = False,
) -> None:
    """Make a model the default of scan, info and evaluate."""
    from genretag.inference.model import Model
    from genretag.storage import config

    if bundled == (file is not None):
        raise UsageError("say which model to use: a file, or --bundled")
    if file is None:
        path = config.write("model", None)
        print(f"the bundled model is the default again ({path})")
        return
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    metadata = Model(file).metadata  # refused here rather than at the next scan
    path = config.write("model", str(file.resolve()))
    print(
        f"{metadata.name} {metadata.version} is the default now ({path}); labels: {', '.join(metadata.labels)}"
    )


@models.command("info")
def info(
    file: Annotated[Path, typer.Argument(help="A model file (.onnx).")],
    card: Annotated[
        bool, typer.Option("--card", help="Show the whole model card beside it.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a model file says of itself: labels, front end, size, figures. It is looked over before anything of it runs."""
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    describe(file, card, json, tried=True)


@models.command("calibrate")
def calibrate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A model file (.onnx).")],
    folder: Annotated[
        Path,
        typer.Argument(help="Labelled music that it never learned from: genre folders or a .csv."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-O",
            "--output",
            help="The file to make; FILE.calibrated.onnx if not given.",
            show_default=False,
        ),
    ] = None,
    jobs: session.Jobs = "auto",
    db: session.Database = None,
) -> None:
    """Fit a model's confidence anew on labelled music, so that 0.7 means seven of ten there; its verdicts stay as they are."""
    from genretag.cli.train import analyse_tracks, labelled_of
    from genretag.inference.model import Model
    from genretag.training.recalibrate import recalibrate, write_recalibrated

    target = output or file.with_name(f"{file.stem}.calibrated.onnx")
    if not file.is_file() or target.suffix.lower() != ".onnx":
        raise UsageError(
            f"{target}: the name of a model file ends in .onnx"
            if file.is_file()
            else f"{file}: there is no such file"
        )
    labelled = labelled_of(folder, None, None, None, None)
    workers = session.jobs_of(jobs)
    model = Model(file, threads=workers)
    with session.open_databases(db) as databases:
        analyse_tracks(databases, model, [e.path for e in labelled.examples], workers, context)
        found = recalibrate(
            databases.store,
            model.metadata,
            [(e.path, e.label, e.artist or e.folder or "") for e in labelled.examples],
        )
    if found.overlap:
        print(
            f"{found.overlap:.0%} of these tracks were used to train the model, so its confidence"
            " will be too high; calibrate it on other music",
            file=sys.stderr,
        )
    write_recalibrated(file, model.metadata, found, target)
    print(
        f"temperature {found.before.temperature:.3f} -> {found.after.temperature:.3f} on {found.tracks:,} tracks"
    )
    print(
        f"calibration error {found.error_before:.3f} -> {found.error_after:.3f} (of tracks that it was not fitted on)"
    )
    print(f"made {target}")
