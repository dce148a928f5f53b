"""Reading and writing a file's tags, whatever its container."""

from __future__ import annotations

import logging
from pathlib import Path

from genretag.errors import TrackError
from genretag.tags import spliced
from genretag.tags.options import TagOptions
from genretag.tags.records import Tags

log = logging.getLogger("genretag")

_NO_FIELD = "this container holds no genre that genretag can write"


def read(path: Path) -> Tags:
    """Return a file's genres and album. See the package."""
    try:
        container = spliced.container_of(path)
        return spliced.read(container, path) if container else Tags([], None, problem=_NO_FIELD)
    except TrackError as error:
        return Tags([], None, problem=str(error))
    except Exception as error:  # a fault of genretag's own: the file is left alone
        log.debug("%s: %r", path, error)
        return Tags([], None, problem="its tags cannot be read")


def write(path: Path, genres: list[str], options: TagOptions) -> None:
    """Write the genres into a file. See the package."""
    container = spliced.container_of(path)
    if container is None:
        raise TrackError("tags", _NO_FIELD)
    spliced.write(container, path, genres, options)


def non_genre_tags(path: Path, options: TagOptions) -> dict[str, object]:
    """Return everything in a file's tags but the genre. See the package."""
    container = spliced.container_of(path)
    return spliced.kept_tags(container, path, options) if container else {}
