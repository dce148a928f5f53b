"""Find the bytes of a file that hold its encoded audio, by reading only headers.

The proof of a write (``genretag.layout``) explains every byte of a mapped file; here a few reads
must do, since the file may lie on a network share, and a file that is cut off is no error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from genretag.audio.mpeg import Span, audio_span, is_bare_stream

_MAX_ELEMENTS = 20_000  # of a container; a file with more has no regions
_HEAD = 16  # bytes that identify a container

_FLAC_LAST_BLOCK = 0x80
_OGG_HEADER = 27
_OGG_NO_GRANULE = (1 << 64) - 1
_MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA_HEADER = 50  # bytes before its packets: id, size, file id, count, reserved
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_DSF_HEADER = 28


@dataclass(frozen=True)
class Regions:
    """Where the audio lies: ``spans`` in the order of the file, and the family of containers."""

    family: str
    spans: tuple[Span, ...]

    @property
    def size(self) -> int:
        """Number of bytes of audio."""
        return sum(s.stop - s.start for s in self.spans)


@dataclass(frozen=True)
class _Reader:
    """Reads a few bytes at an offset; ``start`` is where the container begins."""

    handle: BinaryIO
    start: int
    stop: int  # where the tags behind a stream begin
    end: int  # of the file

    def __call__(self, at: int, size: int) -> bytes:
        self.handle.seek(at)
        return self.handle.read(size)

    def span(self, start: int, size: int) -> Span:
        """Return a span that does not reach beyond the file."""
        return Span(start, min(start + size, self.end))


def audio_regions(handle: BinaryIO) -> Regions | None:
    """Return where the audio of an open, unbuffered file lies; None: its container is not known."""
    around = audio_span(handle)
    end = handle.seek(0, os.SEEK_END)
    reader = _Reader(handle, around.start, around.stop, end)
    head = reader(around.start, _HEAD)
    for family, matches, find in _FAMILIES:
        if matches(head):
            spans = tuple(s for s in find(reader) if s.stop > s.start)
            return Regions(family, spans) if spans else None
    if around.start and around.stop > around.start:  # junk between the tag and the first frame
        return Regions("bare", (around,))
    return None


def _bare(reader: _Reader) -> Iterator[Span]:
    yield Span(reader.start, reader.stop)


def _flac(reader: _Reader) -> Iterator[Span]:
    """Yield what follows the metadata blocks (RFC 9639, section 8)."""
    at = reader.start + 4
    for _ in range(_MAX_ELEMENTS):
        header = reader(at, 4)
        if len(header) < 4:
            return
        at += 4 + int.from_bytes(header[1:], "big")
        if header[0] & _FLAC_LAST_BLOCK:
            yield Span(at, reader.stop)
            return


def _ogg(reader: _Reader) -> Iterator[Span]:
    """Yield everything from the first page with audio on (RFC 3533).

    Header packets have the granule position 0, and audio begins on a page of its own.
    """
    at = reader.start
    for _ in range(_MAX_ELEMENTS):
        header = reader(at, _OGG_HEADER + 255)
        if len(header) < _OGG_HEADER or header[:4] != b"OggS":
            return
        if int.from_bytes(header[6:14], "little") not in (0, _OGG_NO_GRANULE):
            yield Span(at, reader.stop)
            return
        lacing = header[_OGG_HEADER : _OGG_HEADER + header[26]]
        at += _OGG_HEADER + len(lacing) + sum(lacing)


def _mp4(reader: _Reader) -> Iterator[Span]:
    """Yield the contents of the mdat atoms (ISO/IEC 14496-12)."""
    at = reader.start
    for _ in range(_MAX_ELEMENTS):
        header = reader(at, 16)
        if len(header) < 8:
            return
        size, inner = int.from_bytes(header[:4], "big"), 8
        if size == 1:
            size, inner = int.from_bytes(header[8:16], "big"), 16
        elif size == 0:
            size = reader.end - at
        if size < inner:
            return
        if header[4:8] == b"mdat":
            yield reader.span(at + inner, size - inner)
        at += size


def _chunks(reader: _Reader) -> Iterator[Span]:
    """Yield the chunks of the format and of the audio of RIFF WAVE, RF64, AIFF or DSDIFF."""
    # Equal samples at another rate are other audio, and samples alone do not tell their rate.
    formats: list[Span] = []
    head = reader(reader.start, 48)
    wide = 8 if head[:4] == b"FRM8" else 4
    order = "big" if head[:4] in (b"FORM", b"FRM8") else "little"
    long_size = int.from_bytes(head[28:36], "little") if head[12:16] == b"ds64" else None
    at = reader.start + 4 + wide + 4
    for _ in range(_MAX_ELEMENTS):
        header = reader(at, 4 + wide)
        if len(header) < 4 + wide:
            return
        size = int.from_bytes(header[4:], "big" if order == "big" else "little")
        data_at = at + 4 + wide
        if header[:4] in (b"fmt ", b"COMM", b"PROP"):
            formats.append(reader.span(data_at, size))
        if header[:4] in (b"data", b"SSND", b"DSD ", b"DST "):
            # A stream that was never finished states no size, or the greatest.
            unknown = size in (0, 0xFFFFFFFF)
            yield from formats
            if unknown and long_size is None:
                yield Span(data_at, reader.end)
            else:
                yield reader.span(data_at, long_size if unknown and long_size else size)
            return
        at = data_at + size + (size & 1)


def _dsf(reader: _Reader) -> Iterator[Span]:
    """Yield the chunks of format and audio (Sony, DSF File Format Specification 1.01)."""
    at = reader.start + _DSF_HEADER
    for _ in range(2):
        header = reader(at, 12)
        size = int.from_bytes(header[4:], "little")
        if header[:4] in (b"fmt ", b"data") and size > 12:
            yield reader.span(at + 12, size - 12)
        at += size


def _asf(reader: _Reader) -> Iterator[Span]:
    """Yield the packets of the data object (Microsoft, ASF 1.2, section 5)."""
    at = reader.start + int.from_bytes(reader(reader.start + 16, 8), "little")
    header = reader(at, 24)
    if header[:16] == _ASF_DATA:
        size = int.from_bytes(header[16:], "little") or reader.end - at
        yield reader.span(at + _ASF_DATA_HEADER, size - _ASF_DATA_HEADER)


def _matroska(reader: _Reader) -> Iterator[Span]:
    """Yield the clusters (RFC 9559); a live stream, whose sizes are unknown, has none."""
    at, inside = reader.start, False
    for _ in range(_MAX_ELEMENTS):
        name, size, inner = _ebml_element(reader(at, 16))
        if inner == 0:
            return
        if name == _SEGMENT and not inside:
            at, inside = at + inner, True
            continue
        if size is None:
            return
        if name == _CLUSTER:
            yield reader.span(at + inner, size)
        at += inner + size


def _ebml_element(data: bytes) -> tuple[int, int | None, int]:
    """Return (id, size, bytes of both) of an element; no size where it is unknown (RFC 8794)."""
    if not data or not data[0] or len(data) < 13:
        return 0, None, 0
    name_bytes = 9 - data[0].bit_length()
    if name_bytes > 4 or not data[name_bytes]:
        return 0, None, 0
    size_bytes = 9 - data[name_bytes].bit_length()
    raw = int.from_bytes(data[name_bytes : name_bytes + size_bytes], "big")
    limit = (1 << 7 * size_bytes) - 1
    size = raw & limit
    name = int.from_bytes(data[:name_bytes], "big")
    return name, None if size == limit else size, name_bytes + size_bytes


def _starts(*magics: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head[at:].startswith(magics)


#: (family, test of the first bytes, finder of the spans); the first that matches is used.
_FAMILIES: tuple[
    tuple[str, Callable[[bytes], bool], Callable[[_Reader], Iterator[Span]]], ...
] = (
    ("flac", _starts(b"fLaC"), _flac),
    ("ogg", _starts(b"OggS"), _ogg),
    ("mp4", _starts(*_MP4_FIRST, at=4), _mp4),
    ("chunks", _starts(b"RIFF", b"RF64", b"BW64", b"FORM", b"FRM8"), _chunks),
    ("dsf", _starts(b"DSD "), _dsf),
    ("asf", _starts(_ASF_HEADER), _asf),
    ("matroska", _starts(_EBML), _matroska),
    ("bare", is_bare_stream, _bare),
)  # fmt: skip
