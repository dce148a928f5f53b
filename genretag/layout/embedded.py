"""ID3 tags within and around other formats (M. Nilsson, ID3v2.3 and v2.4, 1999 and 2000)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genretag.layout.account import Kind, Region, UnexplainedError

HEADER_SIZE = 10
FRAME_HEADER_SIZE = 10
ID3V1_SIZE = 128
ID3V1_GENRE_AT = 127
_FOOTER_FLAG = 0x10
_NAME_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")

#: Field -> the frame that holds it.
FRAME_NAMES: Mapping[str, bytes] = {"genre": b"TCON", "mood": b"TMOO"}


@dataclass(frozen=True)
class Frame:
    """A frame: its header begins at ``start``, its body ends at ``end``."""

    name: bytes
    start: int
    end: int
    flags: int

    @property
    def body_at(self) -> int:
        """Where its body begins."""
        return self.start + FRAME_HEADER_SIZE


@dataclass(frozen=True)
class Id3v2:
    """Where the parts of a tag lie."""

    start: int
    version: int
    frames: tuple[Frame, ...]
    frames_end: int
    end: int
    plain_sizes: bool  # v2.4 with frame sizes that are plain integers, as old iTunes wrote them


def syncsafe(number: int) -> bytes:
    """Return a number of 28 bits as four bytes of seven."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def from_syncsafe(data: bytes) -> int:
    """Return the number in four bytes of seven bits."""
    return data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]


def id3v2_end(data: memoryview, start: int) -> int:
    """Return where the ID3v2 tag at an offset ends; the offset itself if there is none.

    Raises:
        UnexplainedError: its size leads beyond the end.
    """
    header = bytes(data[start : start + HEADER_SIZE])
    if header[:3] != b"ID3" or len(header) < HEADER_SIZE:
        return start
    footer = HEADER_SIZE if header[5] & _FOOTER_FLAG else 0
    end = start + HEADER_SIZE + from_syncsafe(header[6:]) + footer
    if any(b & 0x80 for b in header[6:]) or end > len(data):
        raise UnexplainedError("the size of its ID3v2 tag leads beyond its end")
    return end


def parse_tag(data: memoryview, start: int) -> Id3v2:
    """Parse the ID3v2.3 or v2.4 tag at an offset.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    end = id3v2_end(data, start)
    if end == start:
        raise UnexplainedError("its ID3 chunk holds no ID3v2 tag")
    version, flags = data[start + 3], data[start + 5]
    if version not in (3, 4) or flags:
        raise UnexplainedError("its ID3v2 tag is of a kind that cannot be explained completely")
    for plain in (version == 3, True):
        frames = _frames(data, start + HEADER_SIZE, end, plain)
        if frames is not None:
            frames_end = frames[-1].end if frames else start + HEADER_SIZE
            return Id3v2(start, version, tuple(frames), frames_end, end, plain and version == 4)
    raise UnexplainedError("the frames of its ID3v2 tag cannot be explained completely")


def _frames(data: memoryview, at: int, end: int, plain: bool) -> list[Frame] | None:
    """Return the frames up to the padding; None where they do not lead there."""
    frames = []
    while at < end and data[at]:
        header = bytes(data[at : min(at + FRAME_HEADER_SIZE, end)])
        if len(header) < FRAME_HEADER_SIZE or not _NAME_BYTES.issuperset(header[:4]):
            return None
        size = int.from_bytes(header[4:8], "big") if plain else from_syncsafe(header[4:8])
        stop = at + FRAME_HEADER_SIZE + size
        if stop > end or (not plain and any(b & 0x80 for b in header[4:8])):
            return None
        frames.append(Frame(header[:4], at, stop, int.from_bytes(header[8:], "big")))
        at = stop
    return None if bytes(data[at:end]).strip(b"\0") else frames


def tag_regions(
    data: memoryview, start: int, end: int, fields: Sequence[str], above: str
) -> list[Region]:
    """Return the regions of a tag and of what follows it up to ``end``."""
    tag = parse_tag(data, start)
    names = {FRAME_NAMES[field]: field for field in fields if field in FRAME_NAMES}
    regions = [
        Region(Kind.OTHER, start, start + 6, f"{above}/ID3v2"),
        Region(Kind.DERIVED, start + 6, start + HEADER_SIZE, f"{above}/ID3v2/size"),
    ]
    for frame in tag.frames:
        field = names.get(frame.name)
        path = f"{above}/ID3v2/{frame.name.decode('ascii')}"
        kind = Kind.FIELD if field else Kind.OTHER
        regions.append(Region(kind, frame.start, frame.end, path, field))
    padding = Region(Kind.PADDING, tag.frames_end, tag.end, f"{above}/ID3v2/padding")
    return [*regions, padding, Region(Kind.OTHER, tag.end, end, f"{above}/behind ID3v2")]


# --- around a FLAC file ---------------------------------------------------------------------------


def front_tags(data: memoryview) -> list[tuple[int, int]]:
    """Return (start, end) of the ID3v2 tags at the head of a file."""
    tags, at = [], 0
    while (end := id3v2_end(data, at)) > at:
        tags.append((at, end))
        at = end
    return tags


def tail_start(data: memoryview, start: int) -> int:
    """Return where the tags at the end of a file begin: at ``start`` or later."""
    at = len(data) - ID3V1_SIZE
    return at if at >= start and bytes(data[at : at + 3]) == b"TAG" else len(data)


def tail_regions(data: memoryview, start: int, fields: Sequence[str]) -> list[Region]:
    """Return the regions of the tags at the end of a file."""
    if start == len(data):
        return []
    genre = start + ID3V1_GENRE_AT
    kind, field = (Kind.FIELD, "genre") if "genre" in fields else (Kind.OTHER, None)
    return [
        Region(Kind.OTHER, start, genre, "ID3v1"),
        Region(kind, genre, start + ID3V1_SIZE, "ID3v1/genre", field),
    ]
