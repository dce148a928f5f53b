"""The comment header of the first audio stream of an Ogg file, and the pages it is on.

Vorbis, Opus (RFC 7845), Speex and FLAC (RFC 9639, section 10.1) are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genretag.layout.account import UnexplainedError
from genretag.layout.ogg_pages import (
    CONTINUED,
    FIRST,
    FULL_SEGMENT,
    LAST,
    MAGIC,
    MAX_SEGMENTS,
    NO_GRANULE,
    Page,
    packet_sizes,
    parse_pages,
)
from genretag.layout.vorbis import Comments, parse_comments

MAX_HEADER_SIZE = 1 << 28  # bytes of header packets held in memory
FLAC_HEADER_SIZE = 4  # of the metadata block in a packet
MAX_FLAC_BLOCK_SIZE = (1 << 24) - 1
_FLAC_COMMENT = 4  # its type
_MAX_HEADER_PAGES = MAX_HEADER_SIZE // (MAX_SEGMENTS * FULL_SEGMENT)
_FILMS = (b"\x80theora", b"OVP80", b"BBCD\0")  # first packets of video: Theora, VP8, Dirac


@dataclass(frozen=True)
class Codec:
    """How a codec marks its first two packets."""

    name: str
    magic: bytes  # at the head of the first packet
    prefix: bytes  # in front of the comment list
    framed: bool  # a framing bit follows the comment list


CODECS = (
    Codec("Vorbis", b"\x01vorbis", b"\x03vorbis", framed=True),
    Codec("Opus", b"OpusHead", b"OpusTags", framed=False),
    Codec("Speex", b"Speex   ", b"", framed=False),
    Codec("FLAC", b"\x7fFLAC", b"", framed=False),
)


@dataclass(frozen=True)
class CommentHeader:
    """The pages from the comment header on to the next page that begins with a new packet.

    ``packets`` are the bytes of all packets on these pages, joined, the comment packet first;
    ``sizes`` are the packets' sizes. ``comments`` has its offsets within ``packets``.
    """

    codec: Codec
    first: int  # index of the first page
    pages: tuple[Page, ...]
    packets: bytes
    sizes: tuple[int, ...]
    comments: Comments


@dataclass(frozen=True)
class Ogg:
    """The pages of a file and its comment header."""

    start: int
    pages: tuple[Page, ...]
    end: int  # of the last page
    header: CommentHeader


def parse_header(data: memoryview, pages: Iterator[Page]) -> tuple[list[Page], CommentHeader]:
    """Return the pages up to the end of the comment header, and the header.

    Raises:
        UnexplainedError: there is none, or it shares pages with audio.
    """
    seen: list[Page] = []
    found: tuple[Codec, int] | None = None
    run: list[Page] = []
    first = 0
    for index, page in enumerate(pages):
        seen.append(page)
        if found is None:
            codec = _codec(data, page)
            found = (codec, page.serial) if codec else None
        elif page.serial == found[1]:
            first = first if run else index
            run.append(page)
            if _complete(run):
                return seen, _comment_header(data, found[0], first, index, run)
        if not run and not page.flags & FIRST and found is None:
            break
    raise UnexplainedError("it holds no Ogg stream with a comment header that is known")


def _codec(data: memoryview, page: Page) -> Codec | None:
    if not page.flags & FIRST:
        return None
    head = bytes(data[page.body : page.body + 8])
    return next((c for c in CODECS if head.startswith(c.magic)), None)


def _complete(run: Sequence[Page]) -> bool:
    """Return whether the last of some pages ends with the end of a packet."""
    if len(run) > _MAX_HEADER_PAGES:
        raise UnexplainedError("its Ogg comment header is too large")
    return bool(run[-1].lacing) and run[-1].lacing[-1] < FULL_SEGMENT


def _comment_header(
    data: memoryview, codec: Codec, first: int, last: int, run: Sequence[Page]
) -> CommentHeader:
    """Return the comment header on some pages of a stream."""
    # Moving the pages of two streams against each other would need all numbers of both.
    if last - first + 1 != len(run):
        raise UnexplainedError("pages of another Ogg stream stand within its comment header")
    if not all(p.lacing for p in run):
        raise UnexplainedError("a page of its Ogg comment header is empty")
    # Vorbis and Opus forbid it; a reader could not tell where the audio begins.
    if run[0].flags & CONTINUED or any(p.granule not in (0, NO_GRANULE) for p in run):
        raise UnexplainedError("its Ogg comment header shares pages with audio")
    if any(p.flags & (FIRST | LAST) for p in run):
        raise UnexplainedError("its Ogg stream ends with its headers")
    packets = b"".join(bytes(data[p.body : p.end]) for p in run)
    sizes = packet_sizes(b"".join(p.lacing for p in run))
    return CommentHeader(
        codec, first, tuple(run), packets, sizes, _parse_packet(codec, packets, sizes[0])
    )


def _parse_packet(codec: Codec, packets: bytes, size: int) -> Comments:
    start = len(codec.prefix)
    if codec.name == "FLAC":
        start = FLAC_HEADER_SIZE
        block = int.from_bytes(packets[1:start], "big")
        if size < start or packets[0] & 0x7F != _FLAC_COMMENT or block + start != size:
            raise UnexplainedError("the second packet of its Ogg FLAC stream holds no comments")
    elif packets[: min(start, size)] != codec.prefix:
        raise UnexplainedError("its Ogg stream has no comment header where one belongs")
    comments = parse_comments(packets, start, size)
    if codec.framed and (comments.end >= size or not packets[comments.end] & 1):
        raise UnexplainedError("the framing bit of its Vorbis comments is not there")
    return comments


def padding_start(header: CommentHeader) -> int:
    """Return where zeros behind the comments begin that fill the comment packet up to its end.

    RFC 7845, section 5.2, lets Opus hold anything there; all but zeros alone stays as it is.
    """
    start = header.comments.end + header.codec.framed
    rest = header.packets[start : header.sizes[0]]
    return header.sizes[0] if header.codec.name == "FLAC" or rest.strip(b"\0") else start


def parse_ogg(data: memoryview, start: int) -> Ogg:
    """Parse all pages of a file from ``start`` on.

    Raises:
        UnexplainedError: it cannot be explained.
    """
    iterator = parse_pages(data, start)
    seen, header = parse_header(data, iterator)
    pages = (*seen, *iterator)
    # Films are no music, and their pages may be interleaved in ways that are not known here.
    if any(p.flags & FIRST and _is_film(data, p) for p in pages):
        raise UnexplainedError("it holds a film")
    later = (_codec(data, p) for p in pages[header.first :] if p.flags & FIRST)
    if any(codec not in (None, header.codec) for codec in later):
        raise UnexplainedError("it is a chain of streams of different codecs")
    end = pages[-1].end
    # A page behind unknown bytes means that the file is damaged there, not that it ends.
    if _find(data, end) >= 0:
        raise UnexplainedError("bytes between its Ogg pages belong to none")
    return Ogg(start, pages, end, header)


def _is_film(data: memoryview, page: Page) -> bool:
    return bytes(data[page.body : page.body + 8]).startswith(_FILMS)


def _find(data: memoryview, start: int) -> int:
    """Return where a page begins behind the last one that was parsed; -1: nowhere."""
    step = 1 << 20
    for at in range(start, len(data), step):
        found = bytes(data[at : at + step + 3]).find(MAGIC + b"\0")
        if found >= 0:
            return at + found
    return -1
