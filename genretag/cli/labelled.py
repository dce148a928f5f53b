"""Labelled tracks, and the figures of their labels: shared by train, evaluate and models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.options import LabelOptions
from genretag.cli.output import plain_table
from genretag.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from genretag.evaluation.metrics import ClassifierMetrics
    from genretag.training.layouts import Example, LabelledTracks


def read_labels(
    source: Path | None, options: LabelOptions, review: Path | None = None
) -> LabelledTracks:
    """Read labels from folders, a table and a corrected plan.

    Raises:
        UsageError: there is no source.
        RunError: too few tracks have a label.
    """
    from genretag.training import layouts

    if source is None and review is None:
        raise UsageError(
            "give a folder of genre folders, a .csv, or --from-review PLAN.jsonl to learn from"
        )
    read = []
    if review is not None:  # first: a person's correction overrides the label of a folder
        read.append(layouts.read_corrected_plan(review))
    if source is not None:
        read.append(layouts.read_labelled(source, subset=options.subset, audio=options.audio))
    by_path: dict[Path, Example] = {}
    for labelled in read:
        for example in labelled.examples:
            by_path.setdefault(example.path.absolute(), example)
    notes = [note for labelled in read for note in labelled.notes]
    merged = layouts.merge_spellings(layouts.LabelledTracks(list(by_path.values()), notes))
    if options.classes is not None:
        names = [name.strip() for name in options.classes.split(",") if name.strip()]
        merged = layouts.select_labels(merged, names)
    return layouts.drop_small_labels(merged)


def label_table(metrics: ClassifierMetrics) -> Table:
    """Return the table of recall, precision and F1 by label."""
    from genretag.training.model_report import label_rows

    table = plain_table("label")
    trained = any(c.train for c in metrics.classes)
    columns = ("judged", "recall", "precision", "F1")
    for name in ("learned", *columns) if trained else columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row, label in zip(label_rows(metrics), metrics.classes, strict=True):
        if label.train or label.test:
            table.add_row(row[0], *(row[1:] if trained else row[2:]))
    return table
