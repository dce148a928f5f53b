"""Turn results, known files and failures into stored rows and rows of the plan."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from genretag.audio import Identity, file_sha256
from genretag.decisions.history import WriteHistory
from genretag.decisions.plan import judge
from genretag.decisions.policy import Policy
from genretag.decisions.rows import Row, failed_row, linked_row
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import absolute, is_url
from genretag.library.walk import Found, Unreadable
from genretag.records import Analysis, FileRow, Tags
from genretag.scan.lookup import Known
from genretag.scan.options import Progress
from genretag.scan.track import TrackResult
from genretag.storage.cache import AnalysisCache
from genretag.storage.files import Failure

log = logging.getLogger("genretag")

_COMMIT_SECONDS = 1.0
_REPORT_SECONDS = 0.1


class Recorder:
    """Records the results of one scan. Run 0 stores analyses and makes no plan."""

    def __init__(
        self,
        store: AnalysisCache,
        metadata: ModelMetadata,
        policy: Policy,
        run: int,
        history: WriteHistory | None = None,
    ) -> None:
        self.store, self.run = store, run
        self.counts: Counter[str] = Counter()  # files by status
        self.decoded_seconds = 0.0
        self.decoded_tracks = 0
        self.has_new_failures = False
        self.on_progress: Callable[[Progress], None] | None = None
        self._metadata, self._policy, self._history = metadata, policy, history
        self._has_older_keys = store.has_older_keys()
        self._committed = self._reported = time.monotonic()
        self._analyses: list[Analysis] = []
        self._files: list[FileRow] = []
        self._failures: list[tuple[Found | Unreadable, str, str]] = []
        self._rows: list[tuple[int, Path, Row]] = []

    # --- results ---

    def add_decoded(self, result: TrackResult) -> None:
        """Add the result of a track that was decoded for this scan."""
        if result.analysis is not None:
            self.decoded_seconds += result.analysis.seconds
            self.decoded_tracks += 1
            self.add_analysis(result.analysis)
        self.add_result(result)

    def add_result(self, result: TrackResult) -> None:
        """Add the result of a track whose analysis, if any, is in the cache."""
        if result.analysis is None or result.identity is None or result.error is not None:
            stage, error = result.stage or "decode", result.error or "no result arrived for it"
            self._fail(result.ordinal, result.found, stage, error)
            return
        analysis = self._under_its_keys(result.analysis, result.identity)
        found, tags, identity = result.found, result.tags, result.identity
        file = FileRow(
            absolute(found.path),
            found.size,
            found.mtime_ns,
            found.inode,
            found.device,
            found.links,
            "",
            analysis.content_key,
            tags or Tags([], None, problem="its tags were not read"),
            identity.audio_key,
            identity.file_check,
        )
        self._files.append(file)
        self._renew_older_key(file)
        self.judge(result.ordinal, found.path, file, analysis)

    def _under_its_keys(self, analysis: Analysis, identity: Identity) -> Analysis:
        """Return an analysis under all keys of a file; store it anew if one is new."""
        key = identity.content_key
        if key is None and identity.audio_key == analysis.audio_key:
            key = analysis.content_key
        own = replace(
            analysis,
            content_key=key or identity.key,
            audio_key=identity.audio_key or analysis.audio_key,
        )
        if (own.content_key, own.audio_key) != (analysis.content_key, analysis.audio_key):
            self.add_analysis(own)
        return own

    def _renew_older_key(self, file: FileRow) -> None:
        """Move what the journal holds under the content key of an older genretag."""
        if self._history is None or not self._has_older_keys or is_url(file.path):
            return
        with contextlib.suppress(OSError):
            older = self.store.older_key(file.sha256 or file_sha256(file.path))
            if older is not None:
                self._history.renew_key(older, file.content_key)

    def add_analysis(self, analysis: Analysis) -> None:
        """Add an analysis to the cache."""
        self._analyses.append(analysis)

    # --- files that need no decoding (source.KnownFiles) ---

    def add_known(self, ordinal: int, found: Found, known: Known) -> None:
        """Add an unchanged file."""
        self.judge(ordinal, found.path, known.file, known.analysis)

    def add_known_failure(self, ordinal: int, found: Found, failure: Failure) -> None:
        """Add an unchanged file that failed before."""
        error = f"{failure.error} (known; --retry-failed tries again)"
        self.add_row(ordinal, found.path, failed_row(found.path, error))

    def add_link(self, ordinal: int, found: Found, target: Path) -> None:
        """Add a link to a file that is planned itself."""
        self.add_row(ordinal, found.path, linked_row(found.path, target))

    def add_unreadable(self, ordinal: int, found: Unreadable) -> None:
        """Add a file or folder that could not be listed."""
        self._fail(ordinal, found, "read", f"cannot be read: {found.error}")

    # --- rows ---

    def judge(self, ordinal: int, path: Path, file: FileRow, analysis: Analysis) -> None:
        """Add the plan row of an analysed file."""
        row = judge(path, file, analysis, self._metadata, self._policy, past=self._history)
        self.add_row(ordinal, path, row)

    def add_row(self, ordinal: int, path: Path, row: Row) -> None:
        """Add a row to the plan."""
        genres = f" -> {', '.join(row.new)}" if row.action == "write" else ""
        log.info("%s: %s%s", path, row.error or row.reason, genres)
        self.counts[row.status] += 1
        self._rows.append((ordinal, path, row))
        if time.monotonic() - self._reported > _REPORT_SECONDS:
            self.report()

    def _fail(self, ordinal: int, found: Found | Unreadable, stage: str, error: str) -> None:
        self._failures.append((found, stage, error))
        self.has_new_failures = True
        self.add_row(ordinal, found.path, failed_row(found.path, error))

    def report(self, phase: str = "") -> None:
        """Report the progress."""
        self._reported = time.monotonic()
        if self.on_progress is not None:
            total = sum(self.counts.values())
            self.on_progress(Progress(total, self.decoded_seconds, self.counts, phase))

    # --- storing ---

    def commit_if_due(self) -> None:
        """Commit new analyses and failures at once, rows of known files once a second.

        A killed scan therefore loses the tracks in flight and nothing else.
        """
        overdue = time.monotonic() - self._committed > _COMMIT_SECONDS
        if self._analyses or self._failures or overdue:
            self.commit()

    def commit(self) -> None:
        """Store everything that was added, in one transaction."""
        self._committed = time.monotonic()
        with self.store.transaction():
            for analysis in self._analyses:
                self.store.save_analysis(analysis, self._metadata.id, FEATURE_VERSION)
            for file in self._files:
                self.store.save_file(file)
            for found, stage, error in self._failures:
                size, mtime = (found.size, found.mtime_ns) if isinstance(found, Found) else (0, 0)
                self.store.save_failure(absolute(found.path), size, mtime, stage, error)
            if self.run:
                rows = ((n, absolute(p), r.action, r.to_dict()) for n, p, r in self._rows)
                self.store.save_plan(self.run, rows)
        for pending in (self._analyses, self._files, self._failures, self._rows):
            pending.clear()
