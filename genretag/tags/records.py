"""What tags say, as the rest of the house knows it. Nothing here needs mutagen."""

from __future__ import annotations

from dataclasses import dataclass

#: The field of a tag that is written only where that was asked for: ID3v2.2's.
V22 = "TCO"


@dataclass(frozen=True)
class Album:
    """What tells which album a track is of; empty where the tags do not say."""

    artist: str = ""
    album: str = ""
    album_artist: str = ""
    compilation: bool = False


@dataclass(frozen=True)
class Tags:
    """Genres and album of a file.

    ``field`` is None where genretag cannot write this file, and ``problem`` says why.
    """

    genres: list[str]
    field: str | None
    album: Album = Album()
    problem: str | None = None
