"""Some of a track's windows, sample for sample as the whole decoding gives them, without decoding the rest.

Nothing is sought: seeking goes by estimates in many containers, and would shift windows. Every packet is demuxed instead (the
content key needs each anyway, and that costs a tenth of decoding), so that it is known where each one lies; decoded are those of the
wanted windows and of half a second before them, which is more than any codec remembers: at most nine frames of bit reservoir in MP3,
80 ms in Opus (RFC 6716), one frame of overlap elsewhere. Where the time stamps do not tell to the sample, it says ``InexactTimestamps``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from genretag.audio.decoding import FloatArray, Gatherer, Window, count_windows, windows
from genretag.audio.opening import (
    DecodeLog,
    begin_key,
    declared_seconds,
    opened,
    packets,
)
from genretag.records import WINDOW_SECONDS

_BEFORE_SECONDS = 0.5  # decoded before a wanted window, for what a codec remembers
_LEAD = 10  # a tenth of a second of it goes through the resampler too, for what that remembers

Choose = Callable[[int], Collection[int]]  # how many windows a track has -> those that are wanted


class InexactTimestamps(Exception):  # noqa: N818  # it is no error: the whole track is decoded instead
    """The track's time stamps do not say, to the sample, where its packets lie."""


class _Reader:
    """A demuxed stream whose packets are decoded only where that is asked for."""

    def __init__(self, container: Any, stream: Any, listening: DecodeLog, *, keyed: bool) -> None:
        self._context, self._base = stream.codec_context, stream.time_base
        self._listening, self._keyed = listening, keyed
        self._packets = packets(container, stream)
        self._begin()

    def _begin(self) -> None:
        """Decode the first frame: its time stamp, behind whatever delay was cut off, is where the track begins."""
        self._held: list[Any] = []
        frame = None
        while frame is None:
            packet = self._next()
            if packet is None or len(self._held) > 50:
                raise InexactTimestamps
            self._held.append(packet)
            frame = next(iter(self._decoded(packet)), None)
        if frame.pts is None or not self._base or frame.time_base != self._base:
            raise InexactTimestamps
        self.rate, self._origin, self._end = frame.sample_rate, frame.pts, frame.pts
        if self._base * self.rate > 1:  # a tick of the clock is longer than a sample
            raise InexactTimestamps
        self._context.flush_buffers()
        self._held.reverse()

    def _next(self) -> Any:
        """Return the next packet, taken into the content key; None at the end."""
        packet = next(self._packets, None)
        if packet is not None and packet.size:
            self._listening.packets += 1
            if self._keyed:
                self._listening.demuxed(packet)
        return packet

    def _decoded(self, packet: Any) -> list[Any]:
        from av.error import FFmpegError

        try:
            return list(packet.decode())
        except FFmpegError as error:
            raise InexactTimestamps from error

    def sample(self, pts: int | None) -> int:
        """Return which sample of the track a time stamp means."""
        if pts is None:
            raise InexactTimestamps
        sample, rest = divmod(
            (pts - self._origin) * self._base.numerator * self.rate, self._base.denominator
        )
        if rest:
            raise InexactTimestamps
        return int(sample)

    def frames(self, begin: int) -> Iterator[Any]:
        """Yield decoded frames from some time before the sample ``begin`` on."""
        earliest, skipped = (
            self._origin + int((begin / self.rate - _BEFORE_SECONDS) / self._base),
            False,
        )
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
            yield from self._decoded(packet)

    def drain(self) -> None:
        """Demux the rest, and note how long the track is."""
        while (packet := self._next()) is not None:
            if packet.size and packet.pts is not None:
                self._end = packet.pts + (packet.duration or 0)
        self._listening.seconds = float((self._end - self._origin) * self._base)


def _native_blocks(reader: _Reader, begin: int) -> Iterator[FloatArray]:
    """Yield mono blocks at the track's own rate from the sample ``begin`` on, to its end."""
    gatherer, due, early = Gatherer(DecodeLog()), None, 0
    for frame in reader.frames(begin):
        at = reader.sample(frame.pts)
        if frame.sample_rate != reader.rate or (due is not None and at != due):
            raise InexactTimestamps
        first, due = due is None or due <= begin, at + frame.samples
        if due <= begin:
            continue
        if first:
            early = begin - at
            if early < 0:
                raise InexactTimestamps
        for block, _ in gatherer.add(frame):
            yield block[early:]
            early = 0
    for block, _ in gatherer.rest():
        yield block[early:]


def _blocks(reader: _Reader, begin: int, rate: int) -> Iterator[FloatArray]:
    """Yield mono blocks at ``rate`` from the sample ``begin`` of the track on, to its end."""
    import soxr

    native = reader.rate
    lead = min(
        begin, native // _LEAD if native % _LEAD == 0 else native
    )  # whole samples at both rates
    drop = lead * rate // native
    resampler = (
        None
        if native == rate
        else soxr.ResampleStream(native, rate, 1, dtype="float32", quality="HQ")
    )
    for block in _native_blocks(reader, begin - lead):
        out = block if resampler is None else resampler.resample_chunk(block)
        yield out[drop:]
        drop = max(0, drop - len(out))
    if resampler is not None:
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)[drop:]


def _runs(wanted: Collection[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of numbers that follow one another."""
    numbers = sorted(wanted)
    cuts = [i + 1 for i, (a, b) in enumerate(pairwise(numbers)) if b != a + 1]
    return (
        [
            (numbers[i], numbers[j - 1])
            for i, j in zip([0, *cuts], [*cuts, len(numbers)], strict=True)
        ]
        if numbers
        else []
    )


def read_some(
    path: Path, rate: int, choose: Choose, listening: DecodeLog, *, keyed: bool = True
) -> Iterator[Window]:
    """Yield the windows of a track that ``choose`` picks; ``listening`` is whole at the end, unless not ``keyed``.

    Raises:
        TrackError: the file cannot be read, or is no audio.
        InexactTimestamps: the track has to be decoded as a whole; what was yielded so far still holds.
    """
    with opened(path) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        begin_key(listening, stream)
        listening.declared_seconds = declared_seconds(container, stream, path)
        seconds = listening.declared_seconds or (
            float(container.duration) / 1e6 if container.duration else 0.0
        )
        reader = _Reader(container, stream, listening, keyed=keyed)
        left = set(choose(count_windows(seconds)))
        for first, last in _runs(left):
            begin = first * WINDOW_SECONDS * reader.rate
            for window in windows(_blocks(reader, begin, rate), rate, first):
                left.discard(int(window.start) // WINDOW_SECONDS)
                yield window
                if int(window.start) // WINDOW_SECONDS == last:
                    break
        if left:  # the track is shorter than it says
            raise InexactTimestamps
        if keyed:
            reader.drain()
