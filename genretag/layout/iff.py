"""Files of chunks: RIFF/WAVE, RF64 and BW64, AIFF and AIFF-C, DSDIFF.

RIFF: Microsoft and IBM, Multimedia Programming Interface 1.0 (1991). RF64: EBU Tech 3306 (2009).
BW64: ITU-R BS.2088 (2019). AIFF: Apple (1989, 1991). DSDIFF: Philips, version 1.5 (2004).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genretag.layout.account import Account, Kind, Region, UnexplainedError
from genretag.layout.fields import FIELDS
from genretag.layout.id3 import tag_regions

Order = Literal["little", "big"]

NAME_SIZE = 4
UNKNOWN_SIZE = 0xFFFFFFFF  # of 32 bits: stated elsewhere (RF64), or never (a stream)
_SOX_STREAM = (0x7FFFF000, 0x7FFFF024)  # data and RIFF, as SoX writes them to a pipe
_MAX_CHUNKS = 100_000
_PRINTABLE = range(0x20, 0x7F)


@dataclass(frozen=True)
class Dialect:
    """How a family of files writes its chunks."""

    name: str
    magics: tuple[bytes, ...]
    forms: tuple[bytes, ...]
    order: Order
    size_bytes: int
    audio: tuple[bytes, ...]  # chunks of coded audio
    id3_name: bytes  # of a new chunk with an ID3 tag

    @property
    def header_size(self) -> int:
        """Bytes of a chunk's name and size."""
        return NAME_SIZE + self.size_bytes

    def number(self, data: memoryview, at: int) -> int:
        """Return the size that is stored at an offset."""
        return int.from_bytes(data[at : at + self.size_bytes], self.order)

    def pack(self, name: bytes, body: bytes) -> bytes:
        """Return a chunk, padded to an even size."""
        return name + len(body).to_bytes(self.size_bytes, self.order) + body + bytes(len(body) & 1)


RIFF = Dialect(
    "RIFF", (b"RIFF", b"RF64", b"BW64"), (b"WAVE",), "little", 4, (b"data",), b"id3 "
)  # fmt: skip
AIFF = Dialect("AIFF", (b"FORM",), (b"AIFF", b"AIFC"), "big", 4, (b"SSND",), b"ID3 ")
DSDIFF = Dialect("DSDIFF", (b"FRM8",), (b"DSD ",), "big", 8, (b"DSD ", b"DST "), b"ID3 ")
DIALECTS = (RIFF, AIFF, DSDIFF)


@dataclass(frozen=True)
class Chunk:
    """A chunk: header from ``start``, data up to ``end``, its pad byte, if any, up to ``stop``."""

    name: bytes
    start: int
    data_at: int
    end: int
    stop: int

    @property
    def is_id3(self) -> bool:
        """Whether it holds an ID3 tag: ``id3 `` or ``ID3 ``, whatever the case."""
        return self.name.lower() == b"id3 "


@dataclass(frozen=True)
class Iff:
    """The chunks of a file. Bytes from ``end`` on lie behind the outermost chunk."""

    dialect: Dialect
    magic: bytes
    form: bytes
    chunks: tuple[Chunk, ...]
    end: int
    streamed: bool  # the sizes were never stated, and audio reaches to the file's end
    size_at: int  # where the size of the whole is stored: in the header, or in ds64
    size_bytes: int

    @property
    def first_chunk(self) -> int:
        """Where the first chunk begins."""
        return self.dialect.header_size + NAME_SIZE

    def id3_chunks(self) -> list[Chunk]:
        """Return the chunks that hold an ID3 tag."""
        return [c for c in self.chunks if c.is_id3]


def dialect_of(head: bytes) -> Dialect | None:
    """Return the dialect of a file that begins with these 16 bytes; None for other files."""
    for dialect in DIALECTS:
        at = dialect.header_size
        if head[:NAME_SIZE] in dialect.magics and head[at : at + NAME_SIZE] in dialect.forms:
            return dialect
    return None


def parse_iff(data: memoryview) -> Iff:
    """Parse the chunks of a file.

    Raises:
        UnexplainedError: it is cut off, or a chunk does not follow the one before.
    """
    dialect = dialect_of(bytes(data[:16]))
    if dialect is None:
        raise UnexplainedError("it is no file of chunks that is known")
    magic = bytes(data[:NAME_SIZE])
    form = bytes(data[dialect.header_size :][:NAME_SIZE])
    long_sizes = _ds64(data) if magic in (b"RF64", b"BW64") else {}
    size_at = _DS64_AT if long_sizes else NAME_SIZE
    size_bytes = 8 if long_sizes else dialect.size_bytes
    stated = dialect.header_size + (long_sizes or {magic: dialect.number(data, NAME_SIZE)})[magic]
    first = dialect.header_size + NAME_SIZE
    streamed = dialect is RIFF and not long_sizes and _is_streamed(data, first)
    end = len(data) if streamed else _checked_end(stated, len(data))
    chunks = tuple(_chunks(data, dialect, first, end, long_sizes, streamed))
    if not any(c.name in dialect.audio for c in chunks):
        raise UnexplainedError(f"its {dialect.name} chunks hold no audio")
    # Many programs forget it in the size of the whole.
    last = max([end, *(c.stop for c in chunks[-1:])])  # a pad byte that the size leaves out
    return Iff(dialect, magic, form, chunks, last, streamed, size_at, size_bytes)


def _checked_end(stated: int, size: int) -> int:
    """Return where the outermost chunk ends; one missing byte may be the last chunk's padding."""
    # Writing the real size into a cut file would hide that it is cut.
    if stated > size + 1:
        raise UnexplainedError(f"it is cut off: {stated - size:,} bytes are missing")
    return min(stated, size)


_DS64_AT = 20  # of the size of the whole: the ds64 chunk is the first
_DS64_SIZE = 28  # bytes of its data before the table
_DS64_ENTRY = 12  # bytes: a name and a size


def _ds64(data: memoryview) -> Mapping[bytes, int]:
    """Return the sizes of 64 bits that the ds64 chunk states, by chunk; the whole by its magic."""
    if bytes(data[12:16]) != b"ds64" or len(data) < _DS64_AT + _DS64_SIZE:
        raise UnexplainedError("its ds64 chunk is not where it belongs")
    sizes = {bytes(data[:NAME_SIZE]): _little(data, _DS64_AT), b"data": _little(data, _DS64_AT + 8)}
    end = _DS64_AT + RIFF.number(data, 16)
    at = _DS64_AT + _DS64_SIZE
    for _ in range(min(RIFF.number(data, at - 4), _MAX_CHUNKS)):
        if at + _DS64_ENTRY > min(end, len(data)):
            raise UnexplainedError("the table of its ds64 chunk leads beyond its end")
        # The first entry counts, as for the readers that stop there.
        sizes.setdefault(bytes(data[at : at + NAME_SIZE]), _little(data, at + NAME_SIZE))
        at += _DS64_ENTRY
    return sizes


def _little(data: memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _is_streamed(data: memoryview, first: int) -> bool:
    """Return whether a WAV's sizes were never stated, as by a program that wrote to a pipe."""
    whole = RIFF.number(data, NAME_SIZE)
    if whole not in (UNKNOWN_SIZE, _SOX_STREAM[1]):
        return False
    at = first
    for _ in range(_MAX_CHUNKS):
        if at + RIFF.header_size > len(data):
            return False
        size = RIFF.number(data, at + NAME_SIZE)
        if bytes(data[at : at + NAME_SIZE]) == b"data":
            return size in (UNKNOWN_SIZE, _SOX_STREAM[0]) and at + size > len(data)
        at += RIFF.header_size + size + (size & 1)
    return False


def _chunks(
    data: memoryview,
    dialect: Dialect,
    at: int,
    end: int,
    long_sizes: Mapping[bytes, int],
    streamed: bool,
) -> Iterator[Chunk]:
    """Yield the chunks from ``at`` to ``end``."""
    for _ in range(_MAX_CHUNKS):
        if at >= end:
            return
        name = bytes(data[at : at + NAME_SIZE])
        data_at = at + dialect.header_size
        if data_at > end or any(b not in _PRINTABLE for b in name):
            raise UnexplainedError(f"its {dialect.name} chunks do not lead to its end")
        size = dialect.number(data, at + NAME_SIZE)
        # RF64: the real size stands in ds64.
        if size == UNKNOWN_SIZE and name in long_sizes:
            size = long_sizes[name]
        stop_at = len(data) if streamed and name == b"data" else data_at + size
        yield (chunk := _checked_chunk(data, dialect, name, at, stop_at, end))
        at = chunk.stop
    raise UnexplainedError(f"it holds too many {dialect.name} chunks")


def _checked_chunk(
    data: memoryview, dialect: Dialect, name: bytes, at: int, stop: int, end: int
) -> Chunk:
    """Return a chunk whose data ends at ``stop``, with its pad byte."""
    if stop > end:
        what = name.decode("ascii").strip()
        raise UnexplainedError(f"its {what} chunk reaches beyond its end: it is cut off or damaged")
    data_at = at + dialect.header_size
    padded = (stop - data_at) & 1 and stop < len(data) and (stop < end or data[stop] == 0)
    return Chunk(name, at, data_at, stop, stop + bool(padded))


def parse_list(data: memoryview, dialect: Dialect, start: int, end: int) -> list[Chunk]:
    """Return the chunks in a chunk, such as those of LIST INFO; less than a header may follow.

    Raises:
        UnexplainedError: one reaches beyond the end.
    """
    items: list[Chunk] = []
    at = start
    while at + dialect.header_size <= end:
        name = bytes(data[at : at + NAME_SIZE])
        stop = at + dialect.header_size + dialect.number(data, at + NAME_SIZE)
        if stop > end or len(items) >= _MAX_CHUNKS:
            raise UnexplainedError(f"its {dialect.name} list cannot be explained completely")
        data_at = at + dialect.header_size
        padded = bool((stop - data_at) & 1 and stop < end)
        items.append(Chunk(name, at, data_at, stop, stop + padded))
        at = stop + padded
    return items


def is_info(data: memoryview, chunk: Chunk) -> bool:
    """Return whether a chunk is a LIST of INFO."""
    return chunk.name == b"LIST" and bytes(data[chunk.data_at :][:NAME_SIZE]) == b"INFO"


def info_items(data: memoryview, chunk: Chunk) -> Sequence[Chunk]:
    """Return the items of a LIST of INFO."""
    return parse_list(data, RIFF, chunk.data_at + NAME_SIZE, chunk.end)


# --- the account ----------------------------------------------------------------------------------


def iff_regions(data: memoryview, iff: Iff, fields: Sequence[str]) -> list[Region]:
    """Return the regions of a file of chunks."""
    name = iff.dialect.name
    kind = Kind.OTHER if iff.streamed or iff.size_at != NAME_SIZE else Kind.DERIVED
    form_at = iff.dialect.header_size
    regions = [
        Region(Kind.OTHER, 0, NAME_SIZE, f"{name}/magic"),
        Region(kind, NAME_SIZE, form_at, f"{name}/size"),
        Region(Kind.OTHER, form_at, iff.first_chunk, f"{name}/form"),
    ]
    for chunk in iff.chunks:
        regions += _chunk_regions(data, iff, chunk, fields)
        regions += _padding(data, chunk, f"{name}/padding", may_change=_may_change(data, chunk))
    return [*regions, Region(Kind.OTHER, iff.end, len(data), f"behind {name}")]


def _chunk_regions(data: memoryview, iff: Iff, chunk: Chunk, fields: Sequence[str]) -> list[Region]:
    name = f"{iff.dialect.name}/{chunk.name.decode('ascii')}"
    if chunk.is_id3:
        tag = (data, chunk.data_at, chunk.end, fields, name)
        return [*_framing(chunk, name), *(tag_regions(*tag) if chunk.end > chunk.data_at else ())]
    if iff.dialect is RIFF and is_info(data, chunk):
        return [*_framing(chunk, name), *_info_regions(data, chunk, fields, name)]
    if chunk.name == b"ds64":
        return [
            Region(Kind.OTHER, chunk.start, chunk.data_at, name),
            Region(Kind.DERIVED, chunk.data_at, chunk.data_at + 8, f"{name}/size"),
            Region(Kind.OTHER, chunk.data_at + 8, chunk.end, name),
        ]
    kind = Kind.AUDIO if chunk.name in iff.dialect.audio else Kind.OTHER
    return [Region(kind, chunk.start, chunk.end, name)]


def _framing(chunk: Chunk, name: str) -> list[Region]:
    """Return the regions of a chunk's header whose size follows from its data."""
    at = chunk.start + NAME_SIZE
    return [
        Region(Kind.OTHER, chunk.start, at, f"{name}/name"),
        Region(Kind.DERIVED, at, chunk.data_at, f"{name}/size"),
    ]


def _may_change(data: memoryview, chunk: Chunk) -> bool:
    """Return whether a chunk holds tags, so that its size and padding may change."""
    return chunk.is_id3 or is_info(data, chunk)


def _padding(
    data: memoryview, chunk: Chunk, name: str, *, may_change: bool = False
) -> list[Region]:
    """Return the region of a chunk's pad byte, which is kept if it is not zero.

    That of a chunk whose size may change is derived, whatever it is.
    """
    kept = any(data[chunk.end : chunk.stop]) and not may_change
    kind = Kind.OTHER if kept else Kind.DERIVED
    return [Region(kind, chunk.end, chunk.stop, name)]


def _info_regions(data: memoryview, chunk: Chunk, fields: Sequence[str], name: str) -> list[Region]:
    names = {FIELDS[field].info: field for field in fields if FIELDS[field].info}
    items = info_items(data, chunk)
    at = chunk.data_at + NAME_SIZE
    regions = [Region(Kind.OTHER, chunk.data_at, at, f"{name}/INFO")]
    for item in items:
        path = f"{name}/INFO/{item.name.decode('latin-1')}"
        field = names.get(item.name)
        kind = Kind.FIELD if field else Kind.OTHER
        regions.append(Region(kind, item.start, item.end, path, field))
        regions += _padding(data, item, f"{path}/padding", may_change=field is not None)
    end = items[-1].stop if items else at
    return [*regions, Region(Kind.OTHER, end, chunk.end, f"{name}/rest")]


def account(data: memoryview, fields: Sequence[str]) -> Account:
    """Return the account of a WAV, AIFF or DSDIFF file.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    iff = parse_iff(data)
    return Account(iff.dialect.name, len(data), tuple(iff_regions(data, iff, fields)))
