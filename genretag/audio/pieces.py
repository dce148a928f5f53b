"""Decode short pieces of a track by seeking, without reading what lies between them.

A piece begins where the container's index or timestamps lead. How far that is from the same place
in a whole decoding was measured: up to 0.1 s where a container has timestamps; in MP3 up to a
hundredth of the track with a Xing index (100 entries), and a few hundredths in a file of variable
bit rate without one, where a place is a share of the bytes. That is exact enough for excerpts at
evenly spread places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from genretag.audio.decoding import Collectors, FrameBuffer, Samples, Window, resample
from genretag.audio.mono import FloatArray, MonoMixer
from genretag.audio.mpeg import BlockReader, SpanReader
from genretag.audio.opening import (
    Access,
    DecodeLog,
    PacketError,
    declared_seconds,
    frames_of,
    opened_with_reader,
)
from genretag.audio.wavpack import find_block
from genretag.records import PIECE_SECONDS

#: Decoded beyond a piece: 5 s in frames of 16 ms that overlap need 8 ms more.
PIECE_MARGIN_SECONDS = 0.02
#: Decoded before a piece, for the codec's memory: up to nine frames of bit reservoir in MP3, 80 ms
#: in Opus (RFC 6716, section 4.6), one overlapping frame elsewhere.
_PREROLL_SECONDS = 0.25
_LATE_SECONDS = 1.0  # a piece that begins later than this after its place was not found
#: With fastseek, FFmpeg jumps to the place in an MP3 that its index or bit rate gives; without it,
#: it reads and parses the whole file up to the place. On a network share bytes are time, so that it
#: reads less at once, and nothing twice.
_ACCESS = Access({"fflags": "+fastseek"}, BlockReader, at_once=8 << 10)
_FAST_SEEK = 1 << 19  # AVFMT_FLAG_FAST_SEEK of libavformat/avformat.h

Places = Callable[[float], Sequence[float]]  # length of the track in s -> starts of pieces in s


class NoPieces(Exception):  # noqa: N818  # no error: the whole track is decoded instead
    """Pieces of a track cannot be decoded by seeking."""


def read_pieces(path: Path, rate: int, places: Places, log: DecodeLog) -> Iterator[Window]:
    """Yield pieces of a track at ``rate`` Hz. Errors are those of ``piece_results``."""
    return starmap(Window, piece_results(path, {rate: Samples}, places, log))


def piece_results(
    path: Path, collectors: Collectors, places: Places, log: DecodeLog
) -> Iterator[tuple[float, FloatArray]]:
    """Yield the starts in s of pieces, and the results of their collectors.

    A piece is ``PIECE_SECONDS`` long and a little more. At a rate for which there is no collector,
    it is resampled for the first one. ``places`` returns where the pieces begin, in order. ``log``
    gets the track's length. The content key is not computed, since most packets are not read.

    Raises:
        TrackError: the file cannot be read, or is no audio.
        NoPieces: its length is not known, or a piece is damaged or was not found; the whole track
            must be decoded. The pieces that were yielded hold.
    """
    rate = next(iter(collectors))
    with opened_with_reader(path, _ACCESS) as (container, reader):
        if container.format.name != "mp3":
            # In FLAC, FFmpeg would decode from the last entry of a coarse table.
            container.flags &= ~_FAST_SEEK
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        log.declared_seconds = declared_seconds(container, stream, path)
        log.seconds = log.declared_seconds or (container.duration or 0) / 1e6
        if log.seconds <= 0 or not stream.time_base:
            raise NoPieces("its length is not known")
        mixer = MonoMixer()
        for start in places(log.seconds):
            samples, native = _read_piece(_Source(container, stream, reader), start, mixer)
            if native not in collectors:
                samples, native = resample(samples, native, rate), rate
            collector = collectors[native]()
            collector.add(samples)
            yield start, collector.result()


@dataclass(frozen=True)
class _Source:
    """An opened track: FFmpeg's container and stream, and what they read by."""

    container: Any
    stream: Any
    reader: SpanReader

    def seek(self, place: int) -> None:
        """Seek to a packet that begins at or before a place in units of the stream."""
        at = None
        if self.container.format.name == "wv" and self.stream.duration:
            at = find_block(cast(BinaryIO, self.reader), place, self.stream.duration)
        # FFmpeg does not go back to the first header, so the first block is sought by its time.
        if not at:
            self.container.seek(place, stream=self.stream, backward=True)
        else:
            self.container.seek(at, stream=self.stream, unsupported_byte_offset=True)


def _read_piece(source: _Source, start: float, mixer: MonoMixer) -> tuple[FloatArray, int]:
    """Return the samples [n] of a piece, mono, and their rate in Hz."""
    seconds = PIECE_SECONDS + PIECE_MARGIN_SECONDS
    buffer, blocks = FrameBuffer(DecodeLog(), mixer), list[FloatArray]()
    early, native = None, 0
    for at, frame in _frames_from(source, start):
        if early is None:
            early, native = start - at, frame.sample_rate
            if early < -_LATE_SECONDS:
                raise NoPieces("a piece was not found")
        blocks += _of_one_rate(buffer.add(frame), native)
        if at + frame.samples / native >= start + seconds:
            break
    blocks += _of_one_rate(buffer.rest(), native)
    skipped = round(max(0.0, early or 0.0) * native)
    samples = np.concatenate(blocks)[skipped:] if blocks else np.empty(0, np.float32)
    wanted = round(seconds * native)
    if native == 0 or len(samples) < round(PIECE_SECONDS * native):
        raise NoPieces("a piece is shorter than it should be")
    return samples[:wanted], native


def _of_one_rate(blocks: Sequence[tuple[FloatArray, int]], rate: int) -> list[FloatArray]:
    """Return the samples of blocks.

    Raises:
        NoPieces: the sample rate changes.
    """
    if any(block_rate != rate for _, block_rate in blocks):
        raise NoPieces("its sample rate changes")
    return [block for block, _ in blocks]


def _frames_from(source: _Source, start: float) -> Iterator[tuple[float, Any]]:
    """Seek; yield decoded frames with their place in s, from the one that holds ``start`` on.

    Raises:
        NoPieces: FFmpeg cannot seek in the file, or a packet of the piece does not decode.
    """
    from av.error import FFmpegError

    stream = source.stream
    base, origin = stream.time_base, stream.start_time or 0
    first = float(origin * base)
    begin = origin + round(start / base)
    preroll = max(origin, begin - round(_PREROLL_SECONDS / base))
    try:
        source.seek(preroll)
        for packet in source.container.demux(stream):
            # Ogg is sought by pages, which may begin a second before the place.
            if not packet.size or _ends_before(packet, preroll):
                continue
            for frame in _decode(packet, begin):
                # Computed in C; a Fraction for each frame takes a third as long as decoding Vorbis.
                if (time := frame.time) is None:
                    raise NoPieces("its packets have no timestamps")
                at = time - first
                if at + frame.samples / frame.sample_rate > start:
                    yield at, frame
    except (FFmpegError, PacketError) as error:
        raise NoPieces("a piece cannot be decoded") from error


def _decode(packet: Any, begin: int) -> list[Any]:
    """Return a packet's frames; none if it lies before ``begin`` and lacks what precedes it."""
    try:
        return frames_of(packet)
    except PacketError:
        if packet.pts is None or packet.pts + (packet.duration or 0) > begin:
            raise
        return []


def _ends_before(packet: Any, at: int) -> bool:
    """Return whether a packet is known to end before a time in units of its stream."""
    return bool(packet.pts is not None and packet.duration and packet.pts + packet.duration < at)
