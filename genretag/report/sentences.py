"""The report in plain sentences, for a screen reader, a braille display or a log.

One line per track, without tables, colours or symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from genretag.decisions.reasons import Action
from genretag.decisions.rows import Row
from genretag.decisions.vote import Status
from genretag.library.urls import home_relative
from genretag.report.changes import shown_path, written_fields
from genretag.report.summary import (
    Summary,
    agreement_of,
    describe_pieces,
    describe_sources,
    is_partly_corrupt,
)
from genretag.text import all_words, count, count_windows, escape_control, two_digits, word


def sentence(row: Row) -> str:
    """Return the decision on a track as one line."""
    parts = [f"{home_relative(shown_path(row))}:", _change(row), *_field_changes(row)]
    if row.confidence is not None and row.status != Status.NONMUSIC:
        parts.append(f"Confidence {two_digits(row.confidence)}.")
    if row.windows and row.agreement is not None:
        parts.append(_votes(row))
    if is_partly_corrupt(row):
        parts.append(f"Partly corrupt, {row.share:.0%} decoded.")
    return " ".join(parts)


def _votes(row: Row) -> str:
    """Return how many of the windows voted for the genre."""
    agreeing = round((row.agreement or 0.0) * row.windows)
    of_all = f", of {row.of_windows} in the track" if row.of_windows and not row.piece else ""
    verb = "agrees" if agreeing == 1 else "agree"
    return f"{agreeing} of {count_windows(row.windows, row.piece)} {verb}{of_all}."


def _genres(genres: list[str]) -> str:
    return " and ".join(all_words(genres)) if genres else "empty"


def _change(row: Row) -> str:
    """Return what will be written and why, or why nothing will be."""
    reason = escape_control(row.error or row.reason)
    if row.status == Status.FAILED:
        return f"failed: {reason}."
    if row.action == Action.WRITE:
        return f"{_genres(row.old)} becomes {_genres(row.new)}; {reason}."
    if row.status == Status.UNSURE and row.scores:
        reason += f", {' or '.join(list(row.scores)[:2])}"
    if agrees := agreement_of(row):
        reason += f", and {agrees}"
    return f"stays {_genres(row.old)}; {reason}."


def _field_changes(row: Row) -> list[str]:
    """Return a sentence on each other field that will be written."""
    return [
        f"{name.capitalize()}: {_genres(plan['old'])} becomes {_genres(plan['new'])};"
        f" {escape_control(plan['reason'])}."
        for name, plan in written_fields(row).items()
    ]


def report_lines(rows: Iterable[Row], summary: Summary) -> Iterator[str]:
    """Yield the lines of the report: the totals, then every track."""
    yield f"{count(summary.files, 'file')}."
    for genre, files in summary.writes.most_common():
        verb = "becomes" if files == 1 else "become"
        yield f"{count(files, 'file')} {verb} {word(genre)}."
    for (name, value), files in summary.field_totals():
        verb = "gets" if files == 1 else "get"
        yield f"{count(files, 'file')} {verb} the {name} {word(value)}."
    for reason, files in summary.left.most_common():
        yield f"{count(files, 'file')} left alone: {escape_control(reason)}."
    if pieces := describe_pieces(summary):
        yield f"{pieces[0].upper()}{pieces[1:]}."
    if sources := describe_sources(summary):
        yield f"{sources}."
    yield from map(sentence, rows)
