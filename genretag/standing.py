"""A scan of what did not change: the plan of the scan before still stands, and nothing has to be decided again.

It stands only if nothing could have made it otherwise: the same places, options, policy, model and version of genretag; no row of the
cache and of the journal touched since; and the walk meets the same files in the same order, each with the size, times, inode and links
that it had. The walk and the plan are read side by side, so that memory is flat.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import genretag
from genretag.features import FEATURE_VERSION
from genretag.store import FileRow, Store
from genretag.walk import Found, Missed


@dataclass(frozen=True)
class Asked:
    """All that decides what a scan says of unchanged files."""

    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    limit: int | None
    windows: str
    policy: dict[str, Any]
    model: str
    past: str

    def text(self) -> str:
        """Return it as the store keeps it."""
        told = {**vars(self), "features": FEATURE_VERSION, "genretag": genretag.__version__}
        return json.dumps(told, sort_keys=True, default=str)


def run_that_stands(store: Store, asked: Asked, walked: Iterator[Found | Missed]) -> int | None:
    """Return the last scan's run if its plan stands for what is walked now; None where anything is otherwise."""
    run = store.untouched_scan(asked.text())
    if run is None:
        return None
    for found, kept in zip_longest(walked, store.plan_facts(run)):
        if not isinstance(found, Found) or kept is None or found.link or not _as_it_was(found, kept):
            return None
    return run


def _as_it_was(found: Found, kept: tuple[Any, ...]) -> bool:
    path, size, mtime_ns, inode, device, links, failed_size, failed_mtime_ns = kept
    text = found.place
    if not (text[:1] == "/" and "/." not in text and "//" not in text):
        text = os.path.abspath(text)
    if os.fsencode(text) != path:
        return False
    if (failed_size, failed_mtime_ns) == (found.size, found.mtime_ns):
        return True
    return (size, mtime_ns, inode, device, links) == facts(found)


def facts(f: FileRow | Found) -> tuple[int, ...]:
    """Return what tells, without opening it, that a file is as it was."""
    return (f.size, f.mtime_ns, f.inode, f.device, f.links)
