"""A scan of what did not change: the plan of the scan before still stands, and nothing has to be
decided again.

It stands only if nothing could have made it otherwise: the same places, options, policy, model and
version of genretag; no row of the
cache and of the journal touched since; and the walk meets the same files in the same order, each
with the size, times, inode and links
that it had. Of the walk before only a hash is kept, so that neither memory nor the database grows
with what did not change.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import xxhash

import genretag
from genretag.features import FEATURE_VERSION
from genretag.library.walk import Found, Unreadable
from genretag.records import FileRow
from genretag.storage.cache import AnalysisCache, UnchangedScan

_AT_ONCE = 256  # files; a call of the hash costs as much as the text of one


class WalkHash:
    """What a walk met, as a hash that is made on the way."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()
        self._told: list[str] = []  # what is not in the hash yet
        self._plain = True

    def add(self, found: Found | Unreadable) -> None:
        """Add what is met next. Links and what could not be looked into are looked at anew each
        time.
        """
        if not isinstance(found, Found) or found.link:
            self._plain = False
            return
        place, size, when, inode, device, links, _ = found
        if not (place[:1] == "/" and "/." not in place and "//" not in place):
            place = os.path.abspath(place)
        self._told.append(f"{place}\0{size} {when} {inode} {device} {links}\n")
        if len(self._told) >= _AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        """Take into the hash what waits."""
        self._hash.update("".join(self._told).encode("utf-8", "surrogateescape"))
        self._told.clear()

    @property
    def text(self) -> str | None:
        """The hash; None where the walk has to be looked at anew."""
        self._settle()
        return self._hash.hexdigest() if self._plain else None

    def passed(self, walked: Iterator[Found | Unreadable]) -> Iterator[Found | Unreadable]:
        """Yield what is walked, and add it."""
        for found in walked:
            self.add(found)
            yield found


@dataclass(frozen=True)
class ScanFingerprint:
    """All that decides what a scan says of unchanged files."""

    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    limit: int | None
    windows: str
    policy: dict[str, Any]
    model: str
    past: str

    def text(self, walked: str) -> str:
        """Return it, with the hash of a walk, as the store keeps it."""
        return f"{self._told()} {walked}"

    def is_in(self, text: str) -> bool:
        """Return whether a text of the store, of whatever walk, asks the same."""
        return text.startswith(f"{self._told()} ")

    def _told(self) -> str:
        told = {**vars(self), "features": FEATURE_VERSION, "genretag": genretag.__version__}
        return json.dumps(told, sort_keys=True, default=str)


def find_unchanged_scan(
    store: AnalysisCache, asked: ScanFingerprint, walked: Iterator[Found | Unreadable]
) -> UnchangedScan | None:
    """Return the last scan if its plan stands for what is walked now; None where anything is
    otherwise.
    """
    kept = store.untouched_scan()
    if kept is None or not asked.is_in(kept.asked):
        return None
    tally = WalkHash()
    for found in walked:
        tally.add(found)
    return kept if tally.text is not None and kept.asked == asked.text(tally.text) else None


def stat_fields(f: FileRow | Found) -> tuple[int, ...]:
    """Return what tells, without opening it, that a file is as it was."""
    return (f.size, f.mtime_ns, f.inode, f.device, f.links)
