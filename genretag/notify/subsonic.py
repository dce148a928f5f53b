"""Navidrome, by the Subsonic API: ``startScan``, since version 1.15.0 of the API.

The password is not sent, but the MD5 of password and salt (subsonic.org/pages/api.jsp; Navidrome
takes no other hash).
"""

from __future__ import annotations

import hashlib
import secrets
from urllib.parse import urlencode

from genretag.notify.http import quote_words, request_json
from genretag.notify.servers import Change, Server, ServerError

API_VERSION = "1.15.0"
_SALT_BYTES = 12
_MEANINGS = {
    40: "user name or password is wrong",
    41: "this account cannot be used with a hashed password",
    50: "this account may not start a scan; an administrator may",
}


def token_of(password: str, salt: str) -> str:
    """Return the token that proves a password: the MD5 of password and salt, in hexadecimal."""
    return hashlib.md5((password + salt).encode(), usedforsecurity=False).hexdigest()


def start_scan(server: Server, change: Change) -> str:
    """Start a scan; return what it is doing.

    Navidrome imports a known file again only if it became newer: after an undo, or with kept
    times, only a full scan reads it (scanner/phase_1_folders.go of Navidrome).
    """
    salt = secrets.token_hex(_SALT_BYTES)
    full = change.times_kept or change.times_older
    query = {
        "u": server.user,
        "t": token_of(server.secret, salt),
        "s": salt,
        "v": API_VERSION,
        "c": "genretag",
        "f": "json",
        **({"fullScan": "true"} if full else {}),
    }
    answer = request_json(f"{server.url}/rest/startScan?{urlencode(query)}").get(
        "subsonic-response"
    )
    if not isinstance(answer, dict):
        raise ServerError("it does not answer as a server with the Subsonic API")
    if answer.get("status") != "ok":
        raise ServerError(_describe(answer.get("error")))
    return "a full scan has begun" if full else "a scan has begun"


def _describe(error: object) -> str:
    """Return an error of the API in words."""
    found = error if isinstance(error, dict) else {}
    code, message = found.get("code"), found.get("message")
    meaning = _MEANINGS.get(code) if isinstance(code, int) else None
    return meaning or f"it refuses: {quote_words(message or 'without a reason')}"
