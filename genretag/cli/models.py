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
