"""A scan: walk -> engine -> recorder -> plan. No music file is opened for writing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from genretag.decisions.history import WriteHistory
from genretag.inference.metadata import ModelMetadata, metadata_to_json
from genretag.library.walk import Found, Unreadable
from genretag.scan.lookup import Lookup
from genretag.scan.obstacles import mark_obstacles
from genretag.scan.options import Options, Progress
from genretag.scan.phase import counted
from genretag.scan.recorder import Recorder
from genretag.scan.replan import settle_albums
from genretag.scan.source import FileSource
from genretag.scan.unchanged import ScanFingerprint, WalkHash, find_unchanged_scan
from genretag.storage.cache import AnalysisCache


class Engine(Protocol):
    """Analyses the files of a scan."""

    @property
    def metadata(self) -> ModelMetadata:
        """Metadata of the model that analyses."""

    @property
    def repeatable(self) -> bool:
        """Whether an unchanged walk leads to the same plan, so that the old one may be kept."""

    def walk(self, options: Options) -> Iterator[Found | Unreadable]:
        """Yield the files of the scan, in a stable order."""

    def analyse(self, source: FileSource, recorder: Recorder, options: Options) -> None:
        """Give every file of the source a row in the recorder."""


class Scanner:
    """One scan with one engine. Run 0 analyses without making a plan.

    ``history`` holds earlier writes and answers.
    """

    def __init__(
        self,
        store: AnalysisCache,
        engine: Engine,
        options: Options,
        run: int,
        history: WriteHistory | None = None,
    ) -> None:
        self.run = run  # that holds the plan: an older one where nothing changed
        self.unchanged = False  # whether the plan of the last scan is still valid
        self._store, self._engine, self._options, self._history = store, engine, options, history
        self._recorder = Recorder(store, engine.metadata, options.policy, run, history)
        self._walk_hash = WalkHash()

    @property
    def counts(self) -> Counter[str]:
        """Files by status."""
        return self._recorder.counts

    @property
    def decoded_tracks(self) -> int:
        """Number of tracks that were decoded."""
        return self._recorder.decoded_tracks

    def scan(self, on_progress: Callable[[Progress], None] | None = None) -> Counter[str]:
        """Analyse everything below the paths and make the plan; return counts by status.

        A scan that is killed or interrupted loses the tracks in flight; the next one goes on.
        """
        store, options = self._store, self._options
        self._recorder.on_progress = on_progress
        fingerprint = self._fingerprint()
        if fingerprint is not None and self._find_unchanged(fingerprint):
            return self.counts
        store.begin_scan(
            self.run,
            self._engine.metadata.id,
            options.policy.to_dict(),
            aside=options.aside,
            places=[Path(os.path.abspath(p)) for p in options.paths],
        )
        self.analyse(on_progress)
        metadata, on_phase = self._engine.metadata, self._recorder.report
        settle_albums(store, self.run, metadata, options.policy, self._history, on_phase)
        mark_obstacles(store, self.run, options.policy, on_phase)
        store.finish_scan(self.run, self._reusable_text(fingerprint))
        return self.counts

    def analyse(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Analyse everything below the paths, and store the results."""
        metadata, recorder = self._engine.metadata, self._recorder
        self._store.save_model(metadata.id, metadata_to_json(metadata))
        recorder.on_progress = on_progress
        lookup = Lookup(self._store, metadata.id, self._options)
        walked = self._walk_hash.hashed(self._walk())
        source = FileSource(walked, self._options.paths, lookup)
        try:
            self._engine.analyse(source, recorder, self._options)
        finally:
            recorder.commit()
        recorder.report()

    def _walk(self) -> Iterator[Found | Unreadable]:
        """Walk up to the limit."""
        return islice(self._engine.walk(self._options), self._options.limit)

    def _fingerprint(self) -> ScanFingerprint | None:
        """Return what identifies a scan with the same plan; None: always make a new plan."""
        o = self._options
        if not self._engine.repeatable or o.needs_new_plan:
            return None
        return ScanFingerprint(
            o.compared(),
            self._engine.metadata.id,
            self._history.stamp() if self._history is not None else "",
        )

    def _find_unchanged(self, fingerprint: ScanFingerprint) -> bool:
        """Take over the plan of the last scan if nothing has changed since."""
        walked = counted(self._walk(), "comparing with the last scan", self._recorder.report)
        last = find_unchanged_scan(self._store, fingerprint, walked)
        if last is None:
            return False
        self.run, self.unchanged = last.run, True
        self.counts.update(last.counts)
        return True

    def _reusable_text(self, fingerprint: ScanFingerprint | None) -> str | None:
        """Return the fingerprint with the walk hash; None where the plan must not be reused.

        A new failure is one: the next scan reports it as a known failure.
        """
        walked = self._walk_hash.text
        if fingerprint is None or walked is None or self._recorder.has_new_failures:
            return None
        return fingerprint.text(walked)
