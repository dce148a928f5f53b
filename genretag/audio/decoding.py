"""A file -> mono samples at a fixed rate in 30 s windows.

The decode contract: the first audio stream; the mean of its channels; float32, full scale = 1;
resampled by soxr (HQ) to the rate asked for; the decoder's own delay handling (FFmpeg's, which
honours gapless information). Memory does not grow with the length of a track.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.audio.opening import (
    SHORTEST_TRACK_SECONDS,
    DecodeLog,
    begin_key,
    declared_seconds,
    opened,
    packets,
)
from genretag.errors import TrackError
from genretag.records import WINDOW_SECONDS

FloatArray = npt.NDArray[np.float32]
Blocks = tuple[tuple[FloatArray, int], ...]  # mono samples and their rate

SHORTEST_LAST_WINDOW_SECONDS = 10  # a shorter rest of a longer track is left out
MIN_DECODED_SHARE = 0.5  # of a damaged track that must decode for it to be heard

_BLOCK_SAMPLES = 1 << 16  # frames are gathered to this many samples before numpy sees them
_LOUDEST = 64.0  # float files may hold anything; +36 dBFS is where we stop believing
_MAX_CHANNELS = 64

#: FFmpeg's sample formats: how numpy reads them, and their full scale.
_DTYPES = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}
_FULL_SCALE = {
    "u8": 128.0,
    "s16": 32768.0,
    "s32": 2147483648.0,
    "s64": 9223372036854775808.0,
    "flt": 1.0,
    "dbl": 1.0,
}


def _channels(frame: Any) -> list[npt.NDArray[Any]]:
    """Return a view [samples] of each channel of a frame, as it was decoded; nothing is copied."""
    dtype, samples, channels = (
        _DTYPES[frame.format.name.removesuffix("p")],
        frame.samples,
        frame.layout.nb_channels,
    )
    if frame.format.is_planar:
        return [np.frombuffer(plane, dtype, samples) for plane in frame.planes]
    return list(
        np.frombuffer(frame.planes[0], dtype, samples * channels).reshape(samples, channels).T
    )


def _mono(frame: Any) -> FloatArray:
    """Return the mean of a frame's channels as float32, full scale = 1."""
    name, views = frame.format.name.removesuffix("p"), _channels(frame)
    mono: FloatArray = (
        views[0].astype(np.float32)
        if len(views) == 1
        else np.add(views[0], views[1], dtype=np.float32)
    )
    for view in views[2:]:
        mono += view
    mono *= np.float32(1 / (len(views) * _FULL_SCALE[name]))
    if name == "u8":
        mono -= np.float32(1)
    elif name in ("flt", "dbl") and not (
        mono.min() >= -_LOUDEST and mono.max() <= _LOUDEST
    ):  # not a number fails both
        mono = np.clip(np.nan_to_num(mono, copy=False, posinf=0.0, neginf=0.0), -_LOUDEST, _LOUDEST)
    return mono


class Gatherer:
    """Gathers small decoded frames into big ones, so that numpy's overhead is paid seldom."""

    def __init__(self, listening: DecodeLog) -> None:
        from av import AudioFifo

        self._new_fifo = AudioFifo
        self._fifo, self._channels = AudioFifo(), 0
        self._listening, self._samples = listening, Counter[int]()

    def add(self, frame: Any) -> Blocks:
        """Return a block when enough has come, or when the format changes; mostly nothing."""
        frame.pts = None  # a gap in the time stamps is no reason to stop
        if (
            channels := frame.layout.nb_channels
        ) != self._channels:  # the FIFO does not look, and would crash
            rest, self._channels = self._anew(frame), channels
            return rest
        try:
            self._fifo.write(frame)
        except (
            ValueError
        ):  # another format or rate than before: the FIFO looks, cheaper than we could
            return self._anew(frame)
        return self.rest() if self._fifo.samples >= _BLOCK_SAMPLES else ()

    def _anew(self, frame: Any) -> Blocks:
        """Return what is left, and begin with a frame of another kind."""
        rest = self.rest()
        self._fifo = self._new_fifo()
        self._fifo.write(frame)
        return rest

    def rest(self) -> Blocks:
        """Return what is left."""
        block = self._fifo.read(0) if self._fifo.samples else None
        if block is None:
            return ()
        channels, rate = block.layout.nb_channels, block.sample_rate
        if channels > _MAX_CHANNELS or rate <= 0:
            raise TrackError("decode", f"{channels} channels at {rate} Hz")
        self._samples[rate] += block.samples
        self._listening.seconds = sum(
            n / r for r, n in self._samples.items()
        )  # seconds that are summed up would drift
        return ((_mono(block), rate),)


def _decoded(container: Any, stream: Any, listening: DecodeLog) -> Iterator[tuple[FloatArray, int]]:
    """Yield (mono block, sample rate) of a whole stream, stepping over packets that do not decode."""
    from av.error import FFmpegError

    gatherer = Gatherer(listening)
    for packet in packets(container, stream):
        if packet.size:
            listening.demuxed(packet)
            listening.packets += 1
        try:
            frames = packet.decode()
        except FFmpegError:
            listening.broken += 1
            continue
        for frame in frames:
            yield from gatherer.add(frame)
    yield from gatherer.rest()


def decode(path: Path, rate: int, listening: DecodeLog) -> Iterator[FloatArray]:
    """Yield mono float32 blocks of a track at ``rate`` Hz; ``listening`` is filled on the way.

    Raises:
        TrackError: the file cannot be read, is no audio, or less than half of it decodes.
    """
    import soxr

    with opened(path) as container:
        stream = container.streams.audio[0]
        context = stream.codec_context
        context.thread_count = 1  # the workers are the parallelism
        begin_key(listening, stream)
        listening.declared_seconds = declared_seconds(container, stream, path)
        resampler, native = None, 0
        for block, block_rate in _decoded(container, stream, listening):
            if block_rate != native:
                if resampler is not None:
                    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
                native = block_rate
                resampler = soxr.ResampleStream(native, rate, 1, dtype="float32", quality="HQ")
            yield block if native == rate or resampler is None else resampler.resample_chunk(block)
        if resampler is not None and native != rate:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
    if listening.packets == 0 or listening.seconds == 0:
        raise TrackError("decode", "no audio could be decoded")
    if listening.share < MIN_DECODED_SHARE:
        raise TrackError("decode", f"only {listening.share:.0%} of it decodes")


@dataclass(frozen=True)
class Window:
    """One stretch of a track: where it starts (s), and its samples (mono float32)."""

    start: float
    samples: FloatArray


def count_windows(seconds: float) -> int:
    """Return how many windows a track of some length has."""
    whole, rest = divmod(seconds, WINDOW_SECONDS)
    return int(whole) + int(rest >= SHORTEST_LAST_WINDOW_SECONDS or (whole == 0 and rest > 0))


def windows(blocks: Iterator[FloatArray], rate: int, first: int = 0) -> Iterator[Window]:
    """Cut a stream of blocks, which begins with window number ``first``, into 30 s windows that do not overlap.

    The last, shorter one is kept if it has 10 s or more, or if it is the whole track;
    nothing is padded or looped.

    Raises:
        TrackError: the track is shorter than one second.
    """
    size = WINDOW_SECONDS * rate
    buffer = np.empty(size, dtype=np.float32)
    filled, count = 0, first
    for block in blocks:
        while len(block):
            take = min(size - filled, len(block))
            buffer[filled : filled + take] = block[:take]
            filled, block = filled + take, block[take:]
            if filled == size:
                yield Window(count * float(WINDOW_SECONDS), buffer)
                buffer = np.empty(size, dtype=np.float32)
                filled, count = 0, count + 1
    if count == 0 and filled < SHORTEST_TRACK_SECONDS * rate:
        raise TrackError("decode", f"too short: {filled / rate:.2f} s, and one second is the least")
    if filled >= SHORTEST_LAST_WINDOW_SECONDS * rate or (count == 0 and filled):
        yield Window(count * float(WINDOW_SECONDS), buffer[:filled].copy())


def read_windows(path: Path, rate: int, listening: DecodeLog) -> Iterator[Window]:
    """Decode a file into windows."""
    return windows(decode(path, rate, listening), rate)
