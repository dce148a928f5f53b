"""The absolute offsets that MP4 atoms store (ISO/IEC 14496-12, 2022)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from genretag.layout.account import UnexplainedError

_FULL = 4  # bytes of version and flags
_BASE_DATA_OFFSET = 0x000001  # flag of tfhd: it states an offset
_AUX_TYPE = 0x000001  # flag of saio: a type of eight bytes stands in front of the count
_SELF_CONTAINED = 0x000001  # flag of an entry of dref: the audio is in this file
_SIDX_SIZE = 0x7FFFFFFF  # bits of a reference's size; the top bit is its type


class Offset(NamedTuple):
    """A stored offset: ``width`` bytes at ``at``, which lead from ``base`` to ``target``."""

    at: int
    width: int
    base: int
    target: int
    is_fixed: bool = False  # a size as well, which cannot be changed

    @property
    def end(self) -> int:
        """Where the stored number ends."""
        return self.at + self.width


class _Reader:
    """Read numbers from the content of one atom, never beyond its end."""

    def __init__(self, data: memoryview, at: int, end: int, name: str) -> None:
        self.data, self.at, self.end, self.name = data, at, end, name

    def number(self, width: int) -> int:
        """Return the next number of so many bytes."""
        self.need(width)
        self.at += width
        return int.from_bytes(self.data[self.at - width : self.at], "big")

    def need(self, size: int) -> None:
        """Raise unless so many bytes are left."""
        if self.at + size > self.end:
            raise UnexplainedError(f"its table of offsets ({self.name}) is damaged")

    def skip(self, size: int) -> None:
        """Pass over so many bytes."""
        self.need(size)
        self.at += size

    def absolute(self, width: int, base: int = 0) -> Offset:
        """Return the next number as an offset from ``base``."""
        at = self.at
        return Offset(at, width, base, base + self.number(width))


def _chunk_offsets(reader: _Reader, width: int) -> Iterator[Offset]:
    reader.number(_FULL)
    count = reader.number(4)
    reader.need(count * width)
    numbers = struct.unpack_from(f">{count}{'I' if width == 4 else 'Q'}", reader.data, reader.at)
    for i, number in enumerate(numbers):
        yield Offset(reader.at + i * width, width, 0, number)


def _auxiliary_offsets(reader: _Reader) -> Iterator[Offset]:
    version_and_flags = reader.number(_FULL)
    if version_and_flags & _AUX_TYPE:
        reader.number(8)
    width = 8 if version_and_flags >> 24 else 4
    count = reader.number(4)
    reader.need(count * width)
    for _ in range(count):
        yield reader.absolute(width)


def _fragment_base(reader: _Reader) -> Iterator[Offset]:
    flags = reader.number(_FULL)
    reader.number(4)  # track
    if flags & _BASE_DATA_OFFSET:
        yield reader.absolute(8)


def _fragment_access(reader: _Reader) -> Iterator[Offset]:
    """Yield the offsets of a table of fragments, which alternate with times and numbers."""
    width = 8 if reader.number(_FULL) >> 24 else 4
    reader.number(4)  # track
    sizes = reader.number(4)
    numbers = sum((sizes >> shift & 3) + 1 for shift in (4, 2, 0))
    count = reader.number(4)
    reader.need(count * (2 * width + numbers))
    for _ in range(count):
        reader.number(width)  # time
        yield reader.absolute(width)
        reader.number(numbers)


def _segment_index(reader: _Reader) -> Iterator[Offset]:
    """Yield the offset of the first segment, from the end of the atom, and the sizes of all."""
    version = reader.number(_FULL) >> 24
    reader.number(8)  # track, time scale
    width = 8 if version else 4
    reader.number(width)  # time
    first = reader.absolute(width, reader.end)
    yield first
    reader.number(2)
    count = reader.number(2)
    reader.need(count * 12)
    base = first.target
    for _ in range(count):
        at = reader.at
        target = base + (reader.number(4) & _SIDX_SIZE)
        yield Offset(at, 4, base, target, is_fixed=True)
        reader.number(8)
        base = target


def _item_locations(reader: _Reader) -> Iterator[Offset]:
    """Yield the offsets of items that lie in this file; others are relative to another item."""
    version = reader.number(_FULL) >> 24
    sizes = reader.number(2)
    offset, length, base_width = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index = sizes & 15 if version else 0
    for _ in range(reader.number(4 if version == 2 else 2)):
        reader.number(4 if version == 2 else 2)
        is_here = (reader.number(2) if version else 0) & 15 == 0
        is_here = not reader.number(2) and is_here
        base = reader.absolute(base_width)
        if is_here and base.target:
            yield base
        extents = reader.number(2)
        for _ in range(extents if offset else 0):
            reader.number(index)
            extent = reader.absolute(offset, base.target)
            if is_here:
                yield extent
            reader.number(length)
        if not offset:
            reader.skip(extents * (index + length))


def _own_data(reader: _Reader) -> Iterator[Offset]:
    """Yield nothing; raise where the audio is in another file, so that offsets lead elsewhere."""
    reader.number(_FULL)
    for _ in range(reader.number(4)):
        start = reader.at
        size = reader.number(4)
        reader.number(4)  # kind of reference
        if not reader.number(_FULL) & _SELF_CONTAINED:
            raise UnexplainedError("its audio is in another file")
        reader.at = start
        reader.skip(max(size, 12))
    yield from ()


_STBL = "moov/trak/mdia/minf/stbl"
#: Path of an atom -> its offsets.
_TABLES: Mapping[str, Callable[[_Reader], Iterator[Offset]]] = {
    f"{_STBL}/stco": lambda reader: _chunk_offsets(reader, 4),
    f"{_STBL}/co64": lambda reader: _chunk_offsets(reader, 8),
    f"{_STBL}/saio": _auxiliary_offsets,
    "moov/trak/mdia/minf/dinf/dref": _own_data,
    "moof/traf/tfhd": _fragment_base,
    "mfra/tfra": _fragment_access,
    "sidx": _segment_index,
    "meta/iloc": _item_locations,
    "moov/meta/iloc": _item_locations,
    "moov/udta/meta/iloc": _item_locations,
    "moov/trak/meta/iloc": _item_locations,
}


#: Paths of the atoms that hold absolute offsets.
TABLE_PATHS = frozenset(_TABLES)


def offsets_of(data: memoryview, path: str, data_at: int, end: int) -> tuple[Offset, ...]:
    """Return the offsets that an atom stores; none for most atoms.

    Raises:
        UnexplainedError: its table leads beyond its end, or an offset beyond the file's.
    """
    table = _TABLES.get(path)
    if table is None:
        return ()
    name = path.rpartition("/")[2]
    offsets = tuple(table(_Reader(data, data_at, end, name)))
    if any(o.target > len(data) for o in offsets):
        raise UnexplainedError(f"an offset in its {name} atom leads beyond the end of the file")
    return offsets
