"""Decode files: keys, and mono samples in 30 s windows or 5 s pieces. The only user of FFmpeg."""

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
from genretag.audio.pieces import NoPieces, Places, read_pieces
from genretag.records import PIECE_SECONDS, WINDOW_SECONDS

__all__ = [
    "KEY_DIGITS",
    "MIN_DECODED_SHARE",
    "PIECE_SECONDS",
    "WINDOW_SECONDS",
    "Choose",
    "DecodeLog",
    "Identity",
    "InexactTimestamps",
    "NoPieces",
    "Places",
    "Window",
    "count_windows",
    "decode",
    "file_sha256",
    "identify",
    "read_pieces",
    "read_some",
    "read_windows",
    "streaminfo_md5",
    "windows",
]
