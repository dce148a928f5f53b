"""HTTP requests to players' servers: no redirects, short answers, and errors in words."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from genretag.notify.limits import STEP_SECONDS, reason
from genretag.notify.servers import ServerError, is_local
from genretag.text import escape_control

_MAX_BYTES = 1 << 20  # of an answer; a list of libraries has some kilobytes
_MAX_SHOWN = 200  # characters of a server's own words
_MEANINGS = {
    401: "the password or key is not accepted",
    403: "this account may not start a scan; an administrator may",
    404: "there is no such server at this address",
}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the password is for the given address only."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""


def request(url: str, *, headers: dict[str, str] | None = None, method: str = "GET") -> bytes:
    """Return the answer to a request.

    Raises:
        ServerError: there is none, or it is an error.
    """
    handlers: list[Any] = [_NoRedirect]
    if is_local(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    prepared = urllib.request.Request(
        url, b"" if method == "POST" else None, headers or {}, method=method
    )
    try:
        with urllib.request.build_opener(*handlers).open(prepared, timeout=STEP_SECONDS) as answer:
            data: bytes = answer.read(_MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise ServerError(_describe(error)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        # ValueError: a password with characters that a header cannot hold.
        raise ServerError(reason(error)) from error
    if len(data) > _MAX_BYTES:
        raise ServerError("its answer is too long for a server of this kind")
    return data


def request_json(url: str, *, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the JSON object that answers a request.

    Raises:
        ServerError: there is none, or it is an error.
    """
    data = request(url, headers={"Accept": "application/json", **(headers or {})})
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise ServerError("it does not answer as a server of this kind") from error
    if not isinstance(answer, dict):
        raise ServerError("it does not answer as a server of this kind")
    return answer


def quote_words(text: object) -> str:
    """Return a server's own words, safe to display and not too long."""
    shown = escape_control(str(text))
    return shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + "…"


def _describe(error: urllib.error.HTTPError) -> str:
    """Return a status of HTTP in words."""
    if 300 <= error.code < 400:
        place = quote_words(error.headers.get("Location", "another address"))
        return f"it redirects to {place}; use the address that it redirects to"
    meaning = _MEANINGS.get(error.code) or quote_words(error.reason)
    return f"it answers {error.code}: {meaning}"
