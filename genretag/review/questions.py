"""The unsure tracks of a plan, asked one after another, and the answers of the user."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genretag.decisions.answers import answered_row
from genretag.decisions.policy import Policy
from genretag.decisions.rows import Row
from genretag.decisions.same_audio import group_by_keys, number_keys
from genretag.decisions.vocabulary import normalise_genre
from genretag.decisions.vote import Status
from genretag.writing.session import Databases

MAX_CHOICES = 9  # of a page, chosen with the keys 1 to 9
GENRE_SEPARATOR = ";"  # between several typed genres


@dataclass(frozen=True)
class Choice:
    """A genre that the user can choose with one key."""

    label: str  # of the model
    genres: list[str]  # to write, in the words of the vocabulary
    score: float  # 0 to 1


@dataclass(frozen=True)
class Question:
    """A track to ask about, and the place of its row."""

    ordinal: int  # of the row in its plan
    row: Row
    run: int | None = None  # of its plan; None: the plan of the review
    doubt: str = ""  # why the genre in the file is probably wrong; empty for an unsure track

    def choices(self, policy: Policy, labels: Sequence[str] = ()) -> list[Choice]:
        """Return the genres to choose from, the likeliest first; ``labels``: all of the model."""
        scores = self.row.scores | {g: 0.0 for g in labels if g not in self.row.scores}
        return [
            Choice(label, policy.vocabulary.words([label], self.row.artist) or [label], score)
            for label, score in scores.items()
        ]


class Review:
    """A list of questions and the answers given so far.

    Each answer is saved to the plan and the journal at once, so that later scans keep to it, and
    can be taken back. It holds for all copies of the track.
    """

    def __init__(
        self,
        databases: Databases,
        run: int,
        policy: Policy,
        questions: list[Question],
        labels: Sequence[str] = (),
    ) -> None:
        self.databases, self.run, self.policy, self.questions = databases, run, policy, questions
        self.labels = labels
        self.answered: dict[int, Row] = {}  # index of a question -> its row with the answer
        self.index = 0
        self._visited: list[int] = []
        self._earlier: dict[int, list[str] | None] = {}  # index -> the answer of an earlier review
        self._copies = _copies(questions, databases.store.second_key)

    @property
    def current(self) -> Question | None:
        """The open question; None at the end."""
        return self.questions[self.index] if self.index < len(self.questions) else None

    @property
    def known_genres(self) -> list[str]:
        """Genres that typing completes: those of the vocabulary, the files and the tree."""
        from genretag.decisions.vocabulary import built_in_tree

        vocabulary = self.policy.vocabulary
        words = [w for label in self.labels for w in vocabulary.words([label]) or [label]]
        words += vocabulary.whitelist or ()
        words += [g for question in self.questions for g in question.row.old]
        words += [g for row in self.answered.values() for g in row.new]
        words += vocabulary.tree.spelling.values()
        words += (w.title() if w.islower() else w for w in built_in_tree().spelling.values())
        return list({normalise_genre(w): w for w in reversed(words)}.values())[::-1]

    def typed_genres(self, text: str) -> list[str]:
        """Return the genres of a typed text, in the spelling of known ones."""
        known = {normalise_genre(word): word for word in reversed(self.known_genres)}
        words = [word.strip() for word in text.split(GENRE_SEPARATOR) if word.strip()]
        genres = [known.get(normalise_genre(word), word) for word in words]
        return list(dict.fromkeys(genres))

    def answer(self, genres: list[str]) -> None:
        """Save the answer for the current track and go to the next open one.

        ``genres`` are genres to write, or ``LEAVE_ANSWER`` or ``NOT_MUSIC_ANSWER``.
        """
        if self.current is None:
            return
        journal, copies = self.databases.journal, self._copies[self.index]
        # Copies may share a key, under which this answer is stored from the first one on.
        for copy in copies:
            key = self.questions[copy].row.content_key
            self._earlier.setdefault(copy, journal.answered(key))
        for copy in copies:
            self._save_answer(copy, genres)
        self._advance()

    def _save_answer(self, index: int, genres: list[str]) -> None:
        """Save an answer on one file to the plan, and to the journal under the file's keys."""
        question = self.questions[index]
        self.answered[index] = answered_row(self._as_written(question.row), genres)
        self._save(question, self.answered[index])
        key, audio_key = question.row.content_key, question.row.audio_key
        self.databases.journal.keep_answer(key, genres)
        if audio_key is not None and audio_key != key:
            self.databases.journal.same_audio(audio_key, key)

    def _as_written(self, row: Row) -> Row:
        """Return a row with the file's facts after the last write, which may follow the plan."""
        f = self.databases.store.file(row.absolute)
        if f is None or row.content_key not in (f.content_key, f.audio_key):
            return row
        return replace(
            row,
            size=f.size,
            mtime_ns=f.mtime_ns,
            sha256=f.sha256 or None,
            file_check=f.file_check,
            old=f.tags.genres,
        )

    def skip(self) -> None:
        """Leave the current track as it is and go to the next one."""
        if self.current is not None:
            self._advance()

    def _advance(self) -> None:
        """Go to the next question, but not to a copy of an answered track."""
        self._visited.append(self.index)
        self.index += 1
        while self.index in self.answered and self.index not in self._visited:
            self.index += 1

    def go_back(self) -> bool:
        """Return to the previous track and remove its answer; False at the first track."""
        if not self._visited:
            return False
        self.index = self._visited.pop()
        if self.index in self.answered:
            self._take_back(self.index)
        return True

    def _take_back(self, index: int) -> None:
        """Put the rows and the answers back as they were before this review."""
        for copy in self._copies[index]:
            self.answered.pop(copy, None)
            row, earlier = self.questions[copy].row, self._earlier.pop(copy, None)
            self._save(self.questions[copy], row)
            if earlier is None:
                self.databases.journal.forget_answer(row.content_key)
            else:
                self.databases.journal.keep_answer(row.content_key, earlier)

    def _save(self, question: Question, row: Row) -> None:
        """Store a row in the plan."""
        entry = (question.ordinal, row.absolute, row.action, row.to_dict())
        with self.databases.store.transaction():
            run = self.run if question.run is None else question.run
            self.databases.store.save_plan(run, [entry])


def _copies(
    questions: Sequence[Question], second_key: Callable[[Iterable[str]], str | None]
) -> dict[int, list[int]]:
    """Return, for each index of a question, those of the questions about the same audio."""
    groups = group_by_keys(number_keys((question.row for question in questions), second_key))
    alone: dict[int, list[int]] = {n: [n] for n in range(len(questions))}
    return alone | {n: group for group in groups for n in group}


def questions_from_rows(
    rows: Iterable[tuple[int | None, Row]],
    *,
    again: bool = False,
    named: Collection[Path] = (),
) -> list[Question]:
    """Return a question for each unsure track, the most certain first.

    Args:
        rows: (position, row) of a plan.
        again: ask about tracks that were answered before, too.
        named: files that are asked about whatever the model found.
    """
    return by_confidence(
        Question(ordinal, row)
        for ordinal, row in rows
        if ordinal is not None and is_open(row, again, named)
    )


def by_confidence(questions: Iterable[Question]) -> list[Question]:
    """Return questions in the order in which they are asked, the most certain first."""
    return sorted(questions, key=lambda q: (-(q.row.confidence or 0.0), q.row.path))


def is_open(row: Row, again: bool = False, named: Collection[Path] = ()) -> bool:
    """Return whether a track is asked about; see ``questions_from_rows``."""
    if not row.scores:
        return False
    if row.absolute in named:
        return True
    return again if row.reviewed else row.status == Status.UNSURE
