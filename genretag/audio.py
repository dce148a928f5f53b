"""A file -> its content key, and mono samples at a fixed rate in 30 s windows. The only room that knows decoders.

The decode contract: the first audio stream; the mean of its channels; float32, full scale = 1;
resampled by soxr (HQ) to the rate asked for; the decoder's own delay handling (FFmpeg's, which
honours gapless information). Memory does not grow with the length of a track.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import av.error
import numpy as np
import numpy.typing as npt
import soxr

from genretag import mpeg
from genretag.errors import TrackError

FloatArray = npt.NDArray[np.float32]

WINDOW_SECONDS = 30
SHORTEST_LAST_WINDOW_SECONDS = 10  # a shorter rest of a longer track is left out
SHORTEST_TRACK_SECONDS = 1
LEAST_SHARE = 0.5  # of a damaged track that must decode for it to be heard

_BLOCK_SAMPLES = 1 << 16  # frames are gathered to this many samples before numpy sees them
_LOUDEST = 64.0  # float files may hold anything; +36 dBFS is where we stop believing
_MOST_CHANNELS = 64

#: Formats whose declared length is exact, so that a file that was cut off shows.
_EXACT_LENGTH = {"flac", "mov,mp4,m4a,3gp,3g2,mj2", "ape", "wv", "tta", "dsf"}

#: Tags that are not UTF-8 must not keep a file from being heard. PyAV 19 has no such setting any more, and needs none.
_LENIENT = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}

_INTEGER_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 9223372036854775808.0}


@dataclass(frozen=True)
class Identity:
    """What tells that two files hold the same music."""

    content_key: str  # BLAKE2b over codec parameters and demuxed packets, 40 hex digits
    second_key: str | None  # FLAC: STREAMINFO's MD5 of the decoded samples, where it is not zero
    sha256: str  # of the whole file


@dataclass
class Listening:
    """What a decoding found out; whole once its blocks are used up."""

    seconds: float = 0.0
    packets: int = 0
    broken: int = 0  # packets that did not decode
    declared_seconds: float | None = None  # where the container states it exactly
    _hash: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=20))

    @property
    def content_key(self) -> str:
        """The hash of what was demuxed."""
        return str(self._hash.hexdigest())

    @property
    def share(self) -> float:
        """Which part of the track decoded, 0 to 1."""
        share = 1 - self.broken / self.packets if self.packets else 0.0
        if self.declared_seconds and self.declared_seconds > SHORTEST_TRACK_SECONDS:
            share = min(share, self.seconds / self.declared_seconds)
        return share


def _message(error: BaseException) -> str:
    """Return an error's text without the path that FFmpeg adds."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).split("; last error log")[0]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file's container, bounded to the audio where tags could be taken for music."""
    av.logging.set_level(None)
    container: Any = None
    try:
        with path.open("rb") as handle:
            source: Any = handle
            head = handle.read(10)
            handle.seek(0)
            if not head:
                raise TrackError("read", "the file is empty")
            if mpeg.id3v2_size(head) or (head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
                source = mpeg.SpanReader(cast(BinaryIO, handle), mpeg.audio_span(cast(BinaryIO, handle)))
            try:
                container = av.open(source, **_LENIENT)
            except (av.error.FFmpegError, ValueError, EOFError) as error:
                raise TrackError("decode", f"no decoder understands it ({_message(error)})") from error
            if not container.streams.audio:
                raise TrackError("decode", "it has no audio stream")
            yield container
    except OSError as error:
        raise TrackError("read", f"cannot be read: {_message(error)}") from error
    finally:
        if container is not None:
            container.close()


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets; a demuxer that stumbles ends the track there."""
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed, None)
        except (av.error.InvalidDataError, av.error.EOFError, av.error.UndefinedError):
            return
        except av.error.FFmpegError as error:
            raise TrackError("read", f"cannot be read to its end: {_message(error)}") from error
        if packet is None:
            return
        yield packet


def _begin_key(listening: Listening, stream: Any) -> None:
    """Put the codec's parameters at the head of the content key."""
    context = stream.codec_context
    listening._hash.update(f"{context.name}|{context.sample_rate}|{context.channels}|".encode())


def identify(path: Path) -> Identity:
    """Return a file's identity without decoding it.

    Raises:
        TrackError: the file cannot be read, or is no audio.
    """
    with _opened(path) as container:
        stream = container.streams.audio[0]
        listening = Listening()
        _begin_key(listening, stream)
        for packet in _packets(container, stream):
            if packet.size:
                listening._hash.update(packet)
    return Identity(listening.content_key, streaminfo_md5(path), file_sha256(path))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a whole file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def streaminfo_md5(path: Path) -> str | None:
    """Return the MD5 of the samples that a FLAC file states, or None where it states none."""
    with path.open("rb") as handle:
        start = mpeg.id3v2_size(handle.read(10))
        handle.seek(start)
        head = handle.read(4 + 4 + 34)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 0x7F != 0:
        return None
    md5 = head[26:42]
    return "flac:" + md5.hex() if any(md5) else None


def _mono(frame: Any) -> FloatArray:
    """Return the mean of a frame's channels as float32, full scale = 1."""
    a = frame.to_ndarray()
    channels = frame.layout.nb_channels
    name = frame.format.name.removesuffix("p")
    if not frame.format.is_planar and channels > 1:
        a = a.reshape(-1, channels).T
    if channels == 2 and a.dtype == np.float32:  # nearly all music: three times as fast as the general mean
        mono = np.add(a[0], a[1])
        mono *= np.float32(0.5)
    else:
        mono = a.mean(axis=0, dtype=np.float32) if channels > 1 else a.reshape(-1).astype(np.float32)
    if name in _INTEGER_SCALE:
        mono = (mono - np.float32(128.0 if name == "u8" else 0.0)) / np.float32(_INTEGER_SCALE[name])
    elif not (mono.min() >= -_LOUDEST and mono.max() <= _LOUDEST):  # not a number fails both; nearly no block comes here
        mono = np.clip(np.nan_to_num(mono, copy=False, posinf=0.0, neginf=0.0), -_LOUDEST, _LOUDEST)
    return cast(FloatArray, mono)


class _Gatherer:
    """Gathers small decoded frames into big ones, so that numpy's overhead is paid seldom."""

    def __init__(self) -> None:
        self._fifo: Any = None
        self._kind: tuple[str, str, int] | None = None

    def add(self, frame: Any) -> Iterator[tuple[FloatArray, int]]:
        """Yield (mono block, its sample rate) when enough has come, or when the format changes."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            yield from self.rest()
            if frame.layout.nb_channels > _MOST_CHANNELS or frame.sample_rate <= 0:
                raise TrackError("decode", f"{frame.layout.nb_channels} channels at {frame.sample_rate} Hz")
            self._fifo, self._kind = av.AudioFifo(), kind
        frame.pts = None  # a gap in the time stamps is no reason to stop
        self._fifo.write(frame)
        if self._fifo.samples >= _BLOCK_SAMPLES:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[FloatArray, int]]:
        """Yield what is left."""
        if self._fifo is not None and self._kind is not None and self._fifo.samples:
            yield _mono(self._fifo.read(0)), self._kind[2]


def _decoded(container: Any, stream: Any, listening: Listening) -> Iterator[tuple[FloatArray, int]]:
    """Yield (mono block, sample rate) of a whole stream, stepping over packets that do not decode."""
    gatherer = _Gatherer()
    for packet in _packets(container, stream):
        if packet.size:
            listening._hash.update(packet)
            listening.packets += 1
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            listening.broken += 1
            continue
        for frame in frames:
            listening.seconds += frame.samples / max(1, frame.sample_rate)
            yield from gatherer.add(frame)
    yield from gatherer.rest()


def decode(path: Path, rate: int, listening: Listening) -> Iterator[FloatArray]:
    """Yield mono float32 blocks of a track at ``rate`` Hz; ``listening`` is filled on the way.

    Raises:
        TrackError: the file cannot be read, is no audio, or less than half of it decodes.
    """
    with _opened(path) as container:
        stream = container.streams.audio[0]
        context = stream.codec_context
        context.thread_count = 1  # the workers are the parallelism
        _begin_key(listening, stream)
        if container.format.name in _EXACT_LENGTH and stream.duration and stream.time_base:
            listening.declared_seconds = float(stream.duration * stream.time_base)
        elif container.format.name == "mp3":
            listening.declared_seconds = mpeg.declared_seconds(path)
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
    if listening.share < LEAST_SHARE:
        raise TrackError("decode", f"only {listening.share:.0%} of it decodes")


@dataclass(frozen=True)
class Window:
    """One stretch of a track: where it starts (s), and its samples (mono float32)."""

    start: float
    samples: FloatArray


def windows(blocks: Iterator[FloatArray], rate: int) -> Iterator[Window]:
    """Cut a stream of blocks into 30 s windows that do not overlap.

    The last, shorter one is kept if it has 10 s or more, or if it is the whole track;
    nothing is padded or looped.

    Raises:
        TrackError: the track is shorter than one second.
    """
    size = WINDOW_SECONDS * rate
    buffer = np.empty(size, dtype=np.float32)
    filled = count = 0
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


def read_windows(path: Path, rate: int, listening: Listening) -> Iterator[Window]:
    """Decode a file into windows."""
    return windows(decode(path, rate, listening), rate)
