"""Open a file's container, read its packets, compute the identity of its audio.

FFmpeg is imported where it is used, here and in the whole package: the main process only needs
constants and records, and starts without it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import xxhash

from genretag.audio import mpeg
from genretag.errors import TrackError
from genretag.layout.bare import HEAD_BYTES, begins_with_junk, kind_of

_HEAD = 12  # bytes that show a stream without a container
_JUNK_HEAD = 1 << 17  # bytes that show one behind 64 KiB of junk
MIN_TRACK_SECONDS = 0.95  # encoders cut a few frames off a second of audio
KEY_DIGITS = 32  # of a content key; older ones had 40

#: FFmpeg's names of formats that declare an exact length, so that a truncated file shows.
_EXACT_LENGTH = {"flac", "mov,mp4,m4a,3gp,3g2,mj2", "ape", "wv", "tta", "dsf"}

#: A container that can be read no further for one of these reasons may be whole: the disk failed.
_DISK_ERRORS = {errno.EIO, errno.ENOENT, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT}


@dataclass
class DecodeLog:
    """Results of a decoding beside the samples; complete once all blocks were read."""

    seconds: float = 0.0
    rate: int = 0  # Hz, of the samples
    packets: int = 0
    broken: int = 0  # packets that did not decode
    declared_seconds: float | None = None  # if the container states it exactly
    # A cryptographic hash would take a fifteenth of an MP3's decoding.
    _hash: xxhash.xxh3_128 = field(default_factory=xxhash.xxh3_128)

    def add_to_key(self, data: Any) -> None:
        """Add a packet, or codec parameters, to the content key."""
        self._hash.update(data)

    @property
    def content_key(self) -> str:
        """Hash of everything added so far, 32 hex digits."""
        return self._hash.hexdigest()

    @property
    def share(self) -> float:
        """Part of the track that decoded, 0 to 1."""
        share = 1 - self.broken / self.packets if self.packets else 0.0
        if self.declared_seconds and self.declared_seconds > MIN_TRACK_SECONDS:
            share = min(share, self.seconds / self.declared_seconds)
        return share


def _message(error: BaseException) -> str:
    """Return an error's text without the path and log that FFmpeg adds."""
    text = getattr(error, "strerror", None) or str(error) or "unknown error"
    return str(text).split("; last error log")[0]


@dataclass(frozen=True)
class Access:
    """How FFmpeg reads a file."""

    options: Mapping[str, str] = field(default_factory=dict)  # FFmpeg's, for the demuxer
    reader: type[mpeg.SpanReader] = mpeg.SpanReader
    at_once: int = 32 << 10  # bytes that FFmpeg reads, or more


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file's container. Errors are those of ``opened_with_reader``."""
    with opened_with_reader(path, Access()) as (container, _):
        yield container


@contextmanager
def opened_with_reader(path: Path, how: Access) -> Iterator[tuple[Any, mpeg.SpanReader]]:
    """Open a file's container, without the tags around it that FFmpeg could take for audio.

    FFmpeg reads by the reader that is returned beside it, from its present position.

    Raises:
        TrackError: the file cannot be read, or is no audio that FFmpeg can decode.
    """
    import av
    import av.error

    av.logging.set_level(None)
    # Tags that are not UTF-8 must not keep a file from being analysed. PyAV 19 needs no setting.
    errors = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    container: Any = None
    try:
        with path.open("rb") as handle:
            reader = how.reader(cast(BinaryIO, handle), _without_tags(cast(BinaryIO, handle)))
            try:
                container = av.open(
                    reader, options=dict(how.options), buffer_size=how.at_once, **errors
                )
            except (av.error.FFmpegError, ValueError, EOFError) as error:
                message = f"it is no audio that can be decoded ({_message(error)})"
                raise TrackError("decode", message) from error
            _check_stream(container)
            yield container, reader
    except OSError as error:
        raise TrackError("read", f"cannot be read: {_message(error)}") from error
    finally:
        if container is not None:
            container.close()


def _without_tags(handle: BinaryIO) -> mpeg.Span:
    """Return the span of a file, or of the audio alone where tags surround a bare stream.

    FFmpeg takes sync bytes inside an APEv2 tag for MP3 frames, and lets the last packet of
    Monkey's Audio reach to the end of the file; the packets, and so the content key, would change
    with the tags.
    """
    if not handle.read(1):
        raise TrackError("read", "the file is empty")
    span = mpeg.audio_span(handle)
    handle.seek(span.start)
    head = handle.read(_HEAD)
    if begins_with_junk(head[:HEAD_BYTES]):
        head += handle.read(_JUNK_HEAD)
    bare = mpeg.is_bare_stream(head[:_HEAD]) or (span.start and span.stop > span.start)
    # A stream behind junk must give the same packets once a tag stands in front of the junk.
    bare = bare or kind_of(memoryview(head), 0) is not None
    return span if bare else mpeg.Span(0, handle.seek(0, os.SEEK_END))


def _check_stream(container: Any) -> None:
    """Raise unless there is an audio stream with a decoder."""
    if not container.streams.audio:
        raise TrackError("decode", "it has no audio stream")
    if container.streams.audio[0].codec_context is None:
        raise TrackError("decode", "there is no decoder for its audio codec")


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets; a container that FFmpeg cannot follow further ends there.

    Raises:
        TrackError: the disk failed.
    """
    import av.error

    try:
        yield from container.demux(stream)
    except av.error.FFmpegError as error:
        if getattr(error, "errno", None) in _DISK_ERRORS:
            message = f"cannot be read to its end: {_message(error)}"
            raise TrackError("read", message) from error


class PacketError(Exception):
    """FFmpeg does not decode a packet."""


def frames_of(packet: Any) -> list[Any]:
    """Decode a packet.

    Raises:
        PacketError: it does not decode.
    """
    from av.error import FFmpegError

    try:
        return list(packet.decode())
    except (FFmpegError, ValueError) as error:  # PyAV 19: ValueError if the decoder does not open
        raise PacketError from error


def begin_key(log: DecodeLog, stream: Any) -> None:
    """Start the content key with the codec's parameters."""
    context = stream.codec_context
    log.add_to_key(f"{context.name}|{context.sample_rate}|{context.channels}|".encode())


def declared_seconds(container: Any, stream: Any, path: Path) -> float | None:
    """Return the length in s that a file declares, if its format declares it exactly; else None."""
    if container.format.name in _EXACT_LENGTH and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return mpeg.declared_seconds(path) if container.format.name == "mp3" else None
