"""``genretag watch``: hear and tag what arrives in a folder, until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import rules, session
from genretag.errors import UsageError

if TYPE_CHECKING:
    from genretag.decisions.policy import Policy
    from genretag.inference.model import Model
    from genretag.writing.replace import WriteOptions


def watch(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder to watch.")],
    settle: Annotated[
        float,
        typer.Option("--settle", min=0.5, help="Seconds without a change before a file is heard."),
    ] = 10.0,
    dry_run: session.DryRun = False,
    min_confidence: session.MinConfidence = None,
    existing: rules.ExistingOption = None,
    top: rules.Top = None,
    vote: rules.Vote = None,
    coarsen: rules.Coarsen = None,
    vocabulary: rules.VocabularyFile = None,
    hardlinks: rules.Links = None,
    separator: rules.Separator = None,
    player: rules.PlayerOption = None,
    id3v2_version: rules.Id3 = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Another model than the default one.", show_default=False),
    ] = None,
    jobs: session.Jobs = "auto",
    preserve_mtimes: Annotated[
        bool, typer.Option("-p", "--preserve-mtimes", help="Keep files' times.")
    ] = False,
    db: session.Database = None,
) -> None:
    """Hear and tag what arrives in a folder once it has settled, until Ctrl-C or SIGTERM. What it wrote itself it leaves alone.

    What came while it did not run is heard at the start.
    """
    from genretag.cli.apply import manner
    from genretag.cli.scan import _load
    from genretag.library.watch import arrivals

    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    policy = rules.first_policy(
        vocabulary,
        min_confidence=min_confidence,
        existing=existing,
        top=top,
        vote=vote,
        coarsen=coarsen,
        hardlinks=hardlinks,
        separator=separator,
        player=player,
        id3_version=id3v2_version,
    )
    workers = session.jobs_of(jobs)
    loaded = _load(model, "auto", workers)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    quiet = session.is_quiet(context)
    if not quiet:
        print(
            f"watching {folder}; what has not changed for {settle:g} s is heard{'' if dry_run else ' and tagged'}",
            file=sys.stderr,
        )
    how = manner(policy, preserve_mtimes)
    for paths in arrivals(folder, settle, stop):
        _round(db, loaded, policy, how, paths, workers, dry_run=dry_run, quiet=quiet)
        if stop.is_set():
            break
    if not quiet:
        print("stopped; the next watch goes on from here", file=sys.stderr)


def _round(
    db: Path | None,
    model: Model,
    policy: Policy,
    how: WriteOptions,
    paths: list[Path],
    jobs: int,
    *,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Hear some files and write their genres; what is as genretag left it is not even opened."""
    import genretag
    from genretag.cli.apply import perform
    from genretag.cli.reporting import plan_rows
    from genretag.library.urls import home_relative
    from genretag.library.walk import Found, walk
    from genretag.scan.scanner import Options, Scanner, absolute, stat_fields
    from genretag.text import words

    with session.open_databases(db) as databases:
        new = [
            f
            for f in walk(paths)
            if isinstance(f, Found)
            and (
                (k := databases.store.file(absolute(f.path))) is None
                or stat_fields(k) != stat_fields(f)
            )
        ]
        if not new:
            return
        options = Options(tuple(f.path for f in new), policy, jobs, aside=True)
        run = databases.journal.begin("watch", genretag.__version__, {"files": len(new)})
        counts = Scanner(databases.store, model, options, run, past=databases.journal).scan()
        databases.journal.end(run, dict(counts))
        for _, row in plan_rows(databases, run):
            told = (
                f"{words(row.old)} -> {words(row.new)}"
                if row.action == "write"
                else f"left alone: {row.error or row.reason}"
            )
            if not quiet or row.status == "failed":
                print(f"{home_relative(row.absolute)}: {told}", file=sys.stderr)
        perform(databases, run, None, how, yes=True, dry_run=dry_run, quiet=True)
