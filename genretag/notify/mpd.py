"""MPD: ``update`` reads files with another modification time, ``rescan`` reads all.

Sources: mpd.readthedocs.io, "Protocol", and src/db/update/UpdateSong.cxx of MPD. python-mpd2 is
the client that MPD's own documentation names for Python: 316 KB, without dependencies.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from genretag.notify.http import quote_words
from genretag.notify.limits import STEP_SECONDS, reason
from genretag.notify.servers import Change, Server, ServerError

_PORT = 6600


def update(server: Server, change: Change) -> str:
    """Update the database; return what it is doing."""
    import mpd

    client: Any = mpd.MPDClient()
    client.timeout = STEP_SECONDS
    try:
        client.connect(*_address(server.url))
        if server.secret:
            client.password(server.secret)
        # Kept times hide the change from an update; an older time does not.
        job = client.rescan() if change.times_kept else client.update()
    except mpd.CommandError as error:
        raise ServerError(f"it refuses: {quote_words(error)}") from error
    except (mpd.MPDError, OSError, ValueError) as error:
        raise ServerError(quote_words(reason(error))) from error
    finally:
        client.disconnect()
    what = "reads all files again" if change.times_kept else "updates its database"
    return f"it {what} (job {quote_words(job)})"


def _address(url: str) -> tuple[str, int | None]:
    """Return host and port, or the path of a socket and None."""
    if url.startswith(("/", "@")):
        return url, None
    parts = urlsplit(f"//{url}")
    return parts.hostname or "", parts.port or _PORT
