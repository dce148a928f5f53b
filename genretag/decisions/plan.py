"""Turn a verdict and a file's tags into a plan row: genre, further fields, album and answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genretag.decisions.albums import AlbumVerdict
from genretag.decisions.answers import closed_row, is_without_genre, reviewed_row
from genretag.decisions.fields import EVIDENCE, plan_evidence, plan_fields
from genretag.decisions.genre import Decision, decide, find_obstacle, labels_to_write, protection
from genretag.decisions.history import WriteHistory
from genretag.decisions.policy import Field, Policy
from genretag.decisions.reasons import TEXT, Action, Reason
from genretag.decisions.rows import Row, base_row, source_of_old
from genretag.decisions.sources import Source, source_of
from genretag.decisions.vocabulary import normalise_genre
from genretag.decisions.vote import Status, Verdict, vote
from genretag.inference.metadata import ModelMetadata
from genretag.records import Analysis, FileRow, Tags
from genretag.tags import meaningful


def judge(
    path: Path,
    f: FileRow,
    analysis: Analysis,
    metadata: ModelMetadata,
    policy: Policy,
    *,
    past: WriteHistory | None = None,
    album: AlbumVerdict | None = None,
) -> Row:
    """Return the plan row of an analysed file, from stored scores alone."""
    verdict = vote(analysis, metadata, policy.vote, policy.min_confidence)
    row = _judge_genre(path, f, analysis, verdict, policy, past, album)
    if policy.writes_genre_alone:
        return row
    return with_fields(row, f, verdict, metadata, policy, past)


def with_fields(
    row: Row,
    f: FileRow,
    verdict: Verdict,
    metadata: ModelMetadata,
    policy: Policy,
    past: WriteHistory | None = None,
) -> Row:
    """Return a row with plans for the other fields, and without one for the genre if not wanted."""
    if Field.GENRE not in policy.write and row.action == Action.WRITE:
        text, code = TEXT[Reason.NOT_CHOSEN], Reason.NOT_CHOSEN
        action = Action.KEEP if row.old else Action.SKIP
        row = replace(row, action=action, new=row.old, reason=text, code=code)
        row = replace(row, source=source_of_old(row))
    if row.reviewed and row.code in (Reason.REVIEWED, Reason.NOT_MUSIC) and row.genre is None:
        return row  # a person left the file as it is
    plans = plan_fields(f, verdict, metadata, policy, find_obstacle(f.tags, policy, f.links), past)
    row = replace(row, fields=plans)
    if policy.evidence and (evidence := plan_evidence(row, f.tags, metadata)) is not None:
        row = replace(row, fields={**plans, EVIDENCE: evidence})
    return row


def _judge_genre(
    path: Path,
    f: FileRow,
    analysis: Analysis,
    verdict: Verdict,
    policy: Policy,
    past: WriteHistory | None,
    album: AlbumVerdict | None,
) -> Row:
    last = past.wrote(f.content_key, audio_key=f.audio_key) if past is not None else None
    answer = past.answered(f.content_key, f.audio_key) if past is not None else None
    if answer is not None and is_without_genre(answer):
        return closed_row(base_row(path, f, analysis, verdict), answer)
    # Once an answer is written, a later change of the file by its owner counts, not the answer.
    if answer and (f.tags.genres == answer or last != answer):
        return reviewed_row(base_row(path, f, analysis, verdict), answer, f, policy)
    decided = verdict
    if album is not None and album.label is not None and verdict.status is not Status.NONMUSIC:
        decided = replace(verdict, status=Status.OK, genre=album.label)
    ours = last is not None and last == f.tags.genres and bool(meaningful(last))
    decision = decide(decided, f.tags, policy, f.links, path=str(f.path), ours=ours)
    if album is not None and decision.action is Action.WRITE:
        decision = _apply_album(decision, album, verdict, decided, f.tags.genres, policy)
    action, reason, new, code = decision
    row = base_row(path, f, analysis, decided)
    source = _source(new, decided, f.tags, policy, ours=ours)
    return replace(row, new=new, action=action, reason=reason, code=code, source=source)


def _source(new: list[str], verdict: Verdict, tags: Tags, policy: Policy, *, ours: bool) -> str:
    """Return who names the genres ``new``; those that genretag wrote before are the model's."""
    words = list[str]()
    if verdict.status is Status.OK:
        words = policy.vocabulary.words(labels_to_write(verdict, policy), tags.album.artist)
    if ours:
        return source_of(new, [], [*words, *tags.genres], policy.vocabulary) or ""
    return source_of(new, tags.genres, words, policy.vocabulary) or ""


def _apply_album(
    decision: Decision,
    album: AlbumVerdict,
    alone: Verdict,
    decided: Verdict,
    old: list[str],
    policy: Policy,
) -> Decision:
    """Return a decision to write as the album confirms, explains or prevents it."""
    if album.tied:
        words = {normalise_genre(w) for w in policy.vocabulary.words(sorted(album.tied))}
        if any(normalise_genre(genre) in words for genre in old):
            text = f"its album is tied between {' and '.join(sorted(album.tied))}"
            return Decision(Action.KEEP, text, old, Reason.ALBUM)
        return decision
    if album.label is None:
        text = f"its album does not agree ({album.text})"
        return Decision(Action.SKIP, text, old, Reason.ALBUM)
    if decided.genre != alone.genre:
        return decision._replace(reason=f"{decision.reason}, as {album.text}")
    if alone.status is Status.UNSURE:
        return decision._replace(reason=f"{decision.reason}; unsure alone, but {album.text} agree")
    return decision


def tidied_row(row: Row, tags: Tags, new: list[str], policy: Policy, links: int = 1) -> Row:
    """Return a row whose genres ``new`` come from those in the tags, without an analysis."""
    separator = policy.separator_in(tags.field)
    new = [separator.join(new)] if separator and new else new
    decision = Decision(Action.WRITE, TEXT[Reason.TIDIES], new, Reason.TIDIES)
    if tags.problem is not None:
        decision = Decision(Action.SKIP, tags.problem, tags.genres, Reason.NOT_WRITABLE)
    elif (why := protection(str(row.absolute), tags, policy)) is not None:
        decision = Decision(Action.SKIP, why, tags.genres, Reason.PROTECTED)
    elif not new:
        why = "no genre would be left"
        decision = Decision(Action.KEEP, why, tags.genres, Reason.NO_WORD)
    elif new == tags.genres:
        decision = Decision(Action.KEEP, TEXT[Reason.SAME], tags.genres, Reason.SAME)
    elif (obstacle := find_obstacle(tags, policy, links)) is not None:
        decision = Decision(Action.SKIP, TEXT[obstacle], tags.genres, obstacle)
    action, reason, genres, code = decision
    return replace(
        row,
        old=tags.genres,
        new=genres,
        action=action,
        reason=reason,
        code=code,
        reviewed=False,
        source=Source.TAGS if meaningful(genres, policy.vocabulary.generic) else "",
    )
