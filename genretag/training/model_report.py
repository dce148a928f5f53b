"""Report of a training: model card (Markdown), page (HTML) and plots (PNG) beside the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genretag.evaluation.metrics import ClassifierMetrics
from genretag.inference.metadata import ModelMetadata
from genretag.text import count, escape_control
from genretag.training.plots import save_plots
from genretag.training.results import CONFIDENCE_THRESHOLD, Split, TrainingResult
from genretag.training.split import Part

MAX_LISTED = 200  # duplicates and unreadable files on the page

_PART_NAMES = {Part.TRAIN: "for training", Part.VALID: "for calibration", Part.TEST: "for testing"}


@dataclass(frozen=True)
class ReportFiles:
    """Files beside the model file."""

    model_card: Path
    page: Path
    plots: Path


def write_report(result: TrainingResult, metadata: ModelMetadata, model: Path) -> ReportFiles:
    """Write ``my.md``, ``my.html`` and ``my.pictures/`` beside ``my.onnx``."""
    files = ReportFiles(
        model.with_suffix(".md"),
        model.with_suffix(".html"),
        model.with_name(model.stem + ".pictures"),
    )
    plots = save_plots(result, files.plots)
    files.model_card.write_text(render_card(result, metadata, model.name), encoding="utf-8")
    files.page.write_text(render_page(result, metadata, plots), encoding="utf-8")
    return files


def summary_lines(result: TrainingResult) -> list[str]:
    """Return the most important facts, one per line; the advice against a bad model is last."""
    c, m = result.collection, result.metrics
    parts = ", ".join(
        f"{int((result.part == part.value).sum()):,} {name}" for part, name in _PART_NAMES.items()
    )
    lines = [
        f"{count(len(c.y), 'track')}, {count(len(c.labels), 'label')},"
        f" {len(set(c.groups.tolist())):,} artists or recordings: {parts}"
    ]
    if result.split is Split.RANDOM:
        lines.append(
            "random split: the same artists are in all parts, so the figures are too high"
            " and comparable with nothing else"
        )
    if m is None:
        lines.append("not evaluated: every label has only one artist or recording")
        return lines
    precision = f", {m.precision:.0%} of these correctly" if m.precision is not None else ""
    lines += [
        *metric_lines(m),
        f"guessing: {m.majority:.1%} for always the most frequent label,"
        f" {m.chance.low:.1%} to {m.chance.high:.1%} by chance",
        f"at a confidence of {CONFIDENCE_THRESHOLD:g}: {m.coverage:.0%} of the tracks get a genre"
        + precision,
    ]
    return [*lines, result.advice] if result.advice else lines


def metric_lines(m: ClassifierMetrics) -> list[str]:
    """Return the metrics with intervals, and the calibration."""
    return [
        f"accuracy {m.accuracy}, macro recall {m.macro_recall},"
        f" macro F1 {m.macro_f1}, correct among the first two {m.top2}",
        m.calibration,
    ]


def label_rows(m: ClassifierMetrics) -> list[tuple[str, str, str, str, str, str]]:
    """Return the table of labels: name, training and test tracks, recall, precision, F1."""

    def percent(value: float | None) -> str:
        return "—" if value is None else f"{value:.0%}"

    return [
        (
            escape_control(c.label),
            f"{c.train:,}",
            f"{c.test:,}",
            percent(c.recall),
            percent(c.precision),
            percent(c.f1),
        )
        for c in m.classes
    ]


# --- model card ---------------------------------------------------------------------------------


def render_card(result: TrainingResult, metadata: ModelMetadata, name: str) -> str:
    """Return the model card in Markdown."""
    backbone, about = metadata.about["backbone"], metadata.about
    lines = [
        f"# {escape_control(metadata.name)}",
        "",
        f"A genretag model. Use it with `genretag scan ~/Music --model {name}`, or make it the"
        f" default with `genretag models use {name}`.",
        "",
        f"- **Model:** {result.how} ({backbone['name']} {backbone['version']}, {backbone['id']})",
        f"- **Made:** {about['made']}; training took {result.seconds:.0f} s;"
        f" settings {result.settings}",
        f"- **Licence:** {about['licence']} (of the backbone)",
        f"- **Music or not:** {_describe_music_detection(result)}",
        f"- **Unsure** below a confidence of {metadata.confidence_threshold};"
        f" temperature {result.temperature:.2f}",
        "",
        "## Figures",
        "",
        *(f"- {line}" for line in summary_lines(result)),
        "",
    ]
    if result.metrics is not None:
        lines += _card_table(result.metrics)
    if result.collection.notes:
        notes = [f"- {escape_control(note)}" for note in result.collection.notes]
        lines += ["", "## Notes", "", *notes]
    return "\n".join(lines) + "\n"


def _card_table(m: ClassifierMetrics) -> list[str]:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in label_rows(m)]
    return [
        "| label | training | test | recall | precision | F1 |",
        "| --- | --- | --- | --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Intervals are 95 %, by a bootstrap over artists. The final model was trained on all parts"
        " with the same settings.",
    ]


def _describe_music_detection(result: TrainingResult) -> str:
    from_scratch = result.settings.get("from scratch")
    if from_scratch is None:
        return "as the backbone, whose output is unchanged"
    return "not detected: everything counts as music" if from_scratch else "not evaluated"


# --- page ---------------------------------------------------------------------------------------


def render_page(
    result: TrainingResult, metadata: ModelMetadata, plots: list[tuple[str, str, str]]
) -> str:
    """Return the page in HTML: one file that loads nothing from the network."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("genretag.training", "pages"),
        autoescape=select_autoescape(default=True),
    )
    c = result.collection
    duplicates = [
        (str(d.a), str(d.b), f"{d.cosine:.3f}", *d.labels) for d in c.duplicates[:MAX_LISTED]
    ]
    unreadable = [(str(u.path), u.error) for u in c.unreadable[:MAX_LISTED]]
    return environment.get_template("training.html").render(
        name=escape_control(metadata.name),
        how=result.how,
        advice=result.advice,
        lines=[line for line in summary_lines(result) if line != result.advice],
        rows=label_rows(result.metrics) if result.metrics else [],
        plots=plots,
        notes=[escape_control(n) for n in c.notes],
        duplicates=[tuple(map(escape_control, row)) for row in duplicates],
        unreadable=[tuple(map(escape_control, row)) for row in unreadable],
        more=sum(max(0, len(some) - MAX_LISTED) for some in (c.duplicates, c.unreadable)),
        made=metadata.about["made"],
    )
