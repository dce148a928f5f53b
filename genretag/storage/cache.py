"""The analysis cache: files, analyses, failures and plans.

Scanning makes all of it again; the rest is in the journal. Paths are bytes, because not every
path is UTF-8; JSON is ASCII, so that lone surrogates in tags can be stored.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from genretag.records import Analysis, FileRow
from genretag.storage.analyses import StoredAnalyses
from genretag.storage.cache_schema import KNOWN_TABLE, MIGRATIONS
from genretag.storage.files import StoredFiles
from genretag.storage.plan_rows import StoredPlanRows
from genretag.storage.scans import StoredScans
from genretag.storage.sqlite import connect, transaction


class AnalysisCache(StoredFiles, StoredAnalyses, StoredScans, StoredPlanRows):
    """The cache file. Any number of processes may read it; writes are short transactions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(connect(path, MIGRATIONS, KNOWN_TABLE, durable=False))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Hold one write transaction."""
        return transaction(self._db)

    def save_model(self, model_id: str, metadata: str) -> None:
        """Save a model's metadata, so that its scores can be judged without the model."""
        self._db.execute("INSERT OR REPLACE INTO model VALUES (?, ?)", (model_id, metadata))

    def model_metadata(self, model_id: str) -> str | None:
        """Return the JSON metadata of a model."""
        row = self._db.execute("SELECT card FROM model WHERE id = ?", (model_id,)).fetchone()
        return str(row[0]) if row else None

    def known(self, path: Path, model: str, features: int) -> tuple[FileRow, Analysis] | None:
        """Return a path's file row and analysis; None if either is missing."""
        f = self.file(path)
        if f is None:
            return None
        analysis = self.analysis(f.content_key, model, features, audio_key=f.audio_key)
        return (f, analysis) if analysis is not None else None
