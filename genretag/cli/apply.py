"""``genretag apply`` and ``genretag undo``: write a plan exactly, and take back what was written."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.cli import clustering, rules, session
from genretag.cli.reporting import last_scan, plan_rows, report
from genretag.decisions.policy import Policy
from genretag.errors import UsageError
from genretag.library.walk import below, on_disk_case

if TYPE_CHECKING:
    from genretag.decisions.plan import Row
    from genretag.storage.cache import Scan
    from genretag.writing.apply import Result
    from genretag.writing.replace import WriteOptions

Numbered = tuple[int | None, "Row"]


def manner(policy: Policy, preserve_mtimes: bool) -> WriteOptions:
    """Return how files are to be written."""
    from genretag.tags import TagOptions
    from genretag.writing.replace import WriteOptions

    return WriteOptions(
        preserve_mtimes,
        TagOptions(policy.convert_v22, policy.id3.number),
        policy.hardlinks,
        rules.protection(),
    )


def apply(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Only what lies below these; and a plan, PLAN.jsonl, or results of --engine ray, instead of the last scan.",
            metavar="[PLAN.jsonl|RESULTS] [PATH...]",
        ),
    ] = None,
    min_confidence: session.MinConfidence = None,
    existing: rules.ExistingOption = None,
    skip_existing: rules.Skip = False,
    force: rules.Force = False,
    keep_existing: rules.Keep = False,
    top: rules.Top = None,
    vote: rules.Vote = None,
    album: rules.Album = None,
    coarsen: rules.Coarsen = None,
    vocabulary: rules.VocabularyFile = None,
    separator: rules.Separator = None,
    player: rules.PlayerOption = None,
    id3v2_version: rules.Id3 = None,
    dry_run: session.DryRun = False,
    yes: session.Yes = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the plan as one JSON object a line.")
    ] = False,
    preserve_mtimes: Annotated[
        bool,
        typer.Option(
            "-p",
            "--preserve-mtimes",
            help="Keep files' times. Players find changes by them, so the default is not to.",
        ),
    ] = False,
    hardlinks: rules.Links = None,
    convert_v22: rules.ConvertV22 = None,
    jobs: session.Jobs = "auto",
    db: session.Database = None,
) -> None:
    """Write the plan of the last scan, exactly, without listening again.

    With --min-confidence, --existing, --top, --vote, --album or --vocabulary it first decides again from what was
    heard, and shows the new plan. A plan that is given as a file is written as it stands, below the paths beside it.
    A file that changed since the scan is left alone, and that is said.
    """
    quiet, workers = session.is_quiet(context), session.jobs_of(jobs)
    with session.open_databases(db) as databases:
        given, tops = _plan_and_places(clustering.take_results(databases, paths or [], quiet))
        asked = {
            "min_confidence": min_confidence,
            "existing": rules.existing_of(context, existing, skip_existing, force, keep_existing),
            "top": top,
            "vote": vote,
            "hardlinks": hardlinks,
            "album": album,
            "coarsen": coarsen,
            "separator": separator,
            "player": player,
            "id3_version": id3v2_version,
            "convert_v22": convert_v22,
        }
        if given is not None:
            how = manner(_manner_alone(given, vocabulary, asked), preserve_mtimes)
            rows = rows_below(_given(given), tops)
            failed = perform(
                databases, None, rows, how, yes=yes, dry_run=dry_run, quiet=quiet, jobs=workers
            )
            raise typer.Exit(1 if failed else 0)
        last = last_scan(databases)
        run, policy = last.run, Policy.from_dict(last.policy)
        if vocabulary is not None or any(x is not None for x in asked.values()):
            policy = rules.changed_policy(last.policy, vocabulary, **asked)
            run = decide_again(databases, last, policy)
            report(
                databases, run, json=json, output=None, quiet=quiet, plain=session.is_plain(context)
            )
        elif json:
            report(databases, run, json=True, output=None, quiet=quiet)
        elif dry_run and not quiet:
            report(
                databases,
                run,
                json=False,
                output=None,
                quiet=False,
                plain=session.is_plain(context),
                tops=tops or None,
            )
        if tops:
            _check_places(databases, run, tops)
        todo = rows_below(plan_rows(databases, run, open_writes=True), tops) if tops else None
        how = manner(policy, preserve_mtimes)
        failed = perform(
            databases, run, todo, how, yes=yes, dry_run=dry_run, quiet=quiet, jobs=workers
        )
    raise typer.Exit(1 if failed else 0)


_PLANS = (".jsonl", ".json")
#: What says how a file is written; the rest says what, and a plan that was given has said that already.
_OF_THE_WRITE = frozenset({"hardlinks", "player", "id3_version", "convert_v22"})


def _plan_and_places(paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """Return the plan that was given as a file, if any, and the places that are meant.

    Raises:
        UsageError: there are two plans, or a file that is neither a plan nor music.
    """
    plans = [p for p in paths if p.suffix.lower() in _PLANS]
    if len(plans) > 1:
        raise UsageError("one plan at a time")
    places = [on_disk_case(p).absolute() for p in paths if p not in plans]
    for path in places:
        if path.suffix.lower() in (".csv", ".md", ".html", ".htm"):
            raise UsageError(
                f"{path.name}: a plan that can be given back is a .jsonl file (genretag report -O plan.jsonl)"
            )
    return (plans[0] if plans else None), places


def _manner_alone(plan: Path, vocabulary: Path | None, asked: dict[str, Any]) -> Policy:
    """Return the policy of writing a given plan; refuse what would decide again."""
    deciding = [k for k, v in asked.items() if v is not None and k not in _OF_THE_WRITE] + (
        ["vocabulary"] if vocabulary else []
    )
    if deciding:
        named = ", ".join("--" + k.replace("_", "-") for k in deciding)
        raise UsageError(
            f"{named}: {plan.name} is written as it stands; leave that out, or leave the plan out to decide again"
        )
    return Policy(**{k: v for k, v in asked.items() if v is not None})


def _check_places(databases: session.Databases, run: int, tops: list[Path]) -> None:
    """Raise ``UsageError`` for a place of which the plan knows nothing."""
    unmet = set(tops)
    for _, row in plan_rows(databases, run):
        unmet -= {top for top in unmet if row.absolute.is_relative_to(top)}
        if not unmet:
            return
    raise UsageError(f"{', '.join(map(str, sorted(unmet)))}: the last scan met nothing there")


def decide_again(
    databases: session.Databases, last: Scan, policy: Policy, tops: list[Path] | None = None
) -> int:
    """Make a new plan from the stored scores, and return its run."""
    import genretag
    from genretag.scan.replan import replan

    run = databases.journal.begin("plan", genretag.__version__, policy.to_dict())
    databases.journal.end(
        run, {"files": replan(databases.store, last, policy, run, databases.journal, tops)}
    )
    return run


def plan(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Only what lies below these.", metavar="[PATH...]")
    ] = None,
    min_confidence: session.MinConfidence = None,
    existing: rules.ExistingOption = None,
    skip_existing: rules.Skip = False,
    force: rules.Force = False,
    keep_existing: rules.Keep = False,
    top: rules.Top = None,
    vote: rules.Vote = None,
    album: rules.Album = None,
    coarsen: rules.Coarsen = None,
    vocabulary: rules.VocabularyFile = None,
    separator: rules.Separator = None,
    player: rules.PlayerOption = None,
    id3v2_version: rules.Id3 = None,
    hardlinks: rules.Links = None,
    convert_v22: rules.ConvertV22 = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain",
            help="Show each step for one file, from its windows to the written words.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the plan as one JSON object a line.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-O", "--output", help="Write the whole list to a .csv or .jsonl file."),
    ] = None,
    db: session.Database = None,
) -> None:
    """Decide again from what was heard, without listening: other words, another threshold, another rule.

    The new plan is what genretag apply writes.
    """
    with session.open_databases(db) as databases:
        last = last_scan(databases)
        policy = rules.changed_policy(
            last.policy,
            vocabulary,
            min_confidence=min_confidence,
            top=top,
            vote=vote,
            hardlinks=hardlinks,
            album=album,
            coarsen=coarsen,
            separator=separator,
            player=player,
            id3_version=id3v2_version,
            convert_v22=convert_v22,
            existing=rules.existing_of(context, existing, skip_existing, force, keep_existing),
        )
        if explain is not None:
            from genretag.cli.explaining import explain_file

            explain_file(databases, last, policy, explain, json=json)
            return
        tops = [on_disk_case(p).absolute() for p in paths] if paths else None
        if tops:
            _check_places(databases, last.run, tops)
        run = decide_again(databases, last, policy, tops)
        if not session.is_quiet(context) and (kept := rules.in_force(policy)):
            print(f"decided by: {kept}", file=sys.stderr)
        failed = report(
            databases,
            run,
            json=json,
            output=output,
            quiet=session.is_quiet(context),
            plain=session.is_plain(context),
            tops=tops,
        )
    raise typer.Exit(1 if failed else 0)


def _given(path: Path) -> list[Numbered]:
    """Return the rows of a plan that was given as a file."""
    from genretag.decisions.plan import Action
    from genretag.report.formats import read_plan

    return [(None, row) for row in read_plan(path) if row.action == Action.WRITE and row.new]


def rows_below(rows: Iterable[Numbered], tops: list[Path]) -> list[Numbered]:
    """Return the rows that lie below some paths; all of them where there are none."""
    return [(n, row) for n, row in rows if below(row.absolute, tops)]


def perform(
    databases: session.Databases,
    run: int | None,
    rows: list[Numbered] | None,
    how: WriteOptions,
    *,
    yes: bool,
    dry_run: bool,
    quiet: bool,
    jobs: int = 1,
) -> int:
    """Ask, write, and say what became of it; return how many files failed. ``rows`` None: all of the run's plan."""
    import genretag
    from genretag.writing.apply import apply_rows

    count = len(rows) if rows is not None else databases.store.open_writes(run or 0)
    if count == 0:
        if not quiet:
            print("nothing to write", file=sys.stderr)
        return 0
    if not session.confirmed(count, yes=yes, dry_run=dry_run):
        return 0
    with session.writing(databases):
        number = databases.journal.begin("apply", genretag.__version__, {"plan": run})
        todo = rows if rows is not None else plan_rows(databases, run or 0, open_writes=True)
        counts = apply_rows(
            databases.store, databases.journal, number, todo, how, _tell(quiet, count), run, jobs
        )
        databases.journal.end(number, dict(counts))
    if not quiet:
        back = (
            f" (run {number}; `genretag undo {number}` takes them back)"
            if counts["written"]
            else ""
        )
        print(f"wrote {counts['written']:,} of {count:,} genres{back}", file=sys.stderr)
    if counts["interrupted"]:
        print("stopped; `genretag apply` goes on with the rest", file=sys.stderr)
    return counts["failed"] + counts["interrupted"]


def _tell(quiet: bool, count: int) -> Any:
    """Return a function that says what failed, and on a terminal how far things are."""
    from genretag.library.urls import home_relative

    shows = not quiet and sys.stderr.isatty()
    done = 0

    def tell(result: Result) -> None:
        nonlocal done
        done += 1
        if result.error is not None:
            print(f"left alone: {home_relative(result.path)}: {result.error}", file=sys.stderr)
        elif shows:
            print(
                f"\r{done:,}/{count:,} ",
                end="" if done < count else "\n",
                file=sys.stderr,
                flush=True,
            )

    return tell


def _runs() -> Iterable[tuple[str, str]]:
    """Offer the runs that wrote to the shell, the newest first."""
    with session.open_databases(None) as databases:
        for run in reversed(databases.journal.runs()):
            if run.kind == "apply":
                yield (
                    str(run.id),
                    f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(run.began))}, {run.counts.get('written', 0)} written",
                )


def verify(
    run: Annotated[
        int | None,
        typer.Argument(
            help="The run to check (see history); all of them if not given.", autocompletion=_runs
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    db: session.Database = None,
) -> None:
    """Check that the files are still as they were written, and say what others changed since."""
    import json as json_lib

    from genretag.library.urls import home_relative
    from genretag.text import escape_control
    from genretag.writing.apply import verify_change

    fine = changed = 0
    with session.open_databases(db) as databases:
        for change in databases.journal.changes(run, ("replaced",)):
            verified = verify_change(change)
            fine, changed = (
                fine + (verified.finding is None),
                changed + (verified.finding is not None),
            )
            if json:
                print(
                    json_lib.dumps(
                        {
                            "path": str(verified.path),
                            "genres": verified.genres,
                            "finding": verified.finding,
                        }
                    )
                )
            elif verified.finding:
                print(f"{home_relative(verified.path)}: {escape_control(verified.finding)}")
    print(
        f"{fine:,} of {fine + changed:,} files are as they were written, byte for byte",
        file=sys.stderr,
    )
    raise typer.Exit(1 if changed else 0)


def undo(
    context: typer.Context,
    run: Annotated[
        int | None,
        typer.Argument(
            help="The run to take back (see history); the last one if not given.",
            autocompletion=_runs,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Take back everything that genretag ever wrote.")
    ] = False,
    dry_run: session.DryRun = False,
    yes: session.Yes = False,
    db: session.Database = None,
) -> None:
    """Take back what was written: every byte, and the file's time. The plan holds again afterwards."""
    import genretag
    from genretag.writing.apply import undo_runs

    quiet = session.is_quiet(context)
    with session.open_databases(db) as databases:
        changes = sorted(databases.journal.changes(states=("replaced",)), key=lambda c: -c.id)
        if not everything:
            number = run if run is not None else max((c.run for c in changes), default=0)
            changes = [c for c in changes if c.run == number]
        if not changes:
            raise UsageError(
                f"run {run} has nothing that could be undone" if run else "there is nothing to undo"
            )
        if not session.confirmed(
            len(changes), yes=yes, dry_run=dry_run, verb="put back", noun="file"
        ):
            raise typer.Exit(0)
        with session.writing(databases):
            undoing = databases.journal.begin(
                "undo", genretag.__version__, {"runs": sorted({c.run for c in changes})}
            )
            counts = undo_runs(
                databases.store, databases.journal, undoing, changes, _tell(quiet, len(changes))
            )
            databases.journal.end(undoing, dict(counts))
    if not quiet:
        print(
            f"put back {counts['undone']:,} of {len(changes):,} files, byte for byte",
            file=sys.stderr,
        )
    raise typer.Exit(1 if counts["failed"] or counts["interrupted"] else 0)
