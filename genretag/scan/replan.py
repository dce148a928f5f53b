"""Decide a plan again from stored scores, and let albums decide: nothing is decoded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from genretag.decisions.albums import AlbumTally, Key, key_of
from genretag.decisions.history import WriteHistory
from genretag.decisions.plan import judge, with_fields
from genretag.decisions.policy import AlbumRule, Policy
from genretag.decisions.reasons import Reason
from genretag.decisions.rows import Row, keep_tidied
from genretag.decisions.vote import vote
from genretag.errors import RunError
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata, read_metadata
from genretag.records import Analysis, FileRow
from genretag.scan.obstacles import mark_obstacles
from genretag.scan.phase import OnPhase, counted
from genretag.storage.cache import AnalysisCache
from genretag.storage.scans import Scan

_PlanRow = tuple[int, Path, str, dict[str, Any]]  # ordinal, path, action, row


def metadata_of(store: AnalysisCache, scan: Scan) -> ModelMetadata:
    """Return the metadata of a scan's model.

    Raises:
        RunError: the database does not have it.
    """
    return _read_metadata(store, scan.model)


def _read_metadata(store: AnalysisCache, model: str | None) -> ModelMetadata:
    text = store.model_metadata(model or "")
    if text is None:
        raise RunError("the last scan's model is not known any more; scan again")
    return read_metadata(Path("the store"), model or "", text)


def replan(
    store: AnalysisCache,
    scan: Scan,
    policy: Policy,
    run: int,
    past: WriteHistory | None = None,
) -> int:
    """Decide again about every file of a scan, from the stored scores; return the row count."""
    rows = ((scan, Row.from_dict(data)) for _, _, data in store.plan(scan.run))
    return replan_rows(store, rows, scan, policy, run, past, scan.places, aside=scan.aside)


def replan_rows(
    store: AnalysisCache,
    rows: Iterable[tuple[Scan, Row]],
    newest: Scan,
    policy: Policy,
    run: int,
    past: WriteHistory | None,
    places: Iterable[Path],
    *,
    aside: bool,
    on_phase: OnPhase | None = None,
) -> int:
    """Make a plan from rows of one or more plans, from the stored scores; return the row count.

    Args:
        store: the analysis cache.
        rows: (plan, row) in the order of the new plan; each is judged with its plan's model.
        newest: the plan whose model names the new plan's.
        policy: the new plan's rules.
        run: the run that the new plan belongs to.
        past: what genretag wrote before.
        places: folders and files that the new plan covers.
        aside: keep the new plan from being the last one.
        on_phase: receives the phases after all rows were decided.
    """
    metadata = metadata_of(store, newest)
    store.begin_scan(run, metadata.id, policy.to_dict(), aside=aside, places=places)
    # A plan of tidier genres alone has no model.
    metadata_by_model = cache(lambda model: _read_metadata(store, model or newest.model))
    count = 0
    for batch in _batches(rows, 500):
        again = [
            _again(store, row, metadata_by_model(plan.model), policy, past) for plan, row in batch
        ]
        with store.transaction():
            store.save_plan(run, [(count + n, *row) for n, row in enumerate(again)])
        count += len(batch)
    settle_albums(store, run, metadata, policy, past, on_phase)
    mark_obstacles(store, run, policy, on_phase)
    store.finish_scan(run)
    return count


def _batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _again(
    store: AnalysisCache,
    row: Row,
    metadata: ModelMetadata,
    policy: Policy,
    past: WriteHistory | None,
) -> tuple[Path, str, dict[str, Any]]:
    """Return (path, action, row) of a plan's row, decided again if the file was analysed."""
    path = row.absolute
    known = store.known(path, metadata.id, FEATURE_VERSION)
    # A tidied row may be written since.
    if known is None and row.code == Reason.TIDIES:
        row = keep_tidied(row)
    elif known is not None and row.scores:
        # An answer of the user stays; the other fields are decided again.
        if row.reviewed and row.code != Reason.NOT_CHOSEN:
            row = _with_new_fields(row, *known, metadata, policy, past)
        else:
            row = judge(Path(row.path), *known, metadata, policy, past=past)
    return path, row.action, row.to_dict()


def _with_new_fields(
    row: Row,
    file: FileRow,
    analysis: Analysis,
    metadata: ModelMetadata,
    policy: Policy,
    past: WriteHistory | None,
) -> Row:
    """Return a row with the genre that it has, and the other fields decided again."""
    if policy.writes_genre_alone:
        return replace(row, fields={})
    verdict = vote(analysis, metadata, policy.vote, policy.min_confidence)
    return with_fields(row, file, verdict, metadata, policy, past)


def _rows(store: AnalysisCache, run: int) -> Iterator[tuple[int, Path, dict[str, Any]]]:
    return ((n, path, row) for n, path, row in store.plan(run) if row.get("scores"))


def settle_albums(
    store: AnalysisCache,
    run: int,
    metadata: ModelMetadata,
    policy: Policy,
    past: WriteHistory | None = None,
    on_phase: OnPhase | None = None,
) -> int:
    """Apply the album rule to a run's plan; return how many rows changed."""
    if policy.album is AlbumRule.OFF:
        return 0
    albums: dict[Key, AlbumTally] = {}
    for _, _, row in counted(_rows(store, run), "counting the votes of albums", on_phase):
        albums.setdefault(key_of(row), AlbumTally()).add(row)
    verdicts = {
        key: verdict
        for key, album in albums.items()
        if (verdict := album.verdict(policy.album)) is not None
    }
    changed = 0
    batch: list[_PlanRow] = []
    for ordinal, path, row in counted(_rows(store, run), "deciding albums", on_phase):
        verdict = verdicts.get(key_of(row))
        known = store.known(path, metadata.id, FEATURE_VERSION) if verdict is not None else None
        if known is None or row.get("reviewed"):
            continue
        again = judge(
            Path(row["path"]), *known, metadata, policy, past=past, album=verdict
        ).to_dict()
        if json.dumps(again) != json.dumps(row):
            batch.append((ordinal, path, again["action"], again))
        if len(batch) >= 500:
            changed += _save(store, run, batch)
    return changed + _save(store, run, batch)


def _save(
    store: AnalysisCache, run: int, batch: list[tuple[int, Path, str, dict[str, Any]]]
) -> int:
    """Save rows and empty the batch; return how many there were."""
    with store.transaction():
        store.save_plan(run, batch)
    count = len(batch)
    batch.clear()
    return count
