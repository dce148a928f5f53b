"""What commands print: consoles, tables, progress, and the question before a write."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from genretag.cli.options import ApprovalOptions
from genretag.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

REPORT_SECONDS = 60.0  # between two progress lines where there is no terminal
_BAR_DELAY_SECONDS = 0.3  # before a progress bar appears

#: Extensions of HTML pages, and of playlists.
PAGE_SUFFIXES = (".html", ".htm")
PLAYLIST_SUFFIXES = (".m3u8", ".m3u")

Item = TypeVar("Item")


@dataclass(frozen=True)
class OutputMode:
    """How much is printed, and in which form."""

    quiet: bool = False  # -q: errors only
    plain: bool = False  # --plain: sentences instead of tables


def output_mode(context: typer.Context) -> OutputMode:
    """Return what -q and --plain request."""
    return context.obj if isinstance(context.obj, OutputMode) else OutputMode()


def result_console(**options: Any) -> Console:
    """Return the console for results: stdout."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False, **options)


def message_console(quiet: bool = False) -> Console:
    """Return the console for messages: stderr."""
    from rich.console import Console

    return Console(
        stderr=True, highlight=False, markup=False, emoji=False, quiet=quiet, soft_wrap=True
    )


def plain_table(*columns: str) -> Table:
    """Return an unboxed table with these columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def format_time(seconds: float | None) -> str:
    """Return a moment as local date and time; empty for None."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""


def exit_interrupted(consequence: str) -> typer.Exit:
    """Print what remains after Ctrl-C, and return the exit to raise."""
    print(f"stopped; {consequence}", file=sys.stderr)
    return typer.Exit(130)


def confirm(
    count: int, approval: ApprovalOptions, *, verb: str = "write", noun: str = "genre"
) -> bool:
    """Return whether to go on; ask on a terminal, elsewhere only ``--yes`` agrees."""
    things = f"{count:,} {noun}{'' if count == 1 else 's'}"
    if approval.dry_run:
        print(f"dry run: nothing was changed; {things} to {verb}", file=sys.stderr)
        return False
    if approval.yes:
        return True
    if sys.stdin.isatty() and sys.stderr.isatty():
        return typer.confirm(f"{verb} {things}?", default=False, err=True)
    print(
        f"dry run, because there is no terminal to ask on; {things} to {verb} (--yes does it)",
        file=sys.stderr,
    )
    return False


class RecentRate:
    """Files per second over the last minute, moments without a finished file included."""

    _SECONDS = 60.0
    _STEP_SECONDS = 1.0  # between two samples

    def __init__(self, now: float) -> None:
        self._samples = deque([(now, 0)])  # (time, files)

    def at(self, now: float, done: int) -> float | None:
        """Return the rate once ``done`` files are finished; None while it is 0 or not known."""
        if now - self._samples[-1][0] >= self._STEP_SECONDS:
            self._samples.append((now, done))
        # The first sample is the last one that lies before the minute.
        while len(self._samples) > 1 and now - self._samples[1][0] >= self._SECONDS:
            self._samples.popleft()
        then, before = self._samples[0]
        return (done - before) / (now - then) if now > then and done > before else None


class FileProgress:
    """Progress over files: a bar on a terminal, elsewhere a line every minute.

    Args:
        total: number of files; None while it is not known.
        quiet: show nothing but messages.
    """

    def __init__(self, total: int | None, *, quiet: bool = False) -> None:
        self._total, self._done = total, 0
        self._reported = time.monotonic()
        self._recent = RecentRate(self._reported)
        self._rate: float | None = None  # files per second
        self._bar = _terminal_bar(total) if sys.stderr.isatty() and not quiet else None
        self._quiet = quiet

    def update(self, done: int, detail: str = "", total: int | None = None) -> None:
        """Set the number of finished files; ``total`` once it becomes known."""
        self._total = total if total is not None else self._total
        step, self._done = done - self._done, done
        self._rate = self._recent.at(time.monotonic(), done)
        if self._bar is not None:
            self._bar.recent_rate = self._rate
            self._bar.total = self._total
            self._bar.set_postfix_str(detail, refresh=False)
            self._bar.update(step)
        elif not self._quiet and time.monotonic() - self._reported >= REPORT_SECONDS:
            self._reported = time.monotonic()
            print(self._line(detail), file=sys.stderr, flush=True)

    def advance(self) -> None:
        """Count one more finished file."""
        self.update(self._done + 1)

    def counted(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, and count each as a finished file."""
        for item in items:
            yield item
            self.advance()

    def describe(self, detail: str) -> None:
        """Show what happens while no file is finished."""
        self.update(self._done, detail)

    def write(self, text: str) -> None:
        """Print a message on stderr without tearing the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, detail: str) -> str:
        """Return the progress as one line of text."""
        rate = self._rate or 0.0
        speed = f"{rate * 60:,.0f} files a minute"
        tail = f"; {detail}" if detail else ""
        if not self._total:
            return f"{self._done:,} files so far, {speed}{tail}"
        left = f", {_duration((self._total - self._done) / rate)} left" if rate else ""
        share = self._done / self._total
        return f"{self._done:,} of {self._total:,} files ({share:.0%}), {speed}{left}{tail}"


def _duration(seconds: float) -> str:
    """Return a time as hours and minutes."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


# tqdm cuts a line that is too long in mid-word. The first of these that fits is shown instead.
_KNOWN_TOTAL = (
    "{n_fmt} of {total_fmt} files ({percentage:.0f}%), {rate_noinv_fmt}, {remaining} left{postfix}",
    "{n_fmt} of {total_fmt} files ({percentage:.0f}%), {rate_noinv_fmt}, {remaining} left",
    "{n_fmt} of {total_fmt} files ({percentage:.0f}%), {remaining} left",
    "{n_fmt} of {total_fmt} files ({percentage:.0f}%)",
    "{n_fmt} of {total_fmt}",
    "{percentage:.0f}%",
)
_UNKNOWN_TOTAL = (
    "{n_fmt} files so far, {rate_noinv_fmt}{postfix}",
    "{n_fmt} files so far, {rate_noinv_fmt}",
    "{n_fmt} files so far",
    "{n_fmt} files",
    "{n_fmt}",
)


def _terminal_bar(total: int | None) -> Any:
    """Return a line with total, percentage, rate and time left."""
    from rich.cells import cell_len
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        """A bar with the rate of the last minute.

        tqdm's own leaves out the time in which no file is finished, and so promises too much.
        """

        recent_rate: float | None = None

        @property
        def format_dict(self) -> dict[str, Any]:
            return {**super().format_dict, "rate": self.recent_rate}

        def __str__(self) -> str:
            values = self.format_dict
            width = values.pop("ncols") or math.inf
            first, *shorter = _KNOWN_TOTAL if self.total else _UNKNOWN_TOTAL
            # Counts go one by one from the end, then whole parts of the line.
            parts = (self.postfix or "").split(", ")
            details = [", ".join(parts[:n]) for n in range(len(parts), 0, -1)]
            candidates = [(first, text) for text in details] + [(text, "") for text in shorter]
            for layout, detail in candidates:
                values |= {"bar_format": layout, "postfix": detail}
                if cell_len(line := self.format_meter(**values)) <= width:
                    return str(line)
            return ""

    # Workers are processes: neither a monitor thread nor a lock in shared memory beside them.
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())
    # With miniters=0 the clock goes on while no file is finished: a long track or phase must not
    # look stuck. What takes a moment shows no bar at all.
    return Bar(
        total=total,
        unit=" files",
        file=sys.stderr,
        leave=False,
        dynamic_ncols=True,
        miniters=0,
        delay=_BAR_DELAY_SECONDS,
    )


@contextmanager
def file_progress(total: int | None, *, quiet: bool = False) -> Iterator[FileProgress]:
    """Show the progress over files for as long as the block runs."""
    progress = FileProgress(total, quiet=quiet)
    try:
        yield progress
    finally:
        progress.close()


def require_file(path: Path) -> None:
    """Raise ``UsageError`` unless a path is a file."""
    if path.is_dir():
        raise UsageError(f"{path}: this is a folder; give a file")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")


def is_page(target: Path | None) -> bool:
    """Return whether a file name is that of an HTML page."""
    return target is not None and target.suffix.lower() in PAGE_SUFFIXES


def check_page_name(target: Path | None) -> None:
    """Raise ``UsageError`` unless a page can have this name; - is standard output."""
    if not (is_page(target) or target == Path("-")):
        raise UsageError(f"{target}: the name of a page must end in .html")
