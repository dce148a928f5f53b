"""Write the HTML page of plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.output import file_progress, format_time
from genretag.cli.plans import rows_in_force, total_rows
from genretag.cli.policy_text import describe_policy
from genretag.decisions.policy import Policy

if TYPE_CHECKING:
    from genretag.decisions.rows import Row
    from genretag.report.html import PlanRules
    from genretag.storage.scans import Scan
    from genretag.writing.session import Databases


def write_page(
    databases: Databases,
    plans: list[Scan],
    tops: list[Path],
    target: Path,
    chosen: Callable[[Row], bool] = lambda _: True,
    *,
    quiet: bool = False,
) -> None:
    """Write the HTML page of what plans hold below ``tops``, or of the chosen rows."""
    with file_progress(total_rows(databases, plans, tops), quiet=quiet) as progress:
        in_force = progress.counted(rows_in_force(databases, plans, tops))
        rows = ((plan, row) for plan, _, row in in_force if chosen(row))
        write_page_of(databases, plans, rows, target, "genretag: the plan")


def write_page_of(
    databases: Databases,
    plans: list[Scan],
    numbered: Iterable[tuple[Scan, Row]],
    target: Path,
    title: str,
    no_slider: str = "",
) -> None:
    """Write the HTML page of rows, each with its plan.

    ``no_slider``: why the page must not try other thresholds.
    """
    from genretag.report.formats import write_text
    from genretag.report.html import PlanRules, plan_page
    from genretag.scan.replan import metadata_of

    rules = {
        plan.run: PlanRules(metadata_of(databases.store, plan), Policy.from_dict(plan.policy))
        for plan in plans
    }
    rows = ((row, rules[plan.run]) for plan, row in numbered)
    about = _describe_plans(databases, [(plan, rules[plan.run]) for plan in plans])
    past = databases.journal
    runs = (databases.journal.run(plan.run) for plan in plans)
    draft = " ".join(f"{run.id} {run.began}" for run in runs if run is not None)
    by_plan = list(rules.values())
    page = plan_page(databases.store, rows, by_plan, past, title, about, draft, no_slider)
    write_text(target, page)


def _describe_plans(
    databases: Databases, plans: list[tuple[Scan, PlanRules]]
) -> tuple[tuple[str, str], ...]:
    """Return what a page says of its plans, each value with its name."""
    described = [_describe_plan(databases, plan, rules) for plan, rules in plans]
    if len(plans) == 1:
        return tuple(described[0].items())
    return tuple(
        (f"Plan {plan.run}", "; ".join(about.values()))
        for (plan, _), about in zip(plans, described, strict=True)
    )


def _describe_plan(databases: Databases, plan: Scan, rules: PlanRules) -> dict[str, str]:
    """Return the folders, date, model and rules of a plan, each with its name."""
    from genretag.library.urls import home_relative
    from genretag.text import escape_control
    from genretag.writing.moved import scanned_places

    run = databases.journal.run(plan.run)
    places = plan.places or scanned_places(databases.journal)
    about = {
        "Folder" if len(places) == 1 else "Folders": ", ".join(map(home_relative, places)),
        "Date": format_time(run.began if run else None),
        "Model": f"{rules.metadata.name} {rules.metadata.version}",
        "Rules": describe_policy(rules.policy) or f"defaults (threshold {rules.threshold:g})",
    }
    return {name: escape_control(value) for name, value in about.items() if value}
