"""FLAC: the fields in the Vorbis comments.

Padding policy: the comments take up or give back bytes of the first padding block that suffices,
so that the audio stays where it is; without one the file grows by the field alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from genretag.errors import TrackError
from genretag.layout.fields import FIELDS
from genretag.layout.flac import (
    COMMENT,
    HEADER_SIZE,
    LAST_FLAG,
    MAX_BLOCK_SIZE,
    PADDING,
    Block,
    Flac,
    is_padding,
    parse_flac,
)
from genretag.layout.id3 import front_tags
from genretag.layout.vorbis import pack_comments, pack_entry, parse_comments
from genretag.tags import embedded as id3
from genretag.tags.comments import field_edits, growth_of
from genretag.tags.edits import Edit
from genretag.tags.options import TagOptions
from genretag.tags.tail import id3v1_of, repeatable_genre, tail_edits, texts_of

VENDOR = b"genretag"  # of a comment block that genretag makes


def comment_edits(
    data: memoryview,
    flac: Flac,
    field: str,
    values: Sequence[str],
    texts: Sequence[tuple[bytes, str]] = (),
) -> list[Edit]:
    """Return the edits that give a field its values in the first comment block.

    A later comment block, which most programs do not read, loses the field. A file without comments
    gets a block of them. ``texts`` are put into comments that are empty.
    """
    blocks = [b for b in flac.blocks if b.kind == COMMENT]
    if not blocks:
        name = FIELDS[field].comment
        return _new_block_edits(data, flac, [*texts, *((name, v) for v in values)])
    edits = _block_edits(data, blocks[0], field, values, texts)
    for block in blocks[1:]:
        if parse_comments(data, block.data_at, block.end).of_field(field):
            edits += _block_edits(data, block, field, [], [])
    return [*edits, *_padding_edits(data, flac, growth_of(edits))]


def _block_edits(
    data: memoryview,
    block: Block,
    field: str,
    values: Sequence[str],
    texts: Sequence[tuple[bytes, str]],
) -> list[Edit]:
    """Return the edits of a comment block and its size."""
    edits = field_edits(parse_comments(data, block.data_at, block.end), field, values, texts)
    size = block.end - block.data_at + growth_of(edits)
    return [*edits, Edit(block.start + 1, block.data_at, _packed_size(size))]


def _packed_size(size: int) -> bytes:
    if size > MAX_BLOCK_SIZE:
        raise TrackError("tags", "its comments leave no space for a genre (16 MiB at most)")
    return size.to_bytes(HEADER_SIZE - 1, "big")


def _padding_edits(data: memoryview, flac: Flac, growth: int) -> list[Edit]:
    """Return the edit of the padding block that makes up for some growth, if there is one."""
    for block in flac.blocks:
        size = block.end - block.data_at - growth
        if growth and is_padding(data, block) and 0 <= size <= MAX_BLOCK_SIZE:
            flag = LAST_FLAG * block.last
            header = bytes([PADDING | flag]) + _packed_size(size)
            return [Edit(block.start, block.end, header + bytes(size))]
    return []


def _new_block_edits(
    data: memoryview, flac: Flac, entries: Sequence[tuple[bytes, str]]
) -> list[Edit]:
    """Return the edits that put a comment block of (name, value) before the padding at the end."""
    body = pack_comments(VENDOR, [pack_entry(name, value) for name, value in entries])
    before = next(b for b in reversed(flac.blocks) if not is_padding(data, b))
    kind = COMMENT | LAST_FLAG * before.last
    new = Edit(before.end, before.end, bytes([kind]) + _packed_size(len(body)) + body)
    flag = bytes([data[before.start] & ~LAST_FLAG])
    edits = [Edit(before.start, before.start + 1, flag), new]
    return [*edits, *_padding_edits(data, flac, new.growth)]


# --- with the tags of the ID3 family around it ----------------------------------------------------


def flac_edits(
    data: memoryview, values: Sequence[str], options: TagOptions, field: str = "genre"
) -> list[Edit]:
    """Return the edits that give a FLAC file the values of a field.

    FFmpeg and TagLib show an ID3 tag only where the Vorbis comments are empty: there the field goes
    into an ID3v2 tag that has frames, and what ID3v1 alone holds is repeated in the comments.
    ID3v1 itself stays: no program prefers it, and FFmpeg takes it for the end of the last packet.

    Raises:
        UnexplainedError: the file cannot be explained completely.
        TrackError: the genre cannot be written without loss.
    """
    front = front_tags(data)
    flac = parse_flac(data, front[-1][1] if front else 0)
    empty = not any(c.entries for c in flac.comments(data))
    block = id3v1_of(data, flac.audio_at)
    edits: list[Edit] = []
    full = [tag for tag in front if id3.has_frames(data, *tag)]
    for number, (start, end) in enumerate(full):
        if (empty and not number) or id3.values_of(data, start, field):
            edits += id3.tag_edits(data, start, end, values, options, field)
    if not (empty and full):
        texts = id3v1_texts(block, field) if empty and block else []
        edits += comment_edits(data, flac, field, values, texts)
    return [*edits, *tail_edits(data, flac.audio_at, values, field)]


#: Text of an ID3v1 block -> the comment of the same meaning.
_COMMENT_NAMES = {
    "title": b"TITLE",
    "artist": b"ARTIST",
    "album": b"ALBUM",
    "year": b"DATE",
    "comment": b"COMMENT",
    "track": b"TRACKNUMBER",
}


def id3v1_texts(block: bytes, field: str) -> list[tuple[bytes, str]]:
    """Return the texts of an ID3v1 block, by the names of comments, that new comments would hide.

    Its genre is among them unless the genre is what the comments are made for.
    """
    texts = [(_COMMENT_NAMES[name], text) for name, text in texts_of(block).items()]
    genres = repeatable_genre(block) if field != "genre" else []
    return [*texts, *((FIELDS["genre"].comment, genre) for genre in genres)]
