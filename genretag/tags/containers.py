"""Every container's own way to hold a genre, as data: a row of ``_TABLE`` says how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
from mutagen.asf import ASF
from mutagen.mp4 import MP4

from genretag.errors import TrackError
from genretag.tags import asf, mp4, spliced
from genretag.tags.form import Form
from genretag.tags.records import Album, Tags


@dataclass(frozen=True)
class _Field:
    """How one family of containers holds a genre. Each function takes (mutagen's file, path, ...)."""

    name: str  # as the field calls it
    read: Callable[[Any, Path], list[str]]
    write: Callable[[Any, Path, list[str], Form], None]
    others: Callable[[Any, Path, Form], dict[str, Any]]


#: Container -> how mutagen reads and writes its genre.
_TABLE: tuple[tuple[type[Any], _Field], ...] = (
    (
        MP4,
        _Field(
            "©gen",
            lambda audio, _: mp4.read(audio),
            lambda audio, path, genres, _: mp4.write(audio, path, genres),
            lambda _, path, options: mp4.others(path),
        ),
    ),
    (
        ASF,
        _Field(
            "WM/Genre",
            lambda audio, _: asf.read(audio),
            lambda audio, path, genres, _: asf.write(audio, path, genres),
            lambda audio, *_: asf.others(audio),
        ),
    ),
)


def _open(path: Path) -> tuple[Any, _Field | None]:
    """Return mutagen's view of a file and the row of the table for it.

    mutagen raises more than its own errors on broken files (struct.error for one), so the
    boundary catches all.
    """
    try:
        audio = mutagen.File(path)
    except Exception as error:
        raise TrackError("tags", f"its tags cannot be read: {_said(error)}") from error
    if audio is None:
        return None, None
    return audio, next((field for kind, field in _TABLE if isinstance(audio, kind)), None)


def _said(error: BaseException) -> str:
    """Return what an error says, without the traceback-like parts of mutagen's messages."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def read(path: Path) -> Tags:
    """Return a file's genres and album. See the package."""
    try:
        if (container := spliced.container_of(path)) is not None:
            return spliced.read(container, path)
        audio, field = _open(path)
        if audio is None or field is None:
            return Tags([], None, problem="this container holds no genre that genretag can write")
        genres = field.read(audio, path)
        return Tags([g for g in genres if g.strip()], field.name, _album(audio))
    except TrackError as error:
        return Tags([], None, problem=str(error))
    except Exception as error:
        return Tags([], None, problem=f"its tags cannot be read: {_said(error)}")


#: Where containers keep artist, album and album artist.
_ALBUM_KEYS = (
    ("TPE1", "artist", "\xa9ART", "Author", "Artist"),
    ("TALB", "album", "\xa9alb", "WM/AlbumTitle", "Album"),
    ("TPE2", "albumartist", "aART", "WM/AlbumArtist", "Album Artist"),
)


def _album(audio: Any) -> Album:
    """Return the album keys of a file; what is not there is empty."""
    return Album(*(_first(audio.tags, keys) for keys in _ALBUM_KEYS))


def _first(tags: Any, keys: tuple[str, ...]) -> str:
    for key in keys:
        try:
            value = tags[key]
        except (KeyError, TypeError, ValueError):
            continue
        value = value[0] if isinstance(value, list) and value else value
        text = str(value).split("\0")[0].strip()
        if text and text != "[]":
            return text
    return ""


def write(path: Path, genres: list[str], form: Form) -> None:
    """Write the genres into a file. See the package."""
    if (container := spliced.container_of(path)) is not None:
        return spliced.write(container, path, genres, form)
    audio, field = _open(path)
    if audio is None or field is None:
        raise TrackError("tags", "this container holds no genre that genretag can write")
    try:
        field.write(audio, path, genres, form)
    except TrackError:
        raise
    except Exception as error:
        raise TrackError("tags", f"its tags cannot be written: {_said(error)}") from error


def others(path: Path, form: Form) -> dict[str, Any]:
    """Return everything in a file's tags but the genre. See the package."""
    if (container := spliced.container_of(path)) is not None:
        return spliced.kept_tags(container, path, form)
    audio, field = _open(path)
    if audio is None or field is None:
        return {}
    try:
        return field.others(audio, path, form)
    except Exception as error:
        raise TrackError("tags", f"its tags cannot be compared: {_said(error)}") from error
