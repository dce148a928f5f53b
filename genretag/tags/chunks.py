"""Chunks: the genre in RIFF INFO and in the ID3 tags of WAV, AIFF and DSDIFF files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genretag.errors import TrackError
from genretag.layout.iff import (
    INFO_NAMES,
    NAME_SIZE,
    RIFF,
    UNKNOWN_SIZE,
    Chunk,
    Dialect,
    Iff,
    Order,
    info_items,
)
from genretag.tags.comments import growth_of
from genretag.tags.edits import Edit

#: What stands between the values of an INFO item, which holds one text.
INFO_SEPARATOR = "; "


def info_text(data: memoryview, item: Chunk) -> str:
    """Return the text of an INFO item; one that is not UTF-8 is read as Latin-1."""
    value = bytes(data[item.data_at : item.end]).partition(b"\0")[0]
    try:
        return value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def info_values(data: memoryview, chunk: Chunk, field: str) -> list[str]:
    """Return the values of a field in a LIST of INFO."""
    items = (i for i in info_items(data, chunk) if i.name == INFO_NAMES[field])
    texts = (t.strip() for i in items for t in info_text(data, i).split(INFO_SEPARATOR))
    return [t for t in texts if t]


def info_edits(data: memoryview, chunk: Chunk, field: str, values: Sequence[str]) -> list[Edit]:
    """Return the edits that give a field its values in a LIST of INFO."""
    name, items = INFO_NAMES[field], info_items(data, chunk)
    new = RIFF.pack(name, INFO_SEPARATOR.join(values).encode() + b"\0")
    old = [i for i in items if i.name == name]
    if old:
        edits = [Edit(old[0].start, old[0].stop, new)]
        edits += [Edit(i.start, i.stop, b"") for i in old[1:]]
    else:
        at = items[-1].stop if items else chunk.data_at + NAME_SIZE
        edits = [Edit(at, at, bytes(_is_unpadded(items)) + new)]
    return [*edits, *resized(chunk, edits, RIFF)]


def _is_unpadded(chunks: Sequence[Chunk]) -> bool:
    """Return whether the last of some chunks lacks its pad byte."""
    return bool(chunks) and bool((chunks[-1].stop - chunks[-1].data_at) & 1)


def resized(chunk: Chunk, edits: Iterable[Edit], dialect: Dialect) -> list[Edit]:
    """Return the edits of a chunk's size and padding that follow from edits of its data."""
    size = chunk.end - chunk.data_at + growth_of(edits)
    at = chunk.start + NAME_SIZE
    changed = [Edit(at, chunk.data_at, _packed(size, dialect.size_bytes, dialect.order))]
    if (size & 1) != chunk.stop - chunk.end:
        changed.append(Edit(chunk.end, chunk.stop, bytes(size & 1)))
    return changed


def _packed(size: int, size_bytes: int, order: Order) -> bytes:
    if size >= 1 << 8 * size_bytes or (size_bytes == 4 and size == UNKNOWN_SIZE):
        raise TrackError("tags", "it is as large as its container allows; a genre does not fit")
    return size.to_bytes(size_bytes, order)


def new_chunk_edit(iff: Iff, name: bytes, body: bytes) -> Edit:
    """Return the edit that adds a chunk: behind the last one, in a stream before the audio."""
    new = iff.dialect.pack(name, body)
    if iff.streamed:
        at = next(c.start for c in iff.chunks if c.name in iff.dialect.audio)
        return Edit(at, at, new)
    return Edit(iff.end, iff.end, bytes(_is_unpadded(iff.chunks)) + new)


def whole_size_edits(iff: Iff, edits: Iterable[Edit]) -> list[Edit]:
    """Return the edit of the size of the whole that follows from all other edits."""
    if iff.streamed:
        return []
    size = iff.end - iff.dialect.header_size + growth_of(edits)
    order = iff.dialect.order
    return [Edit(iff.size_at, iff.size_at + iff.size_bytes, _packed(size, iff.size_bytes, order))]
