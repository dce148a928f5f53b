"""Ask a server of any kind, within a time limit."""

from __future__ import annotations

from collections.abc import Callable

from genretag.notify import jellyfin, mpd, plex, subsonic
from genretag.notify.kinds import Kind
from genretag.notify.limits import within
from genretag.notify.servers import Change, Server

#: Kind of server -> function that asks it, and returns what it is doing now.
_SENDERS: dict[Kind, Callable[[Server, Change], str]] = {
    Kind.NAVIDROME: subsonic.start_scan,
    Kind.JELLYFIN: jellyfin.refresh,
    Kind.PLEX: plex.refresh,
    Kind.MPD: mpd.update,
}

TOTAL_SECONDS = 30.0  # for one server, however it answers


def send(server: Server, change: Change) -> str:
    """Ask a server to read changed files again; return what it answered, in words.

    Raises:
        ServerError: it cannot be reached in time, or refuses; the message names the cause.
    """
    return within(TOTAL_SECONDS, lambda: _SENDERS[server.kind](server, change))
