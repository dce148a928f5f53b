"""The rules that a user sets: how windows vote, how sure is sure enough, what becomes of a genre that is there."""

from __future__ import annotations

import fnmatch
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from genretag.decisions.players import READINGS, Id3Version, Player, separator_of
from genretag.decisions.vocabulary import Vocabulary, normalise_genre
from genretag.library.walk import lies_in


class Rule(StrEnum):
    """How windows vote."""

    MEAN = "mean"  # mean of log-probabilities
    MAJORITY = "majority"  # most windows; ties go to the higher mean
    WEIGHTED = "weighted"  # mean of probabilities, each window weighted by its own confidence


class Existing(StrEnum):
    """What becomes of a genre that is there already."""

    SKIP = "skip"
    REPLACE = "replace"
    APPEND = "append"


class Windows(StrEnum):
    """How much of a track is heard."""

    ALL = "all"
    ADAPTIVE = "adaptive"  # a few windows, and more of them until the vote is settled


class HardLinks(StrEnum):
    """What becomes of a file that has other names (torrents and deduplication live on such)."""

    SKIP = "skip"
    BREAK = "break"  # this name gets a file of its own
    IN_PLACE = (
        "in-place"  # all names see the change; a kill in the middle is mended by the next run
    )


class AlbumRule(StrEnum):
    """How the tracks of an album decide together."""

    OFF = "off"  # each for itself
    #: What more than half of its sure tracks say is written into all of them; of two equal halves, what the ear is surer of.
    MAJORITY = "majority"
    ALL = "all"  # written where all its sure tracks agree; else the album is left alone


@dataclass(frozen=True)
class Protect:
    """What is never written, whatever else was asked for."""

    paths: tuple[str, ...] = ()  # globs, of the whole path or of a folder in it
    artists: tuple[str, ...] = ()  # globs
    genres: tuple[str, ...] = ()  # a file that has one of these keeps it

    def reason(self, path: str, artists: tuple[str, ...], genres: list[str]) -> str | None:
        """Return why a file is protected; None if it is not."""
        for glob in self.paths:
            if lies_in(path, glob):
                return f"protected path ({glob})"
        names = {name.strip().casefold() for name in artists if name}
        for artist in self.artists:
            if any(fnmatch.fnmatchcase(name, artist.strip().casefold()) for name in names):
                return f"protected artist ({artist})"
        words = {normalise_genre(g) for g in genres}
        return next(
            (f"protected genre ({g})" for g in self.genres if normalise_genre(g) in words), None
        )


@dataclass(frozen=True)
class Policy:
    """The rules that turn verdicts into a plan."""

    min_confidence: float | None = None  # None: the model's own threshold
    existing: Existing = Existing.SKIP
    top: int = 1
    vote: Rule = Rule.MEAN
    hardlinks: HardLinks = HardLinks.SKIP
    convert_v22: bool = False  # ID3v2.2 tags as v2.3; else they are left alone
    album: AlbumRule = AlbumRule.OFF
    coarsen: bool = False  # replace a finer genre by its parent (Bebop by Jazz)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    protect: Protect = field(default_factory=Protect)
    separator: str | None = (
        None  # several genres as one value with this between them; None: as the player wants them
    )
    player: Player | None = None  # None: several values as each container defines them
    id3_version: Id3Version | None = None  # None: as the player wants it, else as it is

    def separator_in(self, place: str | None) -> str | None:
        """Return what stands between genres in a container's field; None: they are values of their own."""
        return self.separator or separator_of(self.player, "TCON" if place == "TCO" else place)

    @property
    def id3(self) -> Id3Version:
        """The version that ID3v2 tags are written in."""
        if self.id3_version is not None or self.player is None:
            return self.id3_version or Id3Version.KEEP
        return READINGS[self.player].id3

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as JSON takes it."""
        plain_fields = {k: v for k, v in vars(self).items() if k not in ("vocabulary", "protect")}
        return {
            **plain_fields,
            "vocabulary": self.vocabulary.to_dict(),
            "protect": asdict(self.protect),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Policy:
        """Read what ``to_dict`` wrote."""
        return cls(
            min_confidence=data.get("min_confidence"),
            existing=Existing(data["existing"]),
            top=int(data["top"]),
            vote=Rule(data["vote"]),
            hardlinks=HardLinks(data["hardlinks"]),
            convert_v22=bool(data.get("convert_v22", False)),
            album=AlbumRule(data.get("album", AlbumRule.OFF)),
            coarsen=bool(data.get("coarsen", False)),
            vocabulary=Vocabulary.from_dict(data.get("vocabulary", {})),
            protect=Protect(**{k: tuple(v) for k, v in data.get("protect", {}).items()}),
            separator=data.get("separator"),
            player=Player(data["player"]) if data.get("player") else None,
            id3_version=Id3Version(data["id3_version"]) if data.get("id3_version") else None,
        )
