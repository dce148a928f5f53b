"""Import results of a cluster into the databases, as a scan that decodes nothing itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from genretag.cluster import results
from genretag.cluster.results import Head, TrackResult
from genretag.decisions.plan import WriteHistory
from genretag.decisions.policy import Policy
from genretag.errors import RunError
from genretag.inference.metadata import ModelMetadata, metadata_to_json, read_metadata
from genretag.inference.model import Model
from genretag.library.urls import to_url
from genretag.scan.scanner import Options, Progress, Scanner
from genretag.storage.cache import AnalysisCache


@dataclass(frozen=True)
class _Elsewhere:
    """A model of which only the card is here: it has done its work."""

    metadata: ModelMetadata


def _known_metadata(store: AnalysisCache, metadata: ModelMetadata) -> ModelMetadata:
    """Return a model's card as the books know it, where they do: results say nothing new of a model
    that was met before.
    """
    text = store.model_metadata(metadata.id)
    return metadata if text is None else read_metadata(Path("the store"), metadata.id, text)


class Import(Scanner):
    """A scan whose tracks were heard elsewhere: its plan is what a scan of these files would have
    made.
    """

    def __init__(
        self,
        store: AnalysisCache,
        place: Path,
        policy: Policy,
        run: int,
        past: WriteHistory | None = None,
    ) -> None:
        self._place = place
        self._heads = results.read(place)
        self._first = next(self._heads)  # raises where there are none, before anything is noted
        self._base, self._next, self._of = 0, 0, self._first[0].scan
        super().__init__(
            store,
            cast(Model, _Elsewhere(_known_metadata(store, self._first[0].metadata))),
            Options((), policy),
            run,
            past=past,
        )

    def hear(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Take every row of the results."""
        self.store.save_model(self.model.metadata.id, metadata_to_json(self.model.metadata))
        try:
            head, table = self._first
            while True:
                self._take_table(head, table)
                if on_progress is not None:
                    on_progress(
                        Progress(sum(self.counts.values()), self.heard_seconds, self.counts)
                    )
                following = next(self._heads, None)
                if following is None:
                    return
                head, table = following
        finally:
            self._commit()

    def _take_table(self, head: Head, table: object) -> None:
        """Take some rows; those of another scan come after what was before it."""
        if head.metadata.id != self.model.metadata.id:
            ours, theirs = self.model.metadata, head.metadata
            raise RunError(
                f"{to_url(self._place)}: two models heard here, {ours.name} {ours.version} "
                f"({ours.id}) and {theirs.name} {theirs.version}"
                f" ({theirs.id}); give the results of one at a time"
            )
        if head.scan != self._of:
            self._base, self._of = self._next, head.scan
        met: dict[Path, int] = {}
        for told, file in self._checked(table):
            before = met.get(file, self.store.planned(self.run, file))
            ordinal = (
                self._base + told.ordinal if before is None else before
            )  # told twice: the later holds
            met[file] = ordinal
            self._next = max(self._next, ordinal + 1)
            self._take_told(
                replace(told, ordinal=ordinal, found=told.found._replace(place=os.fspath(file)))
            )
        self._commit()

    def _checked(self, table: object) -> Iterator[tuple[TrackResult, Path]]:
        """Yield what a table tells; raise ``RunError`` for what no scan has written."""
        try:
            for told, file in results.told_of(table):
                results.check(told, file, self.model.metadata)
                yield told, file
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"{to_url(self._place)}: these results cannot be taken: {error}"
            ) from error

    def _take_told(self, told: TrackResult) -> None:
        if told.heard is None or told.identity is None or told.error is not None:
            self._fail(
                told.ordinal,
                told.found,
                told.stage or "decode",
                told.error or "nothing is told of it",
            )
            return
        self._pending_heard.append(told.heard)
        known = self.store.file(told.found.path)
        if (
            known is not None
            and known.content_key == told.identity.content_key
            and known.mtime_ns > told.found.mtime_ns
        ):
            self._judge(
                told.ordinal, told.found.path, known, told.heard
            )  # written since, and the books know it
            return
        self._keep(told.ordinal, told.found, told.tags, told.identity, told.heard)


def import_results(
    store: AnalysisCache, place: Path, policy: Policy, run: int, past: WriteHistory | None = None
) -> Counter[str]:
    """Take results into the books as the scan ``run``; return counts by status.

    Raises:
        RunError: there are none, or they cannot be read.
    """
    return Import(store, place, policy, run, past).scan()
