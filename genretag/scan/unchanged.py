"""Recognise a library that did not change since the last scan, so that its plan is still valid.

That takes the same paths, options, policy, model and version of genretag; no change in the cache
and the journal since then; and a walk that meets the same files in the same order, each with the
same size, times, inode and links. Only a hash of the last walk is kept, so that neither memory nor
the database grows with the library.
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
from genretag.storage.cache import AnalysisCache
from genretag.storage.scans import UnchangedScan

# Files hashed by one call, which costs as much as formatting one of them.
_BATCH_FILES = 256


class WalkHash:
    """A hash of the files that a walk meets, made along the way."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()
        self._pending: list[str] = []
        self._comparable = True

    def add(self, found: Found | Unreadable) -> None:
        """Add a file. A walk with links or unreadable folders is never equal to another."""
        if not isinstance(found, Found) or found.link:
            # The stat fields do not show whether the target of a link was exchanged.
            self._comparable = False
            return
        place, size, mtime_ns, inode, device, links, _ = found
        # os.path.abspath costs more than the rest: most paths are absolute and clean already.
        if not (place[:1] == "/" and "/." not in place and "//" not in place):
            place = os.path.abspath(place)
        self._pending.append(f"{place}\0{size} {mtime_ns} {inode} {device} {links}\n")
        if len(self._pending) >= _BATCH_FILES:
            self._update()

    def _update(self) -> None:
        """Hash the pending files."""
        self._hash.update("".join(self._pending).encode("utf-8", "surrogateescape"))
        self._pending.clear()

    @property
    def text(self) -> str | None:
        """The hash in hexadecimal; None where the walk cannot be compared."""
        self._update()
        return self._hash.hexdigest() if self._comparable else None

    def hashed(self, walked: Iterator[Found | Unreadable]) -> Iterator[Found | Unreadable]:
        """Yield the files of a walk, and add each."""
        for found in walked:
            self.add(found)
            yield found


@dataclass(frozen=True)
class ScanFingerprint:
    """Everything besides the files that determines a plan."""

    options: dict[str, Any]
    model: str
    history: str  # stamp of writes and answers

    def text(self, walk_hash: str) -> str:
        """Return the fingerprint with the hash of a walk, as the cache keeps it."""
        return f"{self._json()} {walk_hash}"

    def is_in(self, text: str) -> bool:
        """Return whether a text of the cache has this fingerprint, with whatever walk."""
        return text.startswith(f"{self._json()} ")

    def _json(self) -> str:
        fields = {**vars(self), "features": FEATURE_VERSION, "genretag": genretag.__version__}
        return json.dumps(fields, sort_keys=True, default=str)


def find_unchanged_scan(
    store: AnalysisCache, fingerprint: ScanFingerprint, walked: Iterator[Found | Unreadable]
) -> UnchangedScan | None:
    """Return the last scan if its plan is valid for the files walked now, else None."""
    last = store.untouched_scan()
    # The walk is the expensive part: take it only when the rest agrees.
    if last is None or not fingerprint.is_in(last.fingerprint):
        return None
    walk_hash = WalkHash()
    for found in walked:
        walk_hash.add(found)
    text = walk_hash.text
    return last if text is not None and last.fingerprint == fingerprint.text(text) else None


def stat_fields(file: FileRow | Found) -> tuple[int, ...]:
    """Return the stat fields that identify an unchanged file."""
    return (file.size, file.mtime_ns, file.inode, file.device, file.links)
