"""``genretag apply``: write a plan exactly as it was shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.approval import approve_plans
from genretag.cli.cluster import import_results
from genretag.cli.deciding import decide_again, provisional_plan
from genretag.cli.notify import Written, notifying
from genretag.cli.options import (
    ApprovalOptions,
    Database,
    NotifyServers,
    PlanJson,
    PreserveTimes,
    ReportOptions,
    ResetRules,
    RunNumber,
)
from genretag.cli.output import OutputMode, output_mode
from genretag.cli.plans import absolute_paths, plans_in_force, rows_below, rows_in_force, rows_of
from genretag.cli.policy_options import PolicyOptions, default_policy, flag_of
from genretag.cli.printing import print_plan, print_rows
from genretag.cli.scan_options import Jobs, parse_jobs
from genretag.cli.settings import shared_value
from genretag.cli.writes import write_all, write_options, write_plan
from genretag.decisions.policy import WRITE_FIELDS, Policy
from genretag.errors import UsageError
from genretag.writing.session import Databases, open_databases

if TYPE_CHECKING:
    from genretag.cli.plans import NumberedRow
    from genretag.storage.scans import Scan
    from genretag.writing.apply import PlannedWrite

_PLAN_SUFFIXES = (".jsonl", ".json")
_PAGE_SUFFIXES = (".html", ".htm")


def apply(
    context: typer.Context,
    policy: PolicyOptions,
    approval: ApprovalOptions,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PLAN.jsonl|RESULTS] [PATH...]",
            help="Another plan; only these paths.\n\n"
            "A plan is a .jsonl file, or results of scan --engine ray.",
        ),
    ] = None,
    json: PlanJson = False,
    preserve_mtimes: PreserveTimes = False,
    notify: NotifyServers = None,
    jobs: Jobs = "auto",
    reset_rules: ResetRules = False,
    run: RunNumber = None,
    db: Database = None,
) -> None:
    """Write the plan of the last scan, exactly as it was shown.

    With paths, the newest plan that covers each file holds, and all is written as one run. With
    an option that decides what to write, such as --min-confidence, genretag first makes and shows
    a new plan from the stored analyses; it replaces the stored plan only when you agree to write
    it. Settings in config.toml and GENRETAG_ variables never change a plan here. A plan that is
    given as a file is written as it is. Files that changed since the scan are left alone and
    reported.

    Examples:
      genretag apply
      genretag apply ~/Music/Jazz --yes
      genretag apply plan.jsonl --dry-run
      genretag apply --notify navidrome
    """
    mode, workers = output_mode(context), parse_jobs(jobs)
    with (
        notifying(notify, approval, mode, times_kept=preserve_mtimes) as written,
        open_databases(db) as databases,
    ):
        plan_file, tops = _plan_and_paths(import_results(databases, paths or [], mode.quiet))
        if plan_file is not None:
            if reset_rules or run is not None:
                raise UsageError(f"{plan_file.name} is a plan; leave --reset-rules and --run out")
            rules = _policy_of_given_plan(context, plan_file, policy)
            rows = rows_below(_read_plan_rows(plan_file), tops)
            how = write_options(rules, preserve_mtimes)
            failed = write_plan(databases, None, rows, how, approval, mode, workers, written)
        else:
            plans = plans_in_force(databases, tops, run)
            writer = PlanWriter(databases, tops, approval, mode, preserve_mtimes, workers, written)
            report = ReportOptions(json=json)
            if reset_rules or policy.vocabulary is not None or policy.to_fields(context):
                failed = _apply_by_new_rules(context, writer, plans, policy, report, reset_rules)
            else:
                if json or (approval.dry_run and not mode.quiet):
                    shown = OutputMode(mode.quiet) if json else mode
                    print_rows(lambda: rows_of(databases, plans, tops), report, shown)
                failed = writer.write(plans)
    raise typer.Exit(1 if failed else 0)


@dataclass(frozen=True)
class PlanWriter:
    """How stored plans are approved and written."""

    databases: Databases
    tops: list[Path]
    approval: ApprovalOptions
    mode: OutputMode
    preserve_mtimes: bool
    jobs: int
    written: Written

    def write(
        self,
        plans: list[Scan],
        on_yes: Callable[[], None] = lambda: None,
        rules: Policy | None = None,
    ) -> int:
        """Ask, and write the plans on a yes; return the number of failed files.

        ``rules`` replace those of the plans in how files are written.
        """
        databases, tops = self.databases, self.tops
        total = approve_plans(databases, plans, tops, self.approval, self.mode)
        if not total:
            return 0
        on_yes()
        writes = self._writes(plans, rules)
        runs = [plan.run for plan in plans]
        return write_all(databases, writes, total, runs, self.mode, self.jobs, self.written)

    def _writes(self, plans: list[Scan], rules: Policy | None) -> Iterator[PlannedWrite]:
        """Yield what the plans in force would write, each by the rules of its plan."""
        from genretag.writing.apply import PlannedWrite

        how = {
            plan.run: write_options(rules or Policy.from_dict(plan.policy), self.preserve_mtimes)
            for plan in plans
        }
        found = rows_in_force(self.databases, plans, self.tops, open_writes=True)
        return (PlannedWrite(row, how[plan.run], plan.run, n) for plan, n, row in found)


def _apply_by_new_rules(
    context: typer.Context,
    writer: PlanWriter,
    plans: list[Scan],
    options: PolicyOptions,
    report: ReportOptions,
    reset: bool,
) -> int:
    """Decide plans again, show the new one, and write it; without a yes the stored ones stay."""
    databases, tops = writer.databases, writer.tops
    base = default_policy() if reset else Policy.from_dict(plans[0].policy)
    rules = options.changed_policy(base, context)
    run = decide_again(databases, plans, rules, tops, aside=True, quiet=writer.mode.quiet)
    try:
        with provisional_plan(databases, run) as keep:
            print_plan(databases, run, report, writer.mode)
            made = databases.store.scan(run)
            return writer.write([made] if made is not None else [], keep, rules)
    finally:
        # Looking leaves no trace in the history.
        if databases.store.scan(run) is None:
            databases.journal.forget_run(run)


def _plan_and_paths(paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """Return the plan file, if one was given, and the other paths.

    Raises:
        UsageError: there are two plans, or a report that is no plan.
    """
    from genretag.report.formats import WRITERS

    plans = [p for p in paths if p.suffix.lower() in _PLAN_SUFFIXES]
    if len(plans) > 1:
        raise UsageError("give one plan at a time")
    tops = absolute_paths(p for p in paths if p not in plans)
    reports = (WRITERS.keys() | set(_PAGE_SUFFIXES)) - set(_PLAN_SUFFIXES)
    for path in tops:
        if path.suffix.lower() in reports:
            raise UsageError(
                f"{path.name}: only a .jsonl file is a plan (genretag report -O plan.jsonl)"
            )
    return (plans[0] if plans else None), tops


def _policy_of_given_plan(context: typer.Context, plan: Path, options: PolicyOptions) -> Policy:
    """Return how a given plan is written: by flags, else by settings.

    Raises:
        UsageError: an option would decide again what to write.
    """
    requested = options.to_fields(context)
    deciding = [name for name in requested if name not in WRITE_FIELDS]
    if options.vocabulary is not None:
        deciding.append("vocabulary")
    if deciding:
        raise UsageError(
            f"{', '.join(map(flag_of, deciding))}: {plan.name} is written as it stands;"
            " leave the option out, or leave the plan out to decide again"
        )
    # apply ignores settings for its options, so those of all commands are looked up here.
    settings = {name: shared_value(flag_of(name)) for name in WRITE_FIELDS}
    return Policy.from_dict({k: v for k, v in settings.items() if v is not None} | requested)


def _read_plan_rows(path: Path) -> list[NumberedRow]:
    """Return the rows of a plan file that write something."""
    from genretag.report.formats import read_plan

    return [(None, row) for row in read_plan(path) if row.writes]
