"""``genretag review``: choose the genre of unsure tracks in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.option_groups import FILES, one_call, output_file
from genretag.cli.options import Database, Paths
from genretag.cli.output import output_mode
from genretag.cli.plans import NOTHING_ANALYSED, absolute_paths, plans_in_force, rows_in_force
from genretag.errors import UsageError
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.review.questions import Review
    from genretag.storage.scans import Scan
    from genretag.writing.session import Databases


def review(
    context: typer.Context,
    paths: Paths = None,
    output: Annotated[
        Path | None,
        output_file(
            show_default=False,
            help="Write the answers to this .jsonl file.\n\nFor genretag train --from-review.",
        ),
    ] = None,
    again: Annotated[
        bool,
        one_call(
            "--again",
            rich_help_panel=FILES,
            help="Also ask about tracks that were answered before.",
        ),
    ] = False,
    db: Database = None,
) -> None:
    """Go through the unsure tracks and choose their genres by key.

    Choose a likely genre, page through all labels, or type genres with ; between them (Tab
    completes). Say that a track is not music, or never to ask again; play it, skip it, or go
    back. A file that is given by name is asked about in any case, and a new answer corrects an
    earlier one. The answers become part of the plan, which genretag apply writes, and can train
    a model. No music file is changed here.

    Examples:
      genretag review
      genretag review --again
      genretag review ~/Music/New -O answers.jsonl
    """
    from genretag.report.formats import is_stdout, write_report
    from genretag.text import count

    if output is not None and not is_stdout(output) and output.suffix.lower() != ".jsonl":
        raise UsageError(f"{output}: the answers go to a .jsonl file")
    with open_databases(db) as databases:
        tops = absolute_paths(paths)
        plans = plans_in_force(databases, tops, missing=NOTHING_ANALYSED)
        answers = review_of(databases, plans, tops, again=again)
        if answers is None:
            print("no track is unsure", file=sys.stderr)
            return
        questions = answers.questions
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                f"{count(len(questions), 'unsure track')}, but review needs a terminal to ask on"
                " (genretag playlist --unsure lists them)"
            )
        from genretag.cli.review_screen import ask

        ask(answers)
        if output is not None:
            labelled = [row for row in answers.answered.values() if row.genre is not None]
            write_report(labelled, output)
    if not output_mode(context).quiet:
        print_next_steps(answers, len(questions), output)


def review_of(
    databases: Databases, plans: list[Scan], tops: list[Path], *, again: bool = False
) -> Review | None:
    """Return the questions on what plans hold below ``tops``; None if no track is unsure."""
    from genretag.decisions.policy import Policy
    from genretag.review.questions import Question, Review, by_confidence, is_open
    from genretag.scan.replan import metadata_of

    named = frozenset(top for top in tops if top.is_file())
    questions = by_confidence(
        Question(ordinal, row, plan.run)
        for plan, ordinal, row in rows_in_force(databases, plans, tops)
        if is_open(row, again, named)
    )
    if not questions:
        return None
    newest = plans[0]
    policy, labels = Policy.from_dict(newest.policy), metadata_of(databases.store, newest).labels
    return Review(databases, newest.run, policy, questions, labels)


def print_next_steps(
    answers: Review, count: int, output: Path | None, command: str = "genretag apply"
) -> None:
    """Print how many questions were answered, and what to do with the answers.

    ``command`` writes the plan.
    """
    answered = len(answers.answered)
    print(
        f"{answered:,} answered, {count - answered:,} left; {command} writes the plan",
        file=sys.stderr,
    )
    if answered and output is not None:
        print(f"to train with them: genretag train --from-review {output}", file=sys.stderr)
