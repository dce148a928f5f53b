"""The fields in an ID3v2 tag, wherever the tag stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from genretag.errors import TrackError
from genretag.layout.id3 import Tag, parse_tag
from genretag.tags.album import album_from
from genretag.tags.edits import Edit
from genretag.tags.id3_convert import converted, meanings_of, needs_conversion
from genretag.tags.id3_splice import (
    described_texts,
    field_edits,
    has_frames,
    new_tag,
    texts_of,
    values_of,
)
from genretag.tags.options import TagOptions
from genretag.tags.records import Album

__all__ = [
    "album_of",
    "filled_edits",
    "has_frames",
    "meanings_of",
    "needs_conversion",
    "new_tag",
    "tag_edits",
    "texts_of",
    "values_of",
]


_ALBUM_FRAMES = (b"TPE1", b"TALB", b"TPE2", b"TCMP")
#: Descriptions of a TXXX frame with the compilation flag; FFmpeg writes no TCMP.
_COMPILATION_TEXTS = ("tcmp", "compilation")
_V22_ALBUM_FRAMES = (b"TP1", b"TAL", b"TP2", b"TCP")


def album_of(data: memoryview, start: int) -> Album:
    """Return artist, album, album artist and compilation flag of the tag at an offset."""
    tag = parse_tag(data, start)
    names = _V22_ALBUM_FRAMES if tag.version == 2 else _ALBUM_FRAMES
    *texts, flag = (_first_text(data, tag, name) for name in names)
    described = (v for d, v in described_texts(data, tag) if d.casefold() in _COMPILATION_TEXTS)
    return album_from([*texts, flag or next(described, "")])


def _first_text(data: memoryview, tag: Tag, name: bytes) -> str:
    """Return the first text of a frame; empty if there is none, or it cannot be decoded."""
    try:
        return next(iter(texts_of(data, tag, name)), "")
    except TrackError:
        return ""


def tag_edits(
    data: memoryview,
    start: int,
    end: int,
    values: Sequence[str],
    options: TagOptions,
    field: str = "genre",
    texts: Mapping[str, str] | None = None,
) -> list[Edit]:
    """Return the edits that give the tag at an offset a field, within its padding if it can.

    ``end`` is the end of the space that holds the tag, such as a chunk's. ``texts`` are new frames,
    by name.
    """
    if needs_conversion(data, start, options):
        tag = parse_tag(data, start)
        return [Edit(start, tag.end, converted(data, start, values, options, field))]
    return field_edits(data, start, field, values, texts)


def filled_edits(
    data: memoryview,
    start: int,
    end: int,
    values: Sequence[str],
    texts: Mapping[str, str],
    options: TagOptions,
    field: str = "genre",
) -> list[Edit]:
    """Return the edits that put a field and other texts into a tag without frames, or no tag.

    An empty tag keeps its version.

    Raises:
        TrackError: what the tag holds is no frame.
    """
    if start == end:
        return [Edit(start, end, new_tag(values, texts, options, field))]
    tag = parse_tag(data, start)
    odd = data[start + 4] or data[start + 5] or tag.version not in (3, 4)
    if tag.padding_end < end or odd:
        raise TrackError("tags", "its ID3v2 tag holds no frame that can be read")
    if options.id3_version is None:
        options = replace(options, id3_version=tag.version)
    return [Edit(start, tag.end, new_tag(values, texts, options, field))]
