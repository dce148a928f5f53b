"""``genretag audit``: the tags that are most likely wrong, from stored scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag import atomic
from genretag.cli.option_groups import FILES, OUTPUT, one_call, output_file
from genretag.cli.options import Database, Json
from genretag.cli.output import (
    PAGE_SUFFIXES,
    PLAYLIST_SUFFIXES,
    OutputMode,
    check_page_name,
    file_progress,
    is_page,
    message_console,
    output_mode,
)
from genretag.cli.pager import paged_console
from genretag.cli.plans import NOTHING_ANALYSED, absolute_paths
from genretag.decisions.policy import Policy
from genretag.errors import UsageError
from genretag.storage.protection import read_protection
from genretag.text import count
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import IO

    from genretag.decisions.audit import Audit, Finding
    from genretag.decisions.rows import Row
    from genretag.storage.scans import Scan
    from genretag.writing.session import Databases

_MAX_ROWS = 50  # tags that are listed without --all
_TABLES = (".csv", ".json", ".jsonl")


def audit(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]",
            show_default=False,
            help="Music folders or files; otherwise those of the last plan.",
        ),
    ] = None,
    below: Annotated[
        float,
        one_call(
            "--below",
            metavar="P",
            min=0.0,
            max=1.0,
            rich_help_panel=FILES,
            help="List tags less likely than this (0 to 1).",
        ),
    ] = 0.1,
    again: Annotated[
        bool,
        one_call(
            "--again",
            rich_help_panel=FILES,
            help="Also list tracks that were answered in a review.",
        ),
    ] = False,
    review: Annotated[
        bool,
        one_call(
            "--review",
            rich_help_panel=OUTPUT,
            help="Go through the tags: keep, take the model's, or type one.",
        ),
    ] = False,
    everything: Annotated[
        bool, one_call("--all", rich_help_panel=OUTPUT, help="List every tag, however many.")
    ] = False,
    html: Annotated[
        bool,
        one_call("--html", rich_help_panel=OUTPUT, help="Write a page to check and change tags."),
    ] = False,
    output: Annotated[
        Path | None,
        output_file(
            show_default="audit.html with --html",
            help="Write a .html, .csv, .jsonl or .m3u8 file.\n\n"
            "- is standard output: JSON lines, or the page with --html.",
        ),
    ] = None,
    json: Json = False,
    db: Database = None,
) -> None:
    """List the tags that are most likely wrong; decode no music.

    Each tag is judged by the stored scores of its track, and by the other tracks of its album.
    Genres that the model does not know are left out, and counted; finer ones are judged by their
    parent. With --review you decide on each: what you keep is not listed again, and genretag apply
    writes the rest. No music file is changed here.

    Examples:
      genretag audit
      genretag audit --review
      genretag audit --html
      genretag audit ~/Music/Jazz --below 0.02 --all
      genretag audit -O suspects.csv
    """
    mode, target = output_mode(context), output or (Path("audit.html") if html else None)
    _check_target(target, html)
    with open_databases(db) as databases:
        plans = _plans_with_scores(databases)
        tops = _places(databases, plans, paths)
        found = _run_audit(databases, plans[0], tops, below, mode, again=again)
        if review:
            _review(databases, plans, found.findings, paths, mode)
        elif html or is_page(target):
            _write_page(databases, plans, found.findings, target or Path("-"))
        elif json or target == Path("-"):
            from genretag.report.suspects import write_findings_json

            write_findings_json(found.findings, sys.stdout)
        elif target is not None:
            _write_file(found.findings, target)
        elif not mode.quiet:
            _print_audit(found, mode, everything=everything)
        if not (mode.quiet or review):
            _print_summary(found, below, target, listed=everything)


def _check_target(target: Path | None, html: bool) -> None:
    """Raise ``UsageError`` unless a file name says which format to write."""
    if target is None or target == Path("-"):
        return
    if html:
        check_page_name(target)
    known = (*PAGE_SUFFIXES, *_TABLES, *PLAYLIST_SUFFIXES)
    if target.suffix.lower() not in known:
        raise UsageError(
            f"{target}: the file name must end in {', '.join(known[:-1])} or {known[-1]}"
        )


def _plans_with_scores(databases: Databases) -> list[Scan]:
    """Return the plans whose model is known, the newest first.

    Raises:
        UsageError: there is none.
    """
    store = databases.store
    plans = [p for p in store.complete_scans() if store.model_metadata(p.model or "") is not None]
    if not plans:
        raise UsageError(NOTHING_ANALYSED)
    return plans


def _places(databases: Databases, plans: list[Scan], paths: list[Path] | None) -> list[Path]:
    """Return the given paths, else the places of the newest plan that can be reached now.

    Raises:
        UsageError: a path does not exist, or there is no place.
    """
    from genretag.writing.moved import scanned_places

    for path in paths or ():
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder")
    if paths:
        return absolute_paths(paths)
    stored = [place for place in plans[0].places if place.exists()]
    places = stored or scanned_places(databases.journal)
    if not places:
        raise UsageError("none of the scanned folders is there; genretag audit FOLDER names one")
    return places


def _run_audit(
    databases: Databases,
    plan: Scan,
    tops: list[Path],
    below: float,
    mode: OutputMode,
    *,
    again: bool,
) -> Audit:
    """Audit the tags below some paths by the rules of a plan, with progress."""
    from dataclasses import replace

    from genretag.evaluation.audit import audit_tags
    from genretag.scan.replan import metadata_of

    policy = replace(Policy.from_dict(plan.policy), protect=read_protection())
    metadata = metadata_of(databases.store, plan)
    with file_progress(None, quiet=mode.quiet) as progress:
        return audit_tags(
            databases.store,
            metadata,
            policy,
            tops,
            databases.journal,
            below=below,
            again=again,
            on_file=progress.advance,
        )


def _planned(
    databases: Databases, plans: list[Scan], finding: Finding
) -> tuple[Scan, int, Row] | None:
    """Return the newest plan that has a row of a finding's file, with the row and its place."""
    from genretag.decisions.rows import Row

    for plan in plans:
        stored = databases.store.planned_row(plan.run, Path(finding.path))
        if stored is not None:
            return plan, stored[0], Row.from_dict(stored[1])
    return None


def _review(
    databases: Databases,
    plans: list[Scan],
    findings: list[Finding],
    paths: list[Path] | None,
    mode: OutputMode,
) -> None:
    """Ask about each finding, and store the answers in the plan and the journal.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    from genretag.cli.review import print_next_steps
    from genretag.report.suspects import doubt
    from genretag.review.questions import Question, Review
    from genretag.scan.replan import metadata_of

    planned = ((finding, _planned(databases, plans, finding)) for finding in findings)
    questions = [
        Question(place[1], place[2], place[0].run, doubt(finding))
        for finding, place in planned
        if place is not None and place[2].scores
    ]
    if not questions:
        print("no tag is that unlikely", file=sys.stderr)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"{count(len(questions), 'tag')}, but --review needs a terminal to ask on")
    from genretag.cli.review_screen import ask

    newest = plans[0]
    policy, labels = Policy.from_dict(newest.policy), metadata_of(databases.store, newest).labels
    answers = Review(databases, newest.run, policy, questions, labels)
    ask(answers)
    if not mode.quiet:
        print_next_steps(answers, len(questions), None, _apply_command(paths))


def _apply_command(paths: list[Path] | None) -> str:
    """Return the command that writes the answers below some paths."""
    import shlex

    return shlex.join(["genretag", "apply", *map(str, paths or ())])


def _write_page(
    databases: Databases, plans: list[Scan], findings: list[Finding], target: Path
) -> None:
    """Write the page of the findings; nothing on it is written before the user chooses."""
    from dataclasses import replace

    from genretag.cli.page import write_page_of
    from genretag.report.suspects import page_reason

    rows: list[tuple[Scan, Row]] = []
    for finding in findings:
        if (place := _planned(databases, plans, finding)) is not None:
            plan, _, row = place
            reason = page_reason(finding)
            kept = replace(row, action="keep", new=row.old, reason=reason, error=None, fields={})
            rows.append((plan, kept))
    shown = list({plan.run: plan for plan, _ in rows}.values()) or plans[:1]
    why = "These tags are probably wrong. Nothing is written before you change it here."
    write_page_of(databases, shown, rows, target, "genretag: tags to check", why)


def _write_file(findings: list[Finding], output: Path) -> None:
    """Write findings in the format of the file's extension.

    Raises:
        RunError: the file cannot be written.
    """
    from genretag.report.suspects import write_findings_csv, write_findings_json

    suffix = output.suffix.lower()
    if suffix in PLAYLIST_SUFFIXES:
        from genretag.report.playlists import write_playlist

        write_playlist(map(_as_row, findings), output)
        return
    write: Callable[[Iterable[Finding], IO[str]], None] = (
        write_findings_csv if suffix == ".csv" else write_findings_json
    )
    with (
        atomic.output(output, "the audit") as part,
        part.open("w", newline="", encoding="utf-8") as out,
    ):
        write(findings, out)


def _as_row(finding: Finding) -> Row:
    """Return a row that names the finding's file, for a playlist."""
    from genretag.decisions.rows import unanalysed_row

    return unanalysed_row(Path(finding.path))


def _print_audit(found: Audit, mode: OutputMode, *, everything: bool) -> None:
    """Print the findings as a table or as sentences."""
    from genretag.report.suspects import print_findings, sentence

    findings = found.findings if everything else found.findings[:_MAX_ROWS]
    if not findings:
        return
    if mode.plain:
        for finding in findings:
            print(sentence(finding))
        return
    with paged_console(wanted=everything) as console:
        print_findings(console, findings)
        console.print()


def _print_summary(found: Audit, below: float, output: Path | None, *, listed: bool) -> None:
    """Print what was judged and left out, and where the rest of the list is."""
    from genretag.report.suspects import summary_lines

    out = message_console()
    for line in summary_lines(found, below):
        out.print(line)
    if output is not None:
        out.print(f"wrote {output}")
    elif not listed and len(found.findings) > _MAX_ROWS:
        more = count(len(found.findings) - _MAX_ROWS, "more tag")
        out.print(f"{more}: genretag audit --all")
