"""MP4: fields in iTunes' list of tags, the genre with its older and further places kept in step.

Only atoms of the field change; the sizes of those around them, filler and every stored offset
follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from genretag.errors import TrackError
from genretag.layout.fields import FIELDS
from genretag.layout.mp4 import VERSION_SIZE, Atom, field_of, inner_atoms, parse_mp4
from genretag.tags.album import album_from
from genretag.tags.id3v1 import listed
from genretag.tags.records import Album

KEY = "\xa9gen"
#: What stands between the values in an atom that holds one text.
SEPARATOR = "; "
UTF8, _UTF16 = 1, 2  # types of a data atom
_IMPLICIT = 0  # text, or a number in gnre
MAC_LANGUAGES = 0x400  # smaller ones are numbers of the Macintosh, whose text is not UTF-8
_UNREADABLE = "its genre cannot be read"


def genre_places(data: memoryview) -> list[list[str]]:
    """Return the genres of each kind of atom, those that programs prefer first.

    Raises:
        UnexplainedError: the file cannot be explained.
        TrackError: a genre cannot be decoded.
    """
    items, below = _listed(data)
    return [
        _texts(data, items, b"\xa9gen"),
        [w for i in items if i.name == b"gnre" for w in _numbers(data, i)],
        _texts(data, items, b"----"),
        [t for c in below for t in (_udta_text(data, c, "genre") or "").split(SEPARATOR) if t],
    ]


def _listed(data: memoryview) -> tuple[list[Atom], list[Atom]]:
    """Return the items of iTunes' list of tags, and the atoms of the user data around it."""
    mp4 = parse_mp4(data)
    items = [i for t in mp4.tag_atoms() for tags in t.named(b"ilst") for i in tags.children]
    return items, [c for udta in mp4.moov.named(b"udta") for c in udta.children]


def reader(data: memoryview) -> Callable[[str], list[str]]:
    """Return what reads the values, each once, of a field that is text in all of its places.

    Raises:
        UnexplainedError: the file cannot be explained; and reading a field raises
        TrackError: a value cannot be decoded.
    """
    items, below = _listed(data)

    def values(field: str) -> list[str]:
        names = (*FIELDS[field].atoms, b"----")
        texts = [t for name in names for t in _texts(data, items, name, field)]
        joined = (_udta_text(data, c, field) or "" for c in below)
        texts += [t for text in joined for t in text.split(SEPARATOR) if t]
        return list(dict.fromkeys(texts))

    return values


def _texts(data: memoryview, items: Iterable[Atom], name: bytes, field: str = "genre") -> list[str]:
    """Return the texts of a field's atoms of a name."""
    found = (i for i in items if i.name == name and field_of(data, i, (field,)))
    return [t for i in found for kind, value in _values(data, i) if (t := _text(kind, value))]


def _values(data: memoryview, item: Atom) -> list[tuple[int, bytes]]:
    """Return type and value of each data atom in an item; raise where there is something else."""
    values = [body for name, body in inner_atoms(data, item) if name == b"data"]
    if any(len(v) < 8 for v in values) or (not values and item.end > item.data_at):
        raise TrackError("tags", _UNREADABLE)
    return [(int.from_bytes(v[1:4], "big"), v[8:]) for v in values]


def _text(kind: int, value: bytes) -> str:
    if kind not in (_IMPLICIT, UTF8, _UTF16):
        raise TrackError("tags", _UNREADABLE)
    return _decoded(value, "utf-16-be" if kind == _UTF16 else "utf-8")


def _decoded(value: bytes, encoding: str) -> str:
    """Return a text; one that is not in the encoding is read as Latin-1."""
    try:
        text = value.decode(encoding)
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return text.strip("\0").strip()


def _numbers(data: memoryview, item: Atom) -> list[str]:
    """Return the words for the numbers of gnre, which are ID3v1's and one; zero is none."""
    numbers = [int.from_bytes(value, "big") for _, value in _values(data, item)]
    words = listed()
    if any(n > len(words) for n in numbers):
        raise TrackError("tags", _UNREADABLE)
    return [words[n - 1] for n in numbers if n]


def _udta_text(data: memoryview, atom: Atom, field: str) -> str | None:
    """Return a field in QuickTime's ©gen or 3GPP's gnre; None for any other atom."""
    if not field_of(data, atom, (field,)):
        return None
    body = bytes(data[atom.data_at : atom.end])
    if atom.name == b"gnre":  # version and flags, language, text (3GPP TS 26.244, clause 8)
        text = body[VERSION_SIZE + 2 :]
        is_wide = text[:2] in (b"\xfe\xff", b"\xff\xfe")
        return _decoded(text, "utf-16" if is_wide else "utf-8")
    size, language = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
    if len(body) < 4 or size > len(body) - 4:
        raise TrackError("tags", _UNREADABLE)
    text = body[4 : 4 + size]
    return _decoded(text, "mac-roman" if language < MAC_LANGUAGES else "utf-8")


def album_of(data: memoryview) -> Album:
    """Return artist, album, album artist and compilation flag."""
    mp4 = parse_mp4(data)
    items = [i for t in mp4.tag_atoms() for tags in t.named(b"ilst") for i in tags.children]
    texts = [_first_text(data, items, name) for name in (b"\xa9ART", b"\xa9alb", b"aART")]
    flags = (any(value) for value in _raw_values(data, items, b"cpil"))
    return album_from([*texts, "1" if any(flags) else ""])


def _first_text(data: memoryview, items: Iterable[Atom], name: bytes) -> str:
    """Return the first text of a name; empty where there is none."""
    texts = (_decoded(value, "utf-8") for value in _raw_values(data, items, name))
    return next(filter(None, texts), "")


def _raw_values(data: memoryview, items: Iterable[Atom], name: bytes) -> Iterator[bytes]:
    """Yield the values of the items of a name, of any type."""
    bodies = (b for i in items if i.name == name for n, b in inner_atoms(data, i) if n == b"data")
    return (body[8:] for body in bodies)
