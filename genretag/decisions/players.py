"""How players read several genres out of a file, and where each fact comes from.

The default, several values as each container defines them, is right for players that keep to the
formats. A player that does not gets what it is known to read; where nothing is known of one, nothing
is changed, and that is said. No case is set: none of the sources tells of a player that minds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Player(StrEnum):
    """The players that genretag knows facts of."""

    NAVIDROME = "navidrome"
    PLEX = "plex"
    JELLYFIN = "jellyfin"
    ITUNES = "itunes"
    WINDOWS = "windows"
    MPD = "mpd"
    FOOBAR2000 = "foobar2000"
    REKORDBOX = "rekordbox"
    SERATO = "serato"


class Id3Version(StrEnum):
    """The version that ID3v2 tags are written in."""

    KEEP = "keep"
    V23 = "3"
    V24 = "4"

    @property
    def number(self) -> int | None:
        """3 or 4; None: the one that a tag has."""
        return None if self is Id3Version.KEEP else int(self)


class Trust(StrEnum):
    """How sure a fact is."""

    OWN = "its own documentation or code"
    PEER = "a tagger's or a community's documentation"
    TESTED = "a test that somebody published"
    REPORT = "a user's report"


@dataclass(frozen=True)
class Fact:
    """One thing that is known of a player."""

    says: str
    source: str
    trust: Trust


@dataclass(frozen=True)
class Reading:
    """What a player is given. ``joined``: the field of a container (as ``tags`` names it) -> what stands between genres there."""

    joined: Mapping[str, str] = field(default_factory=dict)
    id3: Id3Version = Id3Version.KEEP
    facts: tuple[Fact, ...] = ()


READINGS: dict[Player, Reading] = {
    Player.NAVIDROME: Reading(
        facts=(
            Fact(
                "reads several values in every container",
                "navidrome.org, custom tags: tags are always multivalued",
                Trust.OWN,
            ),
            Fact(
                "splits one value at ; / and , unless it is set otherwise: a word with a slash needs a setting of its own",
                "github.com/navidrome/navidrome discussion 2904, and model/tag_mappings.go",
                Trust.OWN,
            ),
            Fact(
                "reads ID3v2.3 and v2.4; in MP4, several values in one atom",
                "navidrome.org, tagging guidelines and FAQ",
                Trust.OWN,
            ),
        )
    ),
    Player.JELLYFIN: Reading(
        id3=Id3Version.V24,
        facts=(
            Fact(
                "reads several values, and splits one value at nothing unless it is set so",
                "github.com/jellyfin/jellyfin, AudioFileProber.cs and LibraryOptions.cs",
                Trust.OWN,
            ),
            Fact(
                "does not take several values of ID3v2.3 apart",
                "the same: ID3v2_separatev2v3Values is off",
                Trust.OWN,
            ),
        ),
    ),
    Player.MPD: Reading(
        facts=(
            Fact(
                "reads every string of TCON, and every repeated tag, as a genre",
                "github.com/MusicPlayerDaemon/MPD, Id3Scan.cxx and issue 940",
                Trust.OWN,
            ),
        )
    ),
    Player.PLEX: Reading(
        joined={"©gen": ";"},
        facts=(
            Fact(
                "splits an MP4's one value at ;",
                "github.com/seanap/Audiobooks.bundle issue 45",
                Trust.REPORT,
            ),
        ),
    ),
    Player.ITUNES: Reading(
        facts=(
            Fact(
                "shows the first of several values, and leaves the others alone",
                "github.com/quodlibet/mutagen-specs, mp4 (iTunes 11.4)",
                Trust.TESTED,
            ),
        )
    ),
    Player.WINDOWS: Reading(
        joined={"TCON": "; "},
        id3=Id3Version.V23,
        facts=(
            Fact(
                "knows one genre in an MP3: of several values only the first; WMA may have several",
                "learn.microsoft.com, System.Music.Genre",
                Trust.OWN,
            ),
            Fact(
                "'; ' is what most programs split in ID3v2.3",
                "picard-docs.musicbrainz.org, ID3 compatibility",
                Trust.PEER,
            ),
            Fact(
                "older versions do not read ID3v2.4",
                "github.com/rembo10/headphones issue 499",
                Trust.REPORT,
            ),
        ),
    ),
    Player.FOOBAR2000: Reading(
        joined={"©gen": "; "},
        facts=(
            Fact(
                "reads several values, and takes no value apart",
                "github.com/Marekkon5/onetagger issue 222",
                Trust.REPORT,
            ),
            Fact(
                "in MP4 it reads the first value, and drops the others when it saves: one value is safe there",
                "github.com/quodlibet/mutagen-specs, mp4 (foobar2000 1.3.3)",
                Trust.TESTED,
            ),
            Fact(
                "reads ID3v2.3 and v2.4",
                "wiki.hydrogenaud.io, foobar2000 ID3 tag mapping",
                Trust.PEER,
            ),
        ),
    ),
    Player.REKORDBOX: Reading(
        facts=(
            Fact(
                "shows the first value of a repeated FLAC tag; nothing else is known",
                "github.com/Marekkon5/onetagger issue 439",
                Trust.REPORT,
            ),
        )
    ),
    Player.SERATO: Reading(
        joined={"GENRE": "; "},
        facts=(
            Fact(
                "runs the values of a repeated FLAC tag together; nothing is known of ID3",
                "github.com/Marekkon5/onetagger issue 357",
                Trust.REPORT,
            ),
        ),
    ),
}


def separator_of(player: Player | None, place: str | None) -> str | None:
    """Return what stands between genres in a container's field for a player; None: they are values of their own."""
    return READINGS[player].joined.get(place or "") if player is not None else None
