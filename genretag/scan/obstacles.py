"""Mark the files of a plan that apply could not write: a plan promises only what apply can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from genretag.decisions.policy import Owner, Policy
from genretag.decisions.reasons import Reason
from genretag.decisions.rows import Row, skipped_row
from genretag.library.access import write_obstacle
from genretag.scan.phase import OnPhase, counted
from genretag.storage.cache import AnalysisCache

_BATCH = 500  # rows saved in one transaction

PlanRow = tuple[int, Path, str, dict[str, Any]]


def mark_obstacles(
    cache: AnalysisCache, run: int, policy: Policy, on_phase: OnPhase | None = None
) -> int:
    """Turn writes of a run's plan that cannot be done into skips; return how many there were."""
    marked, batch = 0, list[PlanRow]()
    writes = cache.plan(run, open_writes=True)
    checked = counted(writes, "checking which files can be written", on_phase)
    for row in _blocked_rows(checked, policy):
        batch.append(row)
        if len(batch) == _BATCH:
            marked += _save(cache, run, batch)
    return marked + _save(cache, run, batch)


def _blocked_rows(
    writes: Iterable[tuple[int, Path, dict[str, Any]]], policy: Policy
) -> Iterator[PlanRow]:
    for ordinal, path, data in writes:
        skipped = skip_blocked(Row.from_dict(data), path, policy)
        if skipped is not None:
            yield ordinal, path, skipped.action, skipped.to_dict()


def skip_blocked(row: Row, path: Path, policy: Policy) -> Row | None:
    """Return the row as a skip if its file cannot be replaced; None if it can."""
    why = write_obstacle(path, keep_owner=policy.owner is Owner.KEEP)
    if why is None:
        return None
    return skipped_row(row, Reason.NOT_WRITABLE, lambda new: f"would write {', '.join(new)}; {why}")


def _save(cache: AnalysisCache, run: int, batch: list[PlanRow]) -> int:
    """Save rows and empty the batch; return how many there were."""
    if not batch:
        return 0
    with cache.transaction():
        cache.save_plan(run, batch)
    count = len(batch)
    batch.clear()
    return count
