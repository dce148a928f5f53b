"""Where the MPEG audio of a file lies between its tags.

FFmpeg's MP3 demuxer takes sync bytes inside an APEv2 tag for audio. Given only the bytes
between the tags it cannot, so that the hash of the packets is the hash of the music.
Layouts: ID3v2 (id3.org, 2.3 and 2.4, section 3), ID3v1, APEv2 (Hydrogenaudio), Lyrics3v2.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

_ID3V2_HEADER = 10
_ID3V2_FOOTER_FLAG = 0x10
ID3V1_LENGTH = 128
_APE_FOOTER = 32
_APE_HEADER_FLAG = 1 << 31
_LYRICS3_END = 15  # six digits of size and "LYRICS200"


@dataclass(frozen=True)
class Span:
    """Bytes [start, stop) of a file."""

    start: int
    stop: int


def id3v2_size(header: bytes) -> int:
    """Return the whole length of the ID3v2 tag that begins with these ten bytes; 0 where there is none."""
    if len(header) < _ID3V2_HEADER or header[:3] != b"ID3" or any(b & 0x80 for b in header[6:10]):
        return 0
    size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    footer = _ID3V2_HEADER if header[3] >= 4 and header[5] & _ID3V2_FOOTER_FLAG else 0
    return _ID3V2_HEADER + size + footer


def audio_span(handle: BinaryIO) -> Span:
    """Return the bytes between the tags at the head and those at the tail of an open file."""
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
    """Return whether an ID3v1 block ends at ``stop``; the TAG of an APEv2 tag's own name is none."""
    if stop < ID3V1_LENGTH:
        return False
    handle.seek(stop - ID3V1_LENGTH - min(3, stop - ID3V1_LENGTH))
    head = handle.read(min(3, stop - ID3V1_LENGTH) + 5)
    return head[-5:-2] == b"TAG" and head != b"APETAGEX"


def _before_tail_tag(handle: BinaryIO, start: int, stop: int) -> int:
    """Return where the tag that ends at ``stop`` begins, or ``stop`` where no tag ends there."""
    if stop - start >= ID3V1_LENGTH and has_id3v1(handle, stop):
        return stop - ID3V1_LENGTH
    if stop - start >= _APE_FOOTER:
        handle.seek(stop - _APE_FOOTER)
        footer = handle.read(_APE_FOOTER)
        if footer[:8] == b"APETAGEX":
            size = int.from_bytes(footer[12:16], "little")
            flags = int.from_bytes(footer[20:24], "little")
            whole = size + (_APE_FOOTER if flags & _APE_HEADER_FLAG else 0)
            if _APE_FOOTER <= whole <= stop - start:
                return stop - whole
    if stop - start >= _LYRICS3_END:
        handle.seek(stop - _LYRICS3_END)
        tail = handle.read(_LYRICS3_END)
        if tail[6:] == b"LYRICS200" and tail[:6].isdigit():
            whole = int(tail[:6]) + _LYRICS3_END
            if whole <= stop - start:
                return stop - whole
    return stop


#: Samples of a frame and rates (Hz) by MPEG version's bits: 2.5, reserved, 2, 1 (ISO 11172-3, 13818-3), for layer III.
_SAMPLES = (576, 0, 576, 1152)
_RATES = ((11_025, 12_000, 8_000), (), (22_050, 24_000, 16_000), (44_100, 48_000, 32_000))
_SIDE = {
    (3, False): 32,
    (3, True): 17,
    (2, False): 17,
    (2, True): 9,
    (0, False): 17,
    (0, True): 9,
}  # bytes, by version and mono
_LOST_AT_THE_ENDS = 3  # frames that encoder and decoder delays may take off


def declared_seconds(path: Path) -> float | None:
    """Return the length that an MP3's Xing or Info header states; None where it has none.

    An encoder writes the number of frames there, so that a file which was cut off later shows. The delays of
    encoder and decoder are taken off generously.
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
    frames = int.from_bytes(head[tag + 8 : tag + 12], "big") - _LOST_AT_THE_ENDS
    return frames * _SAMPLES[version] / _RATES[version][rate] if frames > 0 else None


class SpanReader(io.RawIOBase):
    """A read-only file that holds just a span of another."""

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
        """Return where the next byte is read."""
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
