"""Errors, by what they cost: one track, or the whole run."""

from __future__ import annotations


class GenretagError(Exception):
    """Base class of all errors that genretag raises on purpose; the message is for users."""


def describe_error(error: Exception) -> str:
    """Return why a file cannot be read or written, without error numbers and Python's terms."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (isinstance(error, OSError) and error.strerror) or str(error)


class TrackError(GenretagError):
    """One track failed and the run goes on; ``stage`` is read, decode, tags, write ..."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage

    def __reduce__(self) -> tuple[type[TrackError], tuple[str, str]]:
        return (type(self), (self.stage, str(self)))


class RunError(GenretagError):
    """The run cannot continue: a missing folder, an unusable database, wrong options."""


class ModelError(RunError):
    """A model file cannot be used; the message says why."""


class UsageError(RunError):
    """The command line or the settings make no sense (exit status 2)."""
