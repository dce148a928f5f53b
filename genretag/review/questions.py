"""The unsure tracks of a plan, asked one after another, and the answers of the user."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from genretag.decisions.plan import Action, Row
from genretag.decisions.policy import Policy
from genretag.decisions.vote import Status
from genretag.writing.session import Databases

MAX_CHOICES = 9  # chosen with the keys 1 to 9


@dataclass(frozen=True)
class Choice:
    """A genre that the user can choose with one key."""

    label: str  # of the model
    genres: list[str]  # to write, in the words of the vocabulary
    score: float  # 0 to 1


@dataclass(frozen=True)
class Question:
    """An unsure track, and the position of its row in the plan."""

    ordinal: int
    row: Row

    def choices(self, policy: Policy) -> list[Choice]:
        """Return the genres to choose from, the likeliest first."""
        return [
            Choice(label, policy.vocabulary.words([label], self.row.artist) or [label], score)
            for label, score in list(self.row.scores.items())[:MAX_CHOICES]
        ]


class Review:
    """A list of questions and the answers given so far.

    Each answer is saved to the plan and the journal at once, so that later scans keep to it, and
    can be taken back.
    """

    def __init__(
        self, databases: Databases, run: int, policy: Policy, questions: list[Question]
    ) -> None:
        self.databases, self.run, self.policy, self.questions = databases, run, policy, questions
        self.answered: dict[int, Row] = {}  # index of a question -> its row with the answer
        self.index = 0
        self._visited: list[int] = []

    @property
    def current(self) -> Question | None:
        """The open question; None at the end."""
        return self.questions[self.index] if self.index < len(self.questions) else None

    def answer(self, genres: list[str]) -> None:
        """Save the genres for the current track and go to the next one."""
        question = self.current
        if question is None or not genres:
            return
        row = replace(
            question.row,
            action=Action.WRITE,
            status=Status.OK,
            new=genres,
            genre=genres[0],
            reason="reviewed",
            reviewed=True,
        )
        self._save(question, row)
        self.databases.journal.keep_answer(row.content_key, genres)
        self.answered[self.index] = row
        self._advance()

    def skip(self) -> None:
        """Leave the current track as it is and go to the next one."""
        if self.current is not None:
            self._advance()

    def _advance(self) -> None:
        self._visited.append(self.index)
        self.index += 1

    def go_back(self) -> bool:
        """Return to the previous track and remove its answer; False at the first track."""
        if not self._visited:
            return False
        self.index = self._visited.pop()
        if self.answered.pop(self.index, None) is not None:
            question = self.questions[self.index]
            self._save(question, question.row)
            self.databases.journal.forget_answer(question.row.content_key)
        return True

    def _save(self, question: Question, row: Row) -> None:
        """Store a row in the plan."""
        entry = (question.ordinal, row.absolute, row.action, row.to_dict())
        with self.databases.store.transaction():
            self.databases.store.save_plan(self.run, [entry])


def questions_from_rows(rows: Iterable[tuple[int | None, Row]]) -> list[Question]:
    """Return a question for each unsure track that can be written, the most certain first."""
    unsure = [
        Question(ordinal, row)
        for ordinal, row in rows
        if ordinal is not None and row.status == Status.UNSURE and row.scores
    ]
    return sorted(
        unsure, key=lambda question: (-(question.row.confidence or 0.0), question.row.path)
    )


def open_in_player(path: Path) -> str | None:
    """Open a file in the default player of the system; return a message if that fails."""
    if sys.platform == "win32":  # pragma: no cover
        import os

        os.startfile(path)  # type: ignore[attr-defined]
        return None
    opener = "open" if sys.platform == "darwin" else shutil.which("xdg-open")
    if opener is None:
        return "cannot play: xdg-open is not installed"
    try:
        subprocess.Popen(
            [opener, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the player outlives the review
        )
    except OSError as error:
        return f"cannot play: {error.strerror}"
    return None
