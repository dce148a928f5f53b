"""How players read genres, moods and styles from a file, with the source of each fact.

The default, several values as each container defines them, is right for players that follow the
formats. Other players get the form that they are known to read; without a known fact nothing is
changed. No player is known to depend on letter case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Player(StrEnum):
    """Players with known facts."""

    NAVIDROME = "navidrome"
    PLEX = "plex"
    JELLYFIN = "jellyfin"
    ITUNES = "itunes"
    WINDOWS = "windows"
    MPD = "mpd"
    FOOBAR2000 = "foobar2000"
    REKORDBOX = "rekordbox"
    SERATO = "serato"
    KODI = "kodi"


class Id3Version(StrEnum):
    """Version of written ID3v2 tags."""

    KEEP = "keep"
    V23 = "3"
    V24 = "4"

    @property
    def number(self) -> int | None:
        """3 or 4; None keeps the version of each tag."""
        return None if self is Id3Version.KEEP else int(self)


class Trust(StrEnum):
    """Kind of a fact's source."""

    OWN = "its own documentation or code"
    PEER = "the documentation of a tagger or a community"
    TESTED = "a published test"
    REPORT = "a user's report"


@dataclass(frozen=True)
class Fact:
    """A known fact about a player."""

    says: str
    source: str
    trust: Trust
    field: str = "genre"  # which field it is about: genre, mood, style or grouping


@dataclass(frozen=True)
class Reading:
    """The form in which a player reads genres.

    ``joined`` maps a container's genre field (as ``tags`` names it) to the separator of a single
    value; fields that are not in it get several values.
    """

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
                "splits a value at ; / and , by default: a genre with a slash needs a setting",
                "github.com/navidrome/navidrome discussion 2904, and model/tag_mappings.go",
                Trust.OWN,
            ),
            Fact(
                "reads ID3v2.3 and v2.4; in MP4, several values in one atom",
                "navidrome.org, tagging guidelines and FAQ",
                Trust.OWN,
            ),
            Fact(
                "shows a mood from TMOO, MOOD, MP4's MOOD and WM/Mood, in columns and filters",
                "github.com/navidrome/navidrome, resources/mappings.yaml, and issue 3924",
                Trust.OWN,
                "mood",
            ),
            Fact(
                "reads a style only where its configuration names the field (Tags.style.Aliases)",
                "navidrome.org, custom tags, and resources/mappings.yaml",
                Trust.OWN,
                "style",
            ),
            Fact(
                "reads GRP1, GROUPING, ©grp and WM/ContentGroupDescription",
                "github.com/navidrome/navidrome, resources/mappings.yaml",
                Trust.OWN,
                "grouping",
            ),
        )
    ),
    Player.JELLYFIN: Reading(
        id3=Id3Version.V24,
        facts=(
            Fact(
                "reads several values, and does not split a value by default",
                "github.com/jellyfin/jellyfin, AudioFileProber.cs and LibraryOptions.cs",
                Trust.OWN,
            ),
            Fact(
                "does not split several values of ID3v2.3",
                "the same files: ID3v2_separatev2v3Values is off",
                Trust.OWN,
            ),
            Fact(
                "shows moods and styles as tags with a plugin that is told their names",
                "github.com/jyourstone/jellyfin-musictags-plugin, and its smart lists' issue 80",
                Trust.PEER,
                "mood",
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
            Fact(
                "newer versions have a tag Mood (TMOO)",
                "github.com/MusicPlayerDaemon/MPD issue 1435, closed",
                Trust.OWN,
                "mood",
            ),
        )
    ),
    Player.PLEX: Reading(
        joined={"©gen": ";"},
        facts=(
            Fact(
                "splits a single MP4 value at ;",
                "github.com/seanap/Audiobooks.bundle issue 45",
                Trust.REPORT,
            ),
            Fact(
                "takes moods and styles from its own sources, and not from tags",
                "github.com/djdembeck/Audnexus.bundle issue 83",
                Trust.REPORT,
                "mood",
            ),
        ),
    ),
    Player.ITUNES: Reading(
        facts=(
            Fact(
                "shows the first of several values, and keeps the others",
                "github.com/quodlibet/mutagen-specs, mp4 (iTunes 11.4)",
                Trust.TESTED,
            ),
            Fact(
                "reads the grouping from GRP1 and ©grp, and TIT1 as the work (since 12.6)",
                "bitbucket.org/ijabz/jaudiotagger issue 180",
                Trust.PEER,
                "grouping",
            ),
        )
    ),
    Player.WINDOWS: Reading(
        joined={"TCON": "; "},
        id3=Id3Version.V23,
        facts=(
            Fact(
                "reads one genre from an MP3, the first of several values; several from WMA",
                "learn.microsoft.com, System.Music.Genre",
                Trust.OWN,
            ),
            Fact(
                "most programs split ID3v2.3 values at '; '",
                "picard-docs.musicbrainz.org, ID3 compatibility",
                Trust.PEER,
            ),
            Fact(
                "older versions do not read ID3v2.4",
                "github.com/rembo10/headphones issue 499",
                Trust.REPORT,
            ),
            Fact(
                "has a property for one mood, which WMA stores as WM/Mood",
                "learn.microsoft.com, System.Music.Mood and WM/Mood",
                Trust.OWN,
                "mood",
            ),
        ),
    ),
    Player.FOOBAR2000: Reading(
        joined={"©gen": "; "},
        facts=(
            Fact(
                "reads several values, and splits none",
                "github.com/Marekkon5/onetagger issue 222",
                Trust.REPORT,
            ),
            Fact(
                "reads the first MP4 value and drops the others when it saves: one value is safe",
                "github.com/quodlibet/mutagen-specs, mp4 (foobar2000 1.3.3)",
                Trust.TESTED,
            ),
            Fact(
                "reads ID3v2.3 and v2.4",
                "wiki.hydrogenaud.io, foobar2000 ID3 tag mapping",
                Trust.PEER,
            ),
            Fact(
                "reads any field by its name; MOOD is in TXXX in ID3v2.3",
                "github.com/namidaco/namida issue 294",
                Trust.REPORT,
                "mood",
            ),
        ),
    ),
    Player.REKORDBOX: Reading(
        facts=(
            Fact(
                "shows the first value of a repeated FLAC tag",
                "github.com/Marekkon5/onetagger issue 439",
                Trust.REPORT,
            ),
        )
    ),
    Player.SERATO: Reading(
        joined={"GENRE": "; "},
        facts=(
            Fact(
                "joins the values of a repeated FLAC tag without a separator",
                "github.com/Marekkon5/onetagger issue 357",
                Trust.REPORT,
            ),
        ),
    ),
    Player.KODI: Reading(
        facts=(
            Fact(
                "reads a mood from ID3v2, Vorbis comments, MP4 and ASF",
                "github.com/xbmc/xbmc pull requests 6853 and 8905",
                Trust.OWN,
                "mood",
            ),
        )
    ),
}


def separator_of(player: Player | None, place: str | None) -> str | None:
    """Return the separator of genres in a container's field; None for several values."""
    return READINGS[player].joined.get(place or "") if player is not None else None
