"""Ctrl-C during a scan on a cluster, and Ray's messages on lost tracks."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator
from types import FrameType

from genretag.cluster.machines import first_line

log = logging.getLogger("genretag")


class Interrupt:
    """Defers the first Ctrl-C: an exception inside Ray's own code may end the process at once."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the signal."""
        if self.requested:  # the second Ctrl-C does not wait
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if Ctrl-C was pressed."""
        if self.requested:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer Ctrl-C; outside the main thread, which gets no signals, nothing changes."""
        try:
            before = signal.signal(signal.SIGINT, self)
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


class LossLog(logging.Handler):
    """Keeps Ray's last error message, which says why tracks were lost."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        error = record.exc_info[1] if record.exc_info else None
        message = record.getMessage()
        # Text only: a traceback refers to the actors, which would then keep their CPUs.
        self.last = (
            f"{type(error).__name__}: {first_line(error)}" if error else message.splitlines()[0]
        )
        log.debug("ray: %s", message)

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """Receive the messages of Ray's datasets."""
        logger = logging.getLogger("ray.data")
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
