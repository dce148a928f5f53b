"""Decode files: keys, and mono samples in 30 s windows or 5 s pieces. The only user of FFmpeg."""

from __future__ import annotations

from genretag.audio.audio_key import AUDIO_KEY_PREFIX, audio_key
from genretag.audio.decoding import (
    MIN_DECODED_SHARE,
    Samples,
    Window,
    count_windows,
    decode,
    read_results,
    read_windows,
    windows,
)
from genretag.audio.flac import streaminfo_key
from genretag.audio.hashes import (
    FileHashes,
    check_of_sha256,
    file_check,
    file_hashes,
    file_sha256,
)
from genretag.audio.identity import Identity, content_key, identify, quick_identity
from genretag.audio.opening import (
    KEY_DIGITS,
    DecodeLog,
)
from genretag.audio.pieces import NoPieces, Places, piece_results, read_pieces
from genretag.records import PIECE_SECONDS, WINDOW_SECONDS

__all__ = [
    "AUDIO_KEY_PREFIX",
    "KEY_DIGITS",
    "MIN_DECODED_SHARE",
    "PIECE_SECONDS",
    "WINDOW_SECONDS",
    "DecodeLog",
    "FileHashes",
    "Identity",
    "NoPieces",
    "Places",
    "Samples",
    "Window",
    "audio_key",
    "check_of_sha256",
    "content_key",
    "count_windows",
    "decode",
    "file_check",
    "file_hashes",
    "file_sha256",
    "identify",
    "piece_results",
    "quick_identity",
    "read_pieces",
    "read_results",
    "read_windows",
    "streaminfo_key",
    "windows",
]
