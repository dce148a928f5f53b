"""Watch a folder for music that arrives, and hand over files that have settled.

Downloads and copies grow for a while; a file is left alone until its size and time have not changed
for the settling period.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genretag.library.walk import Found, is_music, lies_in_hidden_folder, walk

_TICK_MS = 500
_POLL_MS = 2_000  # between two listings of a network share
_RESTART_SECONDS = 1.0  # before a watch that failed is started again
_UNDECODABLE = "Unable to decode path"  # in watchfiles' message on a name that is not UTF-8

#: File systems whose changes the kernel does not report when another machine makes them.
_NETWORK_FILE_SYSTEMS = frozenset({"cifs", "smb3", "smbfs", "nfs", "nfs4", "9p", "afs", "ceph"})


@dataclass
class Arrivals:
    """Files that changed, and since when each has looked the same."""

    folder: Path
    settle: float  # s without a change
    clock: Callable[[], float] = time.monotonic
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)

    def note(self, path: Path) -> None:
        """Record a change of a path; files that are no music, and hidden ones, do not count."""
        if is_music(path.name) and not lies_in_hidden_folder(path, self.folder):
            # A size that no file has: a file must be seen unchanged twice before it counts.
            self._seen.setdefault(path, ((-1, -1), self.clock()))

    def settled(self) -> list[Path]:
        """Return, and forget, the files that have not changed for the settling period."""
        out, now = [], self.clock()
        for path, (stat_fields, since) in list(self._seen.items()):
            try:
                s = os.stat(path)
            except OSError:
                del self._seen[path]  # gone again
                continue
            if (s.st_size, s.st_mtime_ns) != stat_fields:
                self._seen[path] = ((s.st_size, s.st_mtime_ns), now)
            # An empty file is a download that has not begun.
            elif now - since >= self.settle and s.st_size > 0:
                del self._seen[path]
                out.append(path)
        return sorted(out)

    @property
    def waiting(self) -> int:
        """Number of files that have not settled yet."""
        return len(self._seen)


def file_system_of(path: Path) -> str | None:
    """Return the type of the file system of a path, as in ``/proc``; None without ``/proc``."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    resolved = Path(os.path.realpath(path))
    best, found = -1, None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # The kernel escapes blanks, tabs and backslashes in this table.
        mount = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        # The deepest mount point holds the path; of two on one place, the later one is on top.
        if resolved.is_relative_to(mount) and len(mount.parts) >= best:
            best, found = len(mount.parts), fields[2]
    return found


def needs_polling(folder: Path) -> bool:
    """Return whether a folder is on a network share, where changes are found by listing alone."""
    if sys.platform != "linux":
        return False
    kind = file_system_of(folder) or ""
    return kind in _NETWORK_FILE_SYSTEMS or kind.startswith("fuse")


def arrivals(
    folder: Path, settle: float, stop: threading.Event, poll: bool | None = None
) -> Iterator[list[Path]]:
    """Yield lists of settled music files below a folder: first all that exist, then new ones.

    The watch starts before the first listing, so that no file falls between the two; the files of
    the first listing have to settle as well, since a copy may be under way. ``poll`` lists the
    folder again and again instead of waiting for the kernel's events; None chooses by the file
    system.
    """
    polling = needs_polling(folder) if poll is None else poll
    waiting = Arrivals(folder, settle)
    for changes in _changes(folder, stop, polling):
        if changes is None:
            for found in walk([folder]):
                waiting.note(found.path)
        for path in changes or ():
            _note_change(waiting, path)
        if ready := waiting.settled():
            yield ready


def _changes(folder: Path, stop: threading.Event, polling: bool) -> Iterator[list[Path] | None]:
    """Yield changed paths, or None where the folder has to be listed: at the start, and when
    changes were lost.

    watchfiles ends when a file changes whose name is not UTF-8; it is started again then.
    """
    from watchfiles import watch

    while True:
        events = watch(
            folder,
            stop_event=stop,
            watch_filter=None,  # the default filter skips folders by name, hidden ones among them
            rust_timeout=_TICK_MS,
            yield_on_timeout=True,
            debounce=200,
            step=100,
            raise_interrupt=False,
            force_polling=polling,
            poll_delay_ms=_POLL_MS if polling else 300,
        )
        started = False
        try:
            # Starts the watch; without this step, changes during the listing would be missed.
            next(events, None)
            started = True
            yield None
            yield from ([Path(name) for _, name in changes] for changes in events)
            return
        except RuntimeError as error:
            if _UNDECODABLE not in str(error):
                raise
        if not started:
            yield None
        if stop.wait(_RESTART_SECONDS):
            return


def _note_change(waiting: Arrivals, path: Path) -> None:
    """Record a changed path, or all music below a folder that was moved in."""
    if not path.is_dir():
        waiting.note(path)
        return
    for found in walk([path]):
        if isinstance(found, Found):
            waiting.note(found.path)
