"""FLAC: metadata blocks, then audio to the end (RFC 9639, sections 8 and 9).

Tags of other formats may stand in front (ID3v2) and behind (ID3v1, APEv2); the seek table counts
from the first frame of audio, so that no offset of a FLAC file is absolute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genretag.layout.account import Account, Kind, Region, UnexplainedError
from genretag.layout.id3 import front_tags, tag_regions
from genretag.layout.tail import tail_regions, tail_start
from genretag.layout.vorbis import Comments, comment_regions, parse_comments

MAGIC = b"fLaC"
HEADER_SIZE = 4  # of a block: last flag and type, then 24 bits of size
MAX_BLOCK_SIZE = (1 << 24) - 1
LAST_FLAG = 0x80
STREAMINFO, PADDING, COMMENT = 0, 1, 4
_NAMES = (
    "STREAMINFO",
    "PADDING",
    "APPLICATION",
    "SEEKTABLE",
    "VORBIS_COMMENT",
    "CUESHEET",
    "PICTURE",
)
_INVALID_TYPE = 127
_STREAMINFO_SIZE = 34
_MAX_BLOCKS = 100_000


@dataclass(frozen=True)
class Block:
    """A metadata block: its header begins at ``start``, its data ends at ``end``."""

    start: int
    end: int
    kind: int
    last: bool

    @property
    def data_at(self) -> int:
        """Where its data begins."""
        return self.start + HEADER_SIZE

    @property
    def name(self) -> str:
        """Its path in an account."""
        return f"FLAC/{_NAMES[self.kind] if self.kind < len(_NAMES) else self.kind}"


@dataclass(frozen=True)
class Flac:
    """Where the parts of a FLAC stream lie."""

    start: int  # of the magic number
    blocks: tuple[Block, ...]
    audio_at: int

    def comments(self, data: memoryview) -> list[Comments]:
        """Return the comment lists of all comment blocks, in order."""
        blocks = (b for b in self.blocks if b.kind == COMMENT)
        return [parse_comments(data, b.data_at, b.end) for b in blocks]


def parse_flac(data: memoryview, start: int) -> Flac:
    """Parse the metadata of the FLAC stream that begins at ``start``.

    Raises:
        UnexplainedError: the blocks do not lead to the audio.
    """
    if bytes(data[start : start + len(MAGIC)]) != MAGIC:
        raise UnexplainedError("it does not begin as a FLAC file")
    blocks = tuple(_blocks(data, start + len(MAGIC)))
    if blocks[0].kind != STREAMINFO or blocks[0].end - blocks[0].data_at != _STREAMINFO_SIZE:
        raise UnexplainedError("its FLAC metadata does not begin with the stream's parameters")
    audio_at = blocks[-1].end
    # Without a frame's sync code here, the sizes of the blocks have led astray.
    sync = bytes(data[audio_at : audio_at + 2])
    if len(sync) < 2 or sync[0] != 0xFF or sync[1] & 0xFC != 0xF8:
        raise UnexplainedError("its FLAC metadata blocks do not lead to the audio")
    return Flac(start, blocks, audio_at)


def _blocks(data: memoryview, at: int) -> Iterator[Block]:
    for _ in range(_MAX_BLOCKS):
        header = bytes(data[at : at + HEADER_SIZE])
        end = at + HEADER_SIZE + int.from_bytes(header[1:], "big")
        if len(header) < HEADER_SIZE or end > len(data):
            raise UnexplainedError("a size in its FLAC metadata leads beyond its end")
        kind, last = header[0] & ~LAST_FLAG, bool(header[0] & LAST_FLAG)
        if kind == _INVALID_TYPE:
            raise UnexplainedError("its FLAC metadata holds an invalid block")
        yield Block(at, end, kind, last)
        if last:
            return
        at = end
    raise UnexplainedError("its FLAC metadata holds too many blocks")


def is_padding(data: memoryview, block: Block) -> bool:
    """Return whether a block is padding of zeros alone, so that its size may change."""
    return block.kind == PADDING and bytes(data[block.data_at : block.end]).count(0) == (
        block.end - block.data_at
    )


def flac_regions(data: memoryview, flac: Flac, fields: Sequence[str]) -> list[Region]:
    """Return the regions of the stream up to its audio."""
    regions = [Region(Kind.OTHER, flac.start, flac.start + len(MAGIC), "FLAC/magic")]
    for block in flac.blocks:
        regions += _block_regions(data, block, fields)
    return regions


def _block_regions(data: memoryview, block: Block, fields: Sequence[str]) -> list[Region]:
    if is_padding(data, block):
        return [Region(Kind.PADDING, block.start, block.end, block.name)]
    if block.kind == COMMENT:
        comments = parse_comments(data, block.data_at, block.end)
        return [
            Region(Kind.DERIVED, block.start, block.data_at, f"{block.name}/header"),
            *comment_regions(comments, fields, block.name),
            _rest_region(data, comments.end, block),
        ]
    # The last flag follows from the order; the type shows in the name.
    return [
        Region(Kind.DERIVED, block.start, block.start + 1, f"{block.name}/flag"),
        Region(Kind.OTHER, block.start + 1, block.end, block.name),
    ]


def _rest_region(data: memoryview, start: int, block: Block) -> Region:
    """Return the region of the zeros behind a comment list."""
    if bytes(data[start : block.end]).strip(b"\0"):
        raise UnexplainedError("its Vorbis comments have more entries than they count")
    return Region(Kind.PADDING, start, block.end, f"{block.name}/rest")


def matches(head: bytes) -> bool:
    """Return whether a file begins as a FLAC file does, once ID3v2 tags in front are skipped."""
    return head.startswith(MAGIC)


def account(data: memoryview, fields: Sequence[str]) -> Account:
    """Return the account of a FLAC file.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    front = front_tags(data)
    start = front[-1][1] if front else 0
    flac = parse_flac(data, start)
    tail = tail_start(data, flac.audio_at)
    regions = [
        *(r for at, end in front for r in tag_regions(data, at, end, fields, "front")),
        *flac_regions(data, flac, fields),
        Region(Kind.AUDIO, flac.audio_at, tail, "FLAC/audio"),
        *tail_regions(data, tail, fields),
    ]
    return Account("FLAC", len(data), tuple(regions))
