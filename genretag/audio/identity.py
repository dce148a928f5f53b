"""The identity of a file's audio: keys that are equal for files with the same audio."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from genretag.audio.audio_key import audio_key
from genretag.audio.flac import streaminfo_key
from genretag.audio.opening import DecodeLog, begin_key, opened, packets


@dataclass(frozen=True)
class Identity:
    """Keys that are equal for files with the same audio, and a check of the file.

    Keys that were not computed are None. A match of any one is a match.
    """

    content_key: str | None  # XXH3 (128 bits) of codec parameters and packets, 32 hex digits
    second_key: str | None = None  # FLAC: shape and MD5 of the samples, if it is complete
    audio_key: str | None = None  # a hash of parts of the audio; see ``audio_key``
    file_check: str | None = None  # a hash of the whole file; see ``hashes``

    @property
    def key(self) -> str:
        """The content key or, where the packets were never read, the audio key."""
        return self.content_key or self.audio_key or ""


def quick_identity(path: Path) -> Identity:
    """Return the keys that take a few reads; all of them where the container is not known.

    Raises:
        TrackError: the file cannot be read, or is no audio.
    """
    quick = Identity(None, streaminfo_key(path), audio_key(path))
    return quick if quick.audio_key is not None else replace(quick, content_key=content_key(path))


def identify(path: Path) -> Identity:
    """Return all keys of a file's audio without decoding it. Every packet is read.

    Raises:
        TrackError: the file cannot be read, or is no audio.
    """
    return Identity(content_key(path), streaminfo_key(path), audio_key(path))


def content_key(path: Path) -> str:
    """Return the content key of a file. Every packet is read.

    Raises:
        TrackError: the file cannot be read, or is no audio.
    """
    with opened(path) as container:
        stream = container.streams.audio[0]
        log = DecodeLog()
        begin_key(log, stream)
        for packet in packets(container, stream):
            if packet.size:
                log.add_to_key(packet)
    return log.content_key
