"""The files of a scan: the walk, without the files whose results are already known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from genretag.library.walk import Found, Unreadable, is_music
from genretag.scan.lookup import Known, Lookup
from genretag.storage.files import Failure


class KnownFiles(Protocol):
    """Receives the files of the walk that need no decoding."""

    def add_known(self, ordinal: int, found: Found, known: Known) -> None:
        """Add an unchanged file."""

    def add_known_failure(self, ordinal: int, found: Found, failure: Failure) -> None:
        """Add an unchanged file that failed before."""

    def add_link(self, ordinal: int, found: Found, target: Path) -> None:
        """Add a link to a file that the walk meets as well."""

    def add_unreadable(self, ordinal: int, found: Unreadable) -> None:
        """Add a file or folder that could not be listed."""

    def commit_if_due(self) -> None:
        """Store what was added, from time to time."""


class FileSource:
    """The walk of one scan, divided into known files and those that must be decoded."""

    def __init__(
        self, walked: Iterator[Found | Unreadable], roots: tuple[Path, ...], lookup: Lookup
    ) -> None:
        self.lookup = lookup
        self._walked = enumerate(walked)
        self._roots = [Path(os.path.realpath(p)) for p in roots]
        # Targets of links that lead out of the walked folders, by device and inode.
        self._targets: dict[tuple[int, int], Path] = {}

    def undecoded(self, known_files: KnownFiles) -> Iterator[tuple[int, Found]]:
        """Yield (ordinal, file) of the files to decode; hand the others to ``known_files``."""
        for ordinal, found in self._walked:
            if isinstance(found, Unreadable):
                known_files.add_unreadable(ordinal, found)
            elif found.link and (target := self._walked_target(found)) is not None:
                known_files.add_link(ordinal, found, target)
            elif (known := self.lookup.of_file(found)) is None:
                yield ordinal, found
                continue
            elif isinstance(known, Failure):
                known_files.add_known_failure(ordinal, found, known)
            else:
                known_files.add_known(ordinal, found, known)
            # A long run of known files does not return to the caller, which commits otherwise.
            known_files.commit_if_due()

    def _walked_target(self, found: Found) -> Path | None:
        """Return the target of a link if the walk meets that too: a file is written once."""
        target = Path(os.path.realpath(found.path))
        if any(target.is_relative_to(root) for root in self._roots) and is_music(target.name):
            return target
        first = self._targets.setdefault((found.device, found.inode), found.path)
        return first if first != found.path else None
