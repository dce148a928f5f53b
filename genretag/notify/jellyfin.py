"""Jellyfin: ``POST /Library/Refresh`` with an API key (api.jellyfin.org, operation RefreshLibrary).

The key goes into the header ``Authorization: MediaBrowser Token="..."``: Jellyfin 12 refuses
``X-Emby-Token`` and ``api_key``, and all versions since 10.8 read this one. No other field is sent
in it, since Jellyfin would rename the key's device.
"""

from __future__ import annotations

from urllib.parse import quote

from genretag.notify.http import request
from genretag.notify.servers import Change, Server


def refresh(server: Server, change: Change) -> str:
    """Start a scan of all libraries; return what it is doing."""
    headers = {"Authorization": f'MediaBrowser Token="{quote(server.secret)}"'}
    request(f"{server.url}/Library/Refresh", headers=headers, method="POST")
    return "a scan of all libraries has begun"
