"""``genretag undo``: restore files exactly as they were."""

from __future__ import annotations

import json as json_lib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.options import FILES, ApprovalOptions, Database, Json, one_call
from genretag.cli.output import confirm, file_progress, output_mode
from genretag.cli.plans import absolute_paths, show_result
from genretag.cli.runs import complete_run
from genretag.errors import UsageError
from genretag.text import count
from genretag.writing.session import open_databases, writing

if TYPE_CHECKING:
    from genretag.storage.journal import Change
    from genretag.writing.apply import Result
    from genretag.writing.session import Databases


def undo(
    context: typer.Context,
    approval: ApprovalOptions,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN | PATH...]",
            show_default=False,
            help="The run to undo, or paths (default: the last run).",
            autocompletion=complete_run,
        ),
    ] = None,
    run: Annotated[
        int | None,
        one_call(
            "--run",
            metavar="N",
            rich_help_panel=FILES,
            show_default=False,
            autocompletion=complete_run,
            help="Undo this run (see history).\n\nWith paths, only below them.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        one_call(
            "--all",
            rich_help_panel=FILES,
            help="Undo everything genretag ever wrote.\n\nWith paths, only below them.",
        ),
    ] = False,
    json: Json = False,
    db: Database = None,
) -> None:
    """Restore files exactly as they were before genretag wrote them.

    Every byte and the modification time are restored. With paths, the last write of each file
    below them is undone. A number is a run; a path of digits is written ./12. A file that was
    moved since is found by its content below the folders of the last scan. The plan can be
    applied again afterwards.

    Examples:
      genretag undo
      genretag undo 12 --dry-run
      genretag undo ~/Music/Jazz
      genretag undo --all --yes
    """
    import genretag
    from genretag.writing.apply import undo_runs

    mode, wanted = output_mode(context), _parse(what or [], run, everything)
    with open_databases(db) as databases:
        changes, moved = _chosen_changes(databases, wanted)
        if not changes:
            raise UsageError(_nothing(databases, wanted))
        total = len(changes)
        if not confirm(total, approval, verb="restore", noun="file"):
            if json:
                _print_planned(changes, moved)
            raise typer.Exit(0)
        with writing(databases), file_progress(total, quiet=mode.quiet) as progress:
            _note_moves(databases, changes, moved)
            runs = sorted({c.run for c in changes})
            undoing = databases.journal.begin("undo", genretag.__version__, {"runs": runs})

            def show(result: Result) -> None:
                show_result(progress, result)
                if json:
                    _print_result(result)

            counts = undo_runs(databases.store, databases.journal, undoing, changes, show)
            databases.journal.end(undoing, dict(counts))
    if not mode.quiet:
        found = f"; {count(len(moved), 'file')} had been moved" if moved else ""
        print(
            f"restored {counts['undone']:,} of {count(total, 'file')}, byte for byte{found}",
            file=sys.stderr,
        )
    raise typer.Exit(1 if counts["failed"] or counts["interrupted"] else 0)


@dataclass(frozen=True)
class _Wanted:
    """What to undo: a run, everything, or by default the last run or the last writes."""

    run: int | None
    tops: list[Path]
    everything: bool


def _parse(what: list[str], run: int | None, everything: bool) -> _Wanted:
    """Return what to undo.

    Raises:
        UsageError: two runs, or a run and --all, are given.
    """
    runs = {int(word) for word in what if word.isdecimal()} | ({run} if run is not None else set())
    if len(runs) > 1:
        numbers = " and ".join(map(str, sorted(runs)))
        raise UsageError(f"undo one run at a time: {numbers} (a file of this name is ./NAME)")
    if runs and everything:
        raise UsageError(f"give either run {min(runs)} or --all")
    paths = [Path(word) for word in what if not word.isdecimal()]
    return _Wanted(min(runs, default=None), absolute_paths(paths), everything)


def _chosen_changes(databases: Databases, wanted: _Wanted) -> tuple[list[Change], dict[Path, Path]]:
    """Return the changes to undo, the last first, and where moved files are now."""
    from genretag.library.walk import below
    from genretag.writing.moved import find_moved, last_changes, relocate

    written = sorted(databases.journal.changes(states=("replaced",)), key=lambda c: c.id)
    chosen = written
    if not wanted.everything and (wanted.run is not None or not wanted.tops):
        number = wanted.run if wanted.run is not None else max((c.run for c in written), default=0)
        chosen = [c for c in written if c.run == number]
    elif not wanted.everything:
        chosen = last_changes(written)
    places = {c.id: {c.path, c.target} for c in chosen}
    moved = find_moved(databases.store, databases.journal, chosen)
    for change in relocate(chosen, moved):
        places[change.id].add(change.path)
    tops = [*wanted.tops, *(top.resolve() for top in wanted.tops)]
    chosen = [c for c in chosen if any(below(place, tops) for place in places[c.id])]
    moved = {old: new for old, new in moved.items() if any(c.target == old for c in chosen)}
    return sorted(relocate(chosen, moved), key=lambda c: -c.id), moved


def _note_moves(databases: Databases, changes: list[Change], moved: dict[Path, Path]) -> None:
    """Record new places in the journal, so that an undo that is killed can be finished."""
    places = set(moved.values())
    for change in changes:
        if change.target in places:
            databases.journal.relocate(change.id, change.target)


def _nothing(databases: Databases, wanted: _Wanted) -> str:
    """Return why there is nothing to undo."""
    if wanted.run is not None:
        known = any(run.id == wanted.run for run in databases.journal.runs())
        what = f"run {wanted.run} has nothing to undo" if known else f"there is no run {wanted.run}"
    else:
        what = "there is nothing to undo"
    below = f" below {', '.join(map(str, wanted.tops))}" if wanted.tops else ""
    return f"{what}{below}; genretag history lists the runs"


def _print_planned(changes: list[Change], moved: dict[Path, Path]) -> None:
    """Print what would be restored as JSON lines."""
    before = {new: old for old, new in moved.items()}
    for c in changes:
        row = {"path": str(c.path), "run": c.run, "old": c.new, "new": c.old}
        place = before.get(c.target)
        print(json_lib.dumps({**row, "moved_from": None if place is None else str(place)}))


def _print_result(result: Result) -> None:
    """Print a restored file, or why it was left alone, as a JSON line."""
    row = {"path": str(result.path), "old": result.old, "new": result.new, "error": result.error}
    print(json_lib.dumps(row), flush=True)
