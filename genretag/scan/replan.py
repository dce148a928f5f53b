"""Decide a plan again from stored scores, and let albums decide: nothing is decoded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from genretag.decisions.albums import AlbumTally, Key, key_of
from genretag.decisions.plan import Reason, Row, WriteHistory, judge, keep_tidied
from genretag.decisions.policy import AlbumRule, Policy
from genretag.errors import RunError
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata, read_metadata
from genretag.library.walk import below
from genretag.scan.obstacles import mark_obstacles
from genretag.storage.cache import AnalysisCache, Scan

_PlanRow = tuple[int, Path, str, dict[str, Any]]  # ordinal, path, action, row


def metadata_of(store: AnalysisCache, scan: Scan) -> ModelMetadata:
    """Return the metadata of a scan's model."""
    text = store.model_metadata(scan.model or "")
    if text is None:
        raise RunError("the last scan's model is not known any more; scan again")
    return read_metadata(Path("the store"), scan.model or "", text)


def replan(
    store: AnalysisCache,
    scan: Scan,
    policy: Policy,
    run: int,
    past: WriteHistory | None = None,
    tops: list[Path] | None = None,
    *,
    aside: bool | None = None,
) -> int:
    """Decide every file of a scan again from its stored scores; return the number of rows.

    ``tops``: the new policy applies below these folders, and the scan's own policy elsewhere.
    """
    metadata, before = metadata_of(store, scan), Policy.from_dict(scan.policy)
    store.begin_scan(
        run,
        metadata.id,
        (policy if tops is None else before).to_dict(),
        aside=scan.aside if aside is None else aside,
        places=scan.places,
    )
    count = 0

    def policy_for(path: Path) -> Policy:
        return policy if below(path, tops) else before

    for rows in _batches(store.plan(scan.run), 500):
        with store.transaction():
            store.save_plan(
                run,
                [
                    _again(store, n, path, data, metadata, policy_for(path), past)
                    for n, path, data in rows
                ],
            )
        count += len(rows)
    settle_albums(store, run, metadata, policy, past)
    mark_obstacles(store, run, policy)
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
    ordinal: int,
    path: Path,
    data: dict[str, Any],
    metadata: Any,
    policy: Policy,
    past: WriteHistory | None,
) -> _PlanRow:
    """Return a plan's row, decided again if the file was analysed."""
    known = store.known(path, metadata.id, FEATURE_VERSION)
    # A tidied file may have been written since.
    if known is None and data.get("code") == Reason.TIDIES:
        kept = keep_tidied(Row.from_dict(data))
        return ordinal, path, kept.action, kept.to_dict()
    # A person's answer stays.
    if known is None or not data.get("scores") or data.get("reviewed"):
        return ordinal, path, data["action"], data
    row = judge(Path(data["path"]), *known, metadata, policy, past=past)
    return ordinal, path, row.action, row.to_dict()


def _rows(store: AnalysisCache, run: int) -> Iterator[tuple[int, Path, dict[str, Any]]]:
    return ((n, path, row) for n, path, row in store.plan(run) if row.get("scores"))


def settle_albums(
    store: AnalysisCache,
    run: int,
    metadata: ModelMetadata,
    policy: Policy,
    past: WriteHistory | None = None,
) -> int:
    """Apply the album rule to a run's plan; return how many rows changed."""
    if policy.album is AlbumRule.OFF:
        return 0
    albums: dict[Key, AlbumTally] = {}
    for _, _, row in _rows(store, run):
        albums.setdefault(key_of(row), AlbumTally()).add(row)
    verdicts = {
        key: verdict
        for key, album in albums.items()
        if (verdict := album.verdict(policy.album)) is not None
    }
    changed = 0
    batch: list[_PlanRow] = []
    for ordinal, path, row in _rows(store, run):
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
