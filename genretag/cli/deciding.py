"""Decide stored plans again, by other rules and from stored scores."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.output import file_progress
from genretag.cli.plans import rows_in_force, total_rows
from genretag.decisions.policy import Policy
from genretag.writing.session import Databases

if TYPE_CHECKING:
    from genretag.storage.scans import Scan


def decide_again(
    databases: Databases,
    plans: list[Scan],
    policy: Policy,
    tops: list[Path],
    *,
    aside: bool = False,
    quiet: bool = False,
) -> int:
    """Make a new plan of what ``plans`` hold below ``tops``, from stored scores; return its run.

    ``aside``: it becomes the plan to apply only by ``keep_plan``.
    """
    import genretag
    from genretag.scan.replan import replan_rows

    run = databases.journal.begin("plan", genretag.__version__, policy.to_dict())
    places = tops or plans[0].places
    store, past = databases.store, databases.journal
    newest = next((plan for plan in plans if plan.model), plans[0])
    total = total_rows(databases, plans, tops)
    with file_progress(total, quiet=quiet) as progress:
        in_force = progress.counted(rows_in_force(databases, plans, tops))
        rows = ((plan, row) for plan, _, row in in_force)
        count = replan_rows(
            store,
            rows,
            newest,
            policy,
            run,
            past,
            places,
            aside=aside,
            on_phase=progress.describe,
        )
    databases.journal.end(run, {"files": count})
    return run


@contextlib.contextmanager
def provisional_plan(databases: Databases, run: int) -> Iterator[Callable[[], None]]:
    """Set a plan aside and yield what keeps it; without that call it is deleted at the end."""
    kept = False

    def keep() -> None:
        nonlocal kept
        databases.store.set_aside(run, False)
        kept = True

    databases.store.set_aside(run, True)
    try:
        yield keep
    finally:
        if not kept:
            databases.store.delete_plan(run)
