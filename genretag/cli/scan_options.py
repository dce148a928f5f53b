"""The options of a scan: which files, how they are analysed, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.cli.option_groups import ANALYSIS, CLUSTER, FILES, one_call
from genretag.decisions.policy import Policy, Windows
from genretag.errors import UsageError

if TYPE_CHECKING:
    from genretag.scan.options import Options

MAX_JOBS = 256  # tracks at once; far above the cores of any machine that runs one scan

ModelFile = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="FILE",
        rich_help_panel=ANALYSIS,
        show_default=False,
        help="Use this model instead of the default one.",
    ),
]
Jobs = Annotated[
    str,
    typer.Option(
        "-j",
        "--jobs",
        metavar="N",
        rich_help_panel=ANALYSIS,
        help="Tracks to work on at once, or auto: one per core.",
    ),
]


def parse_jobs(text: str) -> int:
    """Return the number of tracks to work on at once.

    Raises:
        UsageError: the text is neither "auto" nor a number from 1 to MAX_JOBS.
    """
    from genretag.scan.cores import automatic_jobs

    if text == "auto":
        return automatic_jobs()
    if text.isdigit() and 1 <= int(text) <= MAX_JOBS:
        return int(text)
    raise UsageError(f"--jobs {text}: give a number from 1 to {MAX_JOBS}, or auto")


@dataclass(frozen=True)
class FileOptions:
    """Which files a scan analyses; a field of ``scanner.Options`` has the same name."""

    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            rich_help_panel=FILES,
            help="Skip files and folders that match; repeatable.",
        ),
    ] = None
    limit: Annotated[
        int | None,
        one_call(
            "--limit", metavar="N", min=1, rich_help_panel=FILES, help="Stop after this many files."
        ),
    ] = None
    rescan: Annotated[
        bool,
        typer.Option("--rescan", rich_help_panel=FILES, help="Analyse known tracks again."),
    ] = False
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", rich_help_panel=FILES, help="Try files again that failed before."
        ),
    ] = False


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True)
class AnalysisOptions:
    """How a scan analyses tracks; a field of ``scanner.Options`` has the same name."""

    windows: Annotated[
        Windows,
        typer.Option(
            "--windows",
            metavar="MODE",
            rich_help_panel=ANALYSIS,
            help="How much of each track to analyse.\n\n"
            "all of it, or sparse: six or twelve pieces of 5 s, four times as fast. adaptive is"
            " another name of sparse.",
        ),
    ] = Windows.ALL
    model: ModelFile = None
    device: Annotated[
        Device,
        typer.Option(
            "--device", metavar="NAME", rich_help_panel=ANALYSIS, help="Where the model runs."
        ),
    ] = Device.auto
    jobs: Jobs = "auto"

    @property
    def workers(self) -> int:
        """Number of tracks to work on at once."""
        return parse_jobs(self.jobs)


def scan_options(
    paths: Sequence[Path], policy: Policy, files: FileOptions, analysis: AnalysisOptions
) -> Options:
    """Return the scanner's options: each field that the groups share with it by name."""
    from genretag.scan.options import Options

    known = {f.name for f in fields(Options)} - {"jobs"}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (*vars(files).items(), *vars(analysis).items())
        if name in known and value is not None
    }
    return Options(tuple(paths), policy, analysis.workers, **given)


class Engine(StrEnum):
    """What runs the analysis."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class EngineOptions:
    """Where a scan runs: on this machine or on a cluster."""

    engine: Annotated[
        Engine,
        typer.Option(
            "--engine",
            metavar="NAME",
            rich_help_panel=CLUSTER,
            help="Analyse on this machine or on a Ray cluster.",
        ),
    ] = Engine.local
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            rich_help_panel=CLUSTER,
            show_default="a cluster on this machine",
            help="The cluster's address, or auto.",
        ),
    ] = None
    results: Annotated[
        str | None,
        typer.Option(
            "--results",
            metavar="PLACE",
            rich_help_panel=CLUSTER,
            show_default=False,
            help="Keep all analyses in this folder or URL.\n\nAs Parquet; needs --engine ray.",
        ),
    ] = None
