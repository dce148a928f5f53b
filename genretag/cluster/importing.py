"""Import the results of a cluster into the databases, as a scan that decodes nothing itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from genretag.cluster import result_files, results
from genretag.cluster.result_files import Head
from genretag.decisions.history import WriteHistory
from genretag.decisions.policy import Policy
from genretag.errors import RunError, describe_invalid
from genretag.inference.metadata import ModelMetadata, read_metadata
from genretag.library.urls import to_url
from genretag.library.walk import Found, Unreadable
from genretag.scan.options import Options
from genretag.scan.recorder import Recorder
from genretag.scan.scanner import Scanner
from genretag.scan.source import FileSource
from genretag.scan.track import TrackResult
from genretag.storage.cache import AnalysisCache


class ImportEngine:
    """Takes analyses from files of results, so that the plan is that of a scan of these tracks.

    Raises:
        RunError: there are no results, or they cannot be read.
    """

    repeatable = False  # there is no walk that could be unchanged

    def __init__(self, store: AnalysisCache, place: Path) -> None:
        self._place = place
        self._tables = result_files.read(place)
        self._first = next(self._tables)
        self._metadata = _known_metadata(store, self._first[0].metadata)
        self._scan = self._first[0].scan
        # Ordinals of a further scan's tracks follow those of the scans before it.
        self._base, self._next = 0, 0

    @property
    def metadata(self) -> ModelMetadata:
        """Metadata of the model that analysed the tracks; the model itself is not needed."""
        return self._metadata

    def walk(self, options: Options) -> Iterator[Found | Unreadable]:
        """Walk nothing: the files may be elsewhere."""
        return iter(())

    def analyse(self, source: FileSource, recorder: Recorder, options: Options) -> None:
        """Record every row of the results."""
        head, table = self._first
        while True:
            self._import_table(head, table, recorder)
            recorder.report()
            following = next(self._tables, None)
            if following is None:
                return
            head, table = following

    def _import_table(self, head: Head, table: object, recorder: Recorder) -> None:
        """Record the rows of a table."""
        if head.metadata.id != self._metadata.id:
            ours, theirs = self._metadata, head.metadata
            raise RunError(
                f"{to_url(self._place)}: these are the results of two models, {ours.name} "
                f"{ours.version} ({ours.id}) and {theirs.name} {theirs.version} ({theirs.id}); "
                "import those of one model at a time"
            )
        if head.scan != self._scan:
            self._base, self._scan = self._next, head.scan
        seen: dict[Path, int] = {}
        for result, file in self._checked(table):
            # A file that occurs twice keeps its place in the plan, with the later result.
            before = seen.get(file, recorder.store.planned(recorder.run, file))
            ordinal = self._base + result.ordinal if before is None else before
            seen[file] = ordinal
            self._next = max(self._next, ordinal + 1)
            found = result.found._replace(place=os.fspath(file))
            _record(recorder, replace(result, ordinal=ordinal, found=found))
        recorder.commit()

    def _checked(self, table: object) -> Iterator[tuple[TrackResult, Path]]:
        """Yield the rows of a table; raise ``RunError`` for rows that no scan has written."""
        try:
            for result, file in results.track_results(table):
                results.check(result, file, self._metadata)
                yield result, file
        except (ValueError, TypeError, KeyError) as error:
            reason = describe_invalid(error)
            raise RunError(
                f"{to_url(self._place)}: these results cannot be imported: {reason}"
            ) from error


def _known_metadata(store: AnalysisCache, metadata: ModelMetadata) -> ModelMetadata:
    """Return the cache's copy of a model's metadata if it has one: that one is trusted."""
    text = store.model_metadata(metadata.id)
    return metadata if text is None else read_metadata(Path("the store"), metadata.id, text)


def _record(recorder: Recorder, result: TrackResult) -> None:
    """Record a result; one that is older than what the cache knows of the file only adds a row."""
    if result.analysis is None or result.identity is None or result.error is not None:
        recorder.add_result(result)
        return
    recorder.add_analysis(result.analysis)
    file = recorder.store.file(result.found.path)
    if (
        file is not None
        and file.content_key in (result.identity.content_key, result.identity.audio_key)
        and file.mtime_ns > result.found.mtime_ns
    ):
        # The file was written since, for example by apply on this machine.
        recorder.judge(result.ordinal, result.found.path, file, result.analysis)
        return
    recorder.add_result(result)


def import_results(
    store: AnalysisCache,
    place: Path,
    policy: Policy,
    run: int,
    history: WriteHistory | None = None,
) -> Counter[str]:
    """Import results as the scan ``run``; return counts by status.

    Raises:
        RunError: there are no results, or they cannot be read.
    """
    return Scanner(store, ImportEngine(store, place), Options((), policy), run, history).scan()
