"""``genretag train`` and ``genretag evaluate``: learn a user's own labels, and hold the ear against labels."""

from __future__ import annotations

import json as json_lib
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.cli import session
from genretag.errors import UsageError

if TYPE_CHECKING:
    from genretag.model import Model
    from genretag.train.layouts import Labelled
    from genretag.train.teach import Lesson


class SplitName(StrEnum):
    """``--split``."""

    artist = "artist"
    official = "official"
    random = "random"


Subset = Annotated[str | None, typer.Option("--subset", help="Of FMA's tracks.csv: small, medium, large or full.", show_default=False)]
Audio = Annotated[Path | None, typer.Option("--audio", help="Where a table's paths begin, if not beside it.", show_default=False)]
Classes = Annotated[str | None, typer.Option("--classes", help="Only these labels, with commas between.", show_default=False)]
Jobs = Annotated[str, typer.Option("-j", "--jobs", help="Decode so many tracks at once, or auto.")]


def train(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Argument(help="A folder of genre folders, or a .csv of path and label (FMA's tracks.csv too).", metavar="FOLDER|CSV"),
    ] = None,
    output: Annotated[Path, typer.Option("-O", "--output", help="The model file to make; its card and report go beside it.")] = Path(
        "my.onnx"
    ),
    from_review: Annotated[
        Path | None,
        typer.Option("--from-review", help="A corrected plan (.jsonl): the genres that were changed are labels.", show_default=False),
    ] = None,
    split: Annotated[
        SplitName,
        typer.Option("--split", help="How tracks are kept apart for judging. random leaks artists, and its figures compare with nothing."),
    ] = SplitName.artist,
    classes: Classes = None,
    subset: Subset = None,
    audio: Audio = None,
    jobs: Jobs = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed makes other parts.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    db: session.Database = None,
) -> None:
    """Learn your own genres from folders named for them; needs minutes, and no GPU.

    The bundled ear listens (tracks that were scanned before cost nothing), a calibrated head learns
    your labels, is judged on artists that it never met, and becomes one file:
    genretag scan ~/Music --model my.onnx.
    """
    from genretag.cli.scan import _jobs
    from genretag.model import Model
    from genretag.train import collection, teach, write_up

    if output.suffix.lower() != ".onnx":
        raise UsageError(f"{output}: the name of a model file ends in .onnx")
    labelled = labelled_of(source, from_review, classes, subset, audio)
    talk = session.talk(session.is_quiet(context))
    workers = _jobs(jobs)
    model = Model(threads=workers)
    talk.print(f"{len(labelled.examples):,} labelled files; hearing what is not known yet ...")
    with session.books(db) as books:
        hear(books, model, [e.path for e in labelled.examples], workers, context)
        gathered = collection.gather(books.store, model.card.id, labelled.examples, labelled.notes)
    if split is SplitName.random:
        print("--split random: artists will be on both sides; the figures will be too good, and compare with nothing", file=sys.stderr)
    lesson, fitted = teach.teach_head(gathered, teach.Split(split.value), seed, lambda text: talk.print(f"  {text}"))
    card = teach.write_grafted(lesson, fitted, model, output)
    written = write_up.write_up(lesson, card, output)
    if json:
        print(json_lib.dumps({**lesson.figures, "model": str(output), "page": str(written.page)}))
    else:
        print_lesson(lesson)
    talk.print(f"made {output} ({output.stat().st_size / 1e6:.1f} MB), {written.card.name}, {written.page.name}, {written.pictures.name}/")
    talk.print(f"try it: genretag scan FOLDER --dry-run --model {output}     for good: genretag models use {output}")
    raise typer.Exit(1 if gathered.unreadable else 0)


def labelled_of(source: Path | None, review: Path | None, classes: str | None, subset: str | None, audio: Path | None) -> Labelled:
    """Read all labels that were given, and check that something can be learned from them."""
    from genretag.train import layouts

    if source is None and review is None:
        raise UsageError("say what to learn from: a folder of genre folders, a .csv, or --from-review PLAN.jsonl")
    read = [layouts.read_labelled(source, subset=subset, audio=audio)] if source else []
    if review is not None:
        read.insert(0, layouts.read_review(review))
    first: dict[Path, Any] = {}
    for one in read:  # what a person corrected counts before what a folder says
        for e in one.examples:
            first.setdefault(e.path.absolute(), e)
    labelled = layouts.merged(layouts.Labelled(list(first.values()), [n for one in read for n in one.notes]))
    if classes is not None:
        labelled = layouts.chosen(labelled, [c.strip() for c in classes.split(",") if c.strip()])
    return layouts.checked(labelled)


def hear(books: session.Books, model: Model, paths: list[Path], jobs: int, context: typer.Context) -> None:
    """Hear what is not known yet, with a progress line on a terminal."""
    from genretag.cli.scan import _progress
    from genretag.train.collection import hear as hear_all

    with _progress(session.is_quiet(context)) as show:
        hear_all(books.store, model, paths, jobs, show)


def print_lesson(lesson: Lesson) -> None:
    """Print what was learned."""
    from rich.table import Table

    from genretag.display import home_relative, shown
    from genretag.train.write_up import class_rows, summary_lines

    out = session.results()
    c = lesson.collection
    for note in c.notes:
        out.print(f"noticed: {shown(note)}", soft_wrap=True)
    for d in c.duplicates[:10]:
        how = "the same recording" if d.cosine == 1.0 else f"sound alike ({d.cosine:.3f})"
        labels = f" under {shown(d.labels[0])} and {shown(d.labels[1])}" if d.conflicting else ""
        out.print(f"noticed: {home_relative(d.a)} and {home_relative(d.b)} are {how}{labels}", soft_wrap=True)
    if len(c.duplicates) > 10:
        out.print(f"noticed: {len(c.duplicates) - 10:,} more pairs that are alike (on the page, and with --json)", soft_wrap=True)
    for u in c.unreadable[:10]:
        out.print(f"not heard: {home_relative(u.path)}: {shown(u.error)}", soft_wrap=True)
    if len(c.unreadable) > 10:
        out.print(f"not heard: {len(c.unreadable) - 10:,} more files", soft_wrap=True)
    out.print()
    for line in summary_lines(lesson):
        out.print(line, soft_wrap=True)
    if lesson.judged is None:
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("label", overflow="fold")
    for name in ("learned", "judged", "recall", "precision", "F1"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in class_rows(lesson.judged):
        table.add_row(*row)
    out.print()
    out.print(table)
