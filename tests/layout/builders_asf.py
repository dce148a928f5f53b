"""Build ASF files object by object, and read them by code that genretag does not use."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
CONTENT = bytes.fromhex("3326b2758e66cf11a6d900aa0062ce6c")
EXTENDED = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
METADATA = bytes.fromhex("eacbf8c5af5b77488467aa8c44fa4cca")
LIBRARY = bytes.fromhex("941c23449894d149a1411d134e457054")
PADDING = bytes.fromhex("74d40618dfca0945a4ba9aabcb96aae8")
INDEX = bytes.fromhex("90080033b1e5cf1189f400a0c90349cb")
SIGNATURE = bytes.fromhex("fcb3112223bdd211b4b700a0c955fc6e")
_RESERVED = bytes.fromhex("11d2d3abbaa9cf118ee600c00c205365")


@dataclass(frozen=True)
class Attribute:
    """An attribute: ``kind`` 0 is text; language and stream count in metadata objects alone."""

    name: str
    value: bytes
    kind: int = 0
    language: int = 0
    stream: int = 0


def text(name: str, value: str) -> Attribute:
    """Return an attribute of text."""
    return Attribute(name, utf16(value))


def utf16(value: str) -> bytes:
    """Return a text as ASF stores it."""
    return value.encode("utf-16-le") + b"\0\0"


def asf_object(guid: bytes, body: bytes) -> bytes:
    """Build an object."""
    return guid + (24 + len(body)).to_bytes(8, "little") + body


def extended(*attributes: Attribute, rest: bytes = b"") -> bytes:
    """Build an extended content description."""
    rows = [
        struct.pack("<H", len(utf16(a.name)))
        + utf16(a.name)
        + struct.pack("<HH", a.kind, len(a.value))
        + a.value
        for a in attributes
    ]
    return asf_object(EXTENDED, struct.pack("<H", len(rows)) + b"".join(rows) + rest)


def metadata(guid: bytes, *attributes: Attribute) -> bytes:
    """Build a metadata object or a metadata library."""
    rows = [
        struct.pack("<HHHHI", a.language, a.stream, len(utf16(a.name)), a.kind, len(a.value))
        + utf16(a.name)
        + a.value
        for a in attributes
    ]
    return asf_object(guid, struct.pack("<H", len(rows)) + b"".join(rows))


def content(*texts: str) -> bytes:
    """Build a content description of title, author, copyright, description and rating."""
    coded = [utf16(t) for t in texts]
    return asf_object(CONTENT, struct.pack("<5H", *map(len, coded)) + b"".join(coded))


def extension(*objects: bytes) -> bytes:
    """Build a header extension."""
    body = b"".join(objects)
    return asf_object(EXTENSION, _RESERVED + struct.pack("<HI", 6, len(body)) + body)


def padding(size: int) -> bytes:
    """Build filler of so many bytes besides its header."""
    return asf_object(PADDING, bytes(size))


def properties(total: int, broadcast: bool = False) -> bytes:
    """Build the file properties."""
    body = bytes(range(16)) + total.to_bytes(8, "little") + bytes(40)
    return asf_object(PROPERTIES, body + struct.pack("<IIII", broadcast, 3000, 3000, 64000))


def asf(
    objects: Sequence[bytes], audio: bytes, later: bytes = b"", broadcast: bool = False
) -> bytes:
    """Build a file; the file properties stand in front of the other objects."""
    data = asf_object(DATA, bytes(26) + audio) + later
    size = 30 + len(properties(0)) + sum(map(len, objects))
    head = HEADER + struct.pack("<QI", size, 1 + len(objects)) + b"\1\2"
    total = 0 if broadcast else size + len(data)
    return head + properties(total, broadcast) + b"".join(objects) + data


# --- an independent reader ------------------------------------------------------------------------


@dataclass(frozen=True)
class Read:
    """A file as it is stored: objects of the header by path, attributes of each, and the rest."""

    objects: list[tuple[str, bytes]]
    attributes: list[tuple[bytes, Attribute]]
    total: int
    rest: bytes


def read(data: bytes) -> Read:
    """Read a file and check its sizes and counts."""
    size, count = struct.unpack_from("<QI", data, 16)
    found = Read([], [], int.from_bytes(data[70:78], "little"), data[size:])
    assert _walk(data, 30, size, "", found) == count
    return found


def _walk(data: bytes, at: int, end: int, above: str, found: Read) -> int:
    count = 0
    while at < end:
        guid, size = data[at : at + 16], int.from_bytes(data[at + 16 : at + 24], "little")
        assert 24 <= size <= end - at
        body, count = data[at + 24 : at + size], count + 1
        if guid == EXTENSION:
            assert int.from_bytes(body[18:22], "little") == len(body) - 22
            _walk(data, at + 46, at + size, "extension/", found)
        elif guid in (EXTENDED, METADATA, LIBRARY):
            rest = _read_attributes(guid, body, found)
            found.objects.append((above + guid.hex(), rest))
        elif guid != PADDING or any(body):
            found.objects.append((above + guid.hex(), b"" if guid == PROPERTIES else body))
        at += size
    assert at == end
    return count


def _read_attributes(guid: bytes, body: bytes, found: Read) -> bytes:
    """Read the attributes of an object; return what follows them."""
    at = 2
    for _ in range(int.from_bytes(body[:2], "little")):
        if guid == EXTENDED:
            name_size = int.from_bytes(body[at : at + 2], "little")
            name = body[at + 2 : at + 2 + name_size]
            kind, size = struct.unpack_from("<HH", body, at + 2 + name_size)
            at += 6 + name_size
            language = stream = 0
        else:
            language, stream, name_size, kind, size = struct.unpack_from("<HHHHI", body, at)
            name = body[at + 12 : at + 12 + name_size]
            at += 12 + name_size
        value = body[at : at + size]
        at += size
        decoded = name.decode("utf-16-le").rstrip("\0")
        found.attributes.append((guid, Attribute(decoded, value, kind, language, stream)))
    return body[at:]


def is_genre(attribute: Attribute) -> bool:
    """Return whether an attribute holds the genre."""
    return attribute.name.lower() in ("wm/genre", "genre")


def kept(data: bytes) -> tuple[object, ...]:
    """Return all that a write must keep; an object without attributes may come or go."""
    found = read(data)
    objects = [
        (path, body)
        for path, body in found.objects
        if body or path.split("/")[-1] not in (EXTENDED.hex(), METADATA.hex(), LIBRARY.hex())
    ]
    attributes = [(guid, a) for guid, a in found.attributes if not is_genre(a)]
    return objects, attributes, found.rest


def genres(data: bytes) -> list[tuple[bytes, str]]:
    """Return (GUID, genre) of the attributes that hold one."""
    return [
        (guid, a.value.decode("utf-16-le").rstrip("\0"))
        for guid, a in read(data).attributes
        if is_genre(a)
    ]
