"""``genretag scan``: hear a library, show the plan, and on a yes write it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import clustering, rules, session
from genretag.cli.reporting import report
from genretag.decisions.policy import Windows
from genretag.errors import UsageError
from genretag.library.urls import to_url

if TYPE_CHECKING:
    from genretag.cluster.engine import ClusterOptions
    from genretag.inference.model import Model
    from genretag.scan.scanner import Options, Progress


class Device(StrEnum):
    """``--device``."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Engine(StrEnum):
    """``--engine``."""

    local = "local"
    ray = "ray"


def scan(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Folders or files of music; URLs with --engine ray.", metavar="PATH..."
        ),
    ],
    dry_run: session.DryRun = False,
    yes: session.Yes = False,
    min_confidence: session.MinConfidence = None,
    top: rules.Top = None,
    existing: rules.ExistingOption = None,
    skip_existing: rules.Skip = False,
    force: rules.Force = False,
    keep_existing: rules.Keep = False,
    vote: rules.Vote = None,
    album: rules.Album = None,
    coarsen: rules.Coarsen = None,
    vocabulary: rules.VocabularyFile = None,
    separator: rules.Separator = None,
    player: rules.PlayerOption = None,
    id3v2_version: rules.Id3 = None,
    jobs: session.Jobs = "auto",
    device: Annotated[Device, typer.Option("--device", help="Where the model runs.")] = Device.auto,
    model: Annotated[
        Path | None, typer.Option("--model", help="Another model than the bundled one.")
    ] = None,
    windows: Annotated[
        Windows,
        typer.Option(
            "--windows",
            help="Hear all of each track, or (adaptive) only until its genre is settled.",
        ),
    ] = Windows.ALL,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Leave out what matches this glob.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Stop after so many files.")
    ] = None,
    rescan: Annotated[
        bool, typer.Option("--rescan", help="Hear again what is known already.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of the report.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-O", "--output", help="Write the whole list to a .csv or .jsonl file."),
    ] = None,
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
    engine: Annotated[
        Engine, typer.Option("--engine", help="Hear on this machine, or on a cluster of Ray.")
    ] = Engine.local,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="The cluster, HOST:PORT or auto; without it one of this machine.",
            show_default=False,
        ),
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(
            "--results",
            help="With --engine ray: keep what was heard as Parquet in this folder or URL.",
            show_default=False,
        ),
    ] = None,
    db: session.Database = None,
) -> None:
    """Hear music and show the plan: which genre would go where, and how sure that is.

    With --dry-run it ends there. Else it asks once before anything is written.
    """
    if engine is Engine.local and not session.database_path(db).exists():
        from genretag.scan import processes

        processes.begin(
            session.jobs_of(jobs)
        )  # nothing is known, so there will be something to hear
    from genretag.report.formats import check_suffix
    from genretag.scan.scanner import Options

    urls = clustering.places(paths, engine, address, results)
    paths = [p for p in paths if to_url(p) not in urls]
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder")
    policy = rules.first_policy(
        vocabulary,
        min_confidence=min_confidence,
        existing=rules.existing_of(context, existing, skip_existing, force, keep_existing),
        top=top,
        vote=vote,
        hardlinks=hardlinks,
        album=album,
        coarsen=coarsen,
        separator=separator,
        player=player,
        id3_version=id3v2_version,
        convert_v22=convert_v22,
    )
    if output is not None:
        check_suffix(output)
    options = Options(
        tuple(paths),
        policy,
        session.jobs_of(jobs),
        tuple(exclude or ()),
        limit,
        rescan,
        retry_failed,
        windows,
    )
    asked = None
    if engine is Engine.ray:
        if windows is Windows.ADAPTIVE:
            raise UsageError(
                "--windows adaptive: a cluster hears all windows; leave it out, or leave --engine ray out"
            )
        asked = clustering.asked(
            urls, address, results, device.value, model, None if jobs == "auto" else options.jobs
        )
    loaded = _load(model, device.value if asked is None else "cpu", options.jobs)
    with session.open_databases(db) as databases:
        run = _hear(databases, loaded, options, context, asked)
        failed = report(
            databases,
            run,
            json=json,
            output=output,
            quiet=session.is_quiet(context),
            plain=session.is_plain(context),
        )
        from genretag.cli import apply

        manner = apply.manner(policy, preserve_mtimes)
        failed += apply.perform(
            databases,
            run,
            None,
            manner,
            yes=yes,
            dry_run=dry_run,
            quiet=session.is_quiet(context),
            jobs=options.jobs,
        )
    raise typer.Exit(1 if failed else 0)


def _load(path: Path | None, device: str, jobs: int) -> Model:
    """Load the model."""
    from genretag.inference.model import Model, model_threads
    from genretag.storage.config import default_model

    chosen = path or default_model()
    return Model(chosen, device, model_threads(jobs, chosen))


def _hear(
    databases: session.Databases,
    model: Model,
    options: Options,
    context: typer.Context,
    asked: ClusterOptions | None = None,
) -> int:
    """Scan with a progress bar on a terminal, and say how it went."""
    import genretag
    from genretag.scan.scanner import Scanner

    talk = session.talk(session.is_quiet(context))
    run = databases.journal.begin(
        "scan",
        genretag.__version__,
        {"paths": [str(p) for p in (*options.paths, *(asked.places if asked else ()))]},
    )
    scanner = Scanner(databases.store, model, options, run, past=databases.journal)
    if asked is not None:
        scanner = clustering.scanner(databases, model, options, run, asked)
    began = time.monotonic()
    try:
        with _progress(session.is_quiet(context)) as show:
            counts = scanner.scan(show)
    except BaseException as error:
        databases.journal.end(run, {**scanner.counts, "interrupted": 1})
        if isinstance(error, KeyboardInterrupt):
            raise session.stopped(
                "what was heard is kept, and the next scan goes on from there"
            ) from error
        raise
    databases.journal.end(run, dict(counts))
    seconds = time.monotonic() - began
    files = sum(counts.values())
    rate = f"{files / seconds * 60:,.0f} files a minute" if seconds > 0 else ""
    metadata = model.metadata
    if scanner.heard_tracks == 0:
        rate = (
            f"nothing changed: the plan of run {scanner.run} stands"
            if scanner.stands
            else "nothing new to hear"
        )
    where = (
        f"{model.device}, {options.jobs} decoder(s)"
        if asked is None
        else f"Ray{f' at {asked.address}' if asked.address else ''}"
    )
    talk.print(
        f"{metadata.name} {metadata.version} on {where}: {files:,} files in {seconds:,.1f} s ({rate})"
    )
    return scanner.run


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Show a progress line on a terminal; nothing elsewhere."""
    talk = session.talk(quiet)
    if not talk.is_terminal or quiet:
        yield None
        return
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    with Bar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=talk,
        transient=True,
    ) as bar:
        task = bar.add_task("listening ...", total=None)

        def show(progress: Progress) -> None:
            left = ", ".join(f"{n:,} {status}" for status, n in progress.counts.items() if n)
            hours = progress.heard_seconds / 3600
            bar.update(
                task,
                description=f"{progress.files:,} files ({left or 'listening'}), {hours:,.1f} h of music heard",
            )

        yield show
