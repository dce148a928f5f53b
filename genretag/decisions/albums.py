"""Let the tracks of an album decide together: one vote per sure track.

Without a majority, and in compilations, each track keeps its own verdict.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genretag.decisions.policy import AlbumRule
from genretag.decisions.vote import Status

MIN_VOTES = 2  # sure tracks; an album with fewer decides nothing
_MAX_ARTISTS = 2  # more main artists without an album artist make a compilation
_MAX_UNTAGGED = 30  # tracks in a folder without album tags; more are a heap, not an album

#: Album artists that mean a compilation.
VARIOUS_ARTISTS = frozenset(
    {
        *("various", "various artists", "va", "v.a.", "compilation", "compilations", "soundtrack"),
        *("verschiedene", "verschiedene interpreten", "varios", "varios artistas"),
        *("artistes divers", "artisti vari", "vários artistas", "diverse artiesten"),
        *("różni wykonawcy", "разные исполнители", "ヴァリアス・アーティスト"),
    }
)

_DISC_FOLDER = re.compile(r"(cd|dis[ck]|disque|lp|side|vinyl)[\s._-]*(\d{1,2}|[a-h])\b", re.I)
_GUEST = re.compile(r"\s+[(\[]?(feat\.?|ft\.?|featuring|with|vs\.?)\s.*", re.I)

Key = tuple[str, str]


@dataclass(frozen=True)
class AlbumVerdict:
    """The verdict of an album whose tracks decide together."""

    label: str | None  # None: the tracks disagree
    votes: int  # sure tracks for the label ...
    of: int  # ... of so many sure tracks
    tied: frozenset[str] = frozenset()  # labels with equally many votes: tracks decide alone

    @property
    def text(self) -> str:
        """The verdict for reports."""
        return f"{self.votes} of {self.of} sure tracks of its album"


@dataclass
class AlbumTally:
    """Votes and tags of an album, collected row by row."""

    tracks: int = 0
    votes: Counter[str] = field(default_factory=Counter)
    artists: set[str] = field(default_factory=set)
    compilation: bool = False
    tagged: bool = False  # the tracks name their album

    def add(self, row: dict[str, Any]) -> None:
        """Count a plan row."""
        self.tracks += 1
        self.tagged |= bool(row.get("album"))
        self.compilation |= bool(row.get("compilation")) or is_various(row.get("album_artist", ""))
        if not row.get("album_artist") and len(self.artists) <= _MAX_ARTISTS:
            self.artists.add(main_artist(row.get("artist", "")))
        if row["status"] == Status.OK and row["genre"]:
            self.votes[row["genre"]] += 1

    @property
    def is_one_album(self) -> bool:
        """Whether the tracks belong together: no compilation, and no heap of untagged files."""
        heap = not self.tagged and self.tracks > _MAX_UNTAGGED
        return not (self.compilation or len(self.artists) > _MAX_ARTISTS or heap)

    def verdict(self, rule: AlbumRule) -> AlbumVerdict | None:
        """Return the album's verdict; None where each track is judged by itself."""
        sure = self.votes.total()
        if sure < MIN_VOTES or not self.is_one_album:
            return None
        ranking = self.votes.most_common()
        label, votes = ranking[0]
        if rule is AlbumRule.ALL:
            return AlbumVerdict(label if votes == sure else None, votes, sure)
        if votes * 2 > sure:
            return AlbumVerdict(label, votes, sure)
        tied = frozenset(other for other, n in ranking if n == votes)
        return AlbumVerdict(None, votes, sure, tied) if len(tied) > 1 else None


def is_various(album_artist: str) -> bool:
    """Return whether an album artist means a compilation."""
    return album_artist.strip().casefold() in VARIOUS_ARTISTS


def main_artist(artist: str) -> str:
    """Return an artist without guests, case folded: ``X feat. Y`` is ``x``."""
    return _GUEST.sub("", artist).strip().casefold()


def key_of(row: dict[str, Any]) -> Key:
    """Return the key of a row's album: album artist and album, else folder and album.

    The track's artist is no part of it, so that guests stay in their album; the disc folders of an
    album (``CD1``, ``Disc 2``) count as the folder above them.
    """
    album = row.get("album", "").strip().casefold()
    artist = row.get("album_artist", "").strip().casefold()
    if album and artist:
        return artist, album
    folder = Path(row.get("file") or row["path"]).parent
    if _DISC_FOLDER.match(folder.name):
        folder = folder.parent
    return str(folder), album
