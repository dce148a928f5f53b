"""The report for a screen reader, a braille line or a log: one sentence a track, no tables, colours or symbols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from genretag.decisions.plan import Action, Row
from genretag.decisions.vote import Status
from genretag.library.urls import home_relative
from genretag.report.summary import Summary
from genretag.text import escape_control, two_digits


def sentence(row: Row) -> str:
    """Return what becomes of a track, as one line."""
    parts = [f"{home_relative(Path(row.path))}:", _change(row)]
    if row.confidence is not None and row.status != Status.NONMUSIC:
        parts.append(f"Sure {two_digits(row.confidence)}.")
    if row.windows and row.agreement is not None:
        heard = f" heard, of {row.of_windows}" if row.of_windows else ""
        parts.append(f"{round(row.agreement * row.windows)} of {row.windows} windows{heard}.")
    if row.share is not None and row.share < 0.995:
        parts.append(f"Partly corrupt, {row.share:.0%} heard.")
    return " ".join(parts)


def _said(genres: list[str]) -> str:
    return " and ".join(escape_control(g) for g in genres) if genres else "empty"


def _change(row: Row) -> str:
    """Return what will be done and why."""
    why = escape_control(row.error or row.reason)
    if row.status == Status.FAILED:
        return f"failed: {why}."
    if row.action == Action.WRITE:
        return f"{_said(row.old)} becomes {_said(row.new)}; {why}."
    heard = (
        f", heard {' or '.join(list(row.scores)[:2])}"
        if row.status == Status.UNSURE and row.scores
        else ""
    )
    return f"stays {_said(row.old)}; {why}{heard}."


def lines(rows: Iterable[Row], summary: Summary) -> Iterator[str]:
    """Yield the totals, and then every track."""
    yield f"{summary.files:,} file{'' if summary.files == 1 else 's'}."
    for genre, count in summary.writes.most_common():
        yield f"{count:,} become {escape_control(genre)}."
    for reason, count in summary.left.most_common():
        yield f"{count:,} left alone: {escape_control(reason)}."
    for row in rows:
        yield sentence(row)
