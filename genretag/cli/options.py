"""Options that several commands share: each is declared once, here or in a module of its group.

The rules of what is written are in ``policy_options``, the options of a scan in ``scan_options``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from genretag.cli.option_groups import FILES, OUTPUT, WRITE, one_call, output_file
from genretag.notify.kinds import Kind

Database = Annotated[
    Path | None,
    typer.Option(
        "--db",
        metavar="FILE",
        envvar="GENRETAG_DB",
        show_default=False,
        help="Database file; its journal lies beside it.",
    ),
]
Json = Annotated[bool, one_call("--json", rich_help_panel=OUTPUT, help="Print JSON lines.")]
PlanJson = Annotated[
    bool, one_call("--json", rich_help_panel=OUTPUT, help="Print the plan as JSON lines.")
]
Relative = Annotated[
    bool,
    one_call(
        "--relative/--absolute",
        rich_help_panel=OUTPUT,
        help="Write paths relative to the playlist.",
    ),
]
JsonObject = Annotated[
    bool, one_call("--json", rich_help_panel=OUTPUT, help="Print one JSON object.")
]
Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH...]", help="Only files below these paths."),
]
DryRun = Annotated[
    bool,
    one_call(
        "-n",
        "--dry-run",
        "--pretend",
        rich_help_panel=WRITE,
        help="Show what would be written; write nothing.",
    ),
]
PreserveTimes = Annotated[
    bool,
    typer.Option(
        "-p",
        "--preserve-mtimes",
        rich_help_panel=WRITE,
        help="Keep the modification times of files.\n\n"
        "Many players find changed files by their time, so by default it changes.",
    ),
]

NotifyServers = Annotated[
    list[Kind] | None,
    typer.Option(
        "--notify",
        metavar="SERVER",
        rich_help_panel=WRITE,
        show_default=False,
        help="Tell a player's server; repeatable.\n\n"
        "navidrome, jellyfin, plex or mpd reads what was written. genretag help notify says where"
        " its address and password come from.",
    ),
]

ResetRules = Annotated[
    bool,
    one_call(
        "--reset-rules",
        rich_help_panel=WRITE,
        help="Begin with the default rules.\n\n"
        "Otherwise the rules of the plan hold, its vocabulary included, and options change them.",
    ),
]
RunNumber = Annotated[
    int | None,
    one_call(
        "--run",
        metavar="N",
        rich_help_panel=FILES,
        show_default="the newest plan",
        help="The plan of this run (see history).",
    ),
]


@dataclass(frozen=True)
class ApprovalOptions:
    """Whether to write, to ask first, or only to show."""

    dry_run: DryRun = False
    yes: Annotated[
        bool,
        one_call("--yes", "-y", rich_help_panel=WRITE, help="Write without asking."),
    ] = False


@dataclass(frozen=True)
class ReportOptions:
    """How a plan is shown, and where it is written."""

    json: PlanJson = False
    output: Annotated[
        Path | None,
        output_file(
            show_default=False,
            help="Write the whole plan to a .csv, .jsonl or .md file.",
        ),
    ] = None


@dataclass(frozen=True)
class LabelOptions:
    """Which labels of a table or of genre folders are used."""

    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="A,B,...",
            rich_help_panel=FILES,
            show_default=False,
            help="Only these labels, separated by commas.",
        ),
    ] = None
    subset: Annotated[
        str | None,
        typer.Option(
            "--subset",
            metavar="NAME",
            rich_help_panel=FILES,
            show_default=False,
            help="Subset of FMA's tracks.csv.\n\nsmall, medium, large or full.",
        ),
    ] = None
    audio: Annotated[
        Path | None,
        typer.Option(
            "--audio",
            metavar="FOLDER",
            rich_help_panel=FILES,
            show_default="the table's folder",
            help="Folder that a table's paths start from.",
        ),
    ] = None
