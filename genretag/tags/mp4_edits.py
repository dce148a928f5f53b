"""Edits that set a field in an MP4 file: in iTunes' list, and in every other place of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from genretag.errors import TrackError
from genretag.layout.fields import FIELDS
from genretag.layout.mp4 import (
    HEADER_SIZE,
    ITUNES,
    PADDING_NAMES,
    TAG_HANDLER,
    VERSION_SIZE,
    Atom,
    Mp4,
    field_of,
    handler_of,
    inner_atoms,
    is_padding,
    parse_mp4,
)
from genretag.tags.comments import growth_of
from genretag.tags.edits import Edit
from genretag.tags.mp4 import KEY, MAC_LANGUAGES, SEPARATOR, UTF8
from genretag.tags.mp4_moved import offset_edits
from genretag.tags.options import KEEP_AS_IS, TagOptions

_UNDETERMINED = 0x55C4  # ISO 639-2's "und" as MP4 packs it


def field_name(data: memoryview) -> str:
    """Return the name of the field.

    Raises:
        UnexplainedError, TrackError: a genre cannot be written into this file.
    """
    mp4_edits(data, ["Genre"], KEEP_AS_IS)
    return KEY


def mp4_edits(
    data: memoryview, values: Sequence[str], _: TagOptions, field: str = "genre"
) -> list[Edit]:
    """Return the edits that give an MP4 file the values of a field.

    They become one atom with a data atom each. Other places of the field get them too, but for
    gnre, whose numbers know few genres: it goes.

    Raises:
        UnexplainedError: the file cannot be explained completely.
        TrackError: its tags are not iTunes', or an offset or size would become too large.
    """
    mp4 = parse_mp4(data)
    splice = _Splice(data, values, _chain(data, mp4, field), field)
    splice.set_field()
    splice.use_padding(mp4.atoms)
    edits = splice.all_edits()
    return [*edits, *offset_edits(mp4.tables(), edits)]


def _chain(data: memoryview, mp4: Mp4, wanted: str) -> list[Atom]:
    """Return moov, udta, meta and ilst, as far as they are there."""
    metas = mp4.tag_atoms()
    if any(handler_of(data, m) not in (b"mdir", b"") for m in metas) or _has_key(data, mp4, wanted):
        raise TrackError("tags", "its tags are QuickTime's (keys), which genretag does not write")
    if len(metas) > 1 or any(len(m.named(b"ilst")) > 1 for m in metas):
        raise TrackError("tags", "it has two lists of tags, and programs read one or the other")
    udtas = mp4.moov.named(b"udta")
    udtas = sorted(udtas, key=lambda u: not u.named(b"meta"))
    if any(field_of(data, c, (wanted,)) for u in udtas[1:] for c in u.children):
        raise TrackError("tags", "it has two lists of tags, and programs read one or the other")
    return [mp4.moov, *udtas[:1], *metas, *(tags for m in metas for tags in m.named(b"ilst"))]


def _has_key(data: memoryview, mp4: Mp4, wanted: str) -> bool:
    """Return whether the keys of QuickTime's metadata name a field."""
    keys = (k for meta in mp4.moov.named(b"meta") for k in meta.named(b"keys"))
    return any(wanted.encode() in bytes(data[k.data_at : k.end]).lower() for k in keys)


@dataclass
class _Splice:
    """The edits within each atom from moov down to ilst, and the parts that are rebuilt."""

    data: memoryview
    values: Sequence[str]
    chain: list[Atom]
    name: str  # of the field
    edits: list[list[Edit]] = field(default_factory=list)  # within each atom of the chain alone
    outside: list[Edit] = field(default_factory=list)  # of filler behind moov

    def __post_init__(self) -> None:
        self.edits = [[] for _ in self.chain]

    def set_field(self) -> None:
        """Set the field's own atom and every other place of it."""
        new = self._new_item()
        texts = [
            c for u in self.chain[1:2] for c in u.children if field_of(self.data, c, (self.name,))
        ]
        is_quicktime = any(c.name in FIELDS[self.name].atoms[:1] for c in texts)
        if len(self.chain) == len(_WRAPPERS) + 1:
            self._set_items(new)
        elif not is_quicktime:  # FFmpeg 8 shows both, joined: QuickTime's text and a list's
            inner = new
            for wrap in _WRAPPERS[len(self.chain) - 1 :][::-1]:
                inner = wrap(inner)
            at = self.chain[-1].rest_at
            self.edits[-1].append(Edit(at, at, inner))
        for atom in texts:
            self.edits[1].append(self._udta_edit(atom))

    def _new_item(self) -> bytes:
        """Return the field's atom: its own, or a freeform one."""
        names = FIELDS[self.name]
        texts = [pack_data(v) for v in self.values]
        if names.atoms:
            return pack_atom(names.atoms[0], *texts)
        parts = ((b"mean", ITUNES), (b"name", names.freeform))
        head = [pack_atom(name, bytes(VERSION_SIZE), text) for name, text in parts]
        return pack_atom(b"----", *head, *texts)

    def _set_items(self, new: bytes) -> None:
        """Set the field among the items of the list."""
        tags = self.chain[-1]
        items = [i for i in tags.children if field_of(self.data, i, (self.name,))]
        own = FIELDS[self.name].atoms or (b"----",)
        atoms = [i for i in items if i.name in own]
        at = (atoms[0].start, atoms[0].end) if atoms else (tags.rest_at, tags.rest_at)
        is_freeform = bool(atoms) and atoms[0].name == b"----"
        self.edits[-1].append(self._freeform_edit(atoms[0]) if is_freeform else Edit(*at, new))
        self.edits[-1] += [Edit(i.start, i.end, b"") for i in atoms[1:]]
        items = [i for i in items if i not in atoms]
        for item in (i for i in items if i.name == b"----"):
            self.edits[-1].append(self._freeform_edit(item))

    def _freeform_edit(self, item: Atom) -> Edit:
        """Return the edit that gives a freeform atom the values."""
        parts = inner_atoms(self.data, item)
        head = [pack_atom(name, body) for name, body in parts if name in (b"mean", b"name")]
        return Edit(
            item.start, item.end, pack_atom(b"----", *head, *(pack_data(v) for v in self.values))
        )

    def _udta_edit(self, atom: Atom) -> Edit:
        """Return the edit of QuickTime's ©gen or 3GPP's gnre, which hold one text."""
        text = SEPARATOR.join(self.values)
        body = bytes(self.data[atom.data_at : atom.end])
        if atom.name == b"gnre":
            head = body[: VERSION_SIZE + 2].ljust(VERSION_SIZE + 2, b"\0")
            return Edit(atom.start, atom.end, pack_atom(b"gnre", head, text.encode(), b"\0"))
        language = int.from_bytes(body[2:4], "big")
        if language < MAC_LANGUAGES and not text.isascii():
            language = _UNDETERMINED
        coded = text.encode()[:0xFFFF]
        numbers = len(coded).to_bytes(2, "big") + language.to_bytes(2, "big")
        return Edit(atom.start, atom.end, pack_atom(atom.name, numbers, coded))

    def use_padding(self, atoms: Sequence[Atom]) -> None:
        """Let filler near the list take up the change, so that the audio stays where it is."""
        growth = sum(growth_of(e) for e in self.edits)
        for level in reversed(range(len(self.chain))):
            for atom in self.chain[level].named(*PADDING_NAMES):
                if edits := _padding_edits(self.data, atom, growth):
                    self.edits[level] += edits
                    return
        following = atoms[atoms.index(self.chain[0]) + 1 :][:1]
        for atom in following:
            self.outside += _padding_edits(self.data, atom, growth)

    def all_edits(self) -> list[Edit]:
        """Return all edits, those of the sizes with them."""
        growths = list(accumulate(growth_of(e) for e in reversed(self.edits)))[::-1]
        sizes = (_size_edits(a, g) for a, g in zip(self.chain, growths, strict=True))
        return [e for edits in (*self.edits, *sizes, self.outside) for e in edits]


def pack_atom(name: bytes, *parts: bytes) -> bytes:
    """Return an atom."""
    content = b"".join(parts)
    return (HEADER_SIZE + len(content)).to_bytes(4, "big") + name + content


def pack_data(value: str) -> bytes:
    """Return a data atom of text in any country and language."""
    return pack_atom(b"data", UTF8.to_bytes(4, "big"), bytes(4), value.encode())


#: What makes udta, meta and ilst around their content.
_WRAPPERS: tuple[Callable[[bytes], bytes], ...] = (
    lambda content: pack_atom(b"udta", content),
    lambda content: pack_atom(b"meta", bytes(VERSION_SIZE), TAG_HANDLER, content),
    lambda content: pack_atom(b"ilst", content),
)


def _padding_edits(data: memoryview, atom: Atom, growth: int) -> list[Edit]:
    """Return the edits that make filler smaller by ``growth``; none if it cannot be."""
    size = atom.end - atom.start - growth
    header = atom.data_at - atom.start
    if header != HEADER_SIZE or atom.is_open or not is_padding(data, atom):
        return []
    if not size:
        return [Edit(atom.start, atom.end, b"")]
    if not HEADER_SIZE <= size < 1 << 32 or not growth:
        return []
    resized = Edit(atom.start, atom.start + 4, size.to_bytes(4, "big"))
    if growth > 0:
        return [resized, Edit(atom.end - growth, atom.end, b"")]
    return [resized, Edit(atom.end, atom.end, bytes(-growth))]


def _size_edits(atom: Atom, growth: int) -> list[Edit]:
    """Return the edit of an atom's size."""
    if atom.is_open or not growth:
        return []
    size = atom.end - atom.start + growth
    if atom.data_at - atom.start > HEADER_SIZE:
        at = atom.start + HEADER_SIZE
        return [Edit(at, at + 8, size.to_bytes(8, "big"))]
    if size >= 1 << 32:
        raise TrackError("tags", "its tags are too large for one more genre")
    return [Edit(atom.start, atom.start + 4, size.to_bytes(4, "big"))]
