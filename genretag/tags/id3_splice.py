"""The fields in ID3v2 tags, spliced into their bytes. Nothing else of a tag changes."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Mapping, Sequence

from genretag.errors import TrackError
from genretag.layout.fields import FIELDS
from genretag.layout.id3 import (
    HEADER_SIZE,
    Frame,
    Tag,
    id3v2_end,
    parse_tag,
    syncsafe,
)
from genretag.tags.edits import Edit
from genretag.tags.id3v1 import resolve
from genretag.tags.options import TagOptions

NEW_TAG_VERSION = 4  # ID3v2.4 for new tags: the default of mutagen, Picard and beets
MAX_TAG_SIZE = (1 << 28) - 1
#: Zeros that end the frames: bytes behind them would be taken for a frame, and FFmpeg believes a
#: v2.4 frame of 128 bytes or more only if zeros or another frame's name follow.
_MIN_PADDING = 10

_LATIN1, _UTF16, _UTF16_BE, _UTF8 = range(4)
_CODECS = ("latin-1", "utf-16", "utf-16-be", "utf-8")

#: Flags of a frame's form: v2.3's, v2.4's.
_V23_COMPRESSED, _V23_ENCRYPTED, _V23_GROUPED = 0x80, 0x40, 0x20
_V24_GROUPED, _V24_COMPRESSED, _V24_ENCRYPTED, _V24_UNSYNC, _V24_LENGTH = 0x40, 8, 4, 2, 1

UNREADABLE = "its genre cannot be read"
AROUND_TEXT = "\ufeff\0 \r\n\t"  # is no part of a value

#: Frames whose text begins with a description.
_DESCRIBED = (b"TXXX", b"TXX")
_LANGUAGE_SIZE = 3  # of a comment, before its description


def has_frames(data: memoryview, start: int, end: int) -> bool:
    """Return whether the tag at an offset holds more than padding; an empty tag hides nothing."""
    if start >= end or id3v2_end(data, start) == start:
        return False
    tag = parse_tag(data, start)
    return bool(tag.frames) or tag.rest_size > 0


def texts_of(data: memoryview, tag: Tag, name: bytes) -> list[str]:
    """Return the texts of all text frames with a name.

    Raises:
        TrackError: one cannot be decoded.
    """
    return [t for f in tag.frames if f.name == name for t in texts_of_frame(data, tag, f)]


def described_texts(data: memoryview, tag: Tag) -> Iterator[tuple[str, str]]:
    """Yield description and value of each TXXX frame that can be decoded."""
    for frame in tag.frames:
        if frame.name == b"TXXX":
            with contextlib.suppress(TrackError):
                body = _plain_body(data, tag, frame)
                description, _, value = _decode(body).partition("\0") if body else ("", "", "")
                yield description.strip(AROUND_TEXT), value.strip(AROUND_TEXT)


def field_texts(data: memoryview, start: int, field: str) -> list[str]:
    """Return the values of a field in the tag at an offset, as they are written.

    Raises:
        TrackError: a value cannot be decoded.
    """
    tag = parse_tag(data, start)
    rest = bytes(data[tag.padding_end : tag.end])
    if any(name in rest for name in FIELDS[field].frames):
        raise TrackError("tags", UNREADABLE)  # behind the padding, or behind a broken frame
    return [t for f in tag.of_field(field, data) for t in texts_of_frame(data, tag, f)]


def values_of(data: memoryview, start: int, field: str = "genre") -> list[str]:
    """Return the values of a field in the tag at an offset, each once.

    Numbers of ID3v1's table are resolved in the genre.
    """
    texts = field_texts(data, start, field)
    words = (resolve(text) if field == "genre" else [text] for text in texts)
    return list(dict.fromkeys(word for found in words for word in found))


def texts_of_frame(data: memoryview, tag: Tag, frame: Frame) -> list[str]:
    """Return the texts of a text frame without the description of TXXX; of COMM, with it.

    Raises:
        TrackError: it cannot be decoded.
    """
    body = _plain_body(data, tag, frame)
    if frame.name == b"COMM":
        body = body[:1] + body[1 + _LANGUAGE_SIZE :]
    if not body.strip(b"\0"):
        return []
    text = _decode(body)
    if frame.name in _DESCRIBED:
        text = text.partition("\0")[2]
    return [t for part in text.split("\0") if (t := part.strip(AROUND_TEXT))]


def _plain_body(data: memoryview, tag: Tag, frame: Frame) -> bytes:
    """Return a frame's body without unsynchronisation, compression and grouping.

    Raises:
        TrackError: it is encrypted or broken.
    """
    body = bytes(data[frame.body_at : frame.end])
    unsynchronised = tag.is_unsynchronised or (tag.version == 4 and frame.flags & _V24_UNSYNC)
    if tag.version == 4:
        skip = bool(frame.flags & _V24_GROUPED) + 4 * bool(frame.flags & _V24_LENGTH)
        packed, encrypted = frame.flags & _V24_COMPRESSED, frame.flags & _V24_ENCRYPTED
    else:
        packed, encrypted = frame.flags & _V23_COMPRESSED, frame.flags & _V23_ENCRYPTED
        skip = 4 * bool(packed) + bool(frame.flags & _V23_GROUPED)
    if encrypted:
        raise TrackError("tags", UNREADABLE)
    body = (body.replace(b"\xff\0", b"\xff") if unsynchronised else body)[skip:]
    try:
        return zlib.decompress(body) if packed else body
    except zlib.error as error:
        raise TrackError("tags", UNREADABLE) from error


def _decode(body: bytes) -> str:
    """Return the text of a frame, leniently: a missing encoding byte or byte order mark is guessed.

    Raises:
        TrackError: it is no text.
    """
    if body[0] in (_UTF16, _UTF16_BE) and body[1:3] not in (b"\xff\xfe", b"\xfe\xff"):
        little = body[1::2].count(0) < body[2::2].count(0) or (
            body[0] == _UTF16 and body[2:3] == b"\0"
        )
        codec = "utf-16-le" if body[0] == _UTF16 and little else "utf-16-be"
    elif body[0] < len(_CODECS):
        codec = "utf-16" if body[0] == _UTF16_BE else _CODECS[body[0]]
    elif body[0] >= 0x20:  # the encoding byte is missing
        body, codec = b"\0" + body, "utf-8"
    else:
        raise TrackError("tags", UNREADABLE)
    raw = body[1:]
    if codec.startswith("utf-16") and len(raw) % 2:
        raw = raw[:-1] if raw.endswith(b"\0") else raw + b"\0"
    try:
        return raw.decode(codec)
    except UnicodeDecodeError as error:
        if codec == "utf-8":
            return raw.decode("latin-1")
        raise TrackError("tags", UNREADABLE) from error


def field_edits(
    data: memoryview,
    start: int,
    field: str,
    values: Sequence[str],
    texts: Mapping[str, str] | None = None,
) -> list[Edit]:
    """Return the edits that give the tag at an offset the values of a field.

    The first frame of the field is replaced and further ones are removed, but each kind of frame
    that held it is there again; a new frame goes behind the others. New frames of ``texts``, by
    name, stand before it. The padding takes up the change in size if it can.

    Raises:
        UnexplainedError: the tag cannot be explained completely.
        TrackError: the tag has no space for the values.
    """
    tag = parse_tag(data, start)
    old = tag.of_field(field, data)
    frames = [_new_text(name, text, tag.version) for name, text in (texts or {}).items()]
    frames += _new_frames(data, tag, old, field, values)
    new = _unsynchronised(b"".join(frames), tag)
    at = old[0].start if old else tag.frames_end
    edits = [Edit(at, old[0].end if old else at, new)]
    edits += [Edit(f.start, f.end, b"") for f in old[1:]]
    growth = sum(e.growth for e in edits)
    padding = tag.padding_end - tag.frames_end
    left = max(_min_padding(tag), padding - growth) if not tag.has_footer else padding
    edits.append(Edit(tag.frames_end, tag.padding_end, bytes(left)))
    return [*edits, *_size_edits(data, tag, sum(e.growth for e in edits), left)]


def _min_padding(tag: Tag) -> int:
    """Return how many zeros must end the frames."""
    if tag.version == 4 and not tag.rest_size:
        return _MIN_PADDING
    return min(_MIN_PADDING, tag.padding_end - tag.frames_end) if tag.rest_size else 0


def _size_edits(data: memoryview, tag: Tag, growth: int, padding: int) -> list[Edit]:
    """Return the edits of the sizes in header, footer and extended header."""
    footer = HEADER_SIZE if tag.has_footer else 0
    size = tag.end - tag.start - HEADER_SIZE - footer + growth
    if size > MAX_TAG_SIZE:
        raise TrackError("tags", "its ID3v2 tag has no space for a genre")
    edits = [Edit(tag.start + 6, tag.start + HEADER_SIZE, syncsafe(size))]
    if tag.has_footer:
        edits.append(Edit(tag.end - 4, tag.end, syncsafe(size)))
    extended = tag.first_at - tag.start - HEADER_SIZE
    if tag.version == 3 and extended >= 10 and not tag.is_unsynchronised:
        at = tag.start + HEADER_SIZE + 6
        edits.append(Edit(at, at + 4, padding.to_bytes(4, "big")))
    return edits


def _new_frames(
    data: memoryview, tag: Tag, old: Sequence[Frame], field: str, values: Sequence[str]
) -> list[bytes]:
    """Return text frames with the values, in the old frame's encoding if that can hold them.

    One is the field's own in the tag's version, and one stands for each other kind that was there.
    """
    encoding = _LATIN1
    if old and old[0].end > old[0].body_at and not old[0].flags & 0xFF:
        encoding = data[old[0].body_at]
    flags = _V24_UNSYNC if tag.version == 4 and tag.is_unsynchronised else 0
    own = frame_name(field, tag.version)
    names = dict.fromkeys([own, *(f.name for f in old)])
    form = (encoding, tag.version, tag.plain_sizes, flags)
    return [field_frame(field, values, *form, name=name) for name in names]


def frame_name(field: str, version: int) -> bytes:
    """Return the name of the frame that holds a field in a version of ID3v2."""
    names = FIELDS[field]
    return names.frames[0] if names.frames and version >= names.first_version else b"TXXX"


def field_frame(
    field: str,
    values: Sequence[str],
    encoding: int = _LATIN1,
    version: int = NEW_TAG_VERSION,
    plain_size: bool = False,
    flags: int = 0,
    *,
    name: bytes | None = None,
) -> bytes:
    """Return the frame of a field; in a TXXX frame its description stands before the values."""
    name = name or frame_name(field, version)
    description = FIELDS[field].description
    texts = [description, *values] if name in _DESCRIBED and description else list(values)
    return text_frame(name, texts, encoding, version, plain_size, flags)


def _unsynchronised(raw: bytes, tag: Tag) -> bytes:
    """Return a frame as a tag that is unsynchronised as a whole holds it."""
    return _insert_zeros(raw) if tag.is_unsynchronised and tag.version < 4 else raw


def _insert_zeros(raw: bytes) -> bytes:
    """Return bytes with a zero after each 0xFF that could be a sync (ID3v2.4, section 6.1)."""
    out = bytearray()
    for i, byte in enumerate(raw):
        out.append(byte)
        follows = raw[i + 1] if i + 1 < len(raw) else 0
        if byte == 0xFF and (follows >= 0xE0 or follows == 0):
            out.append(0)
    return bytes(out)


def text_frame(
    name: bytes,
    values: Sequence[str],
    encoding: int = _LATIN1,
    version: int = NEW_TAG_VERSION,
    plain_size: bool = False,
    flags: int = 0,
) -> bytes:
    """Return a text frame; ``encoding`` is changed if it cannot hold the values."""
    text = "\0".join(values)
    if encoding >= len(_CODECS) or (encoding == _LATIN1 and not _is_latin1(text)):
        encoding = _UTF8
    if version < 4 and encoding in (_UTF8, _UTF16_BE):
        encoding = _UTF16
    end = b"\0\0" if encoding in (_UTF16, _UTF16_BE) else b"\0"
    body = bytes([encoding]) + end.join(v.encode(_CODECS[encoding]) for v in values)
    return frame(name, body, version, plain_size, flags)


def comment_frame(text: str, version: int) -> bytes:
    """Return a comment frame (COMM) without description, of unknown language."""
    encoding = _LATIN1 if _is_latin1(text) else _UTF16
    end = b"\0" if encoding == _LATIN1 else "".encode("utf-16") + b"\0\0"
    body = bytes([encoding]) + b"XXX" + end + text.encode(_CODECS[encoding])
    return frame(b"COMM", body, version)


def frame(
    name: bytes, body: bytes, version: int, plain_size: bool = False, flags: int = 0
) -> bytes:
    """Return a frame with a body."""
    if version == 2:
        return name[:3] + len(body).to_bytes(3, "big") + body
    if flags & _V24_UNSYNC:
        body = _insert_zeros(body)
    syncsafe_size = version == 4 and not plain_size
    size = syncsafe(len(body)) if syncsafe_size else len(body).to_bytes(4, "big")
    return name + size + flags.to_bytes(2, "big") + body


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def new_tag(
    values: Sequence[str], texts: Mapping[str, str], options: TagOptions, field: str = "genre"
) -> bytes:
    """Return a new tag with a field and other texts, by frame name."""
    version = options.id3_version or NEW_TAG_VERSION
    frames = [_new_text(name, text, version) for name, text in texts.items()]
    padding = bytes(_MIN_PADDING if version == 4 else 0)
    body = b"".join([*frames, field_frame(field, values, _LATIN1, version), padding])
    return b"ID3" + bytes([version, 0, 0]) + syncsafe(len(body)) + body


def _new_text(name: str, text: str, version: int) -> bytes:
    if name == "COMM":
        return comment_frame(text, version)
    if name == "TDRC" and version == 3:
        name = "TYER"
    return text_frame(name.encode(), [text], _LATIN1, version)
