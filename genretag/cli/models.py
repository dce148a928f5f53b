"""``genretag models``: the model that listens, its card, and which one is the default."""

from __future__ import annotations

import json as json_lib
from pathlib import Path
from typing import Annotated

import typer

from genretag.cli import session
from genretag.errors import UsageError

models = typer.Typer(invoke_without_command=True, help="Show the model in use: what it hears, how it was made, how well it does.")


@models.callback()
def show(
    context: typer.Context,
    card: Annotated[bool, typer.Option("--card", help="Show the whole model card.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the model in use: what it hears, how it was made, and how well it does."""
    if context.invoked_subcommand is not None:
        return
    from genretag.config import default_model
    from genretag.model import bundled_model

    describe(default_model() or bundled_model(), card, json)


def describe(path: Path, card: bool, json: bool) -> None:
    """Print what a model's metadata say, or the card beside it."""
    from genretag.model import Model, bundled_model

    text = path.with_suffix(".md")
    if card:
        if not text.exists():
            raise UsageError(f"{path}: no card {text.name} lies beside it")
        print(text.read_text(encoding="utf-8"))
        return
    c = Model(None if path == bundled_model() else path).card
    if json:
        about = {"name": c.name, "version": c.version, "id": c.id, "labels": list(c.labels), "about": c.about}
        print(json_lib.dumps({"path": str(path), "bytes": path.stat().st_size, **about}))
        return
    out = session.results()
    out.print(
        f"{c.name} {c.version} ({path.stat().st_size / 1e6:.1f} MB, {c.id}){'' if path == bundled_model() else f' {path}'}", soft_wrap=True
    )
    out.print(f"labels: {', '.join(c.labels)}; and music or not")
    out.print(f"hears: log-mel, {c.front_end.n_mels} bands to {c.front_end.fmax:,.0f} Hz at {c.front_end.sample_rate:,} Hz")
    for name, value in c.about.get("figures", {}).items():
        out.print(f"{name}: {value}")
    if text.exists():
        out.print("genretag models --card shows how it was made, and what it does not hear")


@models.command("use")
def use(
    file: Annotated[Path | None, typer.Argument(help="A model file (.onnx).")] = None,
    bundled: Annotated[bool, typer.Option("--bundled", help="Go back to the bundled model.")] = False,
) -> None:
    """Make a model the default of scan, info and evaluate."""
    from genretag import config
    from genretag.model import Model

    if bundled == (file is not None):
        raise UsageError("say which model to use: a file, or --bundled")
    if file is None:
        path = config.write("model", None)
        print(f"the bundled model is the default again ({path})")
        return
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    card = Model(file).card  # refused here rather than at the next scan
    path = config.write("model", str(file.resolve()))
    print(f"{card.name} {card.version} is the default now ({path}); labels: {', '.join(card.labels)}")


@models.command("info")
def info(
    file: Annotated[Path, typer.Argument(help="A model file (.onnx).")],
    card: Annotated[bool, typer.Option("--card", help="Show the whole model card beside it.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a model file says of itself: labels, front end, size, figures. It is looked over before anything of it runs."""
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    describe(file, card, json)


@models.command("calibrate")
def calibrate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A model file (.onnx).")],
    folder: Annotated[Path, typer.Argument(help="Labelled music that it never learned from: genre folders or a .csv.")],
    output: Annotated[
        Path | None, typer.Option("-O", "--output", help="The file to make; FILE.calibrated.onnx if not given.", show_default=False)
    ] = None,
    jobs: Annotated[str, typer.Option("-j", "--jobs", help="Decode so many tracks at once, or auto.")] = "auto",
    db: session.Database = None,
) -> None:
    """Fit a model's confidence anew on labelled music, so that 0.7 means seven of ten there; its verdicts stay as they are."""
    from genretag.cli.scan import _jobs
    from genretag.cli.train import hear, labelled_of
    from genretag.model import Model
    from genretag.train.recalibrate import recalibrated, write_recalibrated

    target = output or file.with_name(f"{file.stem}.calibrated.onnx")
    if not file.is_file() or target.suffix.lower() != ".onnx":
        raise UsageError(f"{target}: the name of a model file ends in .onnx" if file.is_file() else f"{file}: there is no such file")
    labelled = labelled_of(folder, None, None, None, None)
    workers = _jobs(jobs)
    model = Model(file, threads=workers)
    with session.books(db) as books:
        hear(books, model, [e.path for e in labelled.examples], workers, context)
        found = recalibrated(books.store, model.card, [(e.path, e.label, e.artist or e.folder or "") for e in labelled.examples])
    write_recalibrated(file, model.card, found, target)
    print(f"temperature {found.before.temperature:.3f} -> {found.after.temperature:.3f} on {found.tracks:,} tracks")
    print(f"calibration error {found.error_before:.3f} -> {found.error_after:.3f} (of tracks that it was not fitted on)")
    print(f"made {target}")
