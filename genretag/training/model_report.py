"""A lesson, told: the model card (Markdown), one self-contained page (HTML) and the pictures (PNG)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genretag.evaluation.metrics import ClassifierMetrics
from genretag.inference.metadata import ModelMetadata
from genretag.text import escape_control
from genretag.training import plots
from genretag.training.results import Split, TrainingResult
from genretag.training.split import Part

MOST_LISTED = 200  # duplicates and unreadable files on the page


@dataclass(frozen=True)
class ReportFiles:
    """What lies beside the model file."""

    metadata: Path
    page: Path
    pictures: Path


def write_report(result: TrainingResult, metadata: ModelMetadata, model: Path) -> ReportFiles:
    """Write ``my.md``, ``my.html`` and ``my.pictures/`` beside ``my.onnx``."""
    out = ReportFiles(
        model.with_suffix(".md"),
        model.with_suffix(".html"),
        model.with_name(model.stem + ".pictures"),
    )
    drawn = plots.save(result, out.pictures)
    out.metadata.write_text(card_markdown(result, metadata, model.name), encoding="utf-8")
    out.page.write_text(page(result, metadata, drawn), encoding="utf-8")
    return out


def summary_lines(result: TrainingResult) -> list[str]:
    """Return what a person wants to know first, one thought a line."""
    c, j = result.collection, result.judged
    parts = ", ".join(
        f"{int((result.part == p.value).sum()):,} {name}" for p, name in _PART_NAMES.items()
    )
    lines = [
        f"{len(c.y):,} tracks, {len(c.labels)} labels, {len(set(c.groups.tolist())):,} artists or recordings: {parts}"
    ]
    if result.split is Split.RANDOM:
        lines.append(
            "random split: artists are on both sides, so these figures compare with nothing"
        )
    if j is None:
        lines.append(
            "nothing could be kept apart to judge on: every label has one artist or one recording"
        )
        return lines
    lines += [
        f"accuracy {j.accuracy}, macro recall {j.macro_recall}, macro F1 {j.macro_f1}, right among the first two {j.top2}",
        f"always saying the commonest label: {j.majority:.1%}; {j.calibration}",
        f"at 0.7 and above: {j.coverage:.0%} of the tracks get a genre"
        + (f", {j.precision:.0%} of them rightly" if j.precision is not None else ""),
    ]
    return lines


_PART_NAMES = {
    Part.TRAIN: "to learn from",
    Part.VALID: "to calibrate with",
    Part.TEST: "to judge on",
}


def label_rows(j: ClassifierMetrics) -> list[tuple[str, str, str, str, str, str]]:
    """Return the table of labels: name, learned, judged, recall, precision, F1."""

    def share(value: float | None) -> str:
        return "—" if value is None else f"{value:.0%}"

    return [
        (
            escape_control(c.label),
            f"{c.train:,}",
            f"{c.test:,}",
            share(c.recall),
            share(c.precision),
            share(c.f1),
        )
        for c in j.classes
    ]


def card_markdown(result: TrainingResult, metadata: ModelMetadata, name: str) -> str:
    """Return the model card."""
    backbone = metadata.about["backbone"]
    lines = [
        f"# {escape_control(metadata.name)}",
        "",
        f"A genretag model: `genretag scan ~/Music --model {name}`; `genretag models use {name}` makes it the default.",
        "",
        f"- **How:** {result.how} ({backbone['name']} {backbone['version']}, {backbone['id']})",
        f"- **Made:** {metadata.about['made']}; {result.seconds:.0f} s of fitting; settings {result.settings}",
        f"- **Licence:** {metadata.about['licence']} (of the backbone)",
        f"- **Music or not:** {_music_told(result)}",
        f"- **Abstains** below a confidence of {metadata.confidence_threshold}; temperature {result.temperature:.2f}",
        "",
        "## Figures",
        "",
        *(f"- {line}" for line in summary_lines(result)),
        "",
    ]
    if result.judged is not None:
        lines += [
            "| label | learned | judged | recall | precision | F1 |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
            for row in label_rows(result.judged)
        ]
        lines += [
            "",
            "Intervals are 95 %, by a bootstrap over artists. The file itself learned from all parts with the same settings.",
        ]
    if result.collection.notes:
        lines += [
            "",
            "## Noticed",
            "",
            *(f"- {escape_control(note)}" for note in result.collection.notes),
        ]
    return "\n".join(lines) + "\n"


def _music_told(result: TrainingResult) -> str:
    """Return what is to be said of music-or-not."""
    scratch = result.settings.get("from scratch")
    if scratch is None:
        return "told as by the backbone, whose output it is"
    return (
        "it never learned what is none, and takes everything for music"
        if scratch
        else "was not judged after the training"
    )


def page(result: TrainingResult, metadata: ModelMetadata, drawn: list[tuple[str, str, str]]) -> str:
    """Return the page: everything in one file, nothing from the network."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("genretag.training", "pages"),
        autoescape=select_autoescape(default=True),
    )
    c = result.collection
    return environment.get_template("training.html").render(
        name=escape_control(metadata.name),
        how=result.how,
        lines=summary_lines(result),
        rows=label_rows(result.judged) if result.judged else [],
        pictures=drawn,
        notes=[escape_control(n) for n in c.notes],
        duplicates=[
            (
                escape_control(d.a),
                escape_control(d.b),
                f"{d.cosine:.3f}",
                *map(escape_control, d.labels),
            )
            for d in c.duplicates[:MOST_LISTED]
        ],
        unreadable=[
            (escape_control(u.path), escape_control(u.error)) for u in c.unreadable[:MOST_LISTED]
        ],
        more=max(0, len(c.duplicates) - MOST_LISTED) + max(0, len(c.unreadable) - MOST_LISTED),
        made=metadata.about["made"],
    )
