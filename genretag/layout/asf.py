"""ASF as a tree of objects (Microsoft, Advanced Systems Format Specification, 2004).

Nothing in it is addressed by an absolute offset: indexes count packets or bytes of the data object.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from genretag.layout.account import Account, Kind, Region, UnexplainedError
from genretag.layout.fields import FIELDS
from genretag.layout.mp4 import is_zero

GUID_SIZE = 16
OBJECT_SIZE = 24  # bytes of an object's GUID and size
HEADER_SIZE = 30  # of the header object: with the count of its objects and two reserved bytes
EXTENSION_SIZE = 46  # of the header extension: with reserved bytes and the size of its objects
MAX_OBJECTS = 10_000  # in a header; files have a dozen

HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
_CONTENT_SIZES = 10  # bytes of the sizes of a content description's five texts
CONTENT = bytes.fromhex("3326b2758e66cf11a6d900aa0062ce6c")
EXTENDED_CONTENT = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
METADATA = bytes.fromhex("eacbf8c5af5b77488467aa8c44fa4cca")
LIBRARY = bytes.fromhex("941c23449894d149a1411d134e457054")
PADDING = bytes.fromhex("74d40618dfca0945a4ba9aabcb96aae8")
_SIGNATURE = bytes.fromhex("fcb3112223bdd211b4b700a0c955fc6e")

TOTAL_AT = 40  # of the file's size within the file properties, eight bytes
_FLAGS_AT, _IS_BROADCAST = 88, 1  # where sizes are not known
_FILE_PROPERTIES_SIZE = 104
_DATA_SIZE = 50  # of the data object without its packets

_NAMES: Mapping[bytes, str] = {
    FILE_PROPERTIES: "file properties",
    CONTENT: "content description",
    EXTENDED_CONTENT: "extended content description",
    METADATA: "metadata",
    LIBRARY: "metadata library",
    PADDING: "padding",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """A named value of an object: ``kind`` 0 is text in UTF-16."""

    start: int
    end: int
    name: str
    kind: int
    value_at: int


@dataclass(frozen=True, slots=True)
class Object:
    """One object: ``start`` to ``end``, with the attributes in it, which end at ``rest_at``."""

    guid: bytes
    start: int
    end: int
    attributes: tuple[Attribute, ...] = ()
    rest_at: int = 0
    objects: tuple[Object, ...] = ()  # of a header extension


@dataclass(frozen=True)
class Asf:
    """The objects of a file's header, and those behind it."""

    header_end: int
    objects: tuple[Object, ...]
    later: tuple[Object, ...]
    later_end: int
    total_at: int | None  # of the file's size; None where it is not stated

    def everything(self) -> Iterator[Object]:
        """Yield the objects of the header, and those in its extension."""
        for item in self.objects:
            yield item
            yield from item.objects


def matches(head: bytes) -> bool:
    """Return whether a file begins as an ASF file does."""
    return head.startswith(HEADER)


def _objects(data: memoryview, at: int, end: int, is_inner: bool = False) -> list[Object]:
    """Return the objects that fill some bytes; an inner header extension is refused."""
    found: list[Object] = []
    while at < end:
        size = _object_size(data, at, end)
        guid = bytes(data[at : at + GUID_SIZE])
        if size is None or len(found) == MAX_OBJECTS or (is_inner and guid == EXTENSION):
            raise UnexplainedError("its ASF header cannot be explained completely")
        found.append(_parsed(data, guid, at, at + size))
        at += size
    return found


def _object_size(data: memoryview, at: int, end: int) -> int | None:
    """Return the size of an object; None where there is none that ends in time."""
    if at + OBJECT_SIZE > end:
        return None
    size = int(struct.unpack_from("<Q", data, at + GUID_SIZE)[0])
    return size if OBJECT_SIZE <= size <= end - at else None


def _parsed(data: memoryview, guid: bytes, start: int, end: int) -> Object:
    """Return an object of the header with what is in it."""
    if guid == _SIGNATURE:
        raise UnexplainedError("its header is signed, which any change would break")
    if guid == EXTENSION:
        return _extension(data, start, end)
    if guid in (EXTENDED_CONTENT, METADATA, LIBRARY):
        attributes = tuple(_attributes(data, guid, start + OBJECT_SIZE, end))
        rest_at = attributes[-1].end if attributes else start + OBJECT_SIZE + 2
        return Object(guid, start, end, attributes, rest_at)
    if guid == FILE_PROPERTIES and end - start < _FILE_PROPERTIES_SIZE:
        raise UnexplainedError("its ASF file properties are damaged")
    if guid == CONTENT:
        _check_content(data, start + OBJECT_SIZE, end)
    return Object(guid, start, end)


def _check_content(data: memoryview, at: int, end: int) -> None:
    """Raise if the five texts of a content description are longer than it.

    Programs would read on into the next object, whose bytes may change.
    """
    if at + _CONTENT_SIZES > end:
        raise _damaged()
    sizes = struct.unpack_from("<5H", data, at)
    if at + _CONTENT_SIZES + sum(sizes) > end:
        raise _damaged()


def _extension(data: memoryview, start: int, end: int) -> Object:
    at = start + EXTENSION_SIZE
    if at > end or int.from_bytes(data[at - 4 : at], "little") != end - at:
        raise UnexplainedError("its ASF header extension cannot be explained completely")
    return Object(EXTENSION, start, end, objects=tuple(_objects(data, at, end, is_inner=True)))


def _attributes(data: memoryview, guid: bytes, at: int, end: int) -> Iterator[Attribute]:
    """Yield the attributes behind their count.

    A content descriptor is the name's size, name, type, size and value; a metadata record is
    language, stream, the name's size, type, size, name and value.
    """
    if at + 2 > end:
        raise _damaged()
    count, at = int.from_bytes(data[at : at + 2], "little"), at + 2
    for _ in range(count):
        attribute = (
            _descriptor(data, at, end) if guid == EXTENDED_CONTENT else _record(data, at, end)
        )
        if attribute.end > end:
            raise _damaged()
        yield attribute
        at = attribute.end


def _descriptor(data: memoryview, at: int, end: int) -> Attribute:
    if at + 2 > end:
        raise _damaged()
    name_end = at + 2 + int.from_bytes(data[at : at + 2], "little")
    if name_end + 4 > end:
        raise _damaged()
    kind, size = struct.unpack_from("<HH", data, name_end)
    value_at = name_end + 4
    return Attribute(at, value_at + size, text_of(data[at + 2 : name_end]), kind, value_at)


def _record(data: memoryview, at: int, end: int) -> Attribute:
    if at + 12 > end:
        raise _damaged()
    _, _, name_size, kind, size = struct.unpack_from("<HHHHI", data, at)
    value_at = at + 12 + name_size
    return Attribute(at, value_at + size, text_of(data[at + 12 : value_at]), kind, value_at)


def _damaged() -> UnexplainedError:
    return UnexplainedError("a size in its ASF attributes leads beyond their end")


def text_of(raw: memoryview) -> str:
    """Return the text of a name or value up to its first zero, as far as it can be decoded."""
    return bytes(raw[: len(raw) & ~1]).decode("utf-16-le", "replace").partition("\0")[0]


def parse_asf(data: memoryview) -> Asf:
    """Parse an ASF file.

    Raises:
        UnexplainedError: it is cut off, or its header cannot be explained.
    """
    size = _object_size(data, 0, len(data))
    if size is None or size < HEADER_SIZE or not matches(bytes(data[:GUID_SIZE])):
        raise UnexplainedError("it is cut off: its ASF header is not whole")
    objects = _objects(data, HEADER_SIZE, size)
    stated = [o.start for o in objects if o.guid == FILE_PROPERTIES]
    is_broadcast = any(data[at + _FLAGS_AT] & _IS_BROADCAST for at in stated)
    later, end = _later(data, size, is_broadcast)
    total_at = stated[0] + TOTAL_AT if len(stated) == 1 and not is_broadcast else None
    return Asf(size, tuple(objects), tuple(later), end, total_at)


def _later(data: memoryview, at: int, is_broadcast: bool) -> tuple[list[Object], int]:
    """Return the objects behind the header and where they end; the first one is the audio."""
    found: list[Object] = []
    while len(found) < MAX_OBJECTS:
        guid, size = bytes(data[at : at + GUID_SIZE]), _object_size(data, at, len(data))
        if not found and guid != DATA:
            raise UnexplainedError("no ASF data follow its header")
        if size is None and guid == DATA and is_broadcast:
            size = len(data) - at
        if size is None:
            break
        found.append(Object(guid, at, at + size))
        at += size
    if not found or found[0].end - found[0].start < _DATA_SIZE:
        raise UnexplainedError("it is cut off: its ASF data are not whole")
    return found, at


def account(data: memoryview, fields: Sequence[str]) -> Account:
    """Return the account of an ASF file.

    The count of the header's objects and the file's size are derived: one that is wrong before a
    write is set right.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    asf = parse_asf(data)
    regions = [
        Region(Kind.OTHER, 0, GUID_SIZE, "ASF"),
        Region(Kind.DERIVED, GUID_SIZE, HEADER_SIZE - 2, "ASF/size and count"),
        Region(Kind.OTHER, HEADER_SIZE - 2, HEADER_SIZE, "ASF"),
        *(r for item in asf.objects for r in _regions(data, asf, item, fields)),
    ]
    for item in asf.later:
        audio_at = item.start + _DATA_SIZE if item.guid == DATA else item.end
        regions.append(Region(Kind.OTHER, item.start, audio_at, "ASF/behind the header"))
        regions.append(Region(Kind.AUDIO, audio_at, item.end, "ASF/data"))
    regions.append(Region(Kind.OTHER, asf.later_end, len(data), "behind the ASF objects"))
    return Account("ASF", len(data), tuple(regions))


def _regions(data: memoryview, asf: Asf, item: Object, fields: Sequence[str]) -> Iterator[Region]:
    """Yield the regions of an object of the header."""
    name = f"ASF/{_NAMES.get(item.guid, item.guid.hex())}"
    if item.guid == EXTENSION:
        yield from _extension_regions(data, asf, item, fields)
    elif item.rest_at:
        yield from _attribute_regions(item, fields, name)
    elif is_padding(data, item):
        yield Region(Kind.PADDING, item.start, item.end, name)
    elif item.guid == FILE_PROPERTIES and asf.total_at is not None:
        yield Region(Kind.OTHER, item.start, asf.total_at, name)
        yield Region(Kind.DERIVED, asf.total_at, asf.total_at + 8, f"{name}/file size")
        yield Region(Kind.OTHER, asf.total_at + 8, item.end, name)
    else:
        yield Region(Kind.OTHER, item.start, item.end, name)


def _extension_regions(
    data: memoryview, asf: Asf, item: Object, fields: Sequence[str]
) -> Iterator[Region]:
    name, end = "ASF/extension", item.start + EXTENSION_SIZE
    yield Region(Kind.OTHER, item.start, item.start + GUID_SIZE, name)
    yield Region(Kind.DERIVED, item.start + GUID_SIZE, item.start + OBJECT_SIZE, f"{name}/size")
    yield Region(Kind.OTHER, item.start + OBJECT_SIZE, end - 4, name)
    yield Region(Kind.DERIVED, end - 4, end, f"{name}/size of objects")
    for inner in item.objects:
        yield from _regions(data, asf, inner, fields)


def _attribute_regions(item: Object, fields: Sequence[str], name: str) -> Iterator[Region]:
    """Yield the regions of attributes; an object without others came with those of the fields."""
    found = [field_of(a, fields) for a in item.attributes]
    if fields and all(found) and item.rest_at == item.end:
        yield Region(Kind.FIELD, item.start, item.end, name, fields[0])
        return
    count_at = item.start + OBJECT_SIZE
    yield Region(Kind.OTHER, item.start, item.start + GUID_SIZE, name)
    yield Region(Kind.DERIVED, item.start + GUID_SIZE, count_at + 2, f"{name}/size and count")
    for attribute, wanted in zip(item.attributes, found, strict=True):
        kind = Kind.FIELD if wanted else Kind.OTHER
        path = f"{name}/{attribute.name[:40]}"
        yield Region(kind, attribute.start, attribute.end, path, wanted)
    yield Region(Kind.OTHER, item.rest_at, item.end, name)


def field_of(attribute: Attribute, fields: Sequence[str]) -> str | None:
    """Return which of some fields an attribute holds; None: another one, or none."""
    name = attribute.name.lower()
    return next((f for f in fields if name in map(str.lower, FIELDS[f].attributes)), None)


def is_padding(data: memoryview, item: Object) -> bool:
    """Return whether an object is filler; one with anything in it is not."""
    return item.guid == PADDING and is_zero(data, item.start + OBJECT_SIZE, item.end)
