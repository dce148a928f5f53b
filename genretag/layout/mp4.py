"""MP4 as a tree of atoms (ISO/IEC 14496-12, 2022; Apple, QuickTime File Format, 2012).

Only atoms that lead to tags or to offsets are taken apart; each other one is explained as a whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from genretag.layout.account import Account, Kind, Pointer, Region, UnexplainedError
from genretag.layout.fields import FIELDS
from genretag.layout.mp4_offsets import TABLE_PATHS, Offset, offsets_of
from genretag.layout.mp4_samples import are_inside, chunk_sizes

HEADER_SIZE = 8  # bytes of size and name
LARGE_HEADER_SIZE = 16  # with a size of eight bytes behind the name
VERSION_SIZE = 4  # bytes of version and flags
MAX_ATOMS = 300_000  # in a file; ten hours of fragments have a third of them
PADDING_NAMES = (b"free", b"skip")
ITUNES = b"com.apple.iTunes"
#: The handler of iTunes' tags as an atom: type mdir, vendor appl.
TAG_HANDLER = b"\0\0\0\x21hdlr" + bytes(8) + b"mdirappl" + bytes(9)

_FIRST_NAMES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_TOP_NAMES = _FIRST_NAMES | {b"moof", b"mfra", b"meta", b"uuid", b"sidx", b"styp", b"udta"}
_UDTA, _META, _LIST = "moov/udta", "moov/udta/meta", "moov/udta/meta/ilst"
_STRUCTURE = frozenset({"moov", _UDTA, _META, _LIST})  # their sizes follow from the tags within
_TAKEN_APART = _STRUCTURE | {
    "meta",
    "moov/meta",
    "moov/trak",
    "moov/trak/meta",
    "moov/trak/mdia",
    "moov/trak/mdia/minf",
    "moov/trak/mdia/minf/dinf",
    "moov/trak/mdia/minf/stbl",
    "moof",
    "moof/traf",
    "mfra",
}
#: Atoms that lead to offsets: elsewhere than where they belong, nobody knows what they mean.
_PLACED = frozenset(b"moov moof mfra trak mdia minf stbl traf stco co64 tfhd tfra sidx".split())
_BLOCK = 1 << 20  # bytes looked at once


class Atom(NamedTuple):
    """One atom: header at ``start``, content from ``data_at`` to ``end``.

    Children lie between ``children_at`` and ``rest_at``, which are ``data_at`` where it has none;
    ``path`` names all atoms above, too.
    """

    name: bytes
    path: str
    start: int
    data_at: int
    end: int
    children_at: int
    rest_at: int
    children: tuple[Atom, ...] = ()
    offsets: tuple[Offset, ...] = ()
    is_open: bool = False  # its size is zero: it ends with the file

    def named(self, *names: bytes) -> list[Atom]:
        """Return the children of some names, in order."""
        return [c for c in self.children if c.name in names]


@dataclass(frozen=True)
class Mp4:
    """The atoms of a file; what follows them begins at ``rest_at``."""

    atoms: tuple[Atom, ...]
    rest_at: int

    @property
    def moov(self) -> Atom:
        """The atom of all that is no audio."""
        return next(a for a in self.atoms if a.name == b"moov")

    def tag_atoms(self) -> list[Atom]:
        """Return the meta atoms in moov/udta, in order."""
        return [m for udta in self.moov.named(b"udta") for m in udta.named(b"meta")]

    def tables(self) -> list[tuple[Offset, ...]]:
        """Return the tables of offsets, in order."""
        return list(_tables(self.atoms))


def _tables(atoms: Sequence[Atom]) -> Iterator[tuple[Offset, ...]]:
    for atom in atoms:
        if atom.offsets:
            yield atom.offsets
        yield from _tables(atom.children)


def matches(head: bytes) -> bool:
    """Return whether a file begins as an MP4 file does."""
    return head[4:8] in _FIRST_NAMES


@dataclass
class _Parser:
    """Takes atoms apart, and counts them, so that hostile files end soon."""

    data: memoryview
    count: int = field(default=0)

    def atoms(self, at: int, end: int, above: str) -> tuple[tuple[Atom, ...], int]:
        """Return the atoms between two offsets, and where the last one ends."""
        found: list[Atom] = []
        while (atom := self._atom(at, end, above)) is not None:
            found.append(atom)
            at = atom.end
        return tuple(found), at

    def _atom(self, at: int, end: int, above: str) -> Atom | None:
        """Return the atom at an offset; None where there is none that ends in time."""
        if end - at < HEADER_SIZE:
            return None
        size, name = struct.unpack_from(">I4s", self.data, at)
        data_at = at + HEADER_SIZE
        if size == 1 and end - at >= LARGE_HEADER_SIZE:
            size, data_at = struct.unpack_from(">Q", self.data, data_at)[0], at + LARGE_HEADER_SIZE
        is_open = not size and not above and name in _TOP_NAMES
        stop = end if is_open else at + size
        if not data_at <= stop <= end:
            return None
        self.count += 1
        if self.count > MAX_ATOMS:
            raise UnexplainedError(f"it has more than {MAX_ATOMS:,} MP4 atoms")
        path = f"{above}/{name.decode('latin-1')}" if above else name.decode("latin-1")
        return self._parsed(name, path, at, data_at, stop, is_open)

    def _parsed(
        self, name: bytes, path: str, start: int, data_at: int, end: int, is_open: bool
    ) -> Atom:
        """Return an atom with its children and offsets."""
        if name == b"cmov":
            raise UnexplainedError("its moov atom is compressed, which hides the offsets in it")
        if name in _PLACED and path not in _TAKEN_APART and path not in TABLE_PATHS:
            raise UnexplainedError(f"its MP4 atom {path} is not where it belongs")
        if path not in _TAKEN_APART:
            offsets = offsets_of(self.data, path, data_at, end)
            return Atom(name, path, start, data_at, end, data_at, data_at, (), offsets, is_open)
        at = data_at + (_version_size(self.data, data_at, end) if name == b"meta" else 0)
        children, rest_at = self.atoms(at, end, path)
        if not is_zero(self.data, rest_at, end):
            raise UnexplainedError(f"its MP4 atom {path} cannot be explained completely")
        return Atom(name, path, start, data_at, end, at, rest_at, children, (), is_open)


def _version_size(data: memoryview, data_at: int, end: int) -> int:
    """Return the size of a meta atom's version; QuickTime's has none."""
    has_none = bytes(data[data_at + 4 : data_at + 8]) == b"hdlr" or end - data_at < VERSION_SIZE
    return 0 if has_none else VERSION_SIZE


def is_zero(data: memoryview, start: int, end: int) -> bool:
    """Return whether some bytes are all zero."""
    if start >= end:
        return True
    blocks = (bytes(data[at : min(at + _BLOCK, end)]) for at in range(start, end, _BLOCK))
    return all(block.count(0) == len(block) for block in blocks)


def parse_mp4(data: memoryview) -> Mp4:
    """Parse an MP4 file.

    Raises:
        UnexplainedError: it is cut off, has no or several moov atoms, or cannot be explained.
    """
    atoms, rest_at = _Parser(data).atoms(0, len(data), "")
    if bytes(data[rest_at + 4 : rest_at + 8]) in _TOP_NAMES:
        name = bytes(data[rest_at + 4 : rest_at + 8]).decode()
        raise UnexplainedError(f"it is cut off: its MP4 atom {name} is not whole")
    count = sum(a.name == b"moov" for a in atoms)
    if count != 1:
        raise UnexplainedError("it has more than one moov atom" if count else "it has no moov atom")
    return Mp4(atoms, rest_at)


def handler_of(data: memoryview, meta: Atom) -> bytes:
    """Return the kind of tags that a meta atom holds: ``mdir`` for iTunes'; empty if unknown."""
    handlers = meta.named(b"hdlr")
    return bytes(data[handlers[0].data_at + 8 :][:4]) if handlers else b""


def freeform_name(data: memoryview, atom: Atom) -> tuple[bytes, bytes]:
    """Return domain and name of a freeform atom; both empty if it has none."""
    parts = {name: body[VERSION_SIZE:] for name, body in inner_atoms(data, atom)}
    return parts.get(b"mean", b""), parts.get(b"name", b"")


def inner_atoms(data: memoryview, atom: Atom) -> list[tuple[bytes, bytes]]:
    """Return (name, content) of the atoms in an item of the list of tags, as far as they go."""
    found, at = [], atom.data_at
    while atom.end - at >= HEADER_SIZE:
        size, name = struct.unpack_from(">I4s", data, at)
        if not HEADER_SIZE <= size <= atom.end - at:
            break
        found.append((name, bytes(data[at + HEADER_SIZE : at + size])))
        at += size
    return found


def field_of(data: memoryview, atom: Atom, fields: Sequence[str]) -> str | None:
    """Return which of some fields an atom holds; None: another one, or none."""
    above = atom.path.rpartition("/")[0]
    if above not in (_UDTA, _LIST):
        return None
    for wanted in fields:
        if atom.name in FIELDS[wanted].atoms:
            return wanted
    if above != _LIST or atom.name != b"----":
        return None
    domain, name = freeform_name(data, atom)
    names = {FIELDS[f].freeform: f for f in fields if FIELDS[f].freeform}
    return names.get(name.upper()) if domain == ITUNES else None


def is_padding(data: memoryview, atom: Atom) -> bool:
    """Return whether an atom is filler; one with text in it is not."""
    return atom.name in PADDING_NAMES and is_zero(data, atom.data_at, atom.end)


def _check_samples(data: memoryview, mp4: Mp4) -> None:
    """Raise where samples reach beyond the atom that holds them: tags would be played as audio."""
    # Header and content of an atom stay; the moov atom holds the tags, and no sample.
    parts = [(a.start, a.start if a.name == b"moov" else a.end) for a in mp4.atoms]
    tables = [mp4.moov]
    for name in (b"trak", b"mdia", b"minf", b"stbl"):
        tables = [child for atom in tables for child in atom.named(name)]
    for table in tables:
        offsets = [o.target for a in table.named(b"stco", b"co64")[:1] for o in a.offsets]
        content = [data[a.data_at : a.end] for n in (b"stsz", b"stsc") for a in table.named(n)[:1]]
        if len(content) < 2:
            continue
        sizes = chunk_sizes(content[0], content[1], len(offsets))
        if sizes is not None and not are_inside(
            np.array(offsets, np.int64), sizes, parts, mp4.rest_at
        ):
            raise UnexplainedError("its samples reach beyond the audio: it is damaged")


def account(data: memoryview, fields: Sequence[str]) -> Account:
    """Return the account of an MP4 file.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    mp4 = parse_mp4(data)
    regions = [r for atom in mp4.atoms for r in _regions(data, atom, fields)]
    regions.append(Region(Kind.OTHER, mp4.rest_at, len(data), "behind the MP4 atoms"))
    _check_samples(data, mp4)
    pointers = (
        Pointer(o.at, o.target, f"MP4 offset of {o.width} bytes")
        for table in mp4.tables()
        for o in table
    )
    return Account("MP4", len(data), tuple(regions), tuple(pointers))


def _regions(data: memoryview, atom: Atom, fields: Sequence[str]) -> Iterator[Region]:
    found = field_of(data, atom, fields)
    if found is None and fields and _holds_fields_alone(data, atom, fields):
        found = fields[0]
    if found is not None:
        yield Region(Kind.FIELD, atom.start, atom.end, atom.path, found)
    elif is_padding(data, atom):
        yield Region(Kind.PADDING, atom.start, atom.end, atom.path)
    elif atom.path in _STRUCTURE:
        yield from _header_regions(atom)
        for child in atom.children:
            yield from _regions(data, child, fields)
        yield Region(Kind.OTHER, atom.rest_at, atom.end, atom.path)
    elif atom.name == b"mdat":
        yield Region(Kind.OTHER, atom.start, atom.data_at, atom.path)
        yield Region(Kind.AUDIO, atom.data_at, atom.end, atom.path)
    else:
        yield from _opaque_regions(atom)


def _header_regions(atom: Atom) -> Iterator[Region]:
    """Yield the header of an atom, up to its children or content."""
    end = atom.children_at
    if atom.is_open:
        yield Region(Kind.OTHER, atom.start, end, atom.path)
    elif atom.data_at - atom.start == HEADER_SIZE:
        yield Region(Kind.DERIVED, atom.start, atom.start + 4, f"{atom.path}/size")
        yield Region(Kind.OTHER, atom.start + 4, end, atom.path)
    else:
        yield Region(Kind.OTHER, atom.start, atom.start + HEADER_SIZE, atom.path)
        yield Region(Kind.DERIVED, atom.start + HEADER_SIZE, atom.data_at, f"{atom.path}/size")
        yield Region(Kind.OTHER, atom.data_at, end, atom.path)


def _opaque_regions(atom: Atom) -> Iterator[Region]:
    """Yield the offsets in an atom and below it as derived, and all else in it as it is."""
    at = atom.start
    for table in _tables((atom,)):
        for group in neighbours(table):
            yield Region(Kind.OTHER, at, group[0].at, atom.path)
            at = group[-1].end
            yield Region(Kind.DERIVED, group[0].at, at, f"{atom.path}/offsets")
    yield Region(Kind.OTHER, at, atom.end, atom.path)


def neighbours(offsets: Iterable[Offset]) -> Iterator[list[Offset]]:
    """Yield the offsets that can be changed, those stored one behind another together."""
    group: list[Offset] = []
    for offset in offsets:
        if offset.is_fixed:
            continue
        if group and offset.at != group[-1].end:
            yield group
            group = []
        group.append(offset)
    if group:
        yield group


def _holds_fields_alone(data: memoryview, atom: Atom, fields: Sequence[str]) -> bool:
    """Return whether an atom is there for fields only, and came or may go with them."""
    if atom.path not in (_UDTA, _META, _LIST) or atom.rest_at != atom.end:
        return False
    if atom.path == _META and any(data[atom.data_at : atom.children_at]):
        return False
    return all(_is_field_part(data, child, fields) for child in atom.children)


def _is_field_part(data: memoryview, atom: Atom, fields: Sequence[str]) -> bool:
    return (
        field_of(data, atom, fields) is not None
        or is_padding(data, atom)
        or bytes(data[atom.start : atom.end]) == TAG_HANDLER
        or _holds_fields_alone(data, atom, fields)
    )
