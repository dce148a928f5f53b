"""FLAC: the genre in the Vorbis comments.

Padding policy: the comments take up or give back bytes of the first padding block that suffices,
so that the audio stays where it is; without one the file grows by the genre alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from genretag.errors import TrackError
from genretag.layout.flac import (
    COMMENT,
    HEADER_SIZE,
    LAST_FLAG,
    MAX_BLOCK_SIZE,
    PADDING,
    Block,
    Flac,
    is_padding,
)
from genretag.layout.vorbis import pack_comments, pack_entry, parse_comments
from genretag.tags.comments import field_edits, growth_of
from genretag.tags.edits import Edit

VENDOR = b"genretag"  # of a comment block that genretag makes


def comment_edits(data: memoryview, flac: Flac, field: str, values: Sequence[str]) -> list[Edit]:
    """Return the edits that give a field its values in the first comment block.

    A later comment block, which most programs do not read, loses the field. A file without comments
    gets a block of them.
    """
    blocks = [b for b in flac.blocks if b.kind == COMMENT]
    if not blocks:
        return new_block_edits(data, flac, [(field.upper().encode(), v) for v in values])
    edits = _block_edits(data, blocks[0], field, values)
    for block in blocks[1:]:
        if parse_comments(data, block.data_at, block.end).of_field(field):
            edits += _block_edits(data, block, field, [])
    return [*edits, *_padding_edits(data, flac, growth_of(edits))]


def _block_edits(data: memoryview, block: Block, field: str, values: Sequence[str]) -> list[Edit]:
    """Return the edits of a comment block and its size."""
    edits = field_edits(parse_comments(data, block.data_at, block.end), field, values)
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


def new_block_edits(
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
