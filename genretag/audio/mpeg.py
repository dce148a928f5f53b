"""Find the audio of a bare stream (MP3, AAC, Monkey's Audio ...) between its tags.

Given only the bytes between the tags, FFmpeg cannot take any byte of a tag for audio, so that the
hash of the packets depends on the audio alone. Layouts: ID3v2 (id3.org, 2.3 and 2.4, section 3),
ID3v1 with its TAG+ extension, APEv2 (Hydrogenaudio), Lyrics3 v1 and v2 (id3.org).
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

_ID3V2_HEADER = 10
_ID3V2_FOOTER_FLAG = 0x10
ID3V1_LENGTH = 128
_APE_FOOTER = 32
_APE_HEADER_FLAG = 1 << 31
_LYRICS3_END = 15  # six digits of size and "LYRICS200"
_LYRICS3_V1_MAX = 5100 + 20  # bytes, with LYRICSBEGIN and LYRICSEND
_TAG_PLUS_LENGTH = 227

#: First bytes of formats without a container: their tags stand before and behind the stream.
_BARE = (b"fLaC", b"\x0bw", b"MAC ", b"MP+", b"MPCK", b"wvpk", b"TTA1", b"tBaK", b"OFR ")


@dataclass(frozen=True)
class Span:
    """Bytes [start, stop) of a file."""

    start: int
    stop: int


def id3v2_size(header: bytes) -> int:
    """Return the length of the ID3v2 tag with this header of ten bytes; 0 if it is none."""
    if len(header) < _ID3V2_HEADER or header[:3] != b"ID3" or any(b & 0x80 for b in header[6:10]):
        return 0
    size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    footer = _ID3V2_HEADER if header[3] >= 4 and header[5] & _ID3V2_FOOTER_FLAG else 0
    return _ID3V2_HEADER + size + footer


def is_bare_stream(head: bytes) -> bool:
    """Return whether a stream without a container begins with these bytes (12 or more)."""
    return head.startswith(_BARE) or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)


def audio_span(handle: BinaryIO) -> Span:
    """Return the bytes between the tags at the start and those at the end of an open file."""
    end = handle.seek(0, os.SEEK_END)
    start = 0
    while True:
        handle.seek(start)
        size = id3v2_size(handle.read(_ID3V2_HEADER))
        if not size or start + size > end:
            break
        start += size
    stop = end
    while (shorter := _before_tail_tag(handle, start, stop)) < stop:
        stop = shorter
    return Span(start, stop)


def has_id3v1(handle: BinaryIO, stop: int) -> bool:
    """Return whether an ID3v1 tag ends at ``stop``; the TAG within ``APETAGEX`` is none."""
    if stop < ID3V1_LENGTH:
        return False
    handle.seek(stop - ID3V1_LENGTH - min(3, stop - ID3V1_LENGTH))
    head = handle.read(min(3, stop - ID3V1_LENGTH) + 5)
    return head[-5:-2] == b"TAG" and head != b"APETAGEX"


def _before_tail_tag(handle: BinaryIO, start: int, stop: int) -> int:
    """Return the start of the tag that ends at ``stop``, or ``stop`` if no tag ends there."""
    for length in (_id3v1, _apev2, _lyrics3_v2, _lyrics3_v1, _appended_id3v2):
        if 0 < (size := length(handle, start, stop)) <= stop - start:
            return stop - size
    return stop


def _read(handle: BinaryIO, start: int, stop: int) -> bytes:
    handle.seek(max(0, start))
    return handle.read(stop - max(0, start))


def _id3v1(handle: BinaryIO, start: int, stop: int) -> int:
    """Return the length of an ID3v1 tag, with its TAG+ extension, that ends at ``stop``, or 0."""
    if stop - start < ID3V1_LENGTH or not has_id3v1(handle, stop):
        return 0
    whole = ID3V1_LENGTH + _TAG_PLUS_LENGTH
    if stop - start >= whole and _read(handle, stop - whole, stop - whole + 4) == b"TAG+":
        return whole
    return ID3V1_LENGTH


def _apev2(handle: BinaryIO, start: int, stop: int) -> int:
    """Return the length of an APEv2 tag that ends at ``stop``, or 0."""
    if stop - start < _APE_FOOTER:
        return 0
    footer = _read(handle, stop - _APE_FOOTER, stop)
    if footer[:8] != b"APETAGEX":
        return 0
    size = int.from_bytes(footer[12:16], "little")
    flags = int.from_bytes(footer[20:24], "little")
    return size + (_APE_FOOTER if flags & _APE_HEADER_FLAG else 0) if size >= _APE_FOOTER else 0


def _lyrics3_v2(handle: BinaryIO, start: int, stop: int) -> int:
    """Return the length of a Lyrics3 v2 tag that ends at ``stop``, or 0."""
    tail = _read(handle, max(start, stop - _LYRICS3_END), stop)
    if len(tail) < _LYRICS3_END or tail[6:] != b"LYRICS200" or not tail[:6].isdigit():
        return 0
    return int(tail[:6]) + _LYRICS3_END


def _lyrics3_v1(handle: BinaryIO, start: int, stop: int) -> int:
    """Return the length of a Lyrics3 v1 tag that ends at ``stop``, or 0; it states no size."""
    tail = _read(handle, max(start, stop - _LYRICS3_V1_MAX), stop)
    at = tail.find(b"LYRICSBEGIN") if tail.endswith(b"LYRICSEND") else -1
    return len(tail) - at if at >= 0 else 0


def _appended_id3v2(handle: BinaryIO, start: int, stop: int) -> int:
    """Return the length of an ID3v2.4 tag with a footer that ends at ``stop``, or 0."""
    footer = _read(handle, max(start, stop - _ID3V2_HEADER), stop)
    if footer[:3] != b"3DI":
        return 0
    size = id3v2_size(b"ID3" + footer[3:])
    head = _read(handle, stop - size, stop - size + 3) if 0 < size <= stop - start else b""
    return size if head == b"ID3" else 0


#: Samples per frame and rates (Hz) of layer III, by the version's bits: 2.5, reserved, 2, 1
#: (ISO 11172-3, 13818-3).
_SAMPLES = (576, 0, 576, 1152)
_RATES = ((11_025, 12_000, 8_000), (), (22_050, 24_000, 16_000), (44_100, 48_000, 32_000))
_SIDE = {
    (3, False): 32,
    (3, True): 17,
    (2, False): 17,
    (2, True): 9,
    (0, False): 17,
    (0, True): 9,
}  # bytes of side information, by (version, mono)
_DELAY_FRAMES = 3  # most that the delays of encoder and decoder take off


def declared_seconds(path: Path) -> float | None:
    """Return the length in s that an MP3's Xing or Info header states; None if it has none.

    The encoder writes the number of frames, so that a file that was truncated later shows.
    """
    with path.open("rb") as handle:
        handle.seek(audio_span(cast(BinaryIO, handle)).start)
        head = handle.read(4096)
    at = next(
        (i for i in range(len(head) - 3) if head[i] == 0xFF and head[i + 1] & 0xE6 == 0xE2), None
    )
    if at is None or len(head) < at + 60:
        return None
    version, rate, mono = head[at + 1] >> 3 & 3, head[at + 2] >> 2 & 3, head[at + 3] >> 6 == 3
    if version == 1 or rate == 3:
        return None
    tag = at + 4 + _SIDE[version, mono]
    if head[tag : tag + 4] not in (b"Xing", b"Info") or not head[tag + 7] & 1:
        return None
    frames = int.from_bytes(head[tag + 8 : tag + 12], "big") - _DELAY_FRAMES
    return frames * _SAMPLES[version] / _RATES[version][rate] if frames > 0 else None


class SpanReader(io.RawIOBase):
    """A read-only file that is a span of another file.

    It never raises on odd seeks: PyAV prints such errors as tracebacks.
    """

    def __init__(self, handle: BinaryIO, span: Span) -> None:
        super().__init__()
        self._handle, self._span, self._at = handle, span, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move within the span."""
        base = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._at,
            os.SEEK_END: self._span.stop - self._span.start,
        }[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; fewer at the end of the span."""
        left = self._span.stop - self._span.start - self._at
        size = left if size < 0 else min(size, left)
        if size <= 0:
            return b""
        self._handle.seek(self._span.start + self._at)
        data = self._handle.read(size)
        self._at += len(data)
        return data


class BlockReader(SpanReader):
    """A span of a file whose last blocks are kept.

    FFmpeg reads the end of an Ogg file again for each seek, and the pages around a place several
    times as it searches.
    """

    BLOCK = 16 << 10  # bytes
    _KEPT = 64  # blocks

    def __init__(self, handle: BinaryIO, span: Span) -> None:
        super().__init__(handle, span)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()  # the last used one at the end

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; fewer at the end of the span."""
        left = self._span.stop - self._span.start - self._at
        size = left if size < 0 else min(size, left)
        if size <= 0:
            return b""
        at, first = self._at, self._at // self.BLOCK
        blocks = [self._block(n) for n in range(first, (at + size - 1) // self.BLOCK + 1)]
        skipped = at - first * self.BLOCK
        data = b"".join(blocks)[skipped : skipped + size]
        self._at = at + len(data)
        return data

    def _block(self, number: int) -> bytes:
        """Return a block of the span; it is shorter at the end."""
        if number not in self._blocks:
            self._at = number * self.BLOCK
            self._blocks[number] = super().read(self.BLOCK)
            if len(self._blocks) > self._KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]
