"""``genretag apply``: write a plan exactly as it was shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.cluster import import_results
from genretag.cli.options import (
    OUTPUT,
    ApprovalOptions,
    Database,
    Jobs,
    PolicyOptions,
    PreserveTimes,
    ReportOptions,
    flag_of,
    one_call,
    parse_jobs,
)
from genretag.cli.output import OutputMode, output_mode
from genretag.cli.plans import (
    absolute_paths,
    check_paths_in_plan,
    decide_again,
    last_scan,
    plan_rows,
    print_plan,
    rows_below,
    write_options,
    write_plan,
)
from genretag.cli.settings import shared_value
from genretag.decisions.policy import WRITE_FIELDS, Policy
from genretag.errors import UsageError
from genretag.writing.session import Databases, open_databases

if TYPE_CHECKING:
    from genretag.cli.plans import NumberedRow

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
    json: Annotated[
        bool, one_call("--json", rich_help_panel=OUTPUT, help="Print the plan as JSON lines.")
    ] = False,
    preserve_mtimes: PreserveTimes = False,
    jobs: Jobs = "auto",
    db: Database = None,
) -> None:
    """Write the plan of the last scan, exactly as it was shown.

    With an option that decides what to write, such as --min-confidence, genretag first makes
    and shows a new plan from the stored analyses. Settings in config.toml and GENRETAG_ variables
    never change a plan here. A plan that is given as a file is written as it is. Files that
    changed since the scan are left alone and reported.

    Examples:
      genretag apply
      genretag apply ~/Music/Jazz --yes
      genretag apply plan.jsonl --dry-run
    """
    mode, workers = output_mode(context), parse_jobs(jobs)
    with open_databases(db) as databases:
        plan_file, tops = _plan_and_paths(import_results(databases, paths or [], mode.quiet))
        run: int | None = None
        rows: list[NumberedRow] | None
        if plan_file is not None:
            rules = _policy_of_given_plan(context, plan_file, policy)
            rows = rows_below(_read_plan_rows(plan_file), tops)
        else:
            report = ReportOptions(json=json)
            run, rules = _current_plan(context, databases, policy, approval, report, tops)
            if tops:
                check_paths_in_plan(databases, run, tops)
            rows = rows_below(plan_rows(databases, run, open_writes=True), tops) if tops else None
        how = write_options(rules, preserve_mtimes)
        failed = write_plan(databases, run, rows, how, approval, mode, workers)
    raise typer.Exit(1 if failed else 0)


def _current_plan(
    context: typer.Context,
    databases: Databases,
    options: PolicyOptions,
    approval: ApprovalOptions,
    report: ReportOptions,
    tops: list[Path],
) -> tuple[int, Policy]:
    """Return the run and the policy of the plan to write; show it where that was requested."""
    mode, last = output_mode(context), last_scan(databases)
    policy = Policy.from_dict(last.policy)
    if options.vocabulary is not None or options.to_fields(context):
        policy = options.changed_policy(policy, context)
        run = decide_again(databases, last, policy)
        print_plan(databases, run, report, mode)
        return run, policy
    if report.json:
        print_plan(databases, last.run, report, OutputMode(mode.quiet))
    elif approval.dry_run and not mode.quiet:
        print_plan(databases, last.run, report, mode, tops or None)
    return last.run, policy


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
    from genretag.decisions.plan import Action
    from genretag.report.formats import read_plan

    return [(None, row) for row in read_plan(path) if row.action == Action.WRITE and row.new]
