"""Records that several packages share. Plain data: nothing here reads files or computes scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # commands that only print text start without numpy
    import numpy as np
    import numpy.typing as npt

    Float16Array = npt.NDArray[np.float16]

WINDOW_SECONDS = 30  # length of an analysis window
PIECE_SECONDS = 5  # length of a piece, of which a sparse analysis takes some


@dataclass(frozen=True)
class Album:
    """The tags that identify a track's album; empty where the file has none."""

    artist: str = ""
    album: str = ""
    album_artist: str = ""
    compilation: bool = False  # TCMP, cpil or COMPILATION is set


@dataclass(frozen=True)
class FieldTags:
    """The fields beside the genre in a file: mood, style, grouping and evidence.

    ``values`` has the fields that are there; ``problems`` says why one cannot be written.
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tags:
    """The tags of a file that genretag uses.

    ``field`` is the container's genre field (``TCON``, ``GENRE`` ...), or None where genretag
    cannot write the container; ``problem`` says why a file cannot be written.
    """

    genres: list[str]
    field: str | None
    album: Album = Album()
    problem: str | None = None
    fields: FieldTags | None = None  # None: read by a version that knew the genre alone


@dataclass(frozen=True)
class FileRow:
    """A file on disk as the last scan or write left it."""

    path: Path
    size: int  # bytes
    mtime_ns: int
    inode: int
    device: int
    links: int  # hard links
    sha256: str  # of the whole file; "" if only the check is known
    content_key: str  # the audio key, where the packets were never read
    tags: Tags
    audio_key: str | None = None
    file_check: str | None = None  # "xxh3:" or "sha256:" and a hash of the whole file

    @property
    def is_hashed(self) -> bool:
        """Whether a hash of the whole file is known."""
        return bool(self.sha256 or self.file_check)


@dataclass(frozen=True)
class Analysis:
    """The model's output for one track, in the precision of the analysis cache.

    It covers windows of 30 s, or pieces of ``piece`` seconds.
    """

    content_key: str  # the audio key, where the packets were never read
    second_key: str | None
    seconds: float
    share: float  # part of the track that decoded, 0 to 1
    starts: npt.NDArray[np.float32]  # [windows], s
    logits: Float16Array  # [windows, labels]
    music: Float16Array  # [windows], logits
    embedding: Float16Array  # [dims], mean over windows
    picture: bytes = b""  # packed by features.thumbnail; empty where there is none
    of: int = 0  # windows or pieces that would cover the track, if only some were analysed
    audio_key: str | None = None
    piece: float = 0.0  # s; 0 for windows

    @property
    def length(self) -> float:
        """Analysed length in windows of 30 s."""
        windows = len(self.starts) * (self.piece or WINDOW_SECONDS) / WINDOW_SECONDS
        return min(self.seconds / WINDOW_SECONDS, windows)

    @property
    def length_of_window(self) -> float:
        """Mean length of a window in units of 30 s."""
        return self.length / max(1, len(self.starts))

    @property
    def whole(self) -> bool:
        """Whether every window was analysed."""
        return self.of <= len(self.starts)
