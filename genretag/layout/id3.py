"""ID3v2.2, v2.3 and v2.4 tags (M. Nilsson, 1998, 1999 and 2000): every byte of a tag.

Frames count whether or not a reader knows them. What follows the frames and is no padding is kept
as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from genretag.layout.account import Kind, Region, UnexplainedError
from genretag.layout.fields import FIELDS

HEADER_SIZE = 10
MAX_EMPTY_TEXT = 11  # bytes of a frame without text: its header and an encoding
UNSYNCHRONISED, EXTENDED, FOOTER = 0x80, 0x40, 0x10  # flags of a tag
_COMPRESSED_V22 = 0x40
_V23_CRC, _V24_CRC = 0x8000, 0x20  # flags of an extended header
_MAX_FRAMES = 100_000


@dataclass(frozen=True)
class Frame:
    """A frame of a tag: ``start`` is its header's first byte, ``end`` the byte after its body."""

    name: bytes
    start: int
    end: int
    flags: int
    body_at: int


@dataclass(frozen=True)
class Tag:
    """A tag and the offsets of its parts, in bytes from the start of the file."""

    start: int
    version: int  # 2, 3 or 4
    flags: int
    first_at: int  # the first frame: behind the header and the extended header
    frames: tuple[Frame, ...]
    frames_end: int
    padding_end: int
    end: int  # behind the footer, if there is one
    plain_sizes: bool  # v2.4 with plain frame sizes, as old versions of iTunes wrote them

    @property
    def has_footer(self) -> bool:
        """Whether the tag ends with a footer; it has no padding then."""
        return self.version == 4 and bool(self.flags & FOOTER)

    @property
    def rest_size(self) -> int:
        """How many bytes follow the padding."""
        return self.end - self.padding_end - (HEADER_SIZE if self.has_footer else 0)

    @property
    def is_unsynchronised(self) -> bool:
        """Whether the tag as a whole is unsynchronised; in v2.4, each of its frames is."""
        return bool(self.flags & UNSYNCHRONISED)

    def of_field(self, field: str, data: memoryview) -> list[Frame]:
        """Return the frames that hold a field."""
        names = FIELDS[field]
        own = names.frames_v22 if self.version == 2 else names.frames
        return [f for f in self.frames if f.name in own or _is_txxx(data, f, names.description)]


def _is_txxx(data: memoryview, frame: Frame, description: str | None) -> bool:
    if description is None or frame.name not in (b"TXXX", b"TXX") or frame.end <= frame.body_at:
        return False
    body = bytes(data[frame.body_at : min(frame.end, frame.body_at + 64)])
    # A wrong encoding byte is read leniently: the description only has to be compared.
    codec = ("latin-1", "utf-16", "utf-16-be", "utf-8")[body[0]] if body[0] < 4 else "latin-1"
    return body[1:].decode(codec, "replace").split("\0")[0].casefold() == description.casefold()


def syncsafe(number: int) -> bytes:
    """Return a number of 28 bits as four bytes of seven bits."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def from_syncsafe(data: bytes) -> int:
    """Return the number in four bytes of seven bits."""
    return data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]


def id3v2_end(data: memoryview, start: int) -> int:
    """Return the end of the ID3v2 tag at an offset; the offset itself if there is none.

    Raises:
        UnexplainedError: the tag would end beyond the file.
    """
    header = bytes(data[start : start + HEADER_SIZE])
    if header[:3] != b"ID3" or len(header) < HEADER_SIZE:
        return start
    footer = HEADER_SIZE if header[3] == 4 and header[5] & FOOTER else 0
    end = start + HEADER_SIZE + from_syncsafe(header[6:]) + footer
    # A size that is not syncsafe is damage here, not an old program's habit as in frames.
    if any(b & 0x80 for b in header[6:]) or end > len(data):
        raise UnexplainedError("its ID3v2 tag is longer than the file")
    return end


def parse_tag(data: memoryview, start: int) -> Tag:
    """Parse the tag at an offset.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    end = id3v2_end(data, start)
    if end == start:
        raise UnexplainedError("there is no ID3v2 tag where one is expected")
    version, flags = data[start + 3], data[start + 5]
    if version not in (2, 3, 4):
        raise UnexplainedError(f"its ID3v2 tag has the unknown version 2.{version}")
    if version == 2 and flags & _COMPRESSED_V22:
        raise UnexplainedError("its ID3v2.2 tag is compressed")
    body_end = end - (HEADER_SIZE if version == 4 and flags & FOOTER else 0)
    body = _Body(data, start + HEADER_SIZE, body_end, bool(flags & UNSYNCHRONISED) and version < 4)
    first = _extended_header_size(body, version) if flags & EXTENDED and version > 2 else 0
    frames, plain = _best_frames(body, first, version)
    frames_end = frames[-1].end if frames else body.offset(first)
    padding_end = _padding_end(data, frames_end, body_end)
    if body_end < end and padding_end > frames_end:
        padding_end = frames_end  # zeros in a tag with a footer are no padding
    return Tag(
        start, version, flags, body.offset(first), frames, frames_end, padding_end, end, plain
    )


class _Body:
    """The body of a tag, read without unsynchronisation; offsets lead back into the file."""

    def __init__(self, data: memoryview, start: int, end: int, unsynchronised: bool) -> None:
        self._start, self._end = start, end
        self._kept: npt.NDArray[np.intp] | None = None
        self.data: memoryview | bytes = data[start:end]
        if unsynchronised and end > start:
            raw = np.frombuffer(data[start:end], np.uint8)
            # Writers insert a zero behind each 0xFF that would look like a frame of MPEG audio.
            inserted = np.zeros(len(raw), bool)
            inserted[1:] = (raw[1:] == 0) & (raw[:-1] == 0xFF)
            self._kept = np.flatnonzero(~inserted)
            self.data = raw[self._kept].tobytes()

    def offset(self, at: int) -> int:
        """Return the offset in the file of a byte of the body.

        A zero that unsynchronisation inserted belongs to what precedes it.
        """
        if self._kept is None:
            return self._start + at
        return self._start + int(self._kept[at]) if at < len(self._kept) else self._end


def _extended_header_size(body: _Body, version: int) -> int:
    """Return the size in bytes of the extended header.

    Raises:
        UnexplainedError: it has a checksum, which would have to follow every change.
    """
    head = bytes(body.data[:10])
    if len(head) < 6:
        raise UnexplainedError("the extended header of its ID3v2 tag is cut off")
    if version == 3:
        size, crc = 4 + int.from_bytes(head[:4], "big"), int.from_bytes(head[4:6], "big") & _V23_CRC
    else:
        size, crc = from_syncsafe(head[:4]), head[5] & _V24_CRC
    # Computing it again would be easy; knowing which programs check it, and how, is not.
    if crc:
        raise UnexplainedError("its ID3v2 tag has a checksum of all frames")
    if not 6 <= size <= min(64, len(body.data)):
        raise UnexplainedError("the extended header of its ID3v2 tag has an impossible size")
    return size


def _best_frames(body: _Body, first: int, version: int) -> tuple[tuple[Frame, ...], bool]:
    """Return the frames, and whether a v2.4 tag has plain sizes.

    Sizes that are plain by mistake differ from syncsafe ones from 128 bytes on. The reading that
    leads to nothing but padding is right; if both do, or neither, the one the standard says.

    Raises:
        UnexplainedError: neither reading leads to padding or to the end.
    """
    frames, ending = _frames(body, first, version, plain=version < 4)
    # The standard's reading did not fit: try the plain sizes of old iTunes versions.
    if version == 4 and ending < _Ending.PADDING:
        other, other_ending = _frames(body, first, version, plain=True)
        if other_ending > ending:
            return other, True
    if ending is _Ending.BROKEN:
        raise UnexplainedError("the frames of its ID3v2 tag do not lead to its end")
    return frames, False


class _Ending(IntEnum):
    """What the frames of a tag lead to."""

    BROKEN = 0  # something that is neither a frame nor padding
    ZERO = 1  # a zero, and other bytes behind it
    PADDING = 2  # zeros up to the end, or fewer bytes than a frame's header has


def _frames(
    body: _Body, at: int, version: int, *, plain: bool
) -> tuple[tuple[Frame, ...], _Ending]:
    """Return the frames from an offset, and what they lead to."""
    data, frames = body.data, list[Frame]()
    name_size, size_size = (3, 3) if version == 2 else (4, 4)
    header_size = 6 if version == 2 else 10
    while at + header_size <= len(data) and data[at] and len(frames) < _MAX_FRAMES:
        header = bytes(data[at : at + header_size])
        name, raw_size = header[:name_size], header[name_size : name_size + size_size]
        unsafe = not plain and any(b & 0x80 for b in raw_size)
        size = int.from_bytes(raw_size, "big") if plain else from_syncsafe(raw_size)
        stop = at + header_size + size
        if not _is_name(name) or unsafe or stop > len(data):
            return tuple(frames), _Ending.BROKEN
        flags = int.from_bytes(header[8:10], "big")
        begin, end = body.offset(at), body.offset(stop)
        frames.append(Frame(name, begin, end, flags, body.offset(at + header_size)))
        at = stop
    return tuple(frames), _ending(data, at, header_size)


def _ending(data: memoryview | bytes, at: int, header_size: int) -> _Ending:
    """Return what begins at an offset that is no frame."""
    if at + header_size > len(data) or not bytes(data[at:]).strip(b"\0"):
        return _Ending.PADDING
    return _Ending.ZERO if not data[at] else _Ending.BROKEN


def _is_name(name: bytes) -> bool:
    """Return whether a frame may have this name: letters and digits, then spaces or zeros.

    Lower-case names, and v2.2 names in later versions (``TCP `` of old iTunes), do occur.
    """
    # Strict enough to stop at audio, lenient enough for what programs have written.
    stem = name.rstrip(b" \0")
    return len(stem) >= 3 and stem.isalnum() and stem.isascii()


def _padding_end(data: memoryview, start: int, end: int) -> int:
    """Return the end of the zeros at an offset."""
    at, step = start, 1 << 16
    while at < end:
        block = bytes(data[at : min(at + step, end)])
        zeros = len(block) - len(block.lstrip(b"\0"))
        at += zeros
        if zeros < len(block):
            break
    return at


def tag_regions(
    data: memoryview, start: int, end: int, fields: Sequence[str], above: str = ""
) -> list[Region]:
    """Return the regions of the tag at ``start`` and of all bytes behind it up to ``end``."""
    tag = parse_tag(data, start)
    path = f"{above}/ID3v2" if above else "ID3v2"
    held = {frame.start: field for field in fields for frame in tag.of_field(field, data)}
    regions = [
        Region(Kind.OTHER, start, start + 6, path),
        Region(Kind.DERIVED, start + 6, start + HEADER_SIZE, f"{path}/size"),
        *_extended_regions(tag, path),
    ]
    for frame in tag.frames:
        field = held.get(frame.start)
        name = f"{path}/{frame.name.decode('latin-1')}"
        kind = Kind.FIELD if field else Kind.OTHER
        regions.append(Region(kind, frame.start, frame.end, name, field))
    footer_at = tag.end - HEADER_SIZE if tag.has_footer else tag.end
    regions += [
        Region(Kind.PADDING, tag.frames_end, tag.padding_end, f"{path}/padding"),
        Region(Kind.OTHER, tag.padding_end, footer_at, f"{path}/rest"),
        Region(Kind.DERIVED, footer_at, tag.end, f"{path}/footer"),
        Region(Kind.OTHER, tag.end, end, f"{path}/behind"),
    ]
    # Which of the two is right cannot be known, and readers that start at the end would disagree.
    if tag.has_footer and bytes(data[footer_at + 3 : tag.end]) != bytes(
        data[start + 3 : start + HEADER_SIZE]
    ):
        raise UnexplainedError("header and footer of its ID3v2 tag differ")
    return [r for r in regions if r.size]


def _extended_regions(tag: Tag, path: str) -> list[Region]:
    """Return the regions of the extended header; v2.3 keeps the padding's size in it."""
    at, end = tag.start + HEADER_SIZE, tag.first_at
    if at == end:
        return []
    if tag.version == 3 and end - at >= 10:
        return [
            Region(Kind.OTHER, at, at + 6, f"{path}/extended header"),
            Region(Kind.DERIVED, at + 6, at + 10, f"{path}/padding size"),
            Region(Kind.OTHER, at + 10, end, f"{path}/extended header"),
        ]
    return [Region(Kind.OTHER, at, end, f"{path}/extended header")]


def front_tags(data: memoryview) -> list[tuple[int, int]]:
    """Return (start, end) of the ID3v2 tags at the start of a file."""
    tags, at = [], 0
    while (end := id3v2_end(data, at)) > at:
        tags.append((at, end))
        at = end
    return tags
