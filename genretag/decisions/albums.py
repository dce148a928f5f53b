"""Tracks of one album decide together: one vote a sure track; ties go to the higher sum of confidences, and are told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genretag.decisions.plan import AlbumVerdict
from genretag.decisions.policy import AlbumRule
from genretag.decisions.vote import Status

MIN_VOTES = 2  # sure tracks; fewer are no album
_MAX_ARTISTS = 2  # more of them without an album artist: a compilation
_MAX_UNTAGGED = 30  # tracks of a folder whose tags name no album: more is a heap, not an album
_VARIOUS = {"various", "various artists", "va", "v.a.", "compilation", "soundtrack"}

Key = tuple[str, str]


@dataclass
class AlbumTally:
    """What is known of an album while its rows go by."""

    tracks: int = 0
    votes: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)  # of confidences
    artists: set[str] = field(default_factory=set)
    compilation: bool = False

    def add(self, row: dict[str, Any]) -> None:
        self.tracks += 1
        self.compilation |= row.get("album_artist", "").strip().casefold() in _VARIOUS
        if not row.get("album_artist") and len(self.artists) <= _MAX_ARTISTS:
            self.artists.add(row.get("artist", "").casefold())
        if row["status"] == Status.OK and row["genre"]:
            self.votes[row["genre"]] += 1
            self.sums[row["genre"]] += row["confidence"]

    def verdict(self, rule: AlbumRule, tagged: bool) -> AlbumVerdict | None:
        """Return what the album says; None where its tracks are judged each for itself."""
        sure = self.votes.total()
        heap = not tagged and self.tracks > _MAX_UNTAGGED
        if sure < MIN_VOTES or self.compilation or len(self.artists) > _MAX_ARTISTS or heap:
            return None
        label = max(self.votes, key=lambda g: (self.votes[g], self.sums[g], g))
        votes = self.votes[label]
        if rule is AlbumRule.ALL:
            return AlbumVerdict(label if votes == sure else None, votes, sure)
        tie = sum(v == votes for v in self.votes.values()) > 1
        if votes * 2 > sure or (tie and votes * 2 == sure):
            return AlbumVerdict(label, votes, sure, tie)
        return None


def key_of(row: dict[str, Any]) -> Key:
    """Return what tells a row's album: album artist (or artist) and album, else the folder."""
    if row.get("album"):
        return (row.get("album_artist") or row.get("artist") or "").strip().casefold(), row[
            "album"
        ].strip().casefold()
    return "", str(Path(row.get("file") or row["path"]).parent)
