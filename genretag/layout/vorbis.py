"""Vorbis comments as a raw list of entries (Xiph.Org, Vorbis I specification, 2020, section 5).

An entry is any bytes: names that are not ASCII, entries without ``=`` and text that is not UTF-8
are explained like all else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genretag.layout.account import Kind, Region, UnexplainedError
from genretag.layout.fields import FIELDS

MAX_ENTRIES = 100_000  # of a comment list; hostile files state billions
LENGTH_SIZE = 4  # bytes of a length or count, little-endian


@dataclass(frozen=True)
class Entry:
    """One entry: its bytes from ``start`` to ``end`` with the length in front, and its text."""

    start: int
    end: int
    text: bytes

    @property
    def name(self) -> bytes | None:
        """The name in upper case, ASCII letters alone; None without an ``=``."""
        at = self.text.find(b"=")
        return self.text[:at].upper() if at >= 0 else None

    @property
    def value(self) -> bytes:
        """What follows the first ``=``."""
        return self.text.partition(b"=")[2]


@dataclass(frozen=True)
class Comments:
    """A comment list in some bytes: all offsets are within these."""

    start: int
    count_at: int
    entries: tuple[Entry, ...]
    end: int  # of the last entry

    def of_field(self, field: str) -> list[Entry]:
        """Return the entries of a field, in order."""
        return [e for e in self.entries if e.name == FIELDS[field].comment]


def parse_comments(data: bytes | memoryview, start: int, end: int) -> Comments:
    """Parse the comment list that begins at ``start``; bytes may follow it before ``end``.

    Raises:
        UnexplainedError: a length or the count leads beyond ``end``.
    """
    count_at = start + LENGTH_SIZE + _number(data, start, end)
    count = _number(data, count_at, end)
    if count > MAX_ENTRIES:
        raise UnexplainedError(f"its Vorbis comments state {count} entries")
    entries, at = [], count_at + LENGTH_SIZE
    for _ in range(count):
        stop = at + LENGTH_SIZE + _number(data, at, end)
        if stop > end:
            raise _overrun()
        entries.append(Entry(at, stop, bytes(data[at + LENGTH_SIZE : stop])))
        at = stop
    return Comments(start, count_at, tuple(entries), at)


def _number(data: bytes | memoryview, at: int, end: int) -> int:
    if at + LENGTH_SIZE > end:
        raise _overrun()
    return int.from_bytes(data[at : at + LENGTH_SIZE], "little")


def _overrun() -> UnexplainedError:
    return UnexplainedError("a length in its Vorbis comments leads beyond their end")


def comment_regions(comments: Comments, fields: Sequence[str], above: str) -> list[Region]:
    """Return the regions of a comment list; ``above`` is the path of its names."""
    # Compared as bytes: letters beyond ASCII have no case here.
    names = {FIELDS[field].comment: field for field in fields}
    count_end = comments.count_at + LENGTH_SIZE
    regions = [
        Region(Kind.OTHER, comments.start, comments.count_at, f"{above}/vendor"),
        Region(Kind.DERIVED, comments.count_at, count_end, f"{above}/count"),
    ]
    for entry in comments.entries:
        name = (entry.name or entry.text)[:40].decode("utf-8", "replace")
        field = names.get(entry.name or b"")
        kind = Kind.FIELD if field else Kind.OTHER
        regions.append(Region(kind, entry.start, entry.end, f"{above}/{name}", field))
    return regions


def pack_entry(name: bytes, value: str) -> bytes:
    """Return an entry with its length in front."""
    text = name + b"=" + value.encode()
    return len(text).to_bytes(LENGTH_SIZE, "little") + text


def pack_comments(vendor: bytes, entries: Sequence[bytes]) -> bytes:
    """Return a comment list of packed entries."""
    count = len(entries).to_bytes(LENGTH_SIZE, "little")
    return b"".join([len(vendor).to_bytes(LENGTH_SIZE, "little"), vendor, count, *entries])
