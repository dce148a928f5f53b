"""Decode files: content keys, and mono samples in 30 s windows. The only user of FFmpeg."""

from __future__ import annotations

from genretag.audio.decoding import (
    MIN_DECODED_SHARE,
    Window,
    count_windows,
    decode,
    read_windows,
    windows,
)
from genretag.audio.opening import (
    KEY_DIGITS,
    DecodeLog,
    Identity,
    file_sha256,
    identify,
    streaminfo_md5,
)
from genretag.audio.partial import Choose, InexactTimestamps, read_some
from genretag.records import WINDOW_SECONDS

__all__ = [
    "KEY_DIGITS",
    "MIN_DECODED_SHARE",
    "WINDOW_SECONDS",
    "Choose",
    "DecodeLog",
    "Identity",
    "InexactTimestamps",
    "Window",
    "count_windows",
    "decode",
    "file_sha256",
    "identify",
    "read_some",
    "read_windows",
    "streaminfo_md5",
    "windows",
]
