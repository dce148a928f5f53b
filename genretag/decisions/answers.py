"""Rows of files about which a person decided in a review."""

from __future__ import annotations

from dataclasses import replace

from genretag.decisions.genre import find_obstacle, protection
from genretag.decisions.policy import Policy
from genretag.decisions.reasons import TEXT, Action, Reason
from genretag.decisions.rows import Row
from genretag.decisions.sources import Source
from genretag.decisions.vote import Status
from genretag.records import FileRow

#: Answers of a review that name no genre: keep the file as it is, and it is not music. An empty
#: word in front tells the second from a genre of that name.
LEAVE_ANSWER: list[str] = []
NOT_MUSIC_ANSWER = ["", "not-music"]


def is_without_genre(answer: list[str]) -> bool:
    """Return whether an answer closes the question without a genre to write."""
    return answer in (LEAVE_ANSWER, NOT_MUSIC_ANSWER)


def answered_row(row: Row, answer: list[str]) -> Row:
    """Return a row of a plan with the answer of a person."""
    if is_without_genre(answer):
        return closed_row(row, answer)
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


def closed_row(row: Row, answer: list[str]) -> Row:
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


def reviewed_row(row: Row, words: list[str], f: FileRow, policy: Policy) -> Row:
    """Return the row of a file whose genre a person chose."""
    protected = protection(str(f.path), f.tags, policy)
    obstacle = find_obstacle(f.tags, policy, f.links)
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
