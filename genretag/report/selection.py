"""Choose rows of a plan: by genre, by what apply does with them, and by the reason's code."""

from __future__ import annotations

from dataclasses import dataclass

from genretag.decisions.reasons import TEXT, Action, Reason
from genretag.decisions.rows import Row
from genretag.decisions.vocabulary import normalise_genre
from genretag.decisions.vote import Status
from genretag.errors import UsageError
from genretag.tags import meaningful
from genretag.text import suggestion_or_all


def genres_of(row: Row) -> list[str]:
    """Return a track's planned genres, else those in its tag, else the model's."""
    genres = row.new if row.action == Action.WRITE else row.old
    return genres or ([row.genre] if row.genre else [])


def replaces_genre(row: Row) -> bool:
    """Return whether apply would replace a genre that somebody else than genretag wrote."""
    if row.action != Action.WRITE:
        return False
    if row.code == Reason.REVIEWED or row.reviewed:
        return bool(meaningful(row.old))
    return code_of(row) is Reason.REPLACES


def is_album_decision(row: Row) -> bool:
    """Return whether a track gets a genre that it would not get alone."""
    return row.action == Action.WRITE and "sure tracks of its album" in row.reason


def code_of(row: Row) -> Reason | None:
    """Return the code of a row's reason; plans of 0.1.0 have only its text."""
    if row.code:
        return Reason(row.code) if row.code in set(Reason) else None
    # What follows in parentheses may be newer than the plan.
    starts = ((code, text.partition(" (")[0]) for code, text in TEXT.items())
    return next((code for code, start in starts if row.reason.startswith(start)), None)


def parse_reasons(names: list[str]) -> frozenset[Reason]:
    """Return the codes with these names.

    Raises:
        UsageError: a name is no code; the message suggests the nearest, or lists all.
    """
    codes = {code.value: code for code in Reason}
    for name in names:
        if name not in codes:
            hint = suggestion_or_all(name, codes)
            raise UsageError(f"--reason {name}: there is no such reason{hint}")
    return frozenset(codes[name] for name in names)


@dataclass(frozen=True)
class Selection:
    """Which rows to show: those of any chosen kind, and among them those of any chosen genre."""

    genres: frozenset[str] = frozenset()  # normalised; empty: all
    unsure: bool = False
    failed: bool = False
    replaced: bool = False
    reasons: frozenset[Reason] = frozenset()

    @property
    def is_everything(self) -> bool:
        """Whether every row is chosen."""
        return self == Selection()

    def __contains__(self, row: Row) -> bool:
        if self.genres and self.genres.isdisjoint(map(normalise_genre, genres_of(row))):
            return False
        if not (self.unsure or self.failed or self.replaced or self.reasons):
            return True
        return (
            (self.unsure and row.status == Status.UNSURE)
            or (self.failed and row.status == Status.FAILED)
            or (self.replaced and replaces_genre(row))
            or (bool(self.reasons) and code_of(row) in self.reasons)
        )
