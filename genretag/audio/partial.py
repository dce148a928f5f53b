"""Decode some windows of a track, sample for sample as decoding the whole track gives them.

Nothing is sought: many containers seek by estimates, which would shift the windows. Every packet is
demuxed instead (the content key needs each of them, and that costs a tenth of decoding), so that
its position is known. Only the packets of the wanted windows and of half a second before them are
decoded, which covers what a codec remembers: at most nine frames of bit reservoir in MP3, 80 ms in
Opus (RFC 6716), one overlapping frame elsewhere. ``InexactTimestamps`` is raised if the timestamps
are not exact to the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from genretag.audio.decoding import FloatArray, FrameBuffer, Window, count_windows, windows
from genretag.audio.opening import (
    DecodeLog,
    PacketError,
    begin_key,
    declared_seconds,
    frames_of,
    opened,
    packets,
)
from genretag.records import WINDOW_SECONDS

_PREROLL_SECONDS = 0.5  # decoded before a window, for the codec's memory
_LEAD = 10  # 1/10 s of the preroll passes through the resampler, for its memory
_MAX_HELD_PACKETS = 50  # until the first frame decodes

Choose = Callable[[int], Collection[int]]  # number of windows in the track -> windows to decode


class InexactTimestamps(Exception):  # noqa: N818  # no error: the whole track is decoded instead
    """The timestamps of a track do not give the positions of its packets to the sample."""


class _Reader:
    """A demuxed stream whose packets are decoded on demand."""

    def __init__(self, container: Any, stream: Any, log: DecodeLog, *, keyed: bool) -> None:
        self._context, self._base = stream.codec_context, stream.time_base
        self._log, self._keyed = log, keyed
        self._packets = packets(container, stream)
        self._find_origin()

    def _find_origin(self) -> None:
        """Decode the first frame: the track starts at its timestamp, after any encoder delay."""
        self._held: list[Any] = []
        frame = None
        while frame is None:
            packet = self._next()
            if packet is None or len(self._held) > _MAX_HELD_PACKETS:
                raise InexactTimestamps
            self._held.append(packet)
            frame = next(iter(self._decode(packet)), None)
        if frame.pts is None or not self._base or frame.time_base != self._base:
            raise InexactTimestamps
        self.rate, self._origin, self._end = frame.sample_rate, frame.pts, frame.pts
        if self._base * self.rate > 1:  # the clock is coarser than the samples
            raise InexactTimestamps
        self._context.flush_buffers()
        self._held.reverse()

    def _next(self) -> Any:
        """Return the next packet, added to the content key; None at the end."""
        packet = next(self._packets, None)
        if packet is not None and packet.size:
            self._log.packets += 1
            if self._keyed:
                self._log.add_to_key(packet)
        return packet

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return frames_of(packet)
        except PacketError as error:
            raise InexactTimestamps from error

    def sample_of(self, pts: int | None) -> int:
        """Return the index of the sample at a timestamp."""
        if pts is None:
            raise InexactTimestamps
        ticks = (pts - self._origin) * self._base.numerator * self.rate
        sample, rest = divmod(ticks, self._base.denominator)
        if rest:
            raise InexactTimestamps
        return int(sample)

    def frames(self, begin: int) -> Iterator[Any]:
        """Yield decoded frames from the preroll of the sample ``begin`` to the end."""
        earliest = self._origin + int((begin / self.rate - _PREROLL_SECONDS) / self._base)
        skipped = False
        while (packet := self._held.pop() if self._held else self._next()) is not None:
            if packet.size and packet.pts is None:
                raise InexactTimestamps
            if packet.size:
                self._end = packet.pts + (packet.duration or 0)
            if packet.size and self._end <= earliest:
                skipped = True
                continue
            if skipped:
                self._context.flush_buffers()
                skipped = False
            yield from self._decode(packet)

    def drain(self) -> None:
        """Demux the rest, and log the length of the track."""
        while (packet := self._next()) is not None:
            if packet.size and packet.pts is not None:
                self._end = packet.pts + (packet.duration or 0)
        self._log.seconds = float((self._end - self._origin) * self._base)


def _native_blocks(reader: _Reader, begin: int) -> Iterator[FloatArray]:
    """Yield mono blocks at the track's own rate from the sample ``begin`` to the end."""
    buffer, due, early = FrameBuffer(DecodeLog()), None, 0
    for frame in reader.frames(begin):
        at = reader.sample_of(frame.pts)
        if frame.sample_rate != reader.rate or (due is not None and at != due):
            raise InexactTimestamps
        first, due = due is None or due <= begin, at + frame.samples
        if due <= begin:
            continue
        if first:
            early = begin - at
            if early < 0:
                raise InexactTimestamps
        for block, _ in buffer.add(frame):
            yield block[early:]
            early = 0
    for block, _ in buffer.rest():
        yield block[early:]


def _blocks(reader: _Reader, begin: int, rate: int) -> Iterator[FloatArray]:
    """Yield mono blocks at ``rate`` Hz from the native sample ``begin`` to the end."""
    import soxr

    native = reader.rate
    # The lead must be whole samples at both rates.
    lead = min(begin, native // _LEAD if native % _LEAD == 0 else native)
    drop = lead * rate // native
    resampler = None
    if native != rate:
        resampler = soxr.ResampleStream(native, rate, 1, dtype="float32", quality="HQ")
    for block in _native_blocks(reader, begin - lead):
        out = block if resampler is None else resampler.resample_chunk(block)
        yield out[drop:]
        drop = max(0, drop - len(out))
    if resampler is not None:
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)[drop:]


def _runs(wanted: Collection[int]) -> list[tuple[int, int]]:
    """Return (first, last) of each run of consecutive numbers."""
    numbers = sorted(wanted)
    if not numbers:
        return []
    cuts = [i + 1 for i, (a, b) in enumerate(pairwise(numbers)) if b != a + 1]
    edges = zip([0, *cuts], [*cuts, len(numbers)], strict=True)
    return [(numbers[i], numbers[j - 1]) for i, j in edges]


def read_some(
    path: Path, rate: int, choose: Choose, log: DecodeLog, *, keyed: bool = True
) -> Iterator[Window]:
    """Yield the windows that ``choose`` picks; ``log`` is complete at the end if ``keyed``.

    Raises:
        TrackError: the file cannot be read, or is no audio.
        InexactTimestamps: the whole track must be decoded; the windows yielded so far hold.
    """
    with opened(path) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        begin_key(log, stream)
        log.declared_seconds = declared_seconds(container, stream, path)
        estimate = float(container.duration) / 1e6 if container.duration else 0.0
        reader = _Reader(container, stream, log, keyed=keyed)
        left = set(choose(count_windows(log.declared_seconds or estimate)))
        for first, last in _runs(left):
            begin = first * WINDOW_SECONDS * reader.rate
            for window in windows(_blocks(reader, begin, rate), rate, first):
                left.discard(int(window.start) // WINDOW_SECONDS)
                yield window
                if int(window.start) // WINDOW_SECONDS == last:
                    break
        if left:  # the track is shorter than declared
            raise InexactTimestamps
        if keyed:
            reader.drain()
