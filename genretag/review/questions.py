"""The unsure tracks, one after another, with the answers of a person: what is asked, and what an answer does to the plan."""

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

MAX_CHOICES = 9  # keys 1 to 9


@dataclass(frozen=True)
class Question:
    """One track to be asked about, and where its row stands in the plan."""

    ordinal: int
    row: Row

    def choices(self, policy: Policy) -> list[tuple[str, list[str], float]]:
        """Return (label, the words that would be written, score), the likeliest first."""
        labels = list(self.row.scores.items())[:MAX_CHOICES]
        return [
            (label, policy.vocabulary.words([label], self.row.artist) or [label], score)
            for label, score in labels
        ]


class Review:
    """Questions with their answers; each goes into plan and journal at once (later scans keep to it), and can be taken back."""

    def __init__(
        self, databases: Databases, run: int, policy: Policy, questions: list[Question]
    ) -> None:
        self.databases, self.run, self.policy, self.questions = databases, run, policy, questions
        self.answered: dict[int, Row] = {}  # index of the question -> its row now
        self.at = 0
        self._history: list[int] = []

    @property
    def now(self) -> Question | None:
        """The question that is open; None at the end."""
        return self.questions[self.at] if self.at < len(self.questions) else None

    def answer(self, words: list[str]) -> None:
        """Take an answer, and go on."""
        question = self.now
        if question is None or not words:
            return
        row = replace(
            question.row,
            action=Action.WRITE,
            status=Status.OK,
            new=words,
            genre=words[0],
            reason="reviewed",
            reviewed=True,
        )
        self._save(question, row)
        self.databases.journal.keep_answer(row.content_key, words)
        self.answered[self.at] = row
        self._go_on()

    def skip(self) -> None:
        """Leave a track as it is, and go on."""
        if self.now is not None:
            self._go_on()

    def _go_on(self) -> None:
        self._history.append(self.at)
        self.at += 1

    def take_back(self) -> bool:
        """Go back to the last track and forget its answer; return whether there was one."""
        if not self._history:
            return False
        self.at = self._history.pop()
        if self.answered.pop(self.at, None) is not None:
            self._save(self.questions[self.at], self.questions[self.at].row)
            self.databases.journal.forget_answer(self.questions[self.at].row.content_key)
        return True

    def _save(self, question: Question, row: Row) -> None:
        with self.databases.store.transaction():
            self.databases.store.save_plan(
                self.run, [(question.ordinal, row.absolute, row.action, row.to_dict())]
            )


def questions_from_rows(rows: Iterable[tuple[int | None, Row]]) -> list[Question]:
    """Return the unsure tracks that could be written, the nearest to sure first."""
    unsure = [
        Question(n, row)
        for n, row in rows
        if n is not None and row.status == Status.UNSURE and row.scores
    ]
    return sorted(unsure, key=lambda q: (-(q.row.confidence or 0.0), q.row.path))


def open_in_player(path: Path) -> str | None:
    """Open a file in the system's player; return what went wrong, if anything."""
    if sys.platform == "win32":  # pragma: no cover
        import os

        os.startfile(path)  # type: ignore[attr-defined]
        return None
    opener = "open" if sys.platform == "darwin" else shutil.which("xdg-open")
    if opener is None:
        return "no xdg-open here to play it with"
    try:
        subprocess.Popen(
            [opener, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"it cannot be played: {error.strerror}"
    return None
