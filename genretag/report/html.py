"""The report as one self-contained HTML page.

It loads nothing from the network, is safe against script in names and tags, and handles 50,000
rows: these travel as gzipped JSON, and the browser draws those in view only.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genretag.decisions.fields import EVIDENCE, FieldPlan
from genretag.decisions.history import WriteHistory
from genretag.decisions.plan import judge
from genretag.decisions.policy import AlbumRule, Policy
from genretag.decisions.reasons import Action
from genretag.decisions.rows import Row
from genretag.decisions.vote import Status, vote, window_scores
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import to_url
from genretag.records import Analysis
from genretag.report.summary import agreement_of
from genretag.scan.obstacles import skip_blocked
from genretag.storage.cache import AnalysisCache
from genretag.text import escape_control, round_down

#: Keys of a row that users do not edit. They travel as text and are exported unchanged, because
#: JavaScript's numbers would round a time in nanoseconds.
_UNCHANGED_KEYS = (
    *("file", "size", "mtime_ns", "sha256", "file_check", "content_key", "audio_key", "seconds"),
    *("share", "music", "windows", "piece", "agreement", "scores", "styles", "fields", "source"),
)
_MAX_FULL_ROWS = 10_000  # rows with pictures and all scores, which are most of a page's bytes
_EXPORTED = 16  # position in a row of the text with ``_UNCHANGED_KEYS``
_MAX_WINDOWS = 240  # of a timeline: two hours of 30 s windows
_BEST = 3  # labels of a row that the page shows
_FIRST_LABEL = 0x100  # code point of label 0 in a timeline: above ASCII, where digits are


@dataclass(frozen=True)
class Page:
    """The content of a page."""

    rows: list[list[Any]]
    labels: tuple[str, ...]
    threshold: float
    slider: bool
    title: str
    about: tuple[tuple[str, str], ...] = ()  # name -> value: folders, date, model, rules
    no_slider: str = ""  # why there is none
    draft: str = ""  # key of the edits that the browser keeps: pages of one plan share them


@dataclass(frozen=True)
class PlanRules:
    """The model and the rules of a plan on a page."""

    metadata: ModelMetadata
    policy: Policy

    @property
    def threshold(self) -> float:
        """Lowest confidence that is written, 0 to 1."""
        chosen = self.policy.min_confidence
        return self.metadata.confidence_threshold if chosen is None else chosen


def compact_row(row: Row, if_sure: Row | None, timeline: str, picture: bytes = b"") -> list[Any]:
    """Return a row as the list that the page reads; the script names its positions.

    ``if_sure`` is the row as it would be if the confidence were above every threshold.
    """
    # Evidence would be wrong as soon as somebody edits the genre.
    fields = {name: plan for name, plan in row.fields.items() if name != EVIDENCE}
    data = {**row.to_dict(), "file": to_url(row.absolute), "fields": fields}
    folder, _, name = escape_control(row.path).rpartition("/")
    best = list(row.scores.items())[:_BEST]
    sure = if_sure or row
    return [
        folder,
        name,
        row.status,
        row.confidence,
        [label for label, _ in best],
        [round_down(score, 2) for _, score in best],
        [escape_control(genre) for genre in row.old],
        row.old,
        sure.new,
        row.action,
        _reason(row),
        escape_control(row.error or ""),
        sure.action,
        _reason(sure),
        timeline,
        json.dumps(row.path),
        json.dumps({key: data[key] for key in _UNCHANGED_KEYS})[1:-1],
        escape_control(row.artist),
        escape_control(row.album),
        int(row.reviewed),
        [_compact_field(name, plan) for name, plan in fields.items()],
        base64.b64encode(picture).decode(),
    ]


def _compact_field(name: str, plan: FieldPlan) -> list[Any]:
    """Return the plan of a field beside the genre as the page reads it."""
    values = ([escape_control(word) for word in plan[key]] for key in ("old", "new"))
    return [name, *values, int(plan["action"] == Action.WRITE), escape_control(plan["reason"])]


def _reason(row: Row) -> str:
    """Return the reason of a decision, and that the model agrees where it does."""
    agrees = agreement_of(row)
    return escape_control(row.reason) + (f" ({agrees})" if agrees else "")


def _timeline(analysis: Analysis, metadata: ModelMetadata) -> str:
    """Return two characters for each window: one for its best label, and a digit for its score."""
    scores = window_scores(analysis.logits[:_MAX_WINDOWS], metadata, analysis.length_of_window)
    return "".join(
        f"{chr(_FIRST_LABEL + int(w.argmax()))}{min(9, int(w.max() * 10))}" for w in scores
    )


def page_rows(
    store: AnalysisCache,
    rows: Iterable[tuple[Row, PlanRules]],
    labels: tuple[str, ...],
    past: WriteHistory | None,
) -> Iterator[list[Any]]:
    """Yield the page's rows, each with the decision for a certain result.

    ``labels`` are those of the page's timelines; a row of a model with others has none.
    """
    for row, rules in rows:
        metadata, policy = rules.metadata, rules.policy
        certain = replace(policy, min_confidence=0.0)
        known = store.known(row.absolute, metadata.id, FEATURE_VERSION) if row.scores else None
        if known is None:
            yield compact_row(row, None, "")
            continue
        file, analysis = known
        # Unrounded, so that the slider decides as the plan does: 0.69999 is below 0.7.
        exact = vote(analysis, metadata, policy.vote, policy.min_confidence).confidence
        row = replace(row, confidence=exact)
        if_sure = None
        if not row.reviewed:
            if_sure = judge(Path(row.path), file, analysis, metadata, certain, past=past)
            if if_sure.status == Status.NONMUSIC:
                if_sure = None
            elif if_sure.writes:
                if_sure = skip_blocked(if_sure, row.absolute, certain) or if_sure
        line = _timeline(analysis, metadata) if metadata.labels == labels else ""
        yield compact_row(row, if_sure, line, analysis.picture)


def _shortened(row: list[Any]) -> list[Any]:
    """Return a row of a long page: without its picture, and with fewer scores to export."""
    start = row[:-1]
    data = json.loads(f"{{{start[_EXPORTED]}}}")
    data["scores"] = dict(list(data["scores"].items())[:_BEST])
    start[_EXPORTED] = json.dumps(data)[1:-1]
    return [*start, ""]


def render_page(page: Page) -> str:
    """Return the HTML of a page; rows of long pages are shortened."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    rows = page.rows if len(page.rows) <= _MAX_FULL_ROWS else list(map(_shortened, page.rows))
    text = json.dumps(rows, separators=(",", ":"))
    environment = Environment(
        loader=PackageLoader("genretag.report", "pages"), autoescape=select_autoescape(default=True)
    )
    return environment.get_template("report.html").render(
        packed=base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode(),
        labels=list(page.labels),
        threshold=page.threshold,
        slider=page.slider,
        no_slider=page.no_slider,
        draft=page.draft,
        title=page.title,
        about=page.about,
        count=len(page.rows),
    )


def _why_no_slider(plans: Sequence[PlanRules]) -> str:
    """Return why the page cannot decide by another threshold; empty if it can."""
    if any(rules.policy.album is not AlbumRule.OFF for rules in plans):
        return (
            "Here the tracks of an album decide together, so the page cannot try another "
            "threshold; genretag plan --min-confidence does."
        )
    if len({rules.threshold for rules in plans}) > 1:
        return (
            "These plans have different thresholds; genretag plan PATH --min-confidence makes "
            "one plan with one threshold."
        )
    return ""


def plan_page(
    store: AnalysisCache,
    rows: Iterable[tuple[Row, PlanRules]],
    plans: Sequence[PlanRules],
    past: WriteHistory | None,
    title: str,
    about: tuple[tuple[str, str], ...] = (),
    draft: str = "",
    no_slider: str = "",
) -> str:
    """Return the HTML page of rows of one or more plans, of which the newest is the first.

    ``no_slider``: why the page must not try other thresholds.
    """
    newest, no_slider = plans[0], no_slider or _why_no_slider(plans)
    page = Page(
        rows=list(page_rows(store, rows, newest.metadata.labels, past)),
        labels=newest.metadata.labels,
        threshold=newest.threshold,
        slider=not no_slider,
        title=title,
        about=about,
        no_slider=no_slider,
        draft=draft,
    )
    return render_page(page)
