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


def metadata_of(store: AnalysisCache, scan: Scan) -> ModelMetadata:
    """Return the card of the model that a scan heard with."""
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
    """Decide again about every file of a scan, from the stored scores; return how many rows there
    are.

    With ``tops`` only what lies below them is decided by the new policy, and the rest by the scan's
    own.
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

    for rows in _in_lots(store.plan(scan.run), 500):
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


def _in_lots(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    lot: list[Any] = []
    for row in rows:
        lot.append(row)
        if len(lot) == size:
            yield lot
            lot = []
    if lot:
        yield lot


def _again(
    store: AnalysisCache,
    ordinal: int,
    path: Path,
    data: dict[str, Any],
    metadata: Any,
    policy: Policy,
    past: WriteHistory | None,
) -> tuple[int, Path, str, dict[str, Any]]:
    """Return a plan's row, decided again where the file was heard."""
    known = store.known(path, metadata.id, FEATURE_VERSION)
    if known is None and data.get("code") == Reason.TIDIES:  # it may be written since
        kept = keep_tidied(Row.from_dict(data))
        return ordinal, path, kept.action, kept.to_dict()
    if known is None or not data.get("scores") or data.get("reviewed"):  # what a person said stays
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
    lot: list[tuple[int, Path, str, dict[str, Any]]] = []
    for ordinal, path, row in _rows(store, run):
        verdict = verdicts.get(key_of(row))
        known = store.known(path, metadata.id, FEATURE_VERSION) if verdict is not None else None
        if known is None or row.get("reviewed"):
            continue
        again = judge(
            Path(row["path"]), *known, metadata, policy, past=past, album=verdict
        ).to_dict()
        if json.dumps(again) != json.dumps(row):
            lot.append((ordinal, path, again["action"], again))
        if len(lot) >= 500:
            changed += _save(store, run, lot)
    return changed + _save(store, run, lot)


def _save(store: AnalysisCache, run: int, lot: list[tuple[int, Path, str, dict[str, Any]]]) -> int:
    """Write rows and forget them; return how many."""
    with store.transaction():
        store.save_plan(run, lot)
    count = len(lot)
    lot.clear()
    return count
