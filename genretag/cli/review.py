"""``genretag review``: choose the genre of unsure tracks in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.options import FILES, OUTPUT, Database, Paths, one_call
from genretag.cli.output import output_mode
from genretag.cli.plans import NOTHING_ANALYSED, absolute_paths, last_scan, plan_rows
from genretag.errors import UsageError
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.review.questions import Review


def review(
    context: typer.Context,
    paths: Paths = None,
    output: Annotated[
        Path | None,
        one_call(
            "-O",
            "--output",
            metavar="FILE",
            rich_help_panel=OUTPUT,
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
    from genretag.decisions.policy import Policy
    from genretag.library.walk import below
    from genretag.report.formats import is_stdout, write_report
    from genretag.review.questions import Review, questions_from_rows
    from genretag.scan.replan import metadata_of
    from genretag.text import count

    if output is not None and not is_stdout(output) and output.suffix.lower() != ".jsonl":
        raise UsageError(f"{output}: the answers go to a .jsonl file")
    with open_databases(db) as databases:
        last = last_scan(databases, NOTHING_ANALYSED)
        tops = absolute_paths(paths)
        rows = plan_rows(databases, last.run)
        questions = questions_from_rows(
            ((n, r) for n, r in rows if below(r.absolute, tops)),
            again=again,
            named=frozenset(top for top in tops if top.is_file()),
        )
        if not questions:
            print("no track is unsure", file=sys.stderr)
            return
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                f"{count(len(questions), 'unsure track')}, but review needs a terminal to ask on"
                " (genretag playlist --unsure lists them)"
            )
        from genretag.cli.review_screen import ReviewScreen

        policy, labels = Policy.from_dict(last.policy), metadata_of(databases.store, last).labels
        answers = Review(databases, last.run, policy, questions, labels)
        ReviewScreen(answers).run()
        if output is not None:
            labelled = [row for row in answers.answered.values() if row.genre is not None]
            write_report(labelled, output)
    if not output_mode(context).quiet:
        _print_next_steps(answers, len(questions), output)


def _print_next_steps(answers: Review, count: int, output: Path | None) -> None:
    """Print how many questions were answered, and what to do with the answers."""
    answered = len(answers.answered)
    print(
        f"{answered:,} answered, {count - answered:,} left; genretag apply writes the plan",
        file=sys.stderr,
    )
    if answered and output is not None:
        print(f"to train with them: genretag train --from-review {output}", file=sys.stderr)
