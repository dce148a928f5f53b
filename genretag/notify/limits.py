"""Time limits around a whole conversation with a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from genretag.notify.servers import ServerError

STEP_SECONDS = 10.0  # to connect, and between two parts of an answer


def within(seconds: float, ask: Callable[[], str]) -> str:
    """Return what ``ask`` returns.

    The time limits of sockets start anew with every byte, and the look-up of a name has none.

    Raises:
        ServerError: it takes longer than ``seconds``, or raised one.
    """
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(ask())
        except BaseException as error:
            outcome.append(error)

    # A daemon: the end of the program does not wait for a server that never answers.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise ServerError(f"no answer within {seconds:.0f} seconds")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return str(outcome[0])


def reason(error: BaseException) -> str:
    """Return an error of a connection in words, without class names and numbers."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        return reason(inner)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    verify = getattr(error, "verify_message", None)
    if verify:
        return f"its certificate is not accepted: {verify}"
    text = getattr(error, "strerror", None) or inner or str(error)
    return str(text).lower() if text else "the connection failed"
