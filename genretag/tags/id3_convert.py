"""Carry an ID3v2 tag to another version without losing a frame. Uses mutagen's frame classes."""

from __future__ import annotations

import io
from collections.abc import Sequence

from mutagen.id3 import ID3

from genretag.errors import TrackError
from genretag.layout.id3 import Tag, id3v2_end, parse_tag, syncsafe
from genretag.tags.frames import RawFrame, carried, meanings, raw_of, split_frame
from genretag.tags.id3_splice import field_frame
from genretag.tags.options import TagOptions


def needs_conversion(data: memoryview, start: int, options: TagOptions) -> bool:
    """Return whether the tag at an offset is to be written in another version."""
    version = data[start + 3]
    if version == 2:
        return options.convert_v22 or options.id3_version is not None
    return options.id3_version not in (None, version)


def converted(
    data: memoryview,
    start: int,
    values: Sequence[str],
    options: TagOptions,
    field: str = "genre",
) -> bytes:
    """Return the tag at an offset with the values of a field, in the version of the options.

    Raises:
        TrackError: a frame cannot be carried over.
    """
    version = options.id3_version or 3
    if data[start + 3] == 2:
        frames = _upgraded(data, start, version, (field,))
    else:
        others = _raw_frames(data, parse_tag(data, start), (field,))
        frames = [raw_of(f, version) for f in carried(others, version)]
    old = parse_tag(data, start).of_field(field, data)
    encoding = data[old[0].body_at] if old and old[0].end > old[0].body_at else 0
    body = b"".join([*frames, field_frame(field, values, encoding, version)])
    return b"ID3" + bytes([version, 0, 0]) + syncsafe(len(body)) + body


def _raw_frames(data: memoryview, tag: Tag, fields: Sequence[str]) -> list[RawFrame]:
    """Return all frames of a v2.3 or v2.4 tag but those of some fields."""
    whole = tag.version == 3 and tag.is_unsynchronised
    left_out = {f.start for field in fields for f in tag.of_field(field, data)}
    frames = []
    for f in tag.frames:
        if f.start in left_out:
            continue
        body = bytes(data[f.body_at : f.end])
        body = body.replace(b"\xff\0", b"\xff") if whole else body
        marked = tag.is_unsynchronised and tag.version == 4
        frames.append(split_frame(f.name, f.flags, body, tag.version, unsynchronised=marked))
    return frames


def _upgraded(data: memoryview, start: int, version: int, fields: Sequence[str]) -> list[bytes]:
    """Return the frames of a v2.2 tag as mutagen translates them, but those of some fields.

    Raises:
        TrackError: mutagen does not know one of them, so that it would be lost.
    """
    raw = bytes(data[start : id3v2_end(data, start)])
    tag = ID3(io.BytesIO(raw), v2_version=version, load_v1=False)
    if tag.unknown_frames:
        raise TrackError("tags", "its ID3v2.2 tag has frames that cannot be carried over")
    out = io.BytesIO()
    tag.save(out, v1=0, v2_version=version, v23_sep=None, padding=lambda _: 0)
    made = memoryview(out.getvalue())
    if not len(made):
        return []
    new = parse_tag(made, 0)
    left_out = {f.start for field in fields for f in new.of_field(field, made)}
    return [bytes(made[f.start : f.end]) for f in new.frames if f.start not in left_out]


def meanings_of(data: memoryview, start: int, fields: Sequence[str] = ("genre",)) -> dict[str, int]:
    """Return the contents of all frames but those of some fields, equal for equal tags."""
    tag = parse_tag(data, start)
    if tag.version == 2:
        made = _upgraded(data, start, 3, fields)
        body = b"".join(made)
        view = memoryview(b"ID3" + bytes([3, 0, 0]) + syncsafe(len(body)) + body)
        return meanings_of(view, 0, fields)
    return meanings(_raw_frames(data, tag, fields), tag.version)
