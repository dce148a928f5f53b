"""Errors, by what they cost: one track, or the whole run."""

from __future__ import annotations

import json

#: How Python's messages about numbers in text begin.
_NOT_A_NUMBER = ("could not convert string to", "invalid literal for")


class GenretagError(Exception):
    """Base class of all errors that genretag raises on purpose; the message is for users."""


def describe_error(error: Exception) -> str:
    """Return why a file cannot be read or written, without error numbers and Python's terms."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def describe_invalid(error: Exception) -> str:
    """Return what is wrong with data that were read, without Python's terms."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not valid JSON at line {error.lineno}, column {error.colno}"
    if isinstance(error, KeyError):
        return f"no {error}"
    if isinstance(error, OverflowError):
        return "a number is too large"
    # Their messages name Python's functions and types, never the value's name in the file.
    if isinstance(error, TypeError | AttributeError):
        return "a value has the wrong type"
    if str(error).startswith(_NOT_A_NUMBER):
        return "a value is not a number"
    return str(error)


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
