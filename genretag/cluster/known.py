"""Write tracks that need no decoding into the results of a scan, beside those of the operators."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from genretag.audio import Identity, check_of_sha256
from genretag.cluster import result_files, results
from genretag.cluster.actors import MAX_PART_ROWS
from genretag.library.urls import absolute
from genretag.library.walk import Found, Unreadable
from genretag.scan.lookup import Known
from genretag.scan.recorder import Recorder
from genretag.scan.track import TrackResult
from genretag.storage.files import Failure


class KnownResults:
    """Passes known files on to a recorder, and writes them into files of results.

    ``place`` None: nothing is written.
    """

    def __init__(self, recorder: Recorder, place: str | None, head: result_files.Head) -> None:
        self._recorder, self._place, self._head = recorder, place, head
        self._rows: list[dict[str, Any]] = []
        self._parts = 0

    def add_known(self, ordinal: int, found: Found, known: Known) -> None:
        """Add an unchanged file."""
        self._recorder.add_known(ordinal, found, known)
        file, analysis = known.file, known.analysis
        packets = None if file.content_key == file.audio_key else file.content_key
        check = file.file_check or (check_of_sha256(file.sha256) if file.sha256 else None)
        identity = Identity(packets, analysis.second_key, file.audio_key, check)
        self._append(TrackResult(ordinal, found, file.tags, identity, analysis))

    def add_known_failure(self, ordinal: int, found: Found, failure: Failure) -> None:
        """Add an unchanged file that failed before."""
        self._recorder.add_known_failure(ordinal, found, failure)
        self._append(TrackResult(ordinal, found, stage=failure.stage, error=failure.error))

    def add_link(self, ordinal: int, found: Found, target: Path) -> None:
        """Add a link to a file that is planned itself; only the plan has it."""
        self._recorder.add_link(ordinal, found, target)

    def add_unreadable(self, ordinal: int, found: Unreadable) -> None:
        """Add a file or folder that could not be listed."""
        self._recorder.add_unreadable(ordinal, found)
        place = Found(os.fspath(found.path), 0, 0, 0, 0, 1, link=False)
        error = f"cannot be read: {found.error}"
        self._append(TrackResult(ordinal, place, stage="read", error=error))

    def add_result(self, result: TrackResult) -> None:
        """Add a track that was identified, and whose audio was analysed before."""
        self._recorder.add_result(result)
        self._append(result)

    def commit_if_due(self) -> None:
        """Store what was added, from time to time."""
        self._recorder.commit_if_due()

    def _append(self, result: TrackResult) -> None:
        if self._place is None:
            return
        self._rows.append(results.row_of(result, absolute(result.found.path)))
        if len(self._rows) >= MAX_PART_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the pending rows into a file of their own."""
        if self._place is None or not self._rows:
            return
        name = result_files.part_name(f"{self._head.scan}-known", self._parts)
        result_files.write(self._place, name, results.table_of(self._rows), self._head)
        self._parts += 1
        self._rows.clear()
