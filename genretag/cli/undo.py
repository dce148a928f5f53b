"""``genretag undo``: restore files exactly as they were."""

from __future__ import annotations

import json as json_lib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.notify import notifying
from genretag.cli.option_groups import FILES, one_call
from genretag.cli.options import ApprovalOptions, Database, Json, NotifyServers
from genretag.cli.output import confirm, file_progress, output_mode
from genretag.cli.plans import absolute_paths
from genretag.cli.policy_options import parse_names
from genretag.cli.runs import complete_run
from genretag.cli.writes import show_result
from genretag.errors import UsageError
from genretag.text import count
from genretag.writing.session import open_databases, writing

if TYPE_CHECKING:
    from genretag.storage.changes import Change, Fields
    from genretag.storage.journal import Journal
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
    field: Annotated[
        str | None,
        one_call(
            "--field",
            metavar="A,B,...",
            rich_help_panel=FILES,
            show_default="all that was written",
            help="Take back these fields alone.\n\n"
            "Of genre, mood, style and evidence. What else was written at the same time stays.",
        ),
    ] = None,
    notify: NotifyServers = None,
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
      genretag undo --field mood
      genretag undo --all --yes
    """
    import genretag
    from genretag.writing.apply import undo_runs

    mode, wanted = output_mode(context), _parse(what or [], run, everything, field)
    with (
        notifying(notify, approval, mode, times_older=True) as written,
        open_databases(db) as databases,
    ):
        changes, moved = _chosen_changes(databases, wanted)
        if not changes:
            raise UsageError(_nothing(databases, wanted))
        total = len(changes)
        if not confirm(total, approval, verb="restore", noun="file"):
            if json:
                _print_planned(changes, moved, wanted.fields)
            raise typer.Exit(0)
        with writing(databases), file_progress(total, quiet=mode.quiet) as progress:
            # Another genretag may have restored some of them while this one asked and waited.
            changes = _still_written(databases.journal, changes)
            before = total - len(changes)
            _note_moves(databases, changes, moved)
            runs = sorted({c.run for c in changes})
            undoing = databases.journal.begin("undo", genretag.__version__, _options(runs, wanted))

            def show(result: Result) -> None:
                show_result(progress, result)
                written.add(result)
                if json:
                    _print_result(result)

            args = (databases.store, databases.journal, undoing, changes, show, wanted.fields)
            counts = undo_runs(*args)
            databases.journal.end(undoing, dict(counts))
    if not mode.quiet:
        found = f"; {count(len(moved), 'file')} had been moved" if moved else ""
        found += f"; another genretag restored {before:,}" if before else ""
        print(
            f"restored {_what(wanted)}{counts['undone']:,} of {count(total, 'file')}"
            f"{', byte for byte' if counts['undone'] else ''}{found}",
            file=sys.stderr,
        )
    raise typer.Exit(1 if counts["failed"] or counts["interrupted"] else 0)


@dataclass(frozen=True)
class _Wanted:
    """What to undo: a run, everything, or by default the last run or the last writes."""

    run: int | None
    tops: list[Path]
    everything: bool
    names: tuple[str, ...] = ()  # of fields; empty: all

    @property
    def fields(self) -> frozenset[str]:
        """The fields of the tags to take back; empty: all that were written."""
        return frozenset(tag for name in self.names for tag in _TAGS[name])


#: Name of a field -> the fields of the tags that it may have been written to.
_TAGS = {
    "genre": ("genre",),
    "mood": ("mood",),
    "style": ("style", "grouping"),
    "evidence": ("evidence",),
}


def _what(wanted: _Wanted) -> str:
    """Return the fields that were taken back, for a sentence."""
    return f"{' and '.join(wanted.names)} of " if wanted.names else ""


def _options(runs: list[int], wanted: _Wanted) -> dict[str, object]:
    """Return what the journal keeps of an undo."""
    return {"runs": runs} | ({"fields": list(wanted.names)} if wanted.names else {})


def _parse(what: list[str], run: int | None, everything: bool, field: str | None) -> _Wanted:
    """Return what to undo.

    Raises:
        UsageError: two runs, or a run and --all, are given, or a field is unknown.
    """
    names = parse_names(field, tuple(_TAGS), "--field") if field is not None else ()
    runs = {int(word) for word in what if word.isdecimal()} | ({run} if run is not None else set())
    if len(runs) > 1:
        numbers = " and ".join(map(str, sorted(runs)))
        raise UsageError(f"undo one run at a time: {numbers} (a file of this name is ./NAME)")
    if runs and everything:
        raise UsageError(f"give either run {min(runs)} or --all")
    paths = [Path(word) for word in what if not word.isdecimal()]
    return _Wanted(min(runs, default=None), absolute_paths(paths), everything, names)


def _chosen_changes(databases: Databases, wanted: _Wanted) -> tuple[list[Change], dict[Path, Path]]:
    """Return the changes to undo, the last first, and where moved files are now."""
    from genretag.library.walk import below
    from genretag.writing.moved import find_moved, last_changes, relocate

    written = sorted(databases.journal.changes(states=("replaced",)), key=lambda c: c.id)
    if wanted.fields:
        written = [c for c in written if not wanted.fields.isdisjoint(c.fields)]
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


def _still_written(journal: Journal, changes: list[Change]) -> list[Change]:
    """Return the changes that are not undone; reads no runs but theirs."""
    runs = {c.run for c in changes}
    still = {c.id for run in runs for c in journal.changes(run, states=("replaced",))}
    return [c for c in changes if c.id in still]


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


def _print_planned(changes: list[Change], moved: dict[Path, Path], names: frozenset[str]) -> None:
    """Print what would be restored as JSON lines."""
    from genretag.writing.apply import taken_back

    before = {new: old for old, new in moved.items()}
    for c in changes:
        back = taken_back(c, names)
        new = c.old if "genre" in back else c.new
        row = {"path": str(c.path), "run": c.run, "old": c.new, "new": new}
        row |= {"fields": _fields_json(back)}
        place = before.get(c.target)
        print(json_lib.dumps({**row, "moved_from": None if place is None else str(place)}))


def _fields_json(fields: Fields) -> dict[str, dict[str, list[str]]]:
    return {name: {"old": change.old, "new": change.new} for name, change in fields.items()}


def _print_result(result: Result) -> None:
    """Print a restored file, or why it was left alone, as a JSON line."""
    fields = _fields_json(result.fields)
    values = {"old": result.old, "new": result.new, "fields": fields}
    row = {"path": str(result.path), **values, "error": result.error}
    print(json_lib.dumps(row), flush=True)
