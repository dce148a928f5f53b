"""A file -> its content key, and mono samples at a fixed rate in 30 s windows. The only room that knows decoders."""

from __future__ import annotations

from genretag.audio.decoding import (
    LEAST_SHARE,
    Window,
    count_windows,
    decode,
    read_windows,
    windows,
)
from genretag.audio.opening import (
    KEY_DIGITS,
    Identity,
    Listening,
    file_sha256,
    identify,
    streaminfo_md5,
)
from genretag.audio.partial import Choose, Unsteady, read_some
from genretag.records import WINDOW_SECONDS

__all__ = [
    "KEY_DIGITS",
    "LEAST_SHARE",
    "WINDOW_SECONDS",
    "Choose",
    "Identity",
    "Listening",
    "Unsteady",
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
