"""Vorbis comments: the entries of a field, set in a raw comment list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genretag.layout.fields import FIELDS
from genretag.layout.vorbis import LENGTH_SIZE, Comments, Entry, pack_entry
from genretag.tags.edits import Edit


def decode(value: bytes) -> str:
    """Return the text of a value; one that is not UTF-8 is read as Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def values_of(lists: Iterable[Comments], field: str) -> list[str]:
    """Return the values of a field in some comment lists, in order and each once."""
    texts = (decode(e.value).strip() for comments in lists for e in comments.of_field(field))
    return list(dict.fromkeys(t for t in texts if t))


def first_value(lists: Iterable[Comments], name: bytes) -> str:
    """Return the first value of a name in some comment lists; empty where there is none."""
    entries = (e for comments in lists for e in comments.entries if e.name == name)
    return next((text for e in entries if (text := decode(e.value).strip())), "")


def field_edits(
    comments: Comments,
    field: str,
    values: Sequence[str],
    texts: Sequence[tuple[bytes, str]] = (),
) -> list[Edit]:
    """Return the edits that give a field its values, one entry each, where the first one stands.

    A field that is new goes behind the last entry, and ``texts``, by name, before it. All other
    entries keep their bytes and order.
    """
    old = comments.of_field(field)
    at = old[0].start if old else comments.end
    new = [pack_entry(*t) for t in texts] + [pack_entry(_name(old, field), v) for v in values]
    count = len(comments.entries) - len(old) + len(new)
    return [
        Edit(
            comments.count_at,
            comments.count_at + LENGTH_SIZE,
            count.to_bytes(LENGTH_SIZE, "little"),
        ),
        Edit(at, old[0].end if old else at, b"".join(new)),
        *(Edit(e.start, e.end, b"") for e in old[1:]),
    ]


def _name(old: Sequence[Entry], field: str) -> bytes:
    """Return the name for new entries: the first old one's, as it is spelled."""
    return old[0].text.partition(b"=")[0] if old else FIELDS[field].comment


def growth_of(edits: Iterable[Edit]) -> int:
    """Return by how many bytes some edits make the data longer."""
    return sum(e.growth for e in edits)
