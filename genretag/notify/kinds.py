"""The kinds of servers; options of the command line name them."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Servers that can be asked."""

    NAVIDROME = "navidrome"
    JELLYFIN = "jellyfin"
    PLEX = "plex"
    MPD = "mpd"
