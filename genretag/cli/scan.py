"""``genretag scan``: analyse a library, show the plan, and write it on approval."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.analysis import load_model, scan_progress
from genretag.cli.approval import approve_plans, can_ask
from genretag.cli.cluster import cluster_options, cluster_urls
from genretag.cli.deciding import provisional_plan
from genretag.cli.notify import notifying
from genretag.cli.options import (
    ApprovalOptions,
    Database,
    NotifyServers,
    PreserveTimes,
    ReportOptions,
)
from genretag.cli.output import OutputMode, exit_interrupted, message_console, output_mode
from genretag.cli.policy_options import PolicyOptions
from genretag.cli.printing import print_plan
from genretag.cli.scan_options import (
    AnalysisOptions,
    Engine,
    EngineOptions,
    FileOptions,
    scan_options,
)
from genretag.cli.writes import write_options, write_plan
from genretag.errors import UsageError
from genretag.library.urls import absolute, to_url
from genretag.text import count
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from genretag.cluster.options import ClusterOptions
    from genretag.inference.model import Model
    from genretag.scan.options import Options
    from genretag.scan.scanner import Engine as ScanEngine
    from genretag.scan.scanner import Scanner
    from genretag.storage.scans import Scan
    from genretag.writing.session import Databases


def scan(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Music folders or files; URLs with --engine ray."),
    ],
    policy: PolicyOptions,
    approval: ApprovalOptions,
    files: FileOptions,
    analysis: AnalysisOptions,
    report: ReportOptions,
    engine: EngineOptions,
    preserve_mtimes: PreserveTimes = False,
    notify: NotifyServers = None,
    db: Database = None,
) -> None:
    """Analyse music and show the plan.

    The plan says which genre each file would get, and how certain that is. With --dry-run the
    scan ends there; otherwise genretag asks once before it writes. Tracks that were analysed
    before are not decoded again.

    Examples:
      genretag scan ~/Music --dry-run
      genretag scan ~/Music --dry-run -O plan.csv
      genretag scan ~/Music/New --existing replace --yes
      genretag scan ~/Music --min-confidence 0.8 --album majority
    """
    from genretag.report.formats import check_suffix

    urls = cluster_urls(paths, engine)
    paths = [p for p in paths if to_url(p) not in urls]
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder")
    if report.output is not None:
        check_suffix(report.output)
    mode, rules = output_mode(context), policy.new_policy(context)
    options = scan_options(paths, rules, files, analysis)
    cluster = cluster_options(urls, engine, analysis) if engine.engine is Engine.ray else None
    # On a cluster, the local model only decides: the analyses come from its nodes.
    device = analysis.device.value if cluster is None else "cpu"
    model = load_model(analysis.model, device, options.jobs)
    with (
        notifying(notify, approval, mode, times_kept=preserve_mtimes) as written,
        open_databases(db) as databases,
    ):
        before = list(databases.store.complete_scans())
        run = _scan_library(databases, model, options, mode, engine.engine, cluster)
        asks = can_ask() and not (approval.dry_run or approval.yes)
        looks = asks and run not in {p.run for p in before} and _is_covered(options.paths, before)
        with contextlib.ExitStack() as stack:
            keep = stack.enter_context(provisional_plan(databases, run)) if looks else None
            # A dry run ends here, so the next command is named.
            ends = not (asks or approval.yes)
            failed = print_plan(databases, run, report, mode, offer_apply=ends)
            if not (mode.quiet or options.exclude):
                _report_missing(databases, run, options.paths)
            plan = databases.store.scan(run)
            if plan is not None and approve_plans(databases, [plan], [], approval, mode):
                if keep is not None:
                    keep()
                how, agreed = write_options(rules, preserve_mtimes), ApprovalOptions(yes=True)
                failed += write_plan(databases, run, None, how, agreed, mode, options.jobs, written)
    raise typer.Exit(1 if failed else 0)


def _report_missing(databases: Databases, run: int, paths: Sequence[Path]) -> None:
    """Ask after the disk of files that earlier scans found, where a scan finds none at all."""
    if databases.store.count_rows(run):
        return
    if gone := sum(databases.store.count_below(absolute(path)) for path in paths):
        found = f"earlier scans found {count(gone, 'file')} there"
        print(f"{found}: is a disk not mounted?", file=sys.stderr)


def _is_covered(paths: Sequence[Path], plans: list[Scan]) -> bool:
    """Return whether stored plans cover all paths, so that this is not their first scan."""
    return all(any(plan.covers(path.absolute()) for plan in plans) for path in paths)


def _scan_library(
    databases: Databases,
    model: Model,
    options: Options,
    mode: OutputMode,
    kind: Engine,
    cluster: ClusterOptions | None,
) -> int:
    """Scan with progress, print a summary, and return the run that holds the plan."""
    import genretag

    # Absolute, because undo looks for moved files below them from any folder.
    places = [*map(absolute, options.paths), *(cluster.places if cluster else ())]
    run = databases.journal.begin(
        "scan",
        genretag.__version__,
        {
            "paths": [str(place) for place in places],
            "policy": options.policy.to_dict(),
            "process": os.getpid(),
        },
    )
    from genretag.scan.scanner import Scanner

    engine = _make_engine(kind, model, cluster)
    scanner = Scanner(databases.store, engine, options, run, databases.journal)
    began = time.monotonic()
    try:
        with scan_progress(mode, options) as show:
            counts = scanner.scan(show)
    except BaseException as error:  # a run without an end would look like a killed one
        databases.journal.end(run, {**scanner.counts, "interrupted": 1})
        if isinstance(error, KeyboardInterrupt):
            raise exit_interrupted(
                "finished analyses are kept, and the next scan goes on from there"
            ) from error
        raise
    databases.journal.end(run, dict(counts))
    seconds = time.monotonic() - began
    place = _describe_place(model, options, cluster)
    name = f"{model.metadata.name} {model.metadata.version}"
    message_console(mode.quiet).print(
        f"{name} on {place}: {count(sum(counts.values()), 'file')} in {seconds:,.1f} s"
        f" ({_describe_rate(scanner, seconds)})"
    )
    return scanner.run


def _make_engine(kind: Engine, model: Model, cluster: ClusterOptions | None) -> ScanEngine:
    """Return the engine of this machine or of a cluster."""
    if kind is Engine.local:
        from genretag.scan.local import LocalEngine

        return LocalEngine(model)
    if kind is Engine.ray and cluster is not None:
        from genretag.cluster.engine import RayEngine

        return RayEngine(model, cluster)
    raise NotImplementedError(kind)  # rather than another engine in its place


def _describe_place(model: Model, options: Options, cluster: ClusterOptions | None) -> str:
    """Return where a scan ran."""
    if cluster is None:
        return f"{model.device}, {count(options.jobs, 'decoder')}"
    return f"Ray at {cluster.address}" if cluster.address else "Ray"


def _describe_rate(scanner: Scanner, seconds: float) -> str:
    """Return how fast a scan was, or why it had nothing to do."""
    if scanner.unchanged:
        return f"nothing changed: the plan of run {scanner.run} is still valid"
    if scanner.decoded_tracks == 0:
        return "nothing new to analyse"
    return f"{sum(scanner.counts.values()) / max(seconds, 1e-9) * 60:,.0f} files a minute"
