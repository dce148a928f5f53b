"""The report as one self-contained page: nothing from the network, safe against script in names and tags, good for 50,000 rows.

The rows travel gzipped. What apply needs of a row and JavaScript's numbers would spoil (times in nanoseconds) travels as text.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genretag.decisions.plan import Row, WriteHistory, judge
from genretag.decisions.policy import AlbumRule, Policy
from genretag.decisions.vote import Status, window_scores
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata
from genretag.storage.cache import Store
from genretag.text import escape_control

#: Keys of a row that a person does not edit: they are exported as they came.
_CONSTANT = (
    "file",
    "size",
    "mtime_ns",
    "sha256",
    "content_key",
    "seconds",
    "share",
    "music",
    "windows",
    "agreement",
    "scores",
    "styles",
)
_MAX_PICTURES = 10_000  # rows: a page of more goes without, for they are most of its bytes
_MAX_WINDOWS = 240  # of a timeline: two hours


@dataclass(frozen=True)
class Page:
    """What a page is made from."""

    rows: list[list[Any]]
    labels: tuple[str, ...]
    threshold: float
    slider: bool  # whether another threshold can be tried: albums that decide together cannot be foreseen here
    title: str


def compact(row: Row, surely: Row | None, timeline: str, picture: bytes = b"") -> list[Any]:
    """Return a row as the page takes it; ``surely`` is the row if the ear were sure enough."""
    data = row.to_dict()
    tail = json.dumps({k: data[k] for k in _CONSTANT})[1:-1]
    path = escape_control(row.path)
    folder, _, name = path.rpartition("/")
    sure = surely or row
    return [
        folder,
        name,
        row.status,
        row.confidence,
        list(row.scores)[:3],
        [round(s, 2) for s in list(row.scores.values())[:3]],
        [escape_control(g) for g in row.old],
        row.old,
        sure.new,
        row.action,
        escape_control(row.reason),
        escape_control(row.error or ""),
        sure.action,
        escape_control(sure.reason),
        timeline,
        json.dumps(row.path),
        tail,
        escape_control(row.artist),
        escape_control(row.album),
        base64.b64encode(picture).decode(),
    ]


def _timeline(logits: Any, metadata: ModelMetadata) -> str:
    """Return a track's windows: for each a character that stands for the label (from Ā on), and a digit of how sure."""
    p = window_scores(logits[:_MAX_WINDOWS], metadata)
    return "".join(f"{chr(0x100 + int(w.argmax()))}{min(9, int(w.max() * 10))}" for w in p)


def rows_of(
    store: Store,
    rows: Iterable[Row],
    metadata: ModelMetadata,
    policy: Policy,
    past: WriteHistory | None,
) -> Iterator[list[Any]]:
    """Yield the page's rows of a plan, each with what would be done if the ear were sure enough."""
    from dataclasses import replace

    certain = replace(policy, min_confidence=0.0)
    for row in rows:
        known = store.known(row.absolute, metadata.id, FEATURE_VERSION) if row.scores else None
        if known is None:
            yield compact(row, None, "")
            continue
        f, heard = known
        surely = (
            judge(Path(row.path), f, heard, metadata, certain, past=past)
            if not row.reviewed
            else None
        )
        yield compact(
            row,
            surely if surely is not None and surely.status != Status.NONMUSIC else None,
            _timeline(heard.logits, metadata),
            heard.picture,
        )


def render(page: Page) -> str:
    """Return the page."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    packed = base64.b64encode(
        gzip.compress(json.dumps(page.rows, separators=(",", ":")).encode(), 6)
    ).decode()
    environment = Environment(
        loader=PackageLoader("genretag.report", "pages"), autoescape=select_autoescape(default=True)
    )
    return environment.get_template("report.html").render(
        packed=packed,
        labels=list(page.labels),
        threshold=page.threshold,
        slider=page.slider,
        title=page.title,
        count=len(page.rows),
    )


def page_of(
    store: Store,
    rows: Iterable[Row],
    metadata: ModelMetadata,
    policy: Policy,
    past: WriteHistory | None,
    title: str,
) -> str:
    """Return a plan's page."""
    threshold = (
        metadata.confidence_threshold if policy.min_confidence is None else policy.min_confidence
    )
    slider = policy.album is AlbumRule.OFF
    found = list(rows_of(store, rows, metadata, policy, past))
    if len(found) > _MAX_PICTURES:
        found = [[*row[:-1], ""] for row in found]
    return render(Page(found, metadata.labels, threshold, slider, title))
