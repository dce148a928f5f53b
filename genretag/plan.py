"""Verdict and tags -> what will be done to a file, and why. Pure: nothing is read or written here."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from genretag.card import Card
from genretag.errors import RunError
from genretag.policy import Existing, HardLinks, Policy
from genretag.store import FileRow
from genretag.tags import Tags, meaningful
from genretag.vote import Heard, Status, Verdict, vote

#: A second or third genre (``--top``) needs at least this score.
LEAST_SCORE_BESIDE = 0.15


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

    @property
    def absolute(self) -> Path:
        """The file, from the root on."""
        return Path(os.path.abspath(self.file or self.path))

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Row:
        """Read a row; raise ``RunError`` for what is not one."""
        try:
            known = {f.name for f in fields(cls)}
            row = cls(**{k: v for k, v in data.items() if k in known})
        except TypeError as error:
            raise RunError(f"not a row of a plan: {error}") from error
        fine = isinstance(row.path, str) and all(
            isinstance(words, list) and all(isinstance(w, str) for w in words) for words in (row.old, row.new)
        )
        if not fine or row.action not in set(Action):
            raise RunError(f"not a row of a plan: {row.path!r}")
        return row


def _new_genres(verdict: Verdict, old: list[str], policy: Policy) -> list[str]:
    """Return the genres that a file would have."""
    heard = [g for i, (g, s) in enumerate(verdict.scores.items()) if i < policy.top and s >= LEAST_SCORE_BESIDE]
    heard = [verdict.genre, *(g for g in heard if g != verdict.genre)][: policy.top]
    if policy.existing is not Existing.APPEND:
        return heard
    have = {g.casefold() for g in old}
    return [*meaningful(old), *(g for g in heard if g.casefold() not in have)]


def decide(verdict: Verdict, tags: Tags, policy: Policy, links: int = 1) -> tuple[Action, str, list[str]]:
    """Return (action, reason, the genres that the file will have)."""
    old = tags.genres
    if verdict.status is Status.NONMUSIC:
        return Action.SKIP, "not music", old
    if verdict.status is Status.UNSURE:
        return Action.SKIP, "unsure", old
    if tags.problem is not None:
        return Action.SKIP, tags.problem, old
    has_genre = bool(meaningful(old))
    if has_genre and policy.existing is Existing.SKIP:
        return Action.KEEP, "already has a genre", old
    new = _new_genres(verdict, old, policy)
    if new == old:
        return Action.KEEP, "already says so", old
    if links > 1 and policy.hardlinks is HardLinks.SKIP:
        return Action.SKIP, "has other hard links", old
    if not has_genre:
        return Action.WRITE, "fills a generic genre" if old else "fills an empty genre", new
    return Action.WRITE, "adds to the genre" if policy.existing is Existing.APPEND else "replaces the genre", new


def judge(path: Path, f: FileRow, heard: Heard, card: Card, policy: Policy) -> Row:
    """Return the row of a file from what is stored of it: no inference, no decoding."""
    verdict = vote(heard, card, policy.vote, policy.min_confidence)
    action, reason, new = decide(verdict, f.tags, policy, f.links)
    return Row(
        path=str(path),
        status=verdict.status,
        genre=verdict.genre if verdict.status is Status.OK else None,
        confidence=round(verdict.confidence, 4),
        scores={g: round(s, 4) for g, s in verdict.scores.items()},
        windows=verdict.windows,
        agreement=round(verdict.agreement, 4),
        old=f.tags.genres,
        new=new,
        action=action,
        reason=reason,
        file=str(f.path),
        music=round(verdict.music, 4),
        seconds=round(heard.seconds, 2),
        share=round(heard.share, 3),
        size=f.size,
        mtime_ns=f.mtime_ns,
        sha256=f.sha256,
        content_key=f.content_key,
    )


def failed_row(path: Path, error: str) -> Row:
    """Return the row of a file that could not be heard."""
    return Row(
        path=str(path), status=Status.FAILED, genre=None, confidence=None, scores={}, windows=0, agreement=None,
        old=[], new=[], action=Action.SKIP, reason="failed", error=error,
    )  # fmt: skip


def linked_row(path: Path, target: Path) -> Row:
    """Return the row of a link to a file that has a row of its own."""
    return Row(
        path=str(path), status=Status.OK, genre=None, confidence=None, scores={}, windows=0, agreement=None,
        old=[], new=[], action=Action.SKIP, reason=f"same file as {target}",
    )  # fmt: skip
