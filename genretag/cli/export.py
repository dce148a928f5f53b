"""``genretag export``: embeddings and scores for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genretag.cli.analysis import known_models
from genretag.cli.option_groups import OUTPUT, one_call
from genretag.cli.options import Database, Paths
from genretag.cli.output import message_console, output_mode
from genretag.cli.plans import NOTHING_ANALYSED, absolute_paths
from genretag.cli.scan_options import ModelFile
from genretag.errors import UsageError
from genretag.text import count
from genretag.writing.session import open_databases


def export(
    context: typer.Context,
    paths: Paths = None,
    embeddings: Annotated[
        Path | None,
        one_call(
            "--embeddings",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            show_default=False,
            help="Write embeddings and scores to a .parquet or .npz file.",
        ),
    ] = None,
    model: ModelFile = None,
    db: Database = None,
) -> None:
    """Export embeddings and genre scores for other programs.

    Each file has its path, content key, model, length, genre, confidence, the score of each
    genre, and its embedding. Nothing is analysed. Parquet needs pyarrow (the extra parquet).

    Examples:
      genretag export --embeddings embeddings.npz
      genretag export ~/Music/Jazz --embeddings jazz.parquet
    """
    from genretag.report.embeddings import check_name, export_embeddings

    if embeddings is None:
        raise UsageError("choose what to export: --embeddings FILE.parquet or FILE.npz")
    check_name(embeddings)
    with open_databases(db) as databases:
        known = known_models(databases, model)
        if not known:
            raise UsageError(_nothing(databases.store.analyses_by_model(), model))
        done = export_embeddings(databases.store, known[0], absolute_paths(paths), embeddings)
    out = message_console(output_mode(context).quiet)
    out.print(f"{embeddings}: {count(done.files, 'file')}")
    if done.missing:
        out.print(f"{count(done.missing, 'file')} left out: no longer there")
    if done.damaged:
        out.print(
            f"{count(done.damaged, 'file')} left out: the stored numbers are damaged;"
            " genretag scan FOLDER --rescan --dry-run makes them again"
        )


def _nothing(analyses: dict[str, int], model: Path | None) -> str:
    """Return why there is nothing to export."""
    if not analyses:
        return NOTHING_ANALYSED
    which = f"the model {model}" if model is not None else "the current model"
    return (
        f"no file was analysed with {which}, only with others;"
        " genretag scan FOLDER --dry-run analyses a folder, --model FILE chooses another model"
    )
