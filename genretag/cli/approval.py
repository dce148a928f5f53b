"""State a plan before it is written, and ask: yes, no, list, review or page."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.options import ApprovalOptions, ReportOptions
from genretag.cli.output import OutputMode, confirm, format_time
from genretag.cli.plans import rows_in_force
from genretag.cli.policy_text import describe_policy
from genretag.cli.printing import print_rows, stored_summary
from genretag.decisions.policy import Policy
from genretag.text import count, escape_control
from genretag.writing.session import Databases

if TYPE_CHECKING:
    from genretag.decisions.rows import Row
    from genretag.storage.scans import Scan

_QUESTION = "[y]es / [n]o / [l]ist / [r]eview / [h]tml: "
_PAGE = Path("genretag.html")


def can_ask() -> bool:
    """Return whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def approve_plans(
    databases: Databases,
    plans: list[Scan],
    tops: list[Path],
    approval: ApprovalOptions,
    mode: OutputMode,
) -> int:
    """State what would be written below ``tops``, and ask; return the number of writes on a yes.

    Without a yes, return 0. The newest of the plans that covers a file holds for it.
    """

    def rows() -> Iterator[Row]:
        return (r for _, _, r in rows_in_force(databases, plans, tops))

    policies = (Policy.from_dict(plan.policy) for plan in plans)
    noun = "genre" if all(policy.writes_genre_alone for policy in policies) else "file"
    while True:
        written = _state_plans(databases, plans, tops, mode)
        if written == 0:
            if not mode.quiet:
                print("nothing to write", file=sys.stderr)
            return 0
        if approval.dry_run or approval.yes or not can_ask():
            return written if confirm(written, approval, noun=noun) else 0
        answer = _ask(written, noun)
        if answer == "l":
            print_rows(rows, ReportOptions(), OutputMode(plain=mode.plain), everything=True)
        elif answer == "r":
            _review(databases, plans, tops)
        elif answer == "h":
            _write_page(databases, plans, tops)
        else:
            return written if answer == "y" else 0


def _ask(written: int, noun: str) -> str:
    """Ask until there is an answer that is known, and return its first letter; Enter means no."""
    while True:
        print(f"write {count(written, noun)}? {_QUESTION}", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return "n"
        word = line.strip().casefold() or "no"
        match = [name for name in ("yes", "no", "list", "review", "html") if name.startswith(word)]
        if match:
            return match[0][0]


def _state_plans(
    databases: Databases, plans: list[Scan], tops: list[Path], mode: OutputMode
) -> int:
    """Print what each plan would write and by which rules; return the number of writes."""
    if mode.quiet and len(plans) == 1 and not tops:
        # Counting in SQL spares reading a million rows that nobody will see.
        return databases.store.open_writes(plans[0].run)

    writes = _stored_writes(databases, plans, tops) or _count_writes(databases, plans, tops)
    total = sum(writes.files.values())
    if mode.quiet or total == 0:
        return total
    for plan in plans:
        if writes.files[plan.run]:
            print(_describe_plan(databases, plan), file=sys.stderr)
    verb = "replaces" if writes.replaced == 1 else "replace"
    parts = [count(n, name) for name, n in writes.fields.items()] or [count(total, "file")]
    print(
        f"{', '.join(parts)} to write; {writes.replaced:,} of them {verb} an existing genre",
        file=sys.stderr,
    )
    return total


@dataclass
class _Writes:
    """What is still to be written of plans."""

    files: Counter[int]  # run of the plan -> files
    fields: Counter[str]  # field -> files
    replaced: int = 0  # files whose genre is replaced


def _stored_writes(databases: Databases, plans: list[Scan], tops: list[Path]) -> _Writes | None:
    """Return the writes of a whole plan from its stored totals; None if they do not hold."""
    from genretag.report.summary import REPLACED

    if len(plans) > 1 or tops:
        return None
    run = plans[0].run
    summary = stored_summary(databases, run)
    # The totals have the rows that were written since, too.
    if summary is None or summary.changed != databases.store.open_writes(run):
        return None
    return _Writes(Counter({run: summary.changed}), summary.changed_fields, summary.risks[REPLACED])


def _count_writes(databases: Databases, plans: list[Scan], tops: list[Path]) -> _Writes:
    """Return the writes of plans by reading their rows."""
    from genretag.decisions.fields import EVIDENCE
    from genretag.report.selection import replaces_genre

    writes = _Writes(Counter(), Counter())
    for plan, _, row in rows_in_force(databases, plans, tops, open_writes=True):
        writes.files[plan.run] += 1
        writes.replaced += replaces_genre(row)
        writes.fields.update(name for name in row.writes if name != EVIDENCE)
    return writes


def _model_name(databases: Databases, plan: Scan) -> str:
    """Return name and version of a plan's model, or its id if they are not known any more."""
    text = databases.store.model_metadata(plan.model) if plan.model else None
    if text is None:
        return plan.model or "none"
    data = json.loads(text)
    return f"{data.get('name', '')} {data.get('version', '')}".strip() or str(plan.model)


def _describe_plan(databases: Databases, plan: Scan) -> str:
    """Return a plan's scan, date, folders, model and rules in one or two lines."""
    run = databases.journal.run(plan.run)
    when = f", {format_time(run.began)}" if run is not None else ""
    kind = run.kind if run is not None else "scan"
    places = ", ".join(map(escape_control, plan.places)) or "folders unknown"
    rules = escape_control(describe_policy(Policy.from_dict(plan.policy))) or "the defaults"
    model = escape_control(_model_name(databases, plan))
    return f"plan {plan.run} ({kind}{when}): {places}\nmodel: {model}; rules: {rules}"


def _review(databases: Databases, plans: list[Scan], tops: list[Path]) -> None:
    """Ask about the unsure tracks of the plans in force."""
    from genretag.cli.review import review_of
    from genretag.cli.review_screen import ask

    review = review_of(databases, plans, tops)
    if review is None:
        print("no track is unsure", file=sys.stderr)
    else:
        ask(review)


def _write_page(databases: Databases, plans: list[Scan], tops: list[Path]) -> None:
    """Write the plans in force as a page into the current folder."""
    from genretag.cli.page import write_page

    write_page(databases, plans, tops, _PAGE)
    print(f"wrote {_PAGE}", file=sys.stderr)
