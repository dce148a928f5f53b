"""What can go wrong, told apart by what it costs: one track, or the run."""

from __future__ import annotations


class GenretagError(Exception):
    """Base of every error that genretag raises on purpose; its text is for the user."""


class TrackError(GenretagError):
    """One track failed; the run goes on. ``stage`` says where: read, decode, tags, write ..."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage

    def __reduce__(self) -> tuple[type[TrackError], tuple[str, str]]:
        return (type(self), (self.stage, str(self)))


class RunError(GenretagError):
    """The run cannot go on: no such folder, an unusable database, wrong options."""


class ModelError(RunError):
    """A model file that cannot be used, and what is missing in it."""


class UsageError(RunError):
    """What was asked for does not fit together (exit status 2)."""
