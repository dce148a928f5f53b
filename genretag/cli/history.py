"""``genretag history``: list the runs in the journal."""

from __future__ import annotations

import json as json_lib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from genretag.cli.option_groups import OUTPUT, one_call
from genretag.cli.options import Database, Json
from genretag.cli.output import format_time, plain_table, result_console
from genretag.cli.policy_text import describe_policy
from genretag.decisions.policy import Policy
from genretag.library.urls import home_relative
from genretag.text import count, escape_control
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from rich.table import Table

    from genretag.storage.runs import Run

_NEWEST = 20  # runs that are listed without --all
_MIN_TABLE = 110  # columns of a terminal for one line per run


def history(
    everything: Annotated[
        bool, one_call("--all", rich_help_panel=OUTPUT, help="List all runs, not only the newest.")
    ] = False,
    json: Json = False,
    export: Annotated[
        Path | None,
        one_call(
            "--export",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            show_default=False,
            help="Copy the whole journal to this file.\n\n"
            "genretag undo needs the journal, so the copy is a backup.",
        ),
    ] = None,
    db: Database = None,
) -> None:
    """List all scans, writes and undos.

    For each write, shows how many files are still as it left them. The newest 20 runs are listed;
    --all and --json list every run.

    Examples:
      genretag history
      genretag history --all
      genretag history --export genretag.journal.db
    """
    with open_databases(db) as databases:
        if export is not None:
            databases.journal.export(export)
            print(
                f"copied the journal to {export};"
                " beside a database of the same name, genretag uses it as the journal"
            )
            return
        runs = databases.journal.runs()
        hidden = 0 if everything or json else max(0, len(runs) - _NEWEST)
        runs = runs[hidden:]
        places = {p.run: p.places for p in databases.store.complete_scans()}
        in_place = {
            r.id: sum(1 for _ in databases.journal.changes(r.id, ("replaced",)))
            for r in runs
            if r.kind == "apply"
        }
    if json:
        for run in runs:
            print(json_lib.dumps({**vars(run), "standing": in_place.get(run.id)}))
        return
    console = result_console()
    if not runs:
        console.print("nothing has been done yet")
    elif console.width < _MIN_TABLE:
        for run in runs:
            for line in _lines(run, _folders(run, places), in_place.get(run.id)):
                console.print(line, overflow="fold")
    else:
        console.print(_table(runs, places, in_place))
    if hidden:
        print(f"{count(hidden, 'older run')} not listed (--all)", file=sys.stderr)


def _table(
    runs: list[Run], places: Mapping[int, tuple[Path, ...]], in_place: Mapping[int, int]
) -> Table:
    """Return the runs as a table, one line each."""
    table = plain_table("run", "when", "what", "folders", "options", "counts", "still written")
    for run in runs:
        table.add_row(
            *(str(run.id), format_time(run.began), run.kind, _folders(run, places)),
            *(_options(run), _describe_counts(run), str(in_place.get(run.id, ""))),
        )
    return table


def _lines(run: Run, folders: str, still_written: int | None) -> Iterator[str]:
    """Yield the lines of a run for a narrow terminal, where columns would tear words."""
    counts = _describe_counts(run)
    if still_written is not None:
        counts += f"; {still_written:,} still written"
    yield f"{run.id:<4} {format_time(run.began)}  {run.kind:<6} {counts}".rstrip()
    for text in filter(None, (folders, _options(run))):
        yield f"     {text}"


def _folders(run: Run, places: Mapping[int, tuple[Path, ...]]) -> str:
    """Return the folders of a scan or plan."""
    known = run.options.get("paths") or places.get(run.id, ())
    return ", ".join(home_relative(Path(str(place))) for place in known)


def _options(run: Run) -> str:
    return escape_control(_describe_options(run))


def _describe_options(run: Run) -> str:
    """Return the rules of a scan or plan, the plan that was written, or the fields undone."""
    if run.kind == "undo" and (fields := run.options.get("fields")):
        return f"--field {','.join(fields)}"
    if run.kind == "apply":
        plans = run.options.get("plans") or [run.options.get("plan")]
        numbers = " and ".join(str(plan) for plan in plans if plan)
        return f"plan{'s' if plans[1:] else ''} of run {numbers}" if numbers else ""
    rules = run.options.get("policy", run.options if run.kind == "plan" else None)
    return describe_policy(Policy.from_dict(rules)) if rules else ""


def _describe_counts(run: Run) -> str:
    """Return a run's counts as text; a run without an end is running, or was killed."""
    counts = ", ".join(f"{n:,} {what}" for what, n in run.counts.items() if n)
    if counts or run.ended is not None:
        return counts
    return "running" if _is_running(run) else "stopped"


def _is_running(run: Run) -> bool:
    """Return whether the process that began a run still exists on this machine."""
    process = run.options.get("process")
    if not isinstance(process, int):
        return False
    if sys.platform != "win32":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
    return True
