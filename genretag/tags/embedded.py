"""The genre in ID3 tags within and around other formats, spliced into their bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from mutagen.id3 import ID3

from genretag.errors import TrackError
from genretag.layout.embedded import (
    FRAME_NAMES,
    HEADER_SIZE,
    Frame,
    Id3v2,
    id3v2_end,
    parse_tag,
    syncsafe,
)
from genretag.tags.edits import Edit
from genretag.tags.form import Form
from genretag.tags.frames import meanings
from genretag.tags.id3 import _ONLY_GENRE as ONLY_GENRE
from genretag.tags.id3 import _set as set_genres
from genretag.tags.id3 import _version as version_to_save
from genretag.tags.id3v1 import resolve

NEW_TAG_VERSION = 4  # mutagen's, Picard's and beets' default
_LATIN1, _UTF16, _UTF16_BE, _UTF8 = range(4)
_CODECS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


def has_frames(data: memoryview, start: int, end: int) -> bool:
    """Return whether some bytes hold a tag with a frame: an empty one hides nothing."""
    return start < end and id3v2_end(data, start) > start and bool(parse_tag(data, start).frames)


def texts_of(data: memoryview, tag: Id3v2, name: bytes) -> list[str]:
    """Return the texts of the frames of a name.

    Raises:
        TrackError: one cannot be decoded.
    """
    frames = (f for f in tag.frames if f.name == name)
    return [t for f in frames for t in _texts(data, f)]


def _texts(data: memoryview, frame: Frame) -> list[str]:
    body = bytes(data[frame.body_at : frame.end])
    if not body:
        return []
    try:
        if frame.flags & 0xFF or body[0] >= len(_CODECS):
            raise ValueError("packed, encrypted or of an unknown encoding")
        text = body[1:].decode(_CODECS[body[0]])
    except ValueError as error:
        raise TrackError("tags", "its genre cannot be read") from error
    return [t.lstrip("\ufeff").strip() for t in text.split("\0") if t.strip("\ufeff\0 ")]


def genres_of(data: memoryview, start: int) -> list[str]:
    """Return the genres of the tag at an offset."""
    texts = texts_of(data, parse_tag(data, start), FRAME_NAMES["genre"])
    return list(dict.fromkeys(word for text in texts for word in resolve(text)))


def tag_edits(
    data: memoryview, start: int, end: int, values: Sequence[str], options: Form
) -> list[Edit]:
    """Return the edits that give the tag at an offset its genres, within its padding if it can."""
    tag = parse_tag(data, start)
    if options.id3_version not in (None, tag.version):
        return [Edit(start, tag.end, _converted(bytes(data[start : tag.end]), values, options))]
    old = [f for f in tag.frames if f.name == FRAME_NAMES["genre"]]
    encoding = data[old[0].body_at] if old and old[0].end > old[0].body_at else _LATIN1
    new = _frame(FRAME_NAMES["genre"], values, encoding, tag.version, tag.plain_sizes)
    at = old[0].start if old else tag.frames_end
    edits = [Edit(at, old[0].end if old else at, new)]
    edits += [Edit(f.start, f.end, b"") for f in old[1:]]
    growth = sum(e.growth for e in edits)
    padding = tag.end - tag.frames_end
    edits.append(Edit(tag.frames_end, tag.end, bytes(max(0, padding - growth))))
    size = tag.end - start - HEADER_SIZE + sum(e.growth for e in edits)
    return [*edits, Edit(start + 6, start + HEADER_SIZE, syncsafe(size))]


def _converted(tag: bytes, values: Sequence[str], options: Form) -> bytes:
    """Return a tag with its genres in the version that is asked for."""
    found = ID3(io.BytesIO(tag), **ONLY_GENRE)
    version = version_to_save(found, options)
    set_genres(found, list(values), version)
    out = io.BytesIO()
    found.save(out, v1=0, v2_version=version, v23_sep=None, padding=lambda _: 0)
    return out.getvalue()


def meanings_of(data: memoryview, start: int) -> dict[str, int]:
    """Return what the frames of the tag at an offset say besides the genre, in any version."""
    end = id3v2_end(data, start)
    return meanings(ID3(io.BytesIO(bytes(data[start:end])), **ONLY_GENRE))


def _frame(
    name: bytes, values: Sequence[str], encoding: int, version: int, plain: bool = False
) -> bytes:
    """Return a text frame, in the encoding asked for if it can hold the values."""
    text = "\0".join(values)
    if encoding >= len(_CODECS) or (encoding == _LATIN1 and not _is_latin1(text)):
        encoding = _UTF8
    if version == 3 and encoding in (_UTF8, _UTF16_BE):
        encoding = _UTF16
    parts = (v.encode(_CODECS[encoding]) for v in values)
    end = b"\0\0" if encoding in (_UTF16, _UTF16_BE) else b"\0"
    body = bytes([encoding]) + end.join(parts)
    size = syncsafe(len(body)) if version == 4 and not plain else len(body).to_bytes(4, "big")
    return name + size + bytes(2) + body


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def new_tag(values: Sequence[str], texts: Mapping[str, str], options: Form) -> bytes:
    """Return a new tag with the genres and other texts, by frame."""
    version = options.id3_version or NEW_TAG_VERSION
    frames = [_frame(name.encode(), [text], _LATIN1, version) for name, text in texts.items()]
    body = b"".join([*frames, _frame(FRAME_NAMES["genre"], values, _LATIN1, version)])
    return b"ID3" + bytes([version, 0, 0]) + syncsafe(len(body)) + body
