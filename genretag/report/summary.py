"""Totals of a plan, gathered in one pass over its rows."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import genretag
from genretag.decisions.fields import EVIDENCE
from genretag.decisions.reasons import Action, Reason
from genretag.decisions.rows import Row
from genretag.decisions.sources import Source
from genretag.decisions.vote import Status
from genretag.records import PIECE_SECONDS
from genretag.report.selection import is_album_decision, replaces_genre
from genretag.text import count

_EXAMPLES = 5  # rows that are kept of each kind of risk

#: A track of which less than this share decoded is reported as partly corrupt.
MIN_WHOLE_SHARE = 0.995

#: Kinds of risky changes, the riskiest first: each row is an example of the first that fits.
REPLACED, BY_ALBUM, LEAST_CERTAIN = "replaces a genre", "decided by its album", "least certain"
RISKS = (REPLACED, BY_ALBUM, LEAST_CERTAIN)


@dataclass
class Summary:
    """Totals of a plan."""

    files: int = 0
    seconds: float = 0.0  # of audio
    writes: Counter[str] = field(default_factory=Counter)  # new genre -> files
    field_writes: Counter[tuple[str, str]] = field(
        default_factory=Counter
    )  # (field, value) -> files
    changed: int = 0  # files of which apply writes a field
    changed_fields: Counter[str] = field(default_factory=Counter)  # field -> files
    left: Counter[str] = field(default_factory=Counter)  # reason -> files
    sources: Counter[str] = field(default_factory=Counter)  # ``Row.source`` -> files
    failed: int = 0
    unsure: int = 0
    partly: int = 0  # files that are partly corrupt
    from_pieces: int = 0  # tracks that were decided from pieces
    risks: Counter[str] = field(default_factory=Counter)  # kind of risk -> files
    # Kind of risk -> heap of (-confidence, path, row); the path makes ties independent of order.
    examples: dict[str, list[tuple[float, str, Row]]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count a row."""
        self.files += 1
        self.seconds += row.seconds or 0.0
        self.failed += row.status == Status.FAILED
        self.unsure += row.status == Status.UNSURE
        self.partly += is_partly_corrupt(row)
        self.from_pieces += bool(row.piece)
        if row.source:
            self.sources[row.source] += 1
        written = [name for name in row.writes if name != EVIDENCE]
        self.changed += bool(written)
        self.changed_fields.update(written)
        if row.action == Action.WRITE:
            self.writes[", ".join(row.new)] += 1
            self._keep_example(row)
        elif not written:
            self.left[_group_reason(row)] += 1
        for name, plan in row.fields.items():
            if plan["action"] == Action.WRITE and name != EVIDENCE:
                self.field_writes.update((name, value) for value in plan["new"])
            elif plan["action"] != Action.WRITE and plan["code"] != row.code:
                text = _group_text(plan["reason"])
                self.left[text if name in text else f"{name}: {text}"] += 1

    def _keep_example(self, row: Row) -> None:
        risk = _risk(row)
        if risk is None:
            return
        self.risks[risk] += 1
        heap = self.examples.setdefault(risk, [])
        heapq.heappush(heap, (-(row.confidence or 0.0), row.path, row))
        if len(heap) > _EXAMPLES:
            heapq.heappop(heap)

    def to_json(self) -> str:
        """Return the totals as text, from which ``from_json`` makes equal ones."""
        # Lists keep the order, which decides between equal numbers, and keys that are no text.
        data = {k: list(v.items()) if isinstance(v, dict) else v for k, v in vars(self).items()}
        examples = [
            (risk, [(minus, path, row.to_dict()) for minus, path, row in heap])
            for risk, heap in self.examples.items()
        ]
        return json.dumps({**data, "examples": examples, "version": genretag.__version__})

    @classmethod
    def from_json(cls, text: str) -> Summary | None:
        """Return the totals of a text; None if another version made it: it may count otherwise."""
        data: dict[str, Any] = json.loads(text)
        if data.pop("version", None) != genretag.__version__ or data.keys() != vars(cls()).keys():
            return None
        for name in ("writes", "changed_fields", "left", "sources", "risks"):
            data[name] = Counter(dict(data[name]))
        data["field_writes"] = Counter(
            {(name, value): n for (name, value), n in data["field_writes"]}
        )
        data["examples"] = {
            risk: [(minus, path, Row.from_dict(row)) for minus, path, row in heap]
            for risk, heap in data["examples"]
        }
        return cls(**data)

    def field_totals(self) -> list[tuple[tuple[str, str], int]]:
        """Return ((field, value), files) by field, the most frequent value first."""
        return sorted(self.field_writes.most_common(), key=lambda total: total[0][0])

    def least_certain(self, risk: str) -> list[Row]:
        """Return examples of a kind of risk, the least certain first."""
        return [row for _, _, row in sorted(self.examples.get(risk, ()), reverse=True)]


def _risk(row: Row) -> str | None:
    """Return the kind of risk of a change; None for one that no model chose."""
    if replaces_genre(row):
        return REPLACED
    if is_album_decision(row):
        return BY_ALBUM
    return None if row.reviewed or row.code == Reason.TIDIES else LEAST_CERTAIN


_NAMED_BY = {
    Source.TAGS: "the tags",
    Source.MODEL: "the model",
    Source.BOTH: "both",
    Source.PERSON: "you",
}


def describe_sources(summary: Summary) -> str:
    """Return how many files' genres the tags, the model, both and the user name; else empty."""
    counts = [
        f"{name} {summary.sources[source]:,}"
        for source, name in _NAMED_BY.items()
        if summary.sources[source]
    ]
    return f"genres named by: {', '.join(counts)}" if counts else ""


def describe_pieces(summary: Summary) -> str:
    """Return how many tracks were decided from pieces of 5 s; empty where none was."""
    if not summary.from_pieces:
        return ""
    return f"decided from pieces of {PIECE_SECONDS} s: {count(summary.from_pieces, 'track')}"


def agreement_of(row: Row) -> str:
    """Return that the model agrees with the genre that a file keeps; empty where it does not."""
    return "the model agrees" if row.action == Action.KEEP and row.source == Source.BOTH else ""


@dataclass(frozen=True)
class Scope:
    """The files of a report, as the next commands name them."""

    paths: str = ""  # quoted for the shell; empty: all of the plan that was stored last
    run: int | None = None  # of an older plan
    writes: int = 0  # files that apply would write now
    # Of a plan of tidy: the files that tidy itself would write now; None for other plans.
    tidied: int | None = None
    table: str = ""  # the edited table of that plan, quoted for the shell

    def command(self, name: str) -> str:
        """Return a command for the same files."""
        run = f"--run {self.run}" if self.run is not None else ""
        return " ".join(filter(None, ("genretag", name, self.paths, run)))


def is_partly_corrupt(row: Row) -> bool:
    """Return whether a part of a track could not be decoded."""
    return row.share is not None and row.share < MIN_WHOLE_SHARE


def _group_reason(row: Row) -> str:
    """Return a row's reason without its details on one file or album."""
    # Plans of older versions have no codes.
    if row.code == Reason.DUPLICATE or row.reason.startswith("same file as"):
        return "same file as another"
    if row.reason.startswith("its album is tied"):
        return "its album is tied"
    return _group_text(row.reason)


def _group_text(reason: str) -> str:
    """Return a reason without the values that would be written, and without details."""
    if reason.startswith("would write "):
        return reason.rpartition("; ")[2]
    return reason.partition(" (")[0]


def summarise(rows: Iterable[Row]) -> Summary:
    """Return the totals of rows."""
    summary = Summary()
    for row in rows:
        summary.add(row)
    return summary
