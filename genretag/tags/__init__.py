"""The genre and the other fields in a file's own tags.

Nothing here decides what is written; the safe writer alone calls ``write``, on a copy. The
parsers are imported on the first read, so that a scan of unchanged files starts without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genretag.tags.generic import is_generic, meaningful
from genretag.tags.options import KEEP_AS_IS, TagOptions
from genretag.tags.records import V22, Album, FieldTags, Tags

__all__ = [
    "KEEP_AS_IS",
    "V22",
    "Album",
    "FieldTags",
    "TagOptions",
    "Tags",
    "are_same",
    "changed_places",
    "is_generic",
    "meaningful",
    "non_genre_tags",
    "other_tags",
    "read",
    "write",
]


def read(path: Path) -> Tags:
    """Return a file's genres, other fields and album.

    Never raises for what is in the file: a tag that cannot be read is a ``problem``, and such a
    file is not written.
    """
    from genretag.tags import containers

    return containers.read(path)


def write(
    path: Path, values: list[str], form: TagOptions = KEEP_AS_IS, field: str = "genre"
) -> None:
    """Write the values of a field into a file, and into every second place that it has there.

    Raises:
        TrackError: the container cannot hold them, or its tags are such that others would change.
    """
    from genretag.tags import containers

    containers.write(path, values, form, field)


def are_same(read: list[str], planned: list[str]) -> bool:
    """Return whether the genres of a file are the planned ones.

    RIFF INFO holds one text: several genres are one value there, joined by ``; ``.
    """
    return read == planned or "; ".join(read) == "; ".join(planned)


def non_genre_tags(path: Path, form: TagOptions = KEEP_AS_IS) -> dict[str, Any]:
    """Return everything in a file's tags but the genre. See ``other_tags``."""
    return other_tags(path, ("genre",), form)


def other_tags(path: Path, fields: Sequence[str], form: TagOptions = KEEP_AS_IS) -> dict[str, Any]:
    """Return everything in a file's tags but some fields, by place; None for a place that is not
    there.

    Use the same options before and after a write: they decide what must stay the same.
    """
    from genretag.tags import containers

    return containers.other_tags(path, form, fields)


def changed_places(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the places whose other tags changed; a place that is new has nothing to lose."""
    return [place for place, was in before.items() if was is not None and after.get(place) != was]
