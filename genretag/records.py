"""Records shared by several packages. Plain data: nothing here reads or computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

WINDOW_SECONDS = 30  # length of an analysis window

Float16Array = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Album:
    """What tells which album a track is of; empty where the tags do not say."""

    artist: str = ""
    album: str = ""
    album_artist: str = ""


@dataclass(frozen=True)
class Tags:
    """What a file's tags say. ``field`` is None where genretag cannot write this container, and ``problem`` why."""

    genres: list[str]
    field: str | None
    album: Album = Album()
    problem: str | None = None


@dataclass(frozen=True)
class FileRow:
    """What is known of a file on disk."""

    path: Path
    size: int  # bytes
    mtime_ns: int
    inode: int
    device: int
    links: int  # hard links to it
    sha256: str
    content_key: str
    tags: Tags


@dataclass(frozen=True)
class Analysis:
    """What the model heard in a track, in the precision that the store keeps."""

    content_key: str
    second_key: str | None
    seconds: float
    share: float  # of the track that decoded, 0 to 1
    starts: npt.NDArray[np.float32]  # [windows], s
    logits: Float16Array  # [windows, labels]
    music: Float16Array  # [windows], logits
    embedding: Float16Array  # [dims], mean over windows
    picture: bytes = b""  # as ``thumbnail`` packs it; empty where there is none
    of: int = 0  # windows that the track has, where not all were heard

    @property
    def length(self) -> float:
        """How much was heard, in windows of 30 s."""
        return min(self.seconds / WINDOW_SECONDS, len(self.starts))

    @property
    def length_of_window(self) -> float:
        """How long a window is, on average, in windows of 30 s."""
        return self.length / max(1, len(self.starts))

    @property
    def whole(self) -> bool:
        """Whether every window was heard."""
        return self.of <= len(self.starts)
