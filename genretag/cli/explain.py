"""``genretag plan --explain FILE``: each step of a decision, from the windows to the tag."""

from __future__ import annotations

import json as json_lib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.output import result_console
from genretag.errors import RunError
from genretag.text import two_digits

if TYPE_CHECKING:
    from genretag.decisions.policy import Policy
    from genretag.decisions.vote import Verdict
    from genretag.inference.metadata import ModelMetadata
    from genretag.records import Analysis, FileRow
    from genretag.storage.scans import Scan
    from genretag.writing.session import Databases

_NAMED_LABELS = 3  # per window, and of the vote


@dataclass(frozen=True)
class Line:
    """One step as it is shown."""

    step: str
    what: str


@dataclass(frozen=True)
class _Case:
    """A file's stored analysis, and the rules that decide on it."""

    file: Path
    row: FileRow
    analysis: Analysis
    metadata: ModelMetadata
    policy: Policy
    verdict: Verdict


def explain_file(
    databases: Databases, last: Scan, policy: Policy, file: Path, *, json: bool
) -> None:
    """Print the steps of one file's decision.

    Raises:
        RunError: the last scan's model did not analyse the file.
    """
    case = _load_case(databases, last, policy, file)
    lines = [
        *_window_lines(case),
        *_vote_lines(case),
        *_vocabulary_lines(case),
        *_decision_lines(case, databases),
    ]
    if json:
        print(json_lib.dumps([vars(line) for line in lines]))
        return
    width = max(len(line.step) for line in lines)
    for line in lines:
        result_console().print(f"{line.step:<{width}}  {line.what}", soft_wrap=True)


def _load_case(databases: Databases, last: Scan, policy: Policy, file: Path) -> _Case:
    """Load what decides on a file; raise ``RunError`` if it was not analysed."""
    from genretag.decisions.vote import vote
    from genretag.features import FEATURE_VERSION
    from genretag.library.urls import absolute
    from genretag.library.walk import on_disk_case
    from genretag.scan.replan import metadata_of

    path = absolute(on_disk_case(file))
    known = databases.store.known(path, last.model or "", FEATURE_VERSION)
    if known is None:
        failure = databases.store.failure(path)
        reason = "the last scan's model did not analyse it; genretag scan does"
        raise RunError(f"{file}: {failure.error if failure is not None else reason}")
    (row, analysis), metadata = known, metadata_of(databases.store, last)
    verdict = vote(analysis, metadata, policy.vote, policy.min_confidence)
    return _Case(file, row, analysis, metadata, policy, verdict)


def _window_lines(case: _Case) -> Iterator[Line]:
    """Yield the best labels of each window."""
    from genretag.decisions.vote import window_scores

    analysis, metadata = case.analysis, case.metadata
    scores = window_scores(analysis.logits, metadata, analysis.length_of_window)
    name = "piece" if analysis.piece else "window"
    for start, row in zip(analysis.starts, scores, strict=True):
        best = (
            f"{metadata.labels[i]} {two_digits(row[i])}"
            for i in row.argsort()[::-1][:_NAMED_LABELS]
        )
        yield Line(f"{name} at {int(start) // 60}:{int(start) % 60:02d}", ", ".join(best))


def _vote_lines(case: _Case) -> Iterator[Line]:
    """Yield the vote, the threshold, the labels and the styles."""
    from genretag.decisions.genre import labels_to_write
    from genretag.text import count_windows, escape_control

    verdict, policy = case.verdict, case.policy
    best = ", ".join(
        f"{g} {two_digits(s)}" for g, s in list(verdict.scores.items())[:_NAMED_LABELS]
    )
    agreeing = round(verdict.agreement * verdict.windows)
    votes = f"{agreeing} of {count_windows(verdict.windows, case.analysis.piece)} agree"
    if case.analysis.of and not case.analysis.piece:
        votes += f" ({case.analysis.of} in the track; these are enough)"
    yield Line(f"vote ({policy.vote})", f"{best}; {votes}")
    threshold = policy.min_confidence
    if threshold is None:
        threshold = case.metadata.confidence_threshold
    compared = f"{two_digits(verdict.confidence)}, threshold {threshold:.2f}: {verdict.status}"
    yield Line("threshold", f"{compared}; music {two_digits(verdict.music)}")
    yield Line(f"labels (--top {policy.top})", ", ".join(labels_to_write(verdict, policy)))
    if verdict.styles:
        styles = (f"{escape_control(name)} {two_digits(p)}" for name, p in verdict.styles.items())
        yield Line("styles", ", ".join(styles))
    if verdict.moods:
        moods = (f"{escape_control(name)} {two_digits(p)}" for name, p in verdict.moods.items())
        yield Line("moods", ", ".join(moods))


def _vocabulary_lines(case: _Case) -> Iterator[Line]:
    """Yield what each step of the vocabulary makes of the labels."""
    from genretag.decisions.genre import labels_to_write
    from genretag.decisions.vocabulary import Step
    from genretag.text import escape_control

    vocabulary, steps = case.policy.vocabulary, list[Step]()
    if vocabulary.changes_nothing:
        return
    labels = labels_to_write(case.verdict, case.policy)
    vocabulary.words(labels, case.row.tags.album.artist, steps)
    for step in steps:
        yield Line(step.what, ", ".join(map(escape_control, step.words)) or "nothing is left")


def _decision_lines(case: _Case, databases: Databases) -> Iterator[Line]:
    """Yield the genre in the file, the decision, and the new genre."""
    from genretag.decisions.plan import judge
    from genretag.text import escape_control, words

    policy = case.policy
    row = judge(case.file, case.row, case.analysis, case.metadata, policy, past=databases.journal)
    yield Line("in the file", words(case.row.tags.genres))
    yield Line(f"decision ({policy.existing})", f"{row.action}: {escape_control(row.reason)}")
    yield Line(f"trust ({policy.trusted})", f"named by: {row.source or 'nobody'}")
    yield Line("written", words(row.new) if row.action == "write" else "nothing")
    for name, plan in row.fields.items():
        text = f"{plan['action']}: {escape_control(plan['reason'])}"
        if plan["action"] == "write":
            text += f"; {words(plan['old'])} -> {words(plan['new'])}"
        yield Line(name if plan["tag"] == name else f"{name} (in the {plan['tag']})", text)
    if policy.album != "off":
        yield Line("album", f"--album {policy.album} may change this; see genretag plan")
