"""ASF (WMA): fields as attributes of the extended content description (WM/Genre, WM/Mood)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

from genretag.errors import TrackError
from genretag.layout.asf import (
    CONTENT,
    EXTENDED_CONTENT,
    EXTENSION,
    EXTENSION_SIZE,
    GUID_SIZE,
    HEADER_SIZE,
    OBJECT_SIZE,
    Asf,
    Attribute,
    Object,
    field_of,
    is_padding,
    parse_asf,
    text_of,
)
from genretag.layout.fields import FIELDS
from genretag.tags.album import album_from
from genretag.tags.comments import growth_of
from genretag.tags.edits import Edit
from genretag.tags.options import KEEP_AS_IS, TagOptions
from genretag.tags.records import Album

KEY = FIELDS["genre"].attributes[0]
_TEXT = 0  # type of an attribute: UTF-16 with a zero at its end
_MAX_VALUE_SIZE = 0xFFFE  # bytes of a text that a content descriptor can hold
_MAX_ATTRIBUTES = 0xFFFF
_COMPILATION_NAMES = ("wm/iscompilation", "compilation")  # the second is FFmpeg's


# --- reading --------------------------------------------------------------------------------------


def reader(data: memoryview) -> Callable[[str], list[str]]:
    """Return what reads a field: its values, each once, those of the extended description first.

    Raises:
        UnexplainedError: the file cannot be explained; and reading a field raises
        TrackError: a value is no text.
    """
    items = sorted(parse_asf(data).everything(), key=lambda o: o.guid != EXTENDED_CONTENT)

    def values(field: str) -> list[str]:
        found = [a for o in items for a in o.attributes if field_of(a, (field,))]
        if any(a.kind != _TEXT and a.end > a.value_at for a in found):
            raise TrackError("tags", f"its {field} cannot be read")
        return list(dict.fromkeys(t for a in found if (t := _text(data, a))))

    return values


def genres_of(data: memoryview) -> list[str]:
    """Return the genres. See ``reader``."""
    return reader(data)("genre")


def _text(data: memoryview, attribute: Attribute) -> str:
    return text_of(data[attribute.value_at : attribute.end]).strip()


def album_of(data: memoryview) -> Album:
    """Return artist, album, album artist and compilation flag."""
    asf = parse_asf(data)
    attributes = [a for o in asf.everything() for a in o.attributes]
    texts = [a for a in attributes if a.kind == _TEXT]
    authors = (_author(data, o) for o in asf.objects if o.guid == CONTENT)
    artist = next(filter(None, authors), "") or _first(data, texts, "author")
    rest = (_first(data, texts, name) for name in ("wm/albumtitle", "wm/albumartist"))
    flags = (_is_set(data, a) for a in attributes if a.name.lower() in _COMPILATION_NAMES)
    return album_from([artist, *rest, "1" if any(flags) else ""])


def _is_set(data: memoryview, flag: Attribute) -> bool:
    """Return whether a flag is set, which is stored as a number or as text."""
    if flag.kind == _TEXT:
        return _text(data, flag).lower() in ("1", "true")
    return any(data[flag.value_at : flag.end][:8])


def _author(data: memoryview, item: Object) -> str:
    """Return the author of a content description, whose five texts stand behind their sizes."""
    at = item.start + OBJECT_SIZE
    title, author = (int.from_bytes(data[at + i : at + i + 2], "little") for i in (0, 2))
    start = at + 10 + title
    return text_of(data[start : min(start + author, item.end)]).strip()


def _first(data: memoryview, attributes: Iterable[Attribute], name: str) -> str:
    texts = (_text(data, a) for a in attributes if a.name.lower() == name)
    return next(filter(None, texts), "")


# --- writing --------------------------------------------------------------------------------------


def field_name(data: memoryview) -> str:
    """Return the name of the field.

    Raises:
        UnexplainedError, TrackError: a genre cannot be written into this file.
    """
    asf_edits(data, ["Genre"], KEEP_AS_IS)
    return KEY


def asf_edits(
    data: memoryview, values: Sequence[str], _: TagOptions, field: str = "genre"
) -> list[Edit]:
    """Return the edits that give an ASF file the values of a field.

    All go to the extended content description, and leave the metadata objects, whose place in the
    file decides which program takes them for the first ones.

    Raises:
        UnexplainedError: the file cannot be explained completely.
        TrackError: a value is too long for an attribute.
    """
    asf = parse_asf(data)
    new = [_pack_descriptor(field, value) for value in _arranged(values)]
    target = next((o for o in asf.objects if o.guid == EXTENDED_CONTENT), None)
    edits = [_attribute_edits(o, new if o is target else [], field) for o in asf.everything()]
    if target is None:
        edits.append([Edit(asf.header_end, asf.header_end, _pack_description(new))])
    growth = sum(map(growth_of, edits))
    edits.append(_padding_edits(data, asf, growth))
    flat = [e for group in edits for e in group]
    sizes = (_extension_edits(o, flat) for o in asf.objects if o.guid == EXTENSION)
    flat += [e for group in sizes for e in group]
    return [*flat, *_header_edits(data, asf, growth_of(flat), target is None)]


def _arranged(values: Sequence[str]) -> list[str]:
    """Return the values as they are stored, so that each program shows the first one first.

    FFmpeg shows the last attribute of a name, TagLib, mutagen and tinytag the first one: of
    several values, the first one is stored at both ends.
    """
    return [*values, values[0]] if len(values) > 1 else list(values)


def _pack_descriptor(field: str, value: str) -> bytes:
    """Return a value of a field as a content descriptor."""
    key = FIELDS[field].attributes[0]
    name, text = (t.encode("utf-16-le") + b"\0\0" for t in (key, value))
    if len(text) > _MAX_VALUE_SIZE:
        raise TrackError("tags", f"its {field} would be too long for an ASF attribute")
    return struct.pack("<H", len(name)) + name + struct.pack("<HH", _TEXT, len(text)) + text


def _pack_description(descriptors: Sequence[bytes]) -> bytes:
    """Return an extended content description."""
    body = len(descriptors).to_bytes(2, "little") + b"".join(descriptors)
    return EXTENDED_CONTENT + (OBJECT_SIZE + len(body)).to_bytes(8, "little") + body


def _attribute_edits(item: Object, new: Sequence[bytes], field: str) -> list[Edit]:
    """Return the edits that give an object new values of a field, and take away its old ones."""
    old = [a for a in item.attributes if field_of(a, (field,))]
    if not old and not new:
        return []
    at = old[0].start if old else item.rest_at
    edits = [Edit(at, old[0].end if old else at, b"".join(new))]
    edits += [Edit(a.start, a.end, b"") for a in old[1:]]
    count = len(item.attributes) - len(old) + len(new)
    if count > _MAX_ATTRIBUTES:
        raise TrackError("tags", "it has as many ASF attributes as there can be")
    size = item.end - item.start + growth_of(edits)
    numbers = size.to_bytes(8, "little") + count.to_bytes(2, "little")
    return [Edit(item.start + GUID_SIZE, item.start + OBJECT_SIZE + 2, numbers), *edits]


def _padding_edits(data: memoryview, asf: Asf, growth: int) -> list[Edit]:
    """Return the edits that make filler smaller by ``growth``; none if there is too little."""
    for item in asf.everything():
        size = item.end - item.start - growth
        if growth and size >= OBJECT_SIZE and is_padding(data, item):
            at, stop = item.start + GUID_SIZE, item.start + OBJECT_SIZE + max(growth, 0)
            return [Edit(at, stop, size.to_bytes(8, "little") + bytes(max(-growth, 0)))]
    return []


def _extension_edits(item: Object, edits: Iterable[Edit]) -> Iterator[Edit]:
    """Yield the edits of the two sizes of a header extension."""
    inner_at = item.start + EXTENSION_SIZE
    growth = growth_of(e for e in edits if inner_at <= e.start < item.end)
    size = item.end - item.start + growth
    if growth:
        at = item.start + GUID_SIZE
        yield Edit(at, at + 8, size.to_bytes(8, "little"))
        yield Edit(inner_at - 4, inner_at, (size - EXTENSION_SIZE).to_bytes(4, "little"))


def _header_edits(data: memoryview, asf: Asf, growth: int, is_added: bool) -> Iterator[Edit]:
    """Yield the edits of the header's size and count, and of the file's size."""
    size, count = asf.header_end + growth, len(asf.objects) + is_added
    numbers = size.to_bytes(8, "little") + count.to_bytes(4, "little")
    yield Edit(GUID_SIZE, HEADER_SIZE - 2, numbers)
    if asf.total_at is not None:
        total = (len(data) + growth).to_bytes(8, "little")
        yield Edit(asf.total_at, asf.total_at + 8, total)
