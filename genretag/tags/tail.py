"""The fields in the tags at the end of a file: ID3v1, its extension, APEv2, appended ID3v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genretag.errors import TrackError
from genretag.layout.fields import FIELDS
from genretag.layout.tail import (
    APE_HAS_HEADER,
    APE_IS_BINARY,
    APE_IS_HEADER,
    APE_KIND_MASK,
    APE_MAGIC,
    APE_SIZE,
    ID3V1_GENRE_AT,
    Ape,
    Item,
    parse_ape,
    tail_parts,
)
from genretag.tags import id3_splice
from genretag.tags.edits import Edit
from genretag.tags.id3v1 import NO_NUMBER, by_number, number_of

_APE_VERSION = 2000
_TAG_PLUS_GENRE_AT, _TAG_PLUS_GENRE_SIZE = 185, 30

#: Kinds of tags at the end of a file, those that programs prefer first.
PREFERRED = ("APEv2", "ID3v2", "TAG+", "ID3v1")

#: Where ID3v1 holds its texts (E. Kemp 1996).
_ID3V1_TEXTS = (
    ("title", 3, 33),
    ("artist", 33, 63),
    ("album", 63, 93),
    ("year", 93, 97),
    ("comment", 97, 127),
)
_ID3V1_ZERO_AT, _ID3V1_TRACK_AT = 125, 126  # ID3v1.1: a zero, then the track number


def id3v1_of(data: memoryview, start: int) -> bytes:
    """Return the ID3v1 block among the tags that end a file; empty if there is none."""
    parts = [p for p in tail_parts(data, start) if p.kind == "ID3v1"]
    return bytes(data[parts[-1].start : parts[-1].end]) if parts else b""


def texts_of(block: bytes) -> dict[str, str]:
    """Return the texts of an ID3v1 block by meaning: title, artist, album, year, comment, track."""
    texts = dict[str, str]()
    has_track = not block[_ID3V1_ZERO_AT] and bool(block[_ID3V1_TRACK_AT])
    for name, start, end in _ID3V1_TEXTS:
        raw = block[start : _ID3V1_ZERO_AT if has_track and name == "comment" else end]
        if text := raw.partition(b"\0")[0].decode("latin-1").strip():
            texts[name] = text
    if has_track:
        texts["track"] = str(block[_ID3V1_TRACK_AT])
    return texts


def id3v1_genres(block: bytes) -> list[str]:
    """Return the genre of an ID3v1 block."""
    number = block[ID3V1_GENRE_AT] if block else NO_NUMBER
    return [by_number(str(number))] if number != NO_NUMBER else []


def repeatable_genre(block: bytes) -> list[str]:
    """Return the genre of an ID3v1 block if its number stands for one."""
    return [genre for genre in id3v1_genres(block) if number_of(genre) != NO_NUMBER]


def tail_values(data: memoryview, start: int, kind: str, field: str = "genre") -> list[str]:
    """Return the values of a field in the tags of a kind that end a file.

    Raises:
        TrackError: a value cannot be decoded.
    """
    found = list[str]()
    if kind in ("ID3v1", "TAG+") and field != "genre":
        return found
    for part in tail_parts(data, start):
        if part.kind != kind:
            continue
        if kind == "APEv2":
            found += item_texts(data, parse_ape(data, part.start, part.end), field)
        elif kind == "ID3v2":
            found += id3_splice.values_of(data, part.start, field)
        elif kind == "ID3v1":
            found += id3v1_genres(bytes(data[part.start : part.end]))
        elif kind == "TAG+":
            raw = bytes(data[part.start + _TAG_PLUS_GENRE_AT :][:_TAG_PLUS_GENRE_SIZE])
            found += [t] if (t := raw.partition(b"\0")[0].decode("latin-1").strip()) else []
    return list(dict.fromkeys(found))


def item_texts(data: memoryview, tag: Ape, field: str) -> list[str]:
    """Return the values of a field's APEv2 items; those that are not UTF-8 are read as Latin-1.

    Raises:
        TrackError: a binary item is no text.
    """
    texts = list[str]()
    for item in tag.of_field(field):
        raw = bytes(data[item.value_at : item.end])
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        if item.flags & APE_IS_BINARY and not text.replace("\0", "").isprintable():
            raise TrackError("tags", id3_splice.UNREADABLE)
        texts += [t.strip() for t in text.split("\0") if t.strip()]
    return list(dict.fromkeys(texts))


def first_item(data: memoryview, tag: Ape, key: bytes) -> str:
    """Return the first value of the item with a key, whatever its case; empty if there is none."""
    for item in tag.items:
        if item.key.lower() == key and not item.flags & APE_KIND_MASK:
            return bytes(data[item.value_at : item.end]).split(b"\0")[0].decode("utf-8", "replace")
    return ""


def tail_edits(
    data: memoryview,
    start: int,
    values: Sequence[str],
    field: str = "genre",
    *,
    add_item: bool = False,
) -> list[Edit]:
    """Return the edits that renew a field in all tags that end a file and have it.

    ID3v1 has a genre byte and no other field. With ``add_item`` an APEv2 tag without the field gets
    it.
    """
    edits = list[Edit]()
    for part in tail_parts(data, start):
        if part.kind in ("ID3v1", "TAG+") and field != "genre":
            continue
        if part.kind == "ID3v1":
            at = part.start + ID3V1_GENRE_AT
            edits.append(Edit(at, at + 1, bytes([number_of(values[0])])))
        elif part.kind == "TAG+":
            edits += _tag_plus_edits(data, part.start, values)
        elif part.kind == "APEv2":
            tag = parse_ape(data, part.start, part.end)
            if add_item or tag.of_field(field):
                edits += item_edits(data, tag, field, values)
        elif part.kind == "ID3v2" and id3_splice.field_texts(data, part.start, field):
            edits += id3_splice.field_edits(data, part.start, field, values)
    return edits


def _tag_plus_edits(data: memoryview, start: int, values: Sequence[str]) -> list[Edit]:
    """Return the edit of the free-text genre of enhanced ID3v1, if it has one."""
    at = start + _TAG_PLUS_GENRE_AT
    if not bytes(data[at : at + _TAG_PLUS_GENRE_SIZE]).strip(b"\0 "):
        return []
    text = values[0].encode("latin-1", "replace")[:_TAG_PLUS_GENRE_SIZE]
    return [Edit(at, at + _TAG_PLUS_GENRE_SIZE, text.ljust(_TAG_PLUS_GENRE_SIZE, b"\0"))]


def item_edits(
    data: memoryview,
    tag: Ape,
    field: str,
    values: Sequence[str],
    texts: Mapping[str, str] | None = None,
) -> list[Edit]:
    """Return the edits that give an APEv2 tag the values of a field.

    The first item of the field keeps its key, place and read-only flag; further ones are removed;
    a new item goes behind the others. New items of ``texts``, by key, stand before it.
    """
    old = tag.of_field(field)
    key = old[0].key if old else FIELDS[field].item
    flags = old[0].flags & ~APE_KIND_MASK if old else 0
    more = [pack_item(k.encode(), v.encode()) for k, v in (texts or {}).items()]
    new = b"".join([*more, pack_item(key, "\0".join(values).encode(), flags)])
    at = old[0].start if old else tag.items_end
    edits = [Edit(at, old[0].end if old else at, new)]
    edits += [Edit(i.start, i.end, b"") for i in old[1:]]
    size = tag.end - tag.items_at + sum(e.growth for e in edits)
    count = len(tag.items) - len(old) + len(more) + 1
    ends = [tag.items_end, *([tag.start] if tag.has_header else [])]
    numbers = size.to_bytes(4, "little") + count.to_bytes(4, "little")
    return [*edits, *(Edit(at + 12, at + 20, numbers) for at in ends)]


def pack_item(key: bytes, value: bytes, flags: int = 0) -> bytes:
    """Return an APEv2 item."""
    return len(value).to_bytes(4, "little") + flags.to_bytes(4, "little") + key + b"\0" + value


def new_ape(items: Mapping[str, str], values: Sequence[str], field: str = "genre") -> bytes:
    """Return a new APEv2 tag with header and footer: some texts by key, and a field."""
    texts = {
        **{k.encode(): v.encode() for k, v in items.items()},
        FIELDS[field].item: "\0".join(values).encode(),
    }
    body = b"".join(pack_item(key, value) for key, value in texts.items())
    header = _ape_end(len(body), len(texts), APE_HAS_HEADER | APE_IS_HEADER)
    return header + body + _ape_end(len(body), len(texts), APE_HAS_HEADER)


def _ape_end(body: int, count: int, flags: int) -> bytes:
    numbers = (_APE_VERSION, body + APE_SIZE, count, flags)
    return APE_MAGIC + b"".join(n.to_bytes(4, "little") for n in numbers) + bytes(8)


__all__ = ["Item", "first_item", "id3v1_of", "new_ape", "tail_edits", "tail_values", "texts_of"]
