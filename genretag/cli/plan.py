"""``genretag plan``: decide again from the stored analyses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from genretag.cli.deciding import decide_again
from genretag.cli.option_groups import OUTPUT, one_call
from genretag.cli.options import Database, Paths, ReportOptions, ResetRules, RunNumber
from genretag.cli.output import output_mode
from genretag.cli.plans import absolute_paths, plans_in_force
from genretag.cli.policy_options import PolicyOptions, default_policy
from genretag.cli.policy_text import describe_policy
from genretag.cli.printing import print_plan
from genretag.decisions.policy import Policy
from genretag.writing.session import open_databases


def plan(
    context: typer.Context,
    policy: PolicyOptions,
    report: ReportOptions,
    paths: Paths = None,
    explain: Annotated[
        Path | None,
        one_call(
            "--explain",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            show_default=False,
            help="Show each step of one file's decision.",
        ),
    ] = None,
    reset_rules: ResetRules = False,
    run: RunNumber = None,
    db: Database = None,
) -> None:
    """Decide again from the stored analyses, without decoding any music.

    Try other genre names, another threshold or another rule. The rules of the
    plan hold where no option changes them. The new plan replaces the old one, and genretag apply
    writes it. With paths, it is a plan of the files below them; other files keep theirs.

    Examples:
      genretag plan --min-confidence 0.9
      genretag plan ~/Music/Jazz --existing replace --top 2
      genretag plan --explain ~/Music/track.mp3
    """
    with open_databases(db) as databases:
        tops = absolute_paths(paths)
        plans = plans_in_force(databases, tops, run)
        base = default_policy() if reset_rules else Policy.from_dict(plans[0].policy)
        rules = policy.changed_policy(base, context)
        if explain is not None:
            from genretag.cli.explain import explain_file

            explain_file(databases, plans[0], rules, explain, json=report.json)
            return
        mode = output_mode(context)
        made = decide_again(databases, plans, rules, tops, quiet=mode.quiet)
        if not mode.quiet and (flags := describe_policy(rules)):
            print(f"decided by: {flags}", file=sys.stderr)
        failed = print_plan(databases, made, report, mode)
    raise typer.Exit(1 if failed else 0)
