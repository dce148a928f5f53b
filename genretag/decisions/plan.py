"""Turn a verdict and a file's tags into a plan row: the action, the reason, the new genres."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from genretag.decisions.fields import (
    EVIDENCE,
    FieldPlan,
    are_plans,
    plan_evidence,
    plan_fields,
)
from genretag.decisions.policy import (
    Existing,
    Field,
    HardLinks,
    Policy,
    StyleField,
    Trust,
)
from genretag.decisions.reasons import TEXT as TEXT
from genretag.decisions.reasons import Action as Action
from genretag.decisions.reasons import Reason as Reason
from genretag.decisions.sources import Source, agreed, source_of
from genretag.decisions.vocabulary import built_in_tree, normalise_genre
from genretag.decisions.vote import Status, Verdict, vote
from genretag.errors import RunError
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import absolute, to_url
from genretag.records import Analysis, FileRow, Tags
from genretag.tags import V22, meaningful
from genretag.text import round_down


class WriteHistory(Protocol):
    """Earlier writes and answers, by content key. The journal implements it."""

    def wrote(
        self, content_key: str, field: str = "genre", audio_key: str | None = None
    ) -> list[str] | None:
        """Return what genretag last wrote to a field; None if nothing, or it was undone."""

    def answered(self, content_key: str, audio_key: str | None = None) -> list[str] | None:
        """Return the genres that a person chose in review; None if there was no question."""

    def renew_key(self, older: str, content_key: str) -> None:
        """Move what is known under an older content key to a new one."""

    def stamp(self) -> str:
        """Return a text that changes with every write and every answer."""


MAX_SCORES = 24  # highest scores kept in a row; some models have hundreds of labels

#: Separators that people put between genres in a single value.
_JOINERS = re.compile(r"\s*[;,/|\\\\]\s*")

#: What a further genre (``--top``) needs: this probability of being right, too, or this score if
#: the model has no calibration of further genres.
MIN_FURTHER, MIN_FURTHER_SCORE = 0.3, 0.15


#: Answers of a review that name no genre: keep the file as it is, and it is not music. An empty
#: word in front tells the second from a genre of that name.
LEAVE_ANSWER: list[str] = []
NOT_MUSIC_ANSWER = ["", "not-music"]


class Decision(NamedTuple):
    """The action for a file, the reason as text, the genres it will have, and the reason's code."""

    action: Action
    reason: str
    new: list[str]
    code: Reason


@dataclass(frozen=True)
class Row:
    """One file of a plan or report; its fields are the keys of ``--json``."""

    path: str  # as walked; bytes that are not UTF-8 are surrogates
    status: str
    genre: str | None
    confidence: float | None
    scores: dict[str, float]
    windows: int
    agreement: float | None
    old: list[str]
    new: list[str]
    action: str
    reason: str
    error: str | None = None
    file: str = ""  # absolute path; "" if ``path`` is absolute
    music: float | None = None  # probability of music, 0 to 1
    seconds: float | None = None
    share: float | None = None  # part of the track that decoded, 0 to 1
    size: int = 0
    mtime_ns: int = 0
    sha256: str | None = None  # of the whole file; null in plans that have a check
    content_key: str = ""  # the audio key, where the packets were never read
    artist: str = ""
    album: str = ""
    album_artist: str = ""
    reviewed: bool = False  # a person chose the genre
    of_windows: int = 0  # windows in the track, if only some were analysed
    styles: list[str] = field(default_factory=list)  # above their thresholds
    code: str = ""  # the reason's code; "" in plans of older versions
    compilation: bool = False  # by the file's tags
    file_check: str | None = None  # "xxh3:" or "sha256:" and a hash of the whole file
    audio_key: str | None = None  # a hash of parts of the audio; see genretag.audio.audio_key
    piece: float = 0.0  # s; ``windows`` counts pieces of this length; 0: windows of 30 s
    source: str = ""  # who names the genre in ``new``: a ``Source``; "" if nobody does
    #: Field beside the genre -> what is planned for it; empty unless ``--write`` names one.
    fields: dict[str, FieldPlan] = field(default_factory=dict)

    @property
    def absolute(self) -> Path:
        """Absolute path of the file."""
        return absolute(Path(self.file or self.path))

    @property
    def writes(self) -> dict[str, list[str]]:
        """The fields that apply writes, the genre first, with their new values.

        Evidence alone, in a plan that somebody edited, is not written.
        """
        found = {"genre": self.new} if self.action == Action.WRITE and self.new else {}
        planned = ((name, plan) for name, plan in self.fields.items())
        found |= {n: p["new"] for n, p in planned if p["action"] == Action.WRITE}
        return found if found.keys() != {EVIDENCE} else {}

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON data; its lists are those of the row."""
        return dict(vars(self))  # asdict copies them, which takes ten times as long

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Row:
        """Read a row from JSON data.

        Raises:
            RunError: the data is not a row of a plan.
        """
        try:
            known = data if data.keys() <= _KEYS else {k: v for k, v in data.items() if k in _KEYS}
            row = cls(**known)
        except TypeError as error:
            raise RunError(f"not a row of a plan: {error}") from error
        valid = isinstance(row.path, str) and all(map(_is_word_list, (row.old, row.new)))
        if not valid or row.action not in set(Action) or not are_plans(row.fields):
            raise RunError(f"not a row of a plan: {row.path!r}")
        return row


_KEYS = frozenset(f.name for f in fields(Row))


def _is_word_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


@dataclass(frozen=True)
class AlbumVerdict:
    """The verdict of an album whose tracks decide together."""

    label: str | None  # None: the tracks disagree
    votes: int  # sure tracks for the label ...
    of: int  # ... of so many sure tracks
    tied: frozenset[str] = frozenset()  # labels with equally many votes: tracks decide alone

    @property
    def text(self) -> str:
        """The verdict for reports."""
        return f"{self.votes} of {self.of} sure tracks of its album"


def labels_to_write(verdict: Verdict, policy: Policy) -> list[str]:
    """Return the labels that a file would get, the best first."""
    likely, least = verdict.further, MIN_FURTHER
    if not likely:
        likely, least = verdict.scores, MIN_FURTHER_SCORE
    others = [genre for genre in verdict.scores if genre != verdict.genre]
    # The track's own best genre, which its album may overrule, is right with its confidence.
    further = [
        genre
        for genre in others[: policy.top - 1]
        if likely.get(genre, verdict.confidence) >= least
    ]
    return [verdict.genre, *further]


def _merge_with_old(words: list[str], tags: Tags, policy: Policy) -> list[str]:
    """Return the genres that a file will have: ``words``, after the old ones with APPEND.

    A separator, where the policy or the player wants one, makes a single value of them.
    """
    separator = policy.separator_in(tags.field)
    if policy.existing is Existing.APPEND:
        old = meaningful(tags.genres, policy.vocabulary.generic)
        if separator:
            split_at = separator.strip() or separator
            old = [part.strip() for genre in old for part in genre.split(split_at)]
        have = {normalise_genre(part) for genre in old for part in (genre, *_JOINERS.split(genre))}
        words = [*old, *(w for w in words if normalise_genre(w) not in have)]
    return [separator.join(words)] if separator and words else words


def decide(
    verdict: Verdict,
    tags: Tags,
    policy: Policy,
    links: int = 1,
    *,
    path: str = "",
    ours: bool = False,
) -> Decision:
    """Decide about one file. ``ours``: its genre is the one that genretag wrote last."""
    old = tags.genres

    def leave(action: Action, code: Reason, text: str = "") -> Decision:
        return Decision(action, text or TEXT[code], old, code)

    if verdict.status is Status.NONMUSIC:
        return leave(Action.SKIP, Reason.NOT_MUSIC)
    if verdict.status is Status.UNSURE:
        return leave(Action.SKIP, Reason.UNSURE)
    if tags.problem is not None:
        return leave(Action.SKIP, Reason.NOT_WRITABLE, tags.problem)
    artists = (tags.album.artist, tags.album.album_artist)
    if (why := policy.protect.reason(path, artists, old)) is not None:
        return leave(Action.SKIP, Reason.PROTECTED, why)
    has_genre = bool(meaningful(old, policy.vocabulary.generic))
    if has_genre and policy.existing is Existing.SKIP and not ours:
        return leave(Action.KEEP, Reason.HAS_GENRE)
    if has_genre and policy.trusted is Trust.TAGS and not ours:
        text = f"{TEXT[Reason.HAS_GENRE]} (--trust tags)"
        return leave(Action.KEEP, Reason.HAS_GENRE, text)
    words = policy.vocabulary.words(labels_to_write(verdict, policy), tags.album.artist)
    words = _with_styles(words, verdict, policy)
    if not words:
        text = f"the vocabulary has no word for {verdict.genre}"
        return leave(Action.SKIP, Reason.NO_WORD, text)
    if policy.trusted is Trust.AGREE and not has_genre:
        return leave(Action.SKIP, Reason.MODEL_ONLY)
    if policy.trusted is Trust.AGREE:
        words = agreed(words, old, policy.vocabulary)
        if not words:
            return leave(Action.KEEP, Reason.DISAGREE)
    new = _merge_with_old(words, tags, policy)
    if new == old:
        return leave(Action.KEEP, Reason.SAME)
    replaces = has_genre and policy.existing is Existing.REPLACE
    if replaces and not policy.coarsen and _is_coarser(new, old, policy):
        return leave(Action.KEEP, Reason.FINER)
    if (obstacle := _obstacle(tags, policy, links)) is not None:
        return leave(Action.SKIP, obstacle)
    code = _reason_to_write(has_genre, bool(old), ours, policy)
    return Decision(Action.WRITE, TEXT[code], new, code)


def _with_styles(words: list[str], verdict: Verdict, policy: Policy) -> list[str]:
    """Return the genres with the styles behind them where these are written as genres."""
    if not words or Field.STYLE not in policy.write or policy.style_field is not StyleField.GENRE:
        return words
    known = {normalise_genre(word) for word in words}
    styles = policy.vocabulary.field_words(Field.STYLE, list(verdict.styles))
    return [*words, *(word for word in styles if normalise_genre(word) not in known)]


def _obstacle(tags: Tags, policy: Policy, links: int) -> Reason | None:
    """Return why a file is not written although its genre would change; None if it is."""
    if links > 1 and policy.hardlinks is HardLinks.SKIP:
        return Reason.HARD_LINKS
    if tags.field == V22 and not (policy.convert_v22 or policy.id3.number):
        return Reason.OLD_TAG
    return None


def _reason_to_write(has_genre: bool, has_text: bool, ours: bool, policy: Policy) -> Reason:
    if not has_genre:
        return Reason.GENERIC if has_text else Reason.EMPTY
    if policy.existing is Existing.APPEND:
        return Reason.ADDS
    return Reason.RENEWS if ours else Reason.REPLACES


def _is_coarser(new: list[str], old: list[str], policy: Policy) -> bool:
    """Return whether each new genre is a parent of an old one: Jazz, where the file has Bebop."""
    trees = (policy.vocabulary.tree, built_in_tree())
    return all(any(tree.is_finer(o, word) for tree in trees for o in old) for word in new)


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
        row = replace(row, source=_source_of_old(row))
    if row.reviewed and row.code in (Reason.REVIEWED, Reason.NOT_MUSIC) and row.genre is None:
        return row  # a person left the file as it is
    plans = plan_fields(f, verdict, metadata, policy, _obstacle(f.tags, policy, f.links), past)
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
        return _closed_row(_base_row(path, f, analysis, verdict), answer)
    # Once an answer is written, a later change of the file by its owner counts, not the answer.
    if answer and (f.tags.genres == answer or last != answer):
        return _reviewed_row(_base_row(path, f, analysis, verdict), answer, f, policy)
    decided = verdict
    if album is not None and album.label is not None and verdict.status is not Status.NONMUSIC:
        decided = replace(verdict, status=Status.OK, genre=album.label)
    ours = last is not None and last == f.tags.genres and bool(meaningful(last))
    decision = decide(decided, f.tags, policy, f.links, path=str(f.path), ours=ours)
    if album is not None and decision.action is Action.WRITE:
        decision = _apply_album(decision, album, verdict, decided, f.tags.genres, policy)
    action, reason, new, code = decision
    row = _base_row(path, f, analysis, decided)
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
    """Return the decision to write after the album had its say."""
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


def is_without_genre(answer: list[str]) -> bool:
    """Return whether an answer closes the question without a genre to write."""
    return answer in (LEAVE_ANSWER, NOT_MUSIC_ANSWER)


def answered_row(row: Row, answer: list[str]) -> Row:
    """Return a row of a plan with the answer of a person."""
    if is_without_genre(answer):
        return _closed_row(row, answer)
    return replace(
        row,
        action=Action.KEEP if answer == row.old else Action.WRITE,
        status=Status.OK,
        new=answer,
        genre=answer[0],
        reason=TEXT[Reason.REVIEWED],
        code=Reason.REVIEWED,
        reviewed=True,
        source=Source.PERSON,
    )


def _closed_row(row: Row, answer: list[str]) -> Row:
    """Return the row of a file that a person left alone, or declared not to be music."""
    not_music = answer == NOT_MUSIC_ANSWER
    code = Reason.NOT_MUSIC if not_music else Reason.REVIEWED
    return replace(
        row,
        status=Status.NONMUSIC if not_music else Status.OK,
        action=Action.SKIP if not_music else Action.KEEP,
        genre=None,
        new=row.old,
        reason=TEXT[code] if not_music else "left as it is, by review",
        code=code,
        reviewed=True,
        source=Source.PERSON,
        fields={},
    )


def _reviewed_row(row: Row, words: list[str], f: FileRow, policy: Policy) -> Row:
    """Return the row of a file whose genre a person chose."""
    artists = (f.tags.album.artist, f.tags.album.album_artist)
    protected = policy.protect.reason(str(f.path), artists, f.tags.genres)
    obstacle = _obstacle(f.tags, policy, f.links)
    action, code, reason = Action.WRITE, Reason.REVIEWED, TEXT[Reason.REVIEWED]
    if f.tags.genres == words:
        action = Action.KEEP
    elif f.tags.problem is not None:
        action, code, reason = Action.SKIP, Reason.NOT_WRITABLE, f.tags.problem
    elif protected is not None:
        action, code, reason = Action.SKIP, Reason.PROTECTED, protected
    elif obstacle is not None:
        action, code, reason = Action.SKIP, obstacle, TEXT[obstacle]
    return replace(
        row,
        status=Status.OK,
        genre=words[0],
        new=words if action is not Action.SKIP else f.tags.genres,
        action=action,
        reason=reason,
        code=code,
        reviewed=True,
        source=Source.PERSON,
    )


def _base_row(path: Path, f: FileRow, analysis: Analysis, verdict: Verdict) -> Row:
    """Return the row of an analysed file before anything is decided."""
    return Row(
        path=to_url(path),
        status=verdict.status,
        genre=verdict.genre if verdict.status is Status.OK else None,
        confidence=round_down(verdict.confidence, 4),
        scores={g: round_down(s, 4) for g, s in islice(verdict.scores.items(), MAX_SCORES)},
        windows=verdict.windows,
        agreement=round(verdict.agreement, 4),
        old=f.tags.genres,
        new=f.tags.genres,
        action=Action.SKIP,
        reason="",
        file=to_url(f.path),
        music=round(verdict.music, 4),
        seconds=round(analysis.seconds, 2),
        share=round(analysis.share, 3),
        size=f.size,
        mtime_ns=f.mtime_ns,
        sha256=f.sha256 or None,
        content_key=f.content_key,
        file_check=f.file_check,
        audio_key=f.audio_key,
        piece=analysis.piece,
        artist=f.tags.album.artist,
        album=f.tags.album.album,
        album_artist=f.tags.album.album_artist,
        compilation=f.tags.album.compilation,
        of_windows=analysis.of,
        styles=list(verdict.styles),
    )


def _row_without_analysis(path: str, status: Status, code: Reason, reason: str) -> Row:
    return Row(
        path=path,
        status=status,
        genre=None,
        confidence=None,
        scores={},
        windows=0,
        agreement=None,
        old=[],
        new=[],
        action=Action.SKIP,
        reason=reason,
        code=code,
    )


def skipped_row(row: Row, code: Reason, reason: Callable[[list[str]], str]) -> Row:
    """Return a row that writes nothing; ``reason`` makes the text from the values not written."""
    plans = dict(row.fields)
    for name, plan in row.fields.items():
        if plan["action"] == Action.WRITE:
            plans[name] = plan.copy()
            plans[name]["action"], plans[name]["new"] = Action.SKIP, plan["old"]
            plans[name]["code"], plans[name]["reason"] = code, reason(plan["new"])
    row = replace(row, fields=plans)
    if row.action != Action.WRITE:
        return row
    text, source = reason(row.new), _source_of_old(row)
    return replace(row, action=Action.SKIP, new=row.old, code=code, reason=text, source=source)


def _source_of_old(row: Row) -> str:
    """Return who names the genre of a file that is left alone."""
    return Source.TAGS if meaningful(row.old) else ""


def failed_row(path: Path, error: str) -> Row:
    """Return the row of a file that could not be analysed."""
    row = _row_without_analysis(to_url(path), Status.FAILED, Reason.FAILED, TEXT[Reason.FAILED])
    return replace(row, file=to_url(absolute(path)), error=error)


def linked_row(path: Path, target: Path) -> Row:
    """Return the row of a link to a file that has a row of its own."""
    reason = f"same file as {target}"
    row = _row_without_analysis(to_url(path), Status.OK, Reason.DUPLICATE, reason)
    return replace(row, file=to_url(absolute(path)))


def tidied_row(row: Row, tags: Tags, new: list[str], policy: Policy, links: int = 1) -> Row:
    """Return a row whose genres ``new`` come from those in the tags, without an analysis."""
    path = str(row.absolute)
    artists = (tags.album.artist, tags.album.album_artist)
    separator = policy.separator_in(tags.field)
    new = [separator.join(new)] if separator and new else new
    decision = Decision(Action.WRITE, TEXT[Reason.TIDIES], new, Reason.TIDIES)
    if tags.problem is not None:
        decision = Decision(Action.SKIP, tags.problem, tags.genres, Reason.NOT_WRITABLE)
    elif (why := policy.protect.reason(path, artists, tags.genres)) is not None:
        decision = Decision(Action.SKIP, why, tags.genres, Reason.PROTECTED)
    elif not new:
        why = "no genre would be left"
        decision = Decision(Action.KEEP, why, tags.genres, Reason.NO_WORD)
    elif new == tags.genres:
        decision = Decision(Action.KEEP, TEXT[Reason.SAME], tags.genres, Reason.SAME)
    elif (obstacle := _obstacle(tags, policy, links)) is not None:
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


def unanalysed_row(path: Path) -> Row:
    """Return the row of a file that was not analysed, before anything is decided."""
    row = _row_without_analysis(to_url(path), Status.OK, Reason.HAS_GENRE, "")
    return replace(row, file=to_url(absolute(path)))


def keep_tidied(row: Row) -> Row:
    """Return the row of a file that an earlier plan would tidy and this one leaves alone."""
    code = Reason.HAS_GENRE
    source = _source_of_old(row)
    return replace(
        row, action=Action.KEEP, new=row.old, reason=TEXT[code], code=code, source=source
    )
