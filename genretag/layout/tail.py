"""Tags at the end of a file: ID3v1 with its extension, Lyrics3, APEv2, appended ID3v2.4.

Layouts: ID3v1 (E. Kemp 1996, M. Mutschler 1997), enhanced ID3v1 (TAG+), Lyrics3 v1 and v2 (P.
Strnad and others 1998), APEv2 (Hydrogenaudio), ID3v2.4 section 3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from genretag.layout import id3
from genretag.layout.account import Kind, Region, UnexplainedError
from genretag.layout.fields import FIELDS

ID3V1_SIZE = 128
ID3V1_GENRE_AT = 127
_TAG_PLUS_SIZE = 227
_TAG_PLUS_GENRE = slice(185, 215)  # free text
_LYRICS3_V2_END = b"LYRICS200"
_LYRICS3_V1_END = b"LYRICSEND"
_LYRICS3_BEGIN = b"LYRICSBEGIN"
_LYRICS3_V1_MAX = 5100 + len(_LYRICS3_BEGIN) + len(_LYRICS3_V1_END)

APE_MAGIC = b"APETAGEX"
APE_SIZE = 32  # of a header and a footer
APE_HAS_HEADER, APE_IS_HEADER, APE_READ_ONLY = 1 << 31, 1 << 29, 1
APE_IS_BINARY = 0b10  # of an item's flags
APE_KIND_MASK = 0b110  # of an item's flags: text, binary, locator
_MAX_ITEMS = 65_536


@dataclass(frozen=True)
class Part:
    """A tag at the end of a file."""

    kind: str  # ID3v1, TAG+, Lyrics3, APEv2 or ID3v2
    start: int
    end: int


@dataclass(frozen=True)
class Item:
    """An APEv2 item: ``start`` is the first byte of its size, ``value_at`` of its value."""

    key: bytes
    flags: int
    start: int
    value_at: int
    end: int


@dataclass(frozen=True)
class Ape:
    """An APEv2 tag and the offsets of its parts."""

    start: int  # of the header, or of the items
    items_at: int
    items: tuple[Item, ...]
    items_end: int  # the footer
    end: int
    version: int

    @property
    def has_header(self) -> bool:
        """Whether a header stands before the items."""
        return self.items_at > self.start

    def of_field(self, field: str) -> list[Item]:
        """Return the items that hold a field."""
        name = FIELDS[field].item.lower()
        return [item for item in self.items if item.key.lower() == name]


def tail_parts(data: memoryview, start: int) -> list[Part]:
    """Return the tags that end the file, none before ``start``, in file order."""
    parts: list[Part] = []
    stop = len(data)
    finders: Sequence[tuple[str, Callable[[memoryview, int, int], int]]] = (
        ("ID3v1", _id3v1_start),
        ("TAG+", _tag_plus_start),
        ("Lyrics3", _lyrics3_start),
        ("APEv2", _ape_start),
        ("ID3v2", _id3v2_start),
    )
    # Any order occurs in the wild: look for every kind before each part found so far.
    while True:
        for kind, find in finders:
            if kind == "TAG+" and not (parts and parts[-1].kind == "ID3v1"):
                continue
            at = find(data, start, stop)
            if start <= at < stop:
                parts.append(Part(kind, at, stop))
                stop = at
                break
        else:
            return parts[::-1]


def _id3v1_start(data: memoryview, start: int, stop: int) -> int:
    at = stop - ID3V1_SIZE
    if at < start or bytes(data[at : at + 3]) != b"TAG":
        return stop
    # The TAG within APETAGEX, 128 bytes before the end of a longer APEv2 tag, is no ID3v1 tag.
    inside = bytes(data[max(start, at - 3) : at + 5]) == APE_MAGIC
    return stop if inside else at


def _tag_plus_start(data: memoryview, start: int, stop: int) -> int:
    at = stop - _TAG_PLUS_SIZE
    return at if at >= start and bytes(data[at : at + 4]) == b"TAG+" else stop


def _lyrics3_start(data: memoryview, start: int, stop: int) -> int:
    end = bytes(data[max(start, stop - 9) : stop])
    if end == _LYRICS3_V2_END:
        digits = bytes(data[max(start, stop - 15) : stop - 9])
        at = stop - 15 - int(digits) if len(digits) == 6 and digits.isdigit() else -1
        return at if at >= start and bytes(data[at : at + 11]) == _LYRICS3_BEGIN else stop
    if end == _LYRICS3_V1_END:
        low = max(start, stop - _LYRICS3_V1_MAX)
        at = bytes(data[low:stop]).find(_LYRICS3_BEGIN)
        return low + at if at >= 0 else stop
    return stop


def _ape_start(data: memoryview, start: int, stop: int) -> int:
    footer = bytes(data[max(start, stop - APE_SIZE) : stop])
    if len(footer) < APE_SIZE or footer[:8] != APE_MAGIC:
        return stop
    size, flags = int.from_bytes(footer[12:16], "little"), int.from_bytes(footer[20:24], "little")
    at = stop - size - (APE_SIZE if flags & APE_HAS_HEADER else 0)
    # Not "no tag": other programs would still find the footer and read across the audio.
    if size < APE_SIZE or at < start:
        raise UnexplainedError("its APEv2 tag is longer than the file")
    return at


def _id3v2_start(data: memoryview, start: int, stop: int) -> int:
    footer = bytes(data[max(start, stop - id3.HEADER_SIZE) : stop])
    if footer[:3] != b"3DI" or len(footer) < id3.HEADER_SIZE:
        return stop
    at = stop - id3.from_syncsafe(footer[6:]) - 2 * id3.HEADER_SIZE
    if at < start or bytes(data[at : at + 3]) != b"ID3":
        raise UnexplainedError("the footer of its ID3v2 tag does not lead to a header")
    return at


def parse_ape(data: memoryview, start: int, end: int) -> Ape:
    """Parse the APEv2 tag between two offsets.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    footer = bytes(data[end - APE_SIZE : end])
    version, count = (int.from_bytes(footer[a : a + 4], "little") for a in (8, 16))
    flags = int.from_bytes(footer[20:24], "little")
    items_at = start + (APE_SIZE if flags & APE_HAS_HEADER else 0)
    if items_at > start and bytes(data[start : start + 8]) != APE_MAGIC:
        raise UnexplainedError("its APEv2 tag has no header where one is expected")
    # Programs read from either end, and would see two different tags.
    if items_at > start and bytes(data[start + 8 : start + 20]) != footer[8:20]:
        raise UnexplainedError("header and footer of its APEv2 tag differ")
    items = tuple(_items(data, items_at, end - APE_SIZE))
    if len(items) != count:
        raise UnexplainedError("its APEv2 tag has another number of items than it states")
    return Ape(start, items_at, items, end - APE_SIZE, end, version)


def _items(data: memoryview, at: int, stop: int) -> Iterator[Item]:
    for _ in range(_MAX_ITEMS):
        if at == stop:
            return
        size, flags = (int.from_bytes(data[at + a : at + a + 4], "little") for a in (0, 4))
        key = bytes(data[at + 8 : min(at + 8 + 256, stop)]).partition(b"\0")[0]
        value_at = at + 8 + len(key) + 1
        end = value_at + size
        if not key or end > stop:
            raise UnexplainedError("the items of its APEv2 tag do not lead to its end")
        yield Item(key, flags, at, value_at, end)
        at = end
    raise UnexplainedError("its APEv2 tag has too many items")


def ape_regions(data: memoryview, start: int, end: int, fields: Sequence[str]) -> list[Region]:
    """Return the regions of an APEv2 tag."""
    tag = parse_ape(data, start, end)
    held = {item.start: field for field in fields for item in tag.of_field(field)}
    regions = list[Region]()
    if tag.has_header:
        regions += _ape_end_regions(start, "header")
    for item in tag.items:
        field = held.get(item.start)
        kind = Kind.FIELD if field else Kind.OTHER
        name = f"APEv2/{item.key.decode('latin-1')}"
        regions.append(Region(kind, item.start, item.end, name, field))
    return [*regions, *_ape_end_regions(tag.items_end, "footer")]


def _ape_end_regions(at: int, name: str) -> list[Region]:
    """Return the regions of a header or footer: size and count follow from the items."""
    return [
        Region(Kind.OTHER, at, at + 12, f"APEv2/{name}"),
        Region(Kind.DERIVED, at + 12, at + 20, f"APEv2/{name} size"),
        Region(Kind.OTHER, at + 20, at + APE_SIZE, f"APEv2/{name}"),
    ]


def _id3v1_regions(start: int, end: int, fields: Sequence[str]) -> list[Region]:
    kind, field = (Kind.FIELD, "genre") if "genre" in fields else (Kind.OTHER, None)
    genre = start + ID3V1_GENRE_AT
    return [
        Region(Kind.OTHER, start, genre, "ID3v1"),
        Region(kind, genre, end, "ID3v1/genre", field),
    ]


def _tag_plus_regions(start: int, end: int, fields: Sequence[str]) -> list[Region]:
    kind, field = (Kind.FIELD, "genre") if "genre" in fields else (Kind.OTHER, None)
    a, b = start + _TAG_PLUS_GENRE.start, start + _TAG_PLUS_GENRE.stop
    return [
        Region(Kind.OTHER, start, a, "TAG+"),
        Region(kind, a, b, "TAG+/genre", field),
        Region(Kind.OTHER, b, end, "TAG+"),
    ]


def part_regions(data: memoryview, part: Part, fields: Sequence[str]) -> list[Region]:
    """Return the regions of a tag at the end of a file."""
    if part.kind == "ID3v1":
        return _id3v1_regions(part.start, part.end, fields)
    if part.kind == "TAG+":
        return _tag_plus_regions(part.start, part.end, fields)
    if part.kind == "APEv2":
        return ape_regions(data, part.start, part.end, fields)
    if part.kind == "ID3v2":
        return id3.tag_regions(data, part.start, part.end, fields, "appended")
    return [Region(Kind.OTHER, part.start, part.end, part.kind)]


def tail_regions(data: memoryview, start: int, fields: Sequence[str]) -> list[Region]:
    """Return the regions of all tags that end the file from ``start`` on."""
    return [r for part in tail_parts(data, start) for r in part_regions(data, part, fields)]


def tail_start(data: memoryview, start: int) -> int:
    """Return the start of the tags that end the file; the file's length if there are none."""
    parts = tail_parts(data, start)
    return parts[0].start if parts else len(data)
