"""A file -> its container, its packets, its identity. Nothing is decoded here.

FFmpeg is imported where it is used, here and in the whole room: the main process asks for words and facts, and starts without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import xxhash

from genretag.audio import mpeg
from genretag.errors import TrackError

SHORTEST_TRACK_SECONDS = 1
KEY_DIGITS = 32  # of a content key; older ones had 40

#: Formats whose declared length is exact, so that a file that was cut off shows.
_EXACT_LENGTH = {"flac", "mov,mp4,m4a,3gp,3g2,mj2", "ape", "wv", "tta", "dsf"}


@dataclass(frozen=True)
class Identity:
    """What tells that two files hold the same music."""

    content_key: (
        str  # XXH3 (128 bits; Collet 2020) over codec parameters and demuxed packets, 32 hex digits
    )
    second_key: str | None  # FLAC: STREAMINFO's MD5 of the decoded samples, where it is not zero
    sha256: str  # of the whole file


@dataclass
class DecodeLog:
    """What a decoding found out; whole once its blocks are used up."""

    seconds: float = 0.0
    packets: int = 0
    broken: int = 0  # packets that did not decode
    declared_seconds: float | None = None  # where the container states it exactly
    _hash: xxhash.xxh3_128 = field(
        default_factory=xxhash.xxh3_128
    )  # a cryptographic one would take a fifteenth of an MP3's decoding

    def demuxed(self, data: Any) -> None:
        """Take a packet, or what else belongs to the identity, into the content key."""
        self._hash.update(data)

    @property
    def content_key(self) -> str:
        """The hash of what was demuxed."""
        return self._hash.hexdigest()

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
def opened(path: Path) -> Iterator[Any]:
    """Open a file's container, bounded to the audio where tags could be taken for music."""
    import av
    import av.error

    av.logging.set_level(None)
    # Tags that are not UTF-8 must not keep a file from being heard. PyAV 19 has no such setting any more, and needs none.
    lenient = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    container: Any = None
    try:
        with path.open("rb") as handle:
            source: Any = handle
            head = handle.read(10)
            handle.seek(0)
            if not head:
                raise TrackError("read", "the file is empty")
            if mpeg.id3v2_size(head) or (head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
                source = mpeg.SpanReader(
                    cast(BinaryIO, handle), mpeg.audio_span(cast(BinaryIO, handle))
                )
            try:
                container = av.open(source, **lenient)
            except (av.error.FFmpegError, ValueError, EOFError) as error:
                raise TrackError(
                    "decode", f"no decoder understands it ({_message(error)})"
                ) from error
            if not container.streams.audio:
                raise TrackError("decode", "it has no audio stream")
            yield container
    except OSError as error:
        raise TrackError("read", f"cannot be read: {_message(error)}") from error
    finally:
        if container is not None:
            container.close()


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets; a demuxer that stumbles ends the track there."""
    import av.error

    try:
        yield from container.demux(stream)
    except (av.error.InvalidDataError, av.error.EOFError, av.error.UndefinedError):
        return
    except av.error.FFmpegError as error:
        raise TrackError("read", f"cannot be read to its end: {_message(error)}") from error


def begin_key(listening: DecodeLog, stream: Any) -> None:
    """Put the codec's parameters at the head of the content key."""
    context = stream.codec_context
    listening.demuxed(f"{context.name}|{context.sample_rate}|{context.channels}|".encode())


def identify(path: Path) -> Identity:
    """Return a file's identity without decoding it.

    Raises:
        TrackError: the file cannot be read, or is no audio.
    """
    with opened(path) as container:
        stream = container.streams.audio[0]
        listening = DecodeLog()
        begin_key(listening, stream)
        for packet in packets(container, stream):
            if packet.size:
                listening.demuxed(packet)
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


def declared_seconds(container: Any, stream: Any, path: Path) -> float | None:
    """Return the length that a file states, where such a statement is exact; None elsewhere."""
    if container.format.name in _EXACT_LENGTH and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return mpeg.declared_seconds(path) if container.format.name == "mp3" else None
