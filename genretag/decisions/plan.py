"""Verdict and tags -> what will be done to a file, and why. Pure: nothing is read or written here."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from genretag.decisions.policy import Existing, HardLinks, Policy
from genretag.decisions.vocabulary import built_in_tree, normalise_genre
from genretag.decisions.vote import Status, Verdict, vote
from genretag.errors import RunError
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import absolute, to_url
from genretag.records import Analysis, FileRow, Tags
from genretag.tags import V22, meaningful


class WriteHistory(Protocol):
    """What is remembered of music, by its content key. The journal is one."""

    def wrote(self, content_key: str) -> list[str] | None:
        """Return the genres that genretag wrote last; None where nothing of that stands."""

    def answered(self, content_key: str) -> list[str] | None:
        """Return the genres that a person chose; None where nobody was asked."""

    def renew_key(self, older: str, content_key: str) -> None:
        """Let what is remembered of some music stand under another content key."""

    def stamp(self) -> str:
        """Return what is another text whenever something was written since."""


#: Scores that a row keeps, the highest: some models know hundreds of styles.
MAX_SCORES = 24

#: What people put between genres in one value.
_JOINERS = re.compile(r"\s*[;,/|\\\\]\s*")

LINKED = "has other hard links"
OLD_TAG = "ID3v2.2 tag (--convert-v22 writes it as v2.3)"

#: A second or third genre (``--top``) needs at least this score.
MIN_SECOND_SCORE = 0.15


class Action(StrEnum):
    """What will be done to a file."""

    WRITE = "write"
    KEEP = "keep"  # it has a genre, and that stays
    SKIP = "skip"  # nothing can be said, or nothing can be written


@dataclass(frozen=True)
class Row:
    """One file of a report or plan; the keys of ``--json``."""

    path: str  # as walked; bytes that are not UTF-8 as surrogates
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
    file: str = ""  # the path from the root on; "": as ``path``
    music: float | None = None  # 0 to 1
    seconds: float | None = None
    share: float | None = None  # of the track that decoded; under 1: partly corrupt
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    content_key: str = ""
    artist: str = ""
    album: str = ""
    album_artist: str = ""
    reviewed: bool = False  # a person said so
    of_windows: int = 0  # windows that the track has, where not all were heard
    styles: list[str] = field(default_factory=list)  # what it sounds like besides; never written

    @property
    def absolute(self) -> Path:
        """The file, from the root on."""
        return absolute(Path(self.file or self.path))

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Row:
        """Read a row; raise ``RunError`` for what is not one."""
        try:
            row = cls(
                **(data if data.keys() <= _KEYS else {k: v for k, v in data.items() if k in _KEYS})
            )
        except TypeError as error:
            raise RunError(f"not a row of a plan: {error}") from error
        fine = isinstance(row.path, str) and all(
            isinstance(words, list) and all(isinstance(w, str) for w in words)
            for words in (row.old, row.new)
        )
        if not fine or row.action not in set(Action):
            raise RunError(f"not a row of a plan: {row.path!r}")
        return row


_KEYS = frozenset(f.name for f in fields(Row))


@dataclass(frozen=True)
class AlbumVerdict:
    """What an album says, where its tracks decide together."""

    label: str | None  # None: its tracks do not agree, and it is left alone
    votes: int  # sure tracks that say so ...
    of: int  # ... of so many
    tie: bool = False  # broken by the sum of confidences

    @property
    def told(self) -> str:
        """What the report says of it."""
        return f"{self.votes} of {self.of} sure tracks of its album{', a tie that confidence broke' if self.tie else ''}"


def heard_labels(verdict: Verdict, policy: Policy) -> list[str]:
    """Return the labels that a file would get, the best first."""
    beside = [
        g
        for i, (g, s) in enumerate(verdict.scores.items())
        if i < policy.top and s >= MIN_SECOND_SCORE
    ]
    return [verdict.genre, *(g for g in beside if g != verdict.genre)][: policy.top]


def _with_old(words: list[str], tags: Tags, policy: Policy) -> list[str]:
    """Return the genres that a file would have: the words alone, or after what is there; one value where so wished."""
    between = policy.separator_in(tags.field)
    if policy.existing is Existing.APPEND:
        parts = [
            p.strip()
            for g in meaningful(tags.genres)
            for p in (g.split(between.strip() or between) if between else [g])
        ]
        have = {normalise_genre(p) for g in parts for p in (g, *_JOINERS.split(g))}
        words = [
            *(parts if between else meaningful(tags.genres)),
            *(w for w in words if normalise_genre(w) not in have),
        ]
    return [between.join(words)] if between and words else words


def decide(
    verdict: Verdict,
    tags: Tags,
    policy: Policy,
    links: int = 1,
    *,
    path: str = "",
    ours: bool = False,
) -> tuple[Action, str, list[str]]:
    """Return (action, reason, the genres that the file will have). ``ours``: its genre is what genretag wrote."""
    old = tags.genres
    if verdict.status is Status.NONMUSIC:
        return Action.SKIP, "not music", old
    if verdict.status is Status.UNSURE:
        return Action.SKIP, "unsure", old
    if tags.problem is not None:
        return Action.SKIP, tags.problem, old
    if (
        why := policy.protect.reason(path, (tags.album.artist, tags.album.album_artist), old)
    ) is not None:
        return Action.SKIP, why, old
    has_genre = bool(meaningful(old))
    if has_genre and policy.existing is Existing.SKIP and not ours:
        return Action.KEEP, "already has a genre", old
    words = policy.vocabulary.words(heard_labels(verdict, policy), tags.album.artist)
    if not words:
        return Action.SKIP, f"the vocabulary has no word for {verdict.genre}", old
    new = _with_old(words, tags, policy)
    if new == old:
        return Action.KEEP, "already says so", old
    if (
        has_genre
        and policy.existing is Existing.REPLACE
        and not policy.coarsen
        and _is_coarser(new, old, policy)
    ):
        return Action.KEEP, "finer than what was heard", old
    if links > 1 and policy.hardlinks is HardLinks.SKIP:
        return Action.SKIP, LINKED, old
    if tags.field == V22 and not (policy.convert_v22 or policy.id3.number):
        return Action.SKIP, OLD_TAG, old
    if not has_genre:
        return Action.WRITE, "fills a generic genre" if old else "fills an empty genre", new
    if policy.existing is Existing.APPEND:
        return Action.WRITE, "adds to the genre", new
    return Action.WRITE, "renews what genretag wrote" if ours else "replaces the genre", new


def _is_coarser(new: list[str], old: list[str], policy: Policy) -> bool:
    """Return whether each new word is only the general one of a word that is there: Jazz, where Bebop is."""
    trees = (policy.vocabulary.tree, built_in_tree())
    return all(any(tree.is_finer(o, word) for tree in trees for o in old) for word in new)


def judge(
    path: Path,
    f: FileRow,
    heard: Analysis,
    metadata: ModelMetadata,
    policy: Policy,
    *,
    past: WriteHistory | None = None,
    album: AlbumVerdict | None = None,
) -> Row:
    """Return the row of a file from what is stored of it: no inference, no decoding.

    ``past`` tells what was written into this music before, and what a person said of it.
    """
    verdict = vote(heard, metadata, policy.vote, policy.min_confidence)
    last = past.wrote(f.content_key) if past is not None else None
    answer = past.answered(f.content_key) if past is not None else None
    if answer and (
        f.tags.genres == answer or last != answer
    ):  # once written, what the user makes of it is the user's own
        return _answered(_row(path, f, heard, verdict), answer, f, policy)
    decided = verdict
    if album is not None and album.label is not None and verdict.status is not Status.NONMUSIC:
        decided = replace(verdict, status=Status.OK, genre=album.label)
    ours = last is not None and last == f.tags.genres and bool(meaningful(last))
    action, reason, new = decide(decided, f.tags, policy, f.links, path=str(f.path), ours=ours)
    if album is not None and album.label is None and action is Action.WRITE:
        action, reason, new = Action.SKIP, f"its album does not agree ({album.told})", f.tags.genres
    elif album is not None and decided.genre != verdict.genre and action is Action.WRITE:
        reason = f"{reason}, as {album.told}"
    elif album is not None and verdict.status is Status.UNSURE and action is Action.WRITE:
        reason = f"{reason}; unsure alone, but {album.told} say so"
    return replace(_row(path, f, heard, decided), new=new, action=action, reason=reason)


def _answered(row: Row, words: list[str], f: FileRow, policy: Policy) -> Row:
    """Return the row of a file whose genre a person chose."""
    why = f.tags.problem or policy.protect.reason(
        str(f.path), (f.tags.album.artist, f.tags.album.album_artist), f.tags.genres
    )
    action, reason = Action.WRITE, "reviewed"
    if f.tags.genres == words:
        action, reason = Action.KEEP, "reviewed"
    elif why is not None:
        action, reason = Action.SKIP, why
    elif f.links > 1 and policy.hardlinks is HardLinks.SKIP:
        action, reason = Action.SKIP, LINKED
    elif f.tags.field == V22 and not (policy.convert_v22 or policy.id3.number):
        action, reason = Action.SKIP, OLD_TAG
    new = words if action is not Action.SKIP else f.tags.genres
    return replace(
        row, status=Status.OK, genre=words[0], new=new, action=action, reason=reason, reviewed=True
    )


def _row(path: Path, f: FileRow, heard: Analysis, verdict: Verdict) -> Row:
    """Return what is known of a file that was heard, as a row that does nothing yet."""
    return Row(
        path=to_url(path),
        status=verdict.status,
        genre=verdict.genre if verdict.status is Status.OK else None,
        confidence=round(verdict.confidence, 4),
        scores={g: round(s, 4) for g, s in islice(verdict.scores.items(), MAX_SCORES)},
        windows=verdict.windows,
        agreement=round(verdict.agreement, 4),
        old=f.tags.genres,
        new=f.tags.genres,
        action=Action.SKIP,
        reason="",
        file=to_url(f.path),
        music=round(verdict.music, 4),
        seconds=round(heard.seconds, 2),
        share=round(heard.share, 3),
        size=f.size,
        mtime_ns=f.mtime_ns,
        sha256=f.sha256,
        content_key=f.content_key,
        artist=f.tags.album.artist,
        album=f.tags.album.album,
        album_artist=f.tags.album.album_artist,
        of_windows=heard.of,
        styles=list(verdict.styles),
    )


def failed_row(path: Path, error: str) -> Row:
    """Return the row of a file that could not be heard."""
    return Row(
        path=to_url(path),
        status=Status.FAILED,
        genre=None,
        confidence=None,
        scores={},
        windows=0,
        agreement=None,
        old=[],
        new=[],
        action=Action.SKIP,
        reason="failed",
        error=error,
    )


def linked_row(path: Path, target: Path) -> Row:
    """Return the row of a link to a file that has a row of its own."""
    return Row(
        path=str(path),
        status=Status.OK,
        genre=None,
        confidence=None,
        scores={},
        windows=0,
        agreement=None,
        old=[],
        new=[],
        action=Action.SKIP,
        reason=f"same file as {target}",
    )
