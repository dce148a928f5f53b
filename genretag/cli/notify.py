"""Ask players' servers to read what was written, for the commands that write."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from genretag.cli.options import ApprovalOptions
from genretag.cli.output import OutputMode

if TYPE_CHECKING:
    from genretag.notify.kinds import Kind
    from genretag.notify.servers import Change, Server
    from genretag.writing.apply import Result


class Written:
    """The folders of written files."""

    def __init__(self) -> None:
        self.folders: set[Path] = set()

    def add(self, result: Result) -> None:
        """Note the folder of a file that was written."""
        if result.error is None:
            from genretag.library.urls import absolute

            self.folders.add(absolute(result.file or result.path).parent)


@dataclass(frozen=True)
class Notifier:
    """The servers to ask, with their addresses and passwords."""

    servers: tuple[Server, ...]
    mode: OutputMode
    times_kept: bool = False
    times_older: bool = False

    @classmethod
    def of(cls, kinds: Sequence[Kind] | None, approval: ApprovalOptions, mode: OutputMode) -> Self:
        """Look up the servers; warn of a password that would be sent in clear text.

        Nobody is asked in a dry run.

        Raises:
            UsageError: an address or password is missing.
        """
        if not kinds or approval.dry_run:
            return cls((), mode)
        from genretag.notify.servers import find_server

        servers = tuple(find_server(kind) for kind in dict.fromkeys(kinds))
        for server in servers:
            if server.is_exposed and not mode.quiet:
                _print(server, "the password crosses the network unencrypted; use https")
        return cls(servers, mode)

    @contextmanager
    def collecting(self) -> Iterator[Written]:
        """Yield what collects written files; at the end ask the servers to read them, if any."""
        written = Written()
        try:
            yield written
        finally:
            # Also if the rest of the command failed: what was written is written.
            if written.folders and self.servers:
                from genretag.notify.servers import Change

                folders = frozenset(written.folders)
                for server in self.servers:
                    change = Change(folders, self.times_kept, self.times_older)
                    _send(server, change, self.mode)


@contextmanager
def notifying(
    kinds: Sequence[Kind] | None,
    approval: ApprovalOptions,
    mode: OutputMode,
    *,
    times_kept: bool = False,
    times_older: bool = False,
) -> Iterator[Written]:
    """Yield what collects the written files of one command; at its end ask the servers.

    Raises:
        UsageError: an address or password is missing; nothing was written yet.
    """
    notifier = replace(
        Notifier.of(kinds, approval, mode), times_kept=times_kept, times_older=times_older
    )
    with notifier.collecting() as written:
        yield written


def _send(server: Server, change: Change, mode: OutputMode) -> None:
    """Ask one server; what goes wrong is a warning, because the files are written."""
    from genretag.notify.sending import send
    from genretag.notify.servers import ServerError

    try:
        answer = send(server, change)
    except ServerError as error:
        _print(server, f"{error}; the files are written, and it finds them at its next scan")
        return
    if not mode.quiet:
        print(f"{server.kind}: {answer}", file=sys.stderr)


def _print(server: Server, text: str) -> None:
    """Print a warning that names a server."""
    from genretag.text import escape_control

    place = escape_control(server.url)
    print(f"genretag: warning: {server.kind} at {place}: {text}", file=sys.stderr)
