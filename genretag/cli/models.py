"""``genretag models``: show, choose and calibrate models."""

from __future__ import annotations

import json as json_lib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.analysis import analyse_tracks
from genretag.cli.formatting import Command, Group
from genretag.cli.labelled import read_labels
from genretag.cli.option_groups import OUTPUT, one_call, output_file
from genretag.cli.options import Database, JsonObject, LabelOptions
from genretag.cli.output import output_mode, require_file, result_console
from genretag.cli.scan_options import Jobs, parse_jobs
from genretag.errors import UsageError
from genretag.text import count
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.inference.model import Model

_MAX_LABELS = 24  # that are listed

models_app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)

Card = Annotated[
    bool, one_call("--card", rich_help_panel=OUTPUT, help="Show the whole model card.")
]
ModelArgument = Annotated[Path, typer.Argument(help="A model file (.onnx).")]


@models_app.callback()
def show(context: typer.Context, card: Card = False, json: JsonObject = False) -> None:
    """Show the model in use, choose another one, or calibrate one.

    Without a command, shows the model's labels, front end and figures.

    Examples:
      genretag models
      genretag models --card
      genretag models use my.onnx
    """
    if context.invoked_subcommand is not None:
        return
    from genretag.inference.model import bundled_model
    from genretag.storage.config import default_model

    _show_model(default_model() or bundled_model(), card, json)


def _show_model(path: Path, card: bool, json: bool, *, try_it: bool = False) -> None:
    """Print a model's metadata or its card; with ``try_it``, also how it does on a clip."""
    from rich.text import Text

    from genretag.inference.model import Model, bundled_model

    card_file = path.with_suffix(".md")
    if card:
        if not card_file.exists():
            raise UsageError(f"{path}: there is no card {card_file.name} beside it")
        print(card_file.read_text(encoding="utf-8"))
        return
    is_bundled = path == bundled_model()
    model = Model(None if is_bundled else path)
    if json:
        print(json_lib.dumps(_to_dict(model, path)))
        return
    out, m = result_console(), model.metadata
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    lines = [f"{m.name} {m.version} ({size}, {m.id}){'' if is_bundled else f' {path}'}"]
    lines += _describe_model(model)
    if card_file.exists():
        lines.append("genretag models --card shows how it was made, and its limits")
    if try_it:
        lines.append(_try_model(model))
    for line in lines:
        out.print(Text(line), soft_wrap=True)


def _to_dict(model: Model, path: Path) -> dict[str, object]:
    """Return the object that ``models --json`` prints."""
    m = model.metadata
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "front_end": m.front_end.to_metadata(),
        "name": m.name,
        "version": m.version,
        "id": m.id,
        "labels": list(m.labels),
        "about": m.about,
    }


def _describe_model(model: Model) -> Iterator[str]:
    """Yield a model's labels, styles, front end and figures, a line each."""
    from genretag.text import escape_control

    m = model.metadata
    labels = [escape_control(label) for label in m.labels[:_MAX_LABELS]]
    more = " ..." if len(m.labels) > _MAX_LABELS else ""
    music = "detects music" if model.detects_music else "does not detect whether it is music"
    yield f"{len(m.labels)} labels: {', '.join(labels)}{more}; {music}"
    if m.styles is not None:
        yield f"styles (shown, not written): {', '.join(map(escape_control, m.styles.names))}"
    yield f"input: {m.front_end.describe()}"
    kind = "independent labels" if m.activation == "sigmoid" else "one label per track"
    yield f"{kind}; unsure below {m.confidence_threshold:g}"
    for name, value in m.about.items():
        if isinstance(value, str) and value:
            yield f"{name}: {escape_control(value)}"
    figures = m.about.get("figures", {})
    for name, value in figures.items() if isinstance(figures, dict) else ():
        yield f"{name}: {escape_control(str(value))}"


def _try_model(model: Model) -> str:
    """Return a model's answer to a synthesised clip of 30 s, and the time it took."""
    import time

    import numpy as np

    from genretag.audio import synthesis
    from genretag.decisions.vote import window_scores
    from genretag.features import build_features
    from genretag.inference.model import cut_chunks
    from genretag.text import escape_control

    m = model.metadata
    stereo = synthesis.piece(3, 30, m.front_end.sample_rate)
    samples = np.ascontiguousarray(stereo.mean(0), np.float32)
    chunks = np.stack(cut_chunks(build_features(m.front_end)(samples), m.chunks))
    model.run(chunks)  # the first run allocates memory
    began = time.perf_counter()
    scores = model.run(chunks)
    ms = (time.perf_counter() - began) * 1000
    p = window_scores(scores.logits.mean(0, keepdims=True), m)[0]
    if not np.isfinite(p).all():
        return "on a synthesised clip its output is not a number; it cannot be used"
    label = escape_control(m.labels[int(p.argmax())])
    return (
        f"on a synthesised clip: {label} {p.max():.2f}; {ms:.0f} ms for a window of 30 s"
        " on one thread"
    )


@models_app.command("use", cls=Command)
def use(
    file: Annotated[Path | None, typer.Argument(help="A model file (.onnx).")] = None,
    bundled: Annotated[
        bool, one_call("--bundled", help="Make the bundled model the default again.")
    ] = False,
) -> None:
    """Make a model the default of scan, info and evaluate.

    Examples:
      genretag models use my.onnx
      genretag models use --bundled
    """
    from genretag.inference.model import Model
    from genretag.storage import config

    if bundled == (file is not None):
        raise UsageError("give either a model file or --bundled")
    if file is None:
        path = config.write("model", None)
        print(f"the bundled model is the default again ({path})")
        return
    require_file(file)
    metadata = Model(file).metadata  # a model that cannot be used is refused here, not by a scan
    path = config.write("model", str(file.resolve()))
    labels = ", ".join(metadata.labels)
    print(f"{metadata.name} {metadata.version} is the default now ({path}); labels: {labels}")


@models_app.command("info", cls=Command)
def info(file: ModelArgument, card: Card = False, json: JsonObject = False) -> None:
    """Show a model file: labels, front end, size and figures.

    The file is checked before any of it runs.

    Examples:
      genretag models info other.onnx
    """
    require_file(file)
    _show_model(file, card, json, try_it=True)


@models_app.command("calibrate", cls=Command)
def calibrate(
    context: typer.Context,
    file: ModelArgument,
    folder: Annotated[
        Path,
        typer.Argument(
            help="Labelled music: genre folders or a .csv.\n\n"
            "The model must not have been trained on it."
        ),
    ],
    output: Annotated[
        Path | None,
        output_file(
            show_default="FILE.calibrated.onnx",
            help="Model file to write.",
        ),
    ] = None,
    jobs: Jobs = "auto",
    db: Database = None,
) -> None:
    """Calibrate a model's confidence on labelled music.

    A confidence of 0.7 then means that seven of ten such tracks are right. The verdicts stay.

    Examples:
      genretag models calibrate my.onnx ~/Labelled
    """
    from genretag.inference.model import Model
    from genretag.training.recalibrate import recalibrate, write_recalibrated

    target = output or file.with_name(f"{file.stem}.calibrated.onnx")
    require_file(file)
    if target.suffix.lower() != ".onnx":
        raise UsageError(f"{target}: the name of a model file must end in .onnx")
    examples = read_labels(folder, LabelOptions()).examples
    workers = parse_jobs(jobs)
    model = Model(file, threads=workers)
    with open_databases(db) as databases:
        paths = [example.path for example in examples]
        analyse_tracks(databases, model, paths, workers, output_mode(context))
        labelled = [(e.path, e.label, e.artist or e.folder or "") for e in examples]
        found = recalibrate(databases.store, model.metadata, labelled)
    if found.overlap:
        print(
            f"{found.overlap:.0%} of these tracks were used to train the model, so its confidence"
            " will be too high; calibrate it on other music",
            file=sys.stderr,
        )
    write_recalibrated(file, model.metadata, found, target)
    before, after = found.before.temperature, found.after.temperature
    print(f"temperature {before:.3f} -> {after:.3f} on {count(found.tracks, 'track')}")
    print(
        f"calibration error {found.error_before:.3f} -> {found.error_after:.3f}"
        " (cross-validated over artists)"
    )
    print(f"made {target}")
