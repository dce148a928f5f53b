"""Look up stored analyses and failures, so that no file is decoded twice."""

from __future__ import annotations

from dataclasses import dataclass

from genretag.audio import Identity
from genretag.features import FEATURE_VERSION
from genretag.library.urls import absolute
from genretag.library.walk import Found
from genretag.records import Analysis, FileRow
from genretag.scan.options import Options
from genretag.scan.unchanged import stat_fields
from genretag.storage.cache import AnalysisCache
from genretag.storage.files import Failure


@dataclass(frozen=True)
class Known:
    """An unchanged file with its stored analysis."""

    file: FileRow
    analysis: Analysis


class Lookup:
    """Finds what the analysis cache holds on the files of one scan."""

    def __init__(self, store: AnalysisCache, model_id: str, options: Options) -> None:
        self._store, self._model_id, self._options = store, model_id, options
        # Keys of the audio decoded by this scan: a rescan reuses no other analyses.
        self._decoded: set[str | None] = set()

    def has_analyses(self) -> bool:
        """Return whether analyses may be reused at all.

        Where there is none, workers need not identify files before they decode them.
        """
        return not self._options.rescan and self._store.has_analysis(
            self._model_id, FEATURE_VERSION
        )

    def of_file(self, found: Found) -> Known | Failure | None:
        """Return what is stored on a file that did not change; None: it must be opened."""
        if self._options.rescan:
            return None
        path = absolute(found.path)
        failure = self._store.failure(path)
        if failure and (failure.size, failure.mtime_ns) == (found.size, found.mtime_ns):
            return None if self._options.retry_failed else failure
        file = self._store.file(path)
        if file is None or stat_fields(file) != stat_fields(found):
            return None
        if file.tags.fields is None and not self._options.policy.writes_genre_alone:
            return None  # an older version read its genre alone
        if not (file.is_hashed or self._options.accepts_pieces):
            return None  # a full scan promises a check of the whole file
        analysis = self._store.analysis(
            file.content_key, self._model_id, FEATURE_VERSION, audio_key=file.audio_key
        )
        return Known(file, analysis) if analysis and self._suffices(analysis) else None

    def add_decoded(self, analysis: Analysis) -> None:
        """Note that this scan decoded some audio."""
        if self._options.rescan:
            self._decoded |= {analysis.content_key, analysis.audio_key}

    def of_audio(self, identity: Identity) -> Analysis | None:
        """Return the analysis of the same audio, whatever the file; None: it must be decoded."""
        keys = (identity.content_key, identity.audio_key)
        if self._options.rescan and self._decoded.isdisjoint(keys):
            return None
        analysis = self._store.analysis(
            identity.content_key,
            self._model_id,
            FEATURE_VERSION,
            identity.second_key,
            identity.audio_key,
        )
        return analysis if analysis and self._suffices(analysis) else None

    def _suffices(self, analysis: Analysis) -> bool:
        """Return whether an analysis covers as much as this scan requires."""
        return analysis.whole or self._options.accepts_pieces
