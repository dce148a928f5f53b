"""Long output on a terminal: through the user's pager."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, cast

from genretag.cli.output import result_console

if TYPE_CHECKING:
    from rich.console import Console

#: As git sets it: quit if it fits on the screen, pass colours through, leave the text there.
_LESS = "FRX"


def _pager() -> list[str]:
    """Return the command of the pager; empty if none is wanted or installed."""
    named = os.environ.get("GENRETAG_PAGER", os.environ.get("PAGER"))
    if named is None:
        return ["less"] if shutil.which("less") else []
    words = shlex.split(named)
    return words if words and words[0] != "cat" and shutil.which(words[0]) else []


@contextmanager
def paged_console(*, wanted: bool) -> Iterator[Console]:
    """Return the console for results: through a pager if ``wanted`` and stdout is a terminal.

    PAGER names the pager, GENRETAG_PAGER one for genretag alone; ``cat`` or nothing is none.
    Leaving the pager early is no error.
    """
    command = _pager() if wanted and sys.stdout.isatty() else []
    if not command:
        yield result_console()
        return
    environment = {"LESS": _LESS, **os.environ}
    width = shutil.get_terminal_size().columns
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env=environment, text=True, encoding="utf-8"
    ) as process:
        pipe = cast(IO[str], process.stdin)
        try:
            with suppress(BrokenPipeError, KeyboardInterrupt):
                yield result_console(file=pipe, width=width, force_terminal=True)
        finally:
            _close(pipe)
            _wait(process)


def _close(pipe: IO[str]) -> None:
    """Close the pipe to a pager that may have ended."""
    with suppress(BrokenPipeError):
        pipe.close()


def _wait(process: subprocess.Popen[str]) -> None:
    """Wait for a pager; Ctrl-C is for the pager, which stays."""
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
