"""Decode a file to mono samples at one rate, in 30 s windows.

The decode contract: the first audio stream; its channels restored where they were clipped (see
``declip``); their mean, or one of two that are late or inverted copies (see ``downmix``); float32,
full scale = 1; resampled by soxr (HQ) to the requested rate, unless the caller takes the file's own
rate, too; encoder delay handled by FFmpeg, which honours gapless information. Memory does not grow
with the length of a track.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, starmap
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from genretag.audio.mono import FloatArray, MonoMixer
from genretag.audio.opening import (
    MIN_TRACK_SECONDS,
    DecodeLog,
    PacketError,
    begin_key,
    declared_seconds,
    frames_of,
    opened,
    packets,
)
from genretag.errors import TrackError
from genretag.records import WINDOW_SECONDS

Blocks = tuple[tuple[FloatArray, int], ...]  # mono samples and their rate in Hz

MIN_LAST_WINDOW_SECONDS = 10  # a shorter rest of a longer track is not analysed
MIN_DECODED_SHARE = 0.5  # of a damaged track; with less it fails

_BLOCK_SAMPLES = 1 << 16  # frames are collected to this many samples before numpy handles them
_MAX_CHANNELS = 64


class FrameBuffer:
    """Collect decoded frames into larger blocks, so that numpy's overhead is paid rarely."""

    def __init__(self, log: DecodeLog, mixer: MonoMixer) -> None:
        from av import AudioFifo

        self._new_fifo = AudioFifo
        self._fifo, self._channels = AudioFifo(), 0
        self._log, self._samples, self._mixer = log, Counter[int](), mixer

    def add(self, frame: Any) -> Blocks:
        """Add a frame; return a block if enough samples are there or the format changed."""
        frame.pts = None  # the FIFO would refuse a gap in the timestamps
        channels = frame.layout.nb_channels
        if channels != self._channels:  # the FIFO does not check this, and would crash
            rest, self._channels = self._restart(frame), channels
            return rest
        try:
            self._fifo.write(frame)
        except ValueError:  # another format or rate than before
            return self._restart(frame)
        return self.rest() if self._fifo.samples >= _BLOCK_SAMPLES else ()

    def _restart(self, frame: Any) -> Blocks:
        """Return the rest, and start again with a frame of another format."""
        rest = self.rest()
        self._fifo = self._new_fifo()
        self._fifo.write(frame)
        return rest

    def rest(self) -> Blocks:
        """Return the samples that are left."""
        block = self._fifo.read(0) if self._fifo.samples else None
        if block is None:
            return ()
        channels, rate = block.layout.nb_channels, block.sample_rate
        if channels > _MAX_CHANNELS or rate <= 0:
            raise TrackError("decode", f"{channels} channels at {rate} Hz")
        self._samples[rate] += block.samples
        # From sample counts: a sum of seconds would drift.
        self._log.seconds = sum(n / r for r, n in self._samples.items())
        return ((self._mixer.mono(block), rate),)


def _decode_stream(container: Any, stream: Any, log: DecodeLog) -> Iterator[tuple[FloatArray, int]]:
    """Yield (mono block, sample rate) of a stream, skipping packets that do not decode."""
    buffer = FrameBuffer(log, MonoMixer())
    for packet in packets(container, stream):
        if packet.size:
            log.add_to_key(packet)
            log.packets += 1
        try:
            frames = frames_of(packet)
        except PacketError:
            log.broken += 1
            continue
        for frame in frames:
            yield from buffer.add(frame)
    yield from buffer.rest()


def _make_resampler(native: int, rate: int) -> Any:
    """Return a resampler of mono blocks; None if the rates are the same."""
    if native == rate:
        return None
    # Most files are at 44.1 kHz, and may need no resampler.
    import soxr

    return soxr.ResampleStream(native, rate, 1, dtype="float32", quality="HQ")


def decode(
    path: Path, rate: int, log: DecodeLog, native_rates: Collection[int] = ()
) -> Iterator[FloatArray]:
    """Yield mono float32 blocks of a track at ``rate`` Hz, and fill ``log``.

    A track that begins at one of ``native_rates`` is left at that rate. ``log.rate`` is the rate of
    the blocks, from the first one on.

    Raises:
        TrackError: the file cannot be read, is no audio, or less than half of it decodes.
    """
    with opened(path) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1  # tracks are decoded in parallel, not frames
        begin_key(log, stream)
        log.declared_seconds = declared_seconds(container, stream, path)
        resampler, native = None, 0
        for block, block_rate in _decode_stream(container, stream, log):
            if native == 0:
                log.rate = block_rate if block_rate in native_rates else rate
            if block_rate != native:
                if resampler is not None:
                    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
                native, resampler = block_rate, _make_resampler(block_rate, log.rate)
            yield block if resampler is None else resampler.resample_chunk(block)
        if resampler is not None:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
    if log.packets == 0 or log.seconds == 0:
        raise TrackError("decode", "no audio could be decoded")
    if log.share < MIN_DECODED_SHARE:
        raise TrackError("decode", f"only {log.share:.0%} of it decodes")


def resample(samples: FloatArray, native: int, rate: int) -> FloatArray:
    """Return samples [n] at another rate (Hz)."""
    if native == rate:
        return samples
    import soxr

    resampled: FloatArray = soxr.resample(samples, native, rate, quality="HQ")
    return resampled


@dataclass(frozen=True)
class Window:
    """A window of a track: start in s, samples [n] (mono float32)."""

    start: float
    samples: FloatArray


class Collector(Protocol):
    """Takes the samples of a window in parts, and returns them or what it makes of them."""

    def add(self, samples: FloatArray) -> None:
        """Add mono samples."""

    def result(self) -> FloatArray:
        """Return the result of what was added, and begin the next window."""


#: Rate in Hz -> what makes a collector of samples at that rate.
Collectors = Mapping[int, Callable[[], Collector]]


class Samples:
    """Collector that returns the samples as they are."""

    def __init__(self) -> None:
        self._parts = list[FloatArray]()

    def add(self, samples: FloatArray) -> None:
        """Add samples."""
        self._parts.append(samples)

    def result(self) -> FloatArray:
        """Return all samples [n], and begin the next window."""
        parts, self._parts = self._parts, []
        return np.concatenate(parts)


def count_windows(seconds: float) -> int:
    """Return the number of windows of a track with this length."""
    whole, rest = divmod(seconds, WINDOW_SECONDS)
    return int(whole) + int(rest >= MIN_LAST_WINDOW_SECONDS or (whole == 0 and rest > 0))


def collect_windows(
    blocks: Iterable[FloatArray], rate: int, collector: Collector
) -> Iterator[tuple[float, FloatArray]]:
    """Cut blocks into 30 s windows without overlap; yield each one's start in s and its result.

    The last, shorter window is kept if it has 10 s or more, or is the whole track. Nothing is
    padded or looped.

    Raises:
        TrackError: the track is too short.
    """
    size = WINDOW_SECONDS * rate
    filled, count = 0, 0
    for block in blocks:
        while len(block):
            take = min(size - filled, len(block))
            collector.add(block[:take])
            filled, block = filled + take, block[take:]
            if filled == size:
                yield count * float(WINDOW_SECONDS), collector.result()
                filled, count = 0, count + 1
    if count == 0 and filled < MIN_TRACK_SECONDS * rate:
        raise TrackError("decode", f"too short: {filled / rate:.2f} s; the minimum is 1 s")
    if filled >= MIN_LAST_WINDOW_SECONDS * rate or (count == 0 and filled):
        yield count * float(WINDOW_SECONDS), collector.result()


def windows(blocks: Iterable[FloatArray], rate: int) -> Iterator[Window]:
    """Cut blocks into windows of samples, as ``collect_windows`` does."""
    return starmap(Window, collect_windows(blocks, rate, Samples()))


def read_windows(path: Path, rate: int, log: DecodeLog) -> Iterator[Window]:
    """Decode a file into windows. Errors are those of ``decode`` and ``windows``."""
    return windows(decode(path, rate, log), rate)


def read_results(
    path: Path, collectors: Collectors, log: DecodeLog
) -> Iterator[tuple[float, FloatArray]]:
    """Decode a file into windows; yield each one's start in s and its collector's result.

    A track at a rate for which there is no collector is resampled for the first one. Errors are
    those of ``decode`` and ``collect_windows``.
    """
    rate, *native_rates = collectors
    blocks = decode(path, rate, log, native_rates)
    # The rate is only known once there is a block.
    first = next(blocks)
    yield from collect_windows(chain([first], blocks), log.rate, collectors[log.rate]())
