"""Verify the changed copy of a file, and that undo can lead back from it to the file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from genretag import audio, tags
from genretag.errors import TrackError
from genretag.layout.account import UnexplainedError
from genretag.layout.detect import UnknownContainerError
from genretag.storage.changes import Fields
from genretag.writing import delta
from genretag.writing.proof import prove

_MAX_NAMED_PARTS = 5  # changed parts that an error message names


def verify(
    target: Path, temp: Path, fields: Fields, content_key: str, options: tags.TagOptions
) -> None:
    """Raise unless the copy has the same audio, the planned fields, and all else unchanged."""
    # Three independent checks: FFmpeg's packets, the values as read, and every byte by our parsers.
    found = audio.content_key(temp)
    # A track that is known by its audio key may carry the content key of an earlier edit.
    if found != content_key and found != audio.content_key(target):
        raise TrackError("verify", "its audio would have changed; it was not written")
    read_back = tags.read(temp)
    for name, change in fields.items():
        values = values_in(read_back, name)
        if read_back.problem or not tags.are_same(values, change.new):
            found = ", ".join(values) or "none"
            message = f"the {name} did not read back as planned (found: {found})"
            raise TrackError("verify", f"{message}; it was not written")
    if parts := _changed_parts(target, temp, options, tuple(fields)):
        names = ", ".join(parts[:_MAX_NAMED_PARTS])
        raise TrackError("verify", f"another tag would have changed ({names}); it was not written")


def values_in(read: tags.Tags, field: str) -> list[str]:
    """Return the values of a field in a file's tags."""
    if field == "genre":
        return read.genres
    return read.fields.values.get(field, []) if read.fields is not None else []


def _changed_parts(
    target: Path, temp: Path, options: tags.TagOptions, fields: Sequence[str]
) -> list[str]:
    """Return the names of parts that the write changed besides some fields."""
    converted = options.convert_v22 or options.id3_version is not None
    parts = list[str]()
    try:
        parts += prove(target, temp, fields, converted=converted)
    except UnknownContainerError:
        converted = True  # compared by their contents alone
    except UnexplainedError as error:
        raise TrackError("verify", f"{error}; it was not written") from error
    if converted:
        parts += tags.changed_places(
            tags.other_tags(target, fields, options), tags.other_tags(temp, fields, options)
        )
    return parts


class _Discard(io.RawIOBase):
    """Takes bytes and forgets them."""

    def write(self, data: object) -> int:
        """Return the number of bytes."""
        return len(memoryview(data))  # type: ignore[arg-type]


def differences_back(target: Path, temp: Path, before: str) -> bytes:
    """Return the packed byte differences from new to old, proven to give the old file's hash."""
    packed = delta.compare(target, temp).pack()
    if delta.rebuild(delta.Delta.unpack(packed), temp, _Discard()) != before:  # type: ignore[arg-type]
        raise TrackError("verify", "undo could not be proven; it was not written")
    return packed
