"""Chunks: the fields in RIFF INFO and in the ID3 tags of WAV, AIFF and DSDIFF files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genretag.errors import TrackError
from genretag.layout.fields import FIELDS
from genretag.layout.iff import (
    DSDIFF,
    NAME_SIZE,
    RIFF,
    UNKNOWN_SIZE,
    Chunk,
    Dialect,
    Iff,
    Order,
    info_items,
    is_info,
    parse_iff,
    parse_list,
)
from genretag.tags import embedded as id3
from genretag.tags.comments import growth_of
from genretag.tags.edits import Edit
from genretag.tags.options import TagOptions

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
    items = (i for i in info_items(data, chunk) if i.name == FIELDS[field].info)
    texts = (t.strip() for i in items for t in info_text(data, i).split(INFO_SEPARATOR))
    return [t for t in texts if t]


def info_edits(data: memoryview, chunk: Chunk, field: str, values: Sequence[str]) -> list[Edit]:
    """Return the edits that give a field its values in a LIST of INFO."""
    name, items = FIELDS[field].info, info_items(data, chunk)
    if name is None:
        return []
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
    changed = [Edit(at, chunk.data_at, packed_size(size, dialect.size_bytes, dialect.order))]
    if (size & 1) != chunk.stop - chunk.end:
        changed.append(Edit(chunk.end, chunk.stop, bytes(size & 1)))
    return changed


def packed_size(size: int, size_bytes: int, order: Order) -> bytes:
    """Return a size as it is stored."""
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
    return [
        Edit(iff.size_at, iff.size_at + iff.size_bytes, packed_size(size, iff.size_bytes, order))
    ]


def iff_edits(
    data: memoryview, values: Sequence[str], options: TagOptions, field: str = "genre"
) -> list[Edit]:
    """Return the edits that give a WAV, AIFF or DSDIFF file the values of a field.

    Every ID3 tag with frames gets them, and LIST INFO where there is one. A new ID3 tag would hide
    INFO from TagLib and mutagen, so that it is made only where INFO tells no more than a program.
    INFO has no place for any field but the genre.

    Raises:
        UnexplainedError: the file cannot be explained completely.
        TrackError: the field cannot be written without loss, or has no place.
    """
    iff = parse_iff(data)
    lists = [c for c in iff.chunks if iff.dialect is RIFF and is_info(data, c)]
    edits = _lists_edits(data, lists, values, field)
    full = [c for c in iff.id3_chunks() if id3.has_frames(data, c.data_at, c.end)]
    for chunk in full:
        edits += _tag_edits(data, iff, chunk, values, options, field)
    if not full and not any(_tells(data, chunk) for chunk in lists):
        edits += _new_tag_edits(data, iff, lists, values, options, field)
    elif not full and FIELDS[field].info is None:
        raise TrackError("tags", _NO_PLACE)
    return [*edits, *whole_size_edits(iff, edits)]


def _lists_edits(
    data: memoryview, lists: Sequence[Chunk], values: Sequence[str], field: str
) -> list[Edit]:
    """Return the edits of the first LIST of INFO, and of later ones that hold the field."""
    edits: list[Edit] = []
    for number, chunk in enumerate(lists):
        if not number or info_values(data, chunk, field):
            edits += info_edits(data, chunk, field, values)
    return edits


def without_place(data: memoryview) -> str | None:
    """Return why a file has no place for any field but the genre; None: it has."""
    iff = parse_iff(data)
    if any(id3.has_frames(data, c.data_at, c.end) for c in iff.id3_chunks()):
        return None
    lists = (c for c in iff.chunks if iff.dialect is RIFF and is_info(data, c))
    return _NO_PLACE if any(_tells(data, chunk) for chunk in lists) else None


_NO_PLACE = "RIFF INFO tags have a field for the genre only"
SOFTWARE = b"ISFT"


def _tells(data: memoryview, chunk: Chunk) -> bool:
    """Return whether a LIST of INFO holds more than a genre and the name of a program."""
    silent = (SOFTWARE, FIELDS["genre"].info)
    return any(i.name not in silent and info_text(data, i) for i in info_items(data, chunk))


def _tag_edits(
    data: memoryview,
    iff: Iff,
    chunk: Chunk,
    values: Sequence[str],
    options: TagOptions,
    field: str,
) -> list[Edit]:
    """Return the edits of the ID3 tag in a chunk, and of the chunk's size."""
    edits = id3.tag_edits(data, chunk.data_at, chunk.end, values, options, field)
    return [*edits, *resized(chunk, edits, iff.dialect)]


def _new_tag_edits(
    data: memoryview,
    iff: Iff,
    lists: Sequence[Chunk],
    values: Sequence[str],
    options: TagOptions,
    field: str,
) -> list[Edit]:
    """Return the edits that add an ID3 tag; it repeats what it would hide from other programs."""
    texts = _hidden_texts(data, iff, lists)
    genres = [t for c in lists for t in info_values(data, c, "genre")] if field != "genre" else []
    if genres:
        texts["TCON"] = INFO_SEPARATOR.join(genres)
    if empty := iff.id3_chunks():
        chunk = empty[0]
        edits = id3.filled_edits(data, chunk.data_at, chunk.end, values, texts, options, field)
        return [*edits, *resized(chunk, edits, iff.dialect)]
    return [new_chunk_edit(iff, iff.dialect.id3_name, id3.new_tag(values, texts, options, field))]


#: DSDIFF's chunks of title and artist, within DIIN -> ID3 frames.
DIIN_FRAMES = {b"DITI": "TIT2", b"DIAR": "TPE1"}


def _hidden_texts(data: memoryview, iff: Iff, lists: Sequence[Chunk]) -> dict[str, str]:
    """Return the texts, by ID3 frame, that TagLib shows only where there is no ID3 tag."""
    texts = {DIIN_FRAMES[name]: text for name, text in diin_texts(data, iff).items()}
    for chunk in lists:
        for item in info_items(data, chunk):
            if item.name == SOFTWARE and (text := info_text(data, item)):
                texts.setdefault("TSSE", text)
    return texts


def diin_texts(data: memoryview, iff: Iff) -> dict[bytes, str]:
    """Return DSDIFF's title and artist, by the names of their chunks."""
    texts: dict[bytes, str] = {}
    for chunk in iff.chunks:
        if iff.dialect is not DSDIFF or chunk.name != b"DIIN":
            continue
        for item in parse_list(data, DSDIFF, chunk.data_at, chunk.end):
            size = int.from_bytes(data[item.data_at : item.data_at + 4], "big")
            text = bytes(data[item.data_at + 4 : item.end][:size]).decode("utf-8", "replace")
            if item.name in DIIN_FRAMES and text.strip("\0 "):
                texts.setdefault(item.name, text.strip("\0 "))
    return texts
