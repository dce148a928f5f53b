"""``genretag watch``: tag what arrives in a folder."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.analysis import describe_progress, load_model
from genretag.cli.notify import Notifier
from genretag.cli.option_groups import FILES
from genretag.cli.options import ApprovalOptions, Database, DryRun, NotifyServers, PreserveTimes
from genretag.cli.output import OutputMode, file_progress, output_mode
from genretag.cli.plans import plan_rows
from genretag.cli.policy_options import PolicyOptions
from genretag.cli.scan_options import Jobs, ModelFile, parse_jobs
from genretag.cli.writes import write_options, write_plan
from genretag.errors import UsageError
from genretag.text import is_unicode
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.decisions.policy import Policy
    from genretag.decisions.rows import Row
    from genretag.inference.model import Model
    from genretag.library.walk import Found
    from genretag.writing.session import Databases
    from genretag.writing.target import WriteOptions


MIN_COMPLETE_SHARE = 0.99  # of a track that must decode before watch writes it


def watch(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to watch.")],
    policy: PolicyOptions,
    settle: Annotated[
        float,
        typer.Option(
            "--settle",
            metavar="SECONDS",
            min=0.5,
            rich_help_panel=FILES,
            help="Wait until a file has not changed this long.",
        ),
    ] = 10.0,
    poll: Annotated[
        bool | None,
        typer.Option(
            "--poll/--no-poll",
            rich_help_panel=FILES,
            show_default="on network shares",
            help="Poll the folder instead of waiting for events.\n\n"
            "Network shares do not report what other machines change.",
        ),
    ] = None,
    dry_run: DryRun = False,
    model: ModelFile = None,
    jobs: Jobs = "auto",
    preserve_mtimes: PreserveTimes = False,
    notify: NotifyServers = None,
    db: Database = None,
) -> None:
    """Tag new music in a folder as it arrives, until Ctrl-C or SIGTERM.

    Files that arrived while genretag was not running are tagged at the start. Files that
    genretag wrote itself are left alone.

    Examples:
      genretag watch ~/Music/New
      genretag watch ~/Music/New --settle 60 --dry-run
    """
    from genretag.library.watch import arrivals

    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    if not is_unicode(os.path.abspath(folder)):
        raise UsageError(f"{folder}: its name is not UTF-8, so that only a scan can read it")
    rules, workers, mode = policy.new_policy(context), parse_jobs(jobs), output_mode(context)
    approval = ApprovalOptions(dry_run=dry_run, yes=True)
    notifier = replace(Notifier.of(notify, approval, mode), times_kept=preserve_mtimes)
    watcher = _Watcher(
        db,
        load_model(model, "auto", workers),
        rules,
        write_options(rules, preserve_mtimes),
        workers,
        approval,
        mode,
        notifier,
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if not mode.quiet:
        print(
            f"watching {folder}; a file is {'analysed' if dry_run else 'tagged'}"
            f" once it has not changed for {settle:g} s",
            file=sys.stderr,
        )
    for paths in arrivals(folder, settle, stop, poll):
        watcher.process(paths)
        if stop.is_set():
            break
    if not mode.quiet:
        print("stopped; the next watch goes on from here", file=sys.stderr)


@dataclass(frozen=True)
class _Watcher:
    """Tags files as they arrive."""

    db: Path | None
    model: Model
    policy: Policy
    how: WriteOptions
    jobs: int
    approval: ApprovalOptions
    mode: OutputMode
    notifier: Notifier

    def process(self, paths: list[Path]) -> None:
        """Analyse and tag new files; files that are as genretag left them are not opened."""
        import genretag
        from genretag.scan.local import LocalEngine
        from genretag.scan.options import Options
        from genretag.scan.scanner import Scanner

        with self.notifier.collecting() as written, open_databases(self.db) as databases:
            new = _changed_files(databases, paths)
            if not new:
                return
            options = Options(tuple(f.path for f in new), self.policy, self.jobs, aside=True)
            run = databases.journal.begin("watch", genretag.__version__, {"files": len(new)})
            engine = LocalEngine(self.model)
            scanner = Scanner(databases.store, engine, options, run, databases.journal)
            with file_progress(len(new), quiet=self.mode.quiet) as bar:
                counts = scanner.scan(lambda p: bar.update(p.files, describe_progress(p)))
            databases.journal.end(run, dict(counts))
            rows = [(n, _without_incomplete(row)) for n, row in plan_rows(databases, run)]
            for _, row in rows:
                if not self.mode.quiet or row.status == "failed":
                    print(_describe_row(row), file=sys.stderr)
            quiet = OutputMode(quiet=True)
            writes = [(n, row) for n, row in rows if row.writes]
            write_plan(databases, run, writes, self.how, self.approval, quiet, 1, written)


def _without_incomplete(row: Row) -> Row:
    """Return a row; one of a file that may still be copied is not written."""
    from genretag.decisions.reasons import Reason
    from genretag.decisions.rows import skipped_row

    if not row.writes or row.share is None or row.share >= MIN_COMPLETE_SHARE:
        return row
    reason = f"only {row.share:.0%} of it decodes; is the copy complete?"
    return skipped_row(row, Reason.NOT_WRITABLE, lambda _: reason)


def _changed_files(databases: Databases, paths: list[Path]) -> list[Found]:
    """Return the music files below paths that the database does not know as they are now."""
    from genretag.library.urls import absolute
    from genretag.library.walk import Found, walk
    from genretag.scan.unchanged import stat_fields

    def is_known(found: Found) -> bool:
        path = absolute(found.path)
        # A file that failed is tried again once it changes.
        if (failure := databases.store.failure(path)) is not None:
            return (failure.size, failure.mtime_ns) == (found.size, found.mtime_ns)
        stored = databases.store.file(path)
        return stored is not None and stat_fields(stored) == stat_fields(found)

    return [f for f in walk(paths) if isinstance(f, Found) and not is_known(f)]


def _describe_row(row: Row) -> str:
    """Return a file's decision as a line of text."""
    from genretag.library.urls import home_relative
    from genretag.report.changes import changes_text

    name = home_relative(row.absolute)
    if row.writes:
        return f"{name}: {changes_text(row)}"
    return f"{name}: left alone: {row.error or row.reason}"
