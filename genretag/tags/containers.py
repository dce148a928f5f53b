"""Reading and writing a file's tags, whatever its container."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from genretag.errors import TrackError
from genretag.tags import spliced
from genretag.tags.options import TagOptions
from genretag.tags.records import Tags

log = logging.getLogger("genretag")

_NO_FIELD = "this container holds no genre that genretag can write"


def read(path: Path) -> Tags:
    """Return a file's genres, other fields and album. See the package."""
    try:
        container = spliced.container_of(path)
        return spliced.read(container, path) if container else Tags([], None, problem=_NO_FIELD)
    except TrackError as error:
        return Tags([], None, problem=str(error))
    except Exception as error:  # a fault of genretag's own: the file is left alone
        log.debug("%s: %r", path, error)
        return Tags([], None, problem="its tags cannot be read")


def write(path: Path, values: list[str], options: TagOptions, field: str) -> None:
    """Write the values of a field into a file. See the package."""
    container = spliced.container_of(path)
    if container is None:
        raise TrackError("tags", _NO_FIELD)
    spliced.write(container, path, values, options, field)


def other_tags(path: Path, options: TagOptions, fields: Sequence[str]) -> dict[str, object]:
    """Return everything in a file's tags but some fields. See the package."""
    container = spliced.container_of(path)
    return spliced.kept_tags(container, path, options, fields) if container else {}
