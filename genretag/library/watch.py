"""What arrives in a folder, told when it has settled: downloads and copies grow for a while, and are left alone until then."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genretag.library.walk import Found, is_music, walk

_TICK_MS = 500


@dataclass
class Arrivals:
    """Files that changed, with what they looked like and since when they look so."""

    settle: float  # s without a change
    clock: Callable[[], float] = time.monotonic
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)

    def note(self, path: Path) -> None:
        """Note that something happened to a path."""
        if is_music(path.name) and not any(part.startswith(".") for part in path.parts[1:]):
            self._seen.setdefault(path, ((-1, -1), self.clock()))

    def settled(self) -> list[Path]:
        """Return the files that have looked the same for long enough, and forget them."""
        out, now = [], self.clock()
        for path, (facts, since) in list(self._seen.items()):
            try:
                s = os.stat(path)
            except OSError:
                del self._seen[path]  # gone again
                continue
            if (s.st_size, s.st_mtime_ns) != facts:
                self._seen[path] = ((s.st_size, s.st_mtime_ns), now)
            elif now - since >= self.settle and s.st_size > 0:
                del self._seen[path]
                out.append(path)
        return sorted(out)

    @property
    def waiting(self) -> int:
        """How many files have not settled yet."""
        return len(self._seen)


def arrivals(folder: Path, settle: float, stop: threading.Event) -> Iterator[list[Path]]:
    """Yield lists of music files that are new or changed, settled; the first list is all that is there.

    The watch begins before the first list is made, so that nothing falls between the two.
    """
    from watchfiles import watch

    waiting = Arrivals(settle)
    events = watch(
        folder,
        stop_event=stop,
        rust_timeout=_TICK_MS,
        yield_on_timeout=True,
        debounce=200,
        step=100,
        raise_interrupt=False,
    )
    next(events, None)
    yield [found.path for found in walk([folder]) if isinstance(found, Found)]
    for changes in events:
        for _, name in changes:
            path = Path(name)
            if path.is_dir():  # a folder that was moved in whole
                for found in walk([path]):
                    waiting.note(found.path)
            else:
                waiting.note(path)
        if ready := waiting.settled():
            yield ready
