"""Build MP4 files atom by atom, and read them by code that genretag does not use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

#: Where each top-level part of a file begins.
Places = Mapping[str, int]
Part = Callable[[Places], bytes]


def atom(name: bytes, *parts: bytes, large: bool = False) -> bytes:
    """Build an atom; a large one states its size in eight bytes."""
    content = b"".join(parts)
    if large:
        return b"\0\0\0\1" + name + (16 + len(content)).to_bytes(8, "big") + content
    return (8 + len(content)).to_bytes(4, "big") + name + content


def data_atom(value: bytes, kind: int = 1, locale: int = 0) -> bytes:
    """Build the value of an item."""
    return atom(b"data", kind.to_bytes(4, "big"), locale.to_bytes(4, "big"), value)


def text_item(name: bytes, *texts: str) -> bytes:
    """Build an item of the list of tags."""
    return atom(name, *(data_atom(t.encode()) for t in texts))


def freeform(name: str, *texts: str, domain: str = "com.apple.iTunes") -> bytes:
    """Build a freeform item."""
    head = [
        atom(b"mean", bytes(4), domain.encode()),
        atom(b"name", bytes(4), name.encode()),
    ]
    return atom(b"----", *head, *(data_atom(t.encode()) for t in texts))


def handler(kind: bytes = b"mdir", vendor: bytes = b"appl") -> bytes:
    """Build the handler of a meta atom."""
    return atom(b"hdlr", bytes(8), kind, vendor, bytes(9))


def meta(*items: bytes, more: bytes = b"", kind: bytes = b"mdir") -> bytes:
    """Build a meta atom with a list of tags; ``more`` follows the list."""
    return atom(b"meta", bytes(4), handler(kind), atom(b"ilst", *items), more)


def numbers(width: int, *values: int) -> bytes:
    """Return numbers of so many bytes each."""
    return b"".join(v.to_bytes(width, "big") for v in values)


def chunk_offsets(targets: Sequence[int], large: bool = False) -> bytes:
    """Build stco or co64."""
    name, width = (b"co64", 8) if large else (b"stco", 4)
    return atom(name, bytes(4), numbers(4, len(targets)), numbers(width, *targets))


def saio(targets: Sequence[int], large: bool = False, typed: bool = False) -> bytes:
    """Build the offsets of auxiliary information."""
    head = bytes([large, 0, 0, typed]) + (b"cenc\0\0\0\0" if typed else b"")
    return atom(b"saio", head, numbers(4, len(targets)), numbers(8 if large else 4, *targets))


def dref(self_contained: bool = True) -> bytes:
    """Build a data reference."""
    entry = atom(b"url ", bytes([0, 0, 0, self_contained]))
    return atom(b"dref", bytes(4), numbers(4, 1), entry)


def track(*tables: bytes, self_contained: bool = True) -> bytes:
    """Build a track with some tables of samples."""
    info = [atom(b"dinf", dref(self_contained)), atom(b"stbl", atom(b"stsd", bytes(8)), *tables)]
    return atom(b"trak", atom(b"tkhd", bytes(20)), atom(b"mdia", atom(b"minf", *info)))


def moof(number: int, base: int | None) -> bytes:
    """Build a fragment; ``base`` is the offset that its samples count from."""
    flags = 0x020000 if base is None else 1
    head = numbers(4, flags, 1) + (b"" if base is None else numbers(8, base))
    run = atom(b"trun", numbers(4, 0, 0))
    return atom(
        b"moof", atom(b"mfhd", numbers(4, 0, number)), atom(b"traf", atom(b"tfhd", head), run)
    )


def tfra(targets: Sequence[int], large: bool = False, sizes: int = 0) -> bytes:
    """Build the table of fragments; ``sizes`` are the lengths of three numbers, two bits each."""
    width = 8 if large else 4
    more = bytes(sum((sizes >> s & 3) + 1 for s in (4, 2, 0)))
    rows = (numbers(width, i, t) + more for i, t in enumerate(targets))
    head = bytes([large, 0, 0, 0]) + numbers(4, 1, sizes, len(targets))
    return atom(b"tfra", head, *rows)


def sidx(first: int, sizes: Sequence[int], large: bool = False) -> bytes:
    """Build a segment index."""
    head = bytes([large, 0, 0, 0]) + numbers(4, 1, 1000) + numbers(8 if large else 4, 0, first)
    rows = (numbers(4, size, 1000, 0) for size in sizes)
    return atom(b"sidx", head, numbers(2, 0, len(sizes)), *rows)


def iloc(base: int, extents: Sequence[int]) -> bytes:
    """Build item locations (version 1) of one item in this file."""
    rows = (numbers(4, offset, 1) for offset in extents)
    item = numbers(2, 1, 0, 0) + numbers(4, base) + numbers(2, len(extents))
    return atom(b"iloc", b"\1\0\0\0", b"\x44\x40", numbers(2, 1), item, *rows)


def assembled(parts: Sequence[tuple[str, Part]]) -> bytes:
    """Build a file of parts that may state where others begin."""
    sizes = [(name, len(part(_Nowhere()))) for name, part in parts]
    places, at = {}, 0
    for name, size in sizes:
        places[name] = at
        at += size
    return b"".join(part(places) for _, part in parts)


class _Nowhere(dict[str, int]):
    """Places before any is known."""

    def __missing__(self, key: str) -> int:
        return 0


# --- an independent reader ------------------------------------------------------------------------

_INNER = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"ilst", b"moof", b"traf", b"mfra"}


def leaves(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield path, start of the content and end of each atom without children, in order."""
    yield from _leaves(data, 0, len(data), "")


def _leaves(data: bytes, at: int, end: int, above: str) -> Iterator[tuple[str, int, int]]:
    while end - at >= 8:
        size, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size == 0 and (above or name not in (b"mdat", b"moov")):
            break
        stop = at + size if size else end
        assert at + head <= stop <= end, (above, name)
        path = f"{above}/{name.decode('latin-1')}"
        if name in _INNER or name == b"meta":
            yield from _leaves(data, at + head + 4 * (name == b"meta"), stop, path)
        else:
            yield path, at + head, stop
        at = stop
    assert not any(data[at:end]), above


_GENRE = ("/ilst/\xa9gen", "/ilst/gnre", "/udta/\xa9gen", "/udta/gnre")
_MOVING = ("stco", "co64", "saio", "tfhd", "tfra", "sidx", "iloc")


def is_genre(data: bytes, path: str, start: int, end: int) -> bool:
    """Return whether a leaf holds the genre."""
    body = data[start:end]
    is_freeform = path.endswith("/----") and b"com.apple.iTunes" in body
    return path.endswith(_GENRE) or (is_freeform and b"name\0\0\0\0GENRE\0" in body)


def rest(data: bytes) -> list[tuple[str, bytes]]:
    """Return path and content of the leaves but the genre, filler and offsets."""
    return [
        (path, data[start:end])
        for path, start, end in leaves(data)
        if not is_genre(data, path, start, end)
        and not path.endswith(("/hdlr", *_MOVING))
        and not (path.endswith(("/free", "/skip")) and not any(data[start:end]))
    ]


def pointed(data: bytes) -> list[tuple[str, bytes]]:
    """Return, for each stored offset in order, what it leads to."""
    found = []
    for path, start, end in leaves(data):
        name = path.rpartition("/")[2]
        if name in _MOVING:
            targets = _TARGETS[name](data[start:end], end)
            found += [(path, data[t : t + 16]) for t in targets]
    return found


def _integers(body: bytes, at: int, width: int, count: int, step: int = 0) -> list[int]:
    step = step or width
    return [
        int.from_bytes(body[at + i * step : at + i * step + width], "big") for i in range(count)
    ]


def _tfhd_targets(body: bytes, _: int) -> list[int]:
    return _integers(body, 8, 8, body[3] & 1)


def _saio_targets(body: bytes, _: int) -> list[int]:
    at = 4 + 8 * (body[3] & 1)
    return _integers(body, at + 4, 8 if body[0] else 4, int.from_bytes(body[at : at + 4], "big"))


def _tfra_targets(body: bytes, _: int) -> list[int]:
    width, sizes = 8 if body[0] else 4, int.from_bytes(body[8:12], "big")
    step = 2 * width + sum((sizes >> s & 3) + 1 for s in (4, 2, 0))
    return _integers(body, 16 + width, width, int.from_bytes(body[12:16], "big"), step)


def _sidx_targets(body: bytes, end: int) -> list[int]:
    width = 8 if body[0] else 4
    at = 12 + width
    targets = [end + int.from_bytes(body[at : at + width], "big")]
    for size in _integers(body, at + width + 4, 4, body[at + width + 3], 12):
        targets.append(targets[-1] + size)
    return targets


def _iloc_targets(body: bytes, _: int) -> list[int]:
    base = int.from_bytes(body[14:18], "big")
    return [base + o for o in _integers(body, 20, 4, body[19], 8)]


_TARGETS: dict[str, Callable[[bytes, int], list[int]]] = {
    "stco": lambda b, _: _integers(b, 8, 4, int.from_bytes(b[4:8], "big")),
    "co64": lambda b, _: _integers(b, 8, 8, int.from_bytes(b[4:8], "big")),
    "saio": _saio_targets,
    "tfhd": _tfhd_targets,
    "tfra": _tfra_targets,
    "sidx": _sidx_targets,
    "iloc": _iloc_targets,
}


def genres(data: bytes) -> dict[str, list[str]]:
    """Return the values of each atom that holds the genre in the list of tags."""
    found: dict[str, list[str]] = {}
    for path, start, end in leaves(data):
        if is_genre(data, path, start, end) and "/ilst/" in path:
            body = data[start:end]
            parts = body.split(b"data\0\0\0\1\0\0\0\0")[1:]
            sized = [p[:-4] for p in parts[:-1]] + parts[-1:]
            found[path.rpartition("/")[2]] = [p.decode() for p in sized]
    return found
