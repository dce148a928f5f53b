"""What commands share: the databases, the consoles, and the question before a write."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from genretag.store import Store
    from genretag.writing.journal import Journal

log = logging.getLogger("genretag")

Database = Annotated[
    Path | None,
    typer.Option("--db", envvar="GENRETAG_DB", help="Where genretag keeps what it heard, and its journal.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("-n", "--dry-run", "--pretend", help="Only show what would be written.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")]
MinConfidence = Annotated[
    float | None,
    typer.Option("--min-confidence", min=0.0, max=1.0, show_default="the model's own, 0.7",
                 help="Leave a track alone if the ear is less sure than this (0 to 1)."),
]  # fmt: skip


def database_path(given: Path | None) -> Path:
    """Return where the cache is kept."""
    if given is not None:
        return given
    import platformdirs

    return platformdirs.user_data_path("genretag") / "genretag.db"


def journal_path(database: Path) -> Path:
    """Return where the journal of a cache is kept: beside it, in a file of its own."""
    return database.with_name(f"{database.stem}.journal{database.suffix}")


@dataclass(frozen=True)
class Books:
    """The cache and the journal, open."""

    store: Store
    journal: Journal


@contextmanager
def books(database: Path | None) -> Iterator[Books]:
    """Open the cache and the journal, and tidy up after a killed run unless another one is at work.

    A broken cache is set aside and begun anew: it can be made again. Of a broken journal, what can
    still be read is saved into a new one.
    """
    from genretag.database import BrokenDatabaseError, set_aside
    from genretag.store import Store
    from genretag.writing.journal import Journal, save_what_is_readable

    path = database_path(database)
    try:
        store = Store(path)
    except BrokenDatabaseError as error:
        aside = set_aside(path)
        log.warning("%s; it was set aside as %s and begun anew", error, aside.name)
        store = Store(path)
    try:
        journal = Journal(journal_path(path))
    except BrokenDatabaseError as error:
        aside = set_aside(journal_path(path))
        journal = Journal(journal_path(path))
        saved = save_what_is_readable(aside, journal)
        log.error("%s; it was set aside as %s, and %d of its changes could be saved into a new one", error, aside.name, saved)
    given = Books(store, journal)
    try:
        with contextlib.suppress(RunError), _lock(given, seconds=0):
            settle(given)
        yield given
    finally:
        store.close()
        journal.close()


@contextmanager
def _lock(given: Books, seconds: float) -> Iterator[None]:
    """Hold the right to write music: one genretag at a time. The system takes it from a process that dies."""
    import filelock

    lock = filelock.FileLock(str(given.journal.path) + ".lock")
    try:
        lock.acquire(timeout=seconds)
    except filelock.Timeout as error:
        raise RunError("another genretag is writing just now; wait for it, or stop it") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(given: Books) -> Iterator[None]:
    """Hold the right to write music, with everything tidied up before."""
    with _lock(given, seconds=5):
        settle(given)
        yield


def settle(given: Books) -> None:
    """Finish or take back what a killed run left, and say so."""
    from genretag.display import shown
    from genretag.writing.replace import recover

    for change, state in recover(given.journal):
        told = {"replaced": "was written", "dropped": "was not touched", "undone": "was put back"}
        log.warning("an earlier run was stopped in the middle: %s %s", shown(change.path), told.get(state or "", "cannot be reached now"))


def results(**options: Any) -> Console:
    """Return the console for results: stdout."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False, **options)


def talk(quiet: bool = False) -> Console:
    """Return the console for talk: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False, quiet=quiet, soft_wrap=True)


def is_quiet(context: typer.Context) -> bool:
    """Return whether -q was given."""
    return bool(context.obj and context.obj.get("quiet"))


def confirmed(count: int, *, yes: bool, dry_run: bool, verb: str = "write", noun: str = "genre") -> bool:
    """Return whether to go on: asks once on a terminal; elsewhere only ``--yes`` is a yes."""
    things = f"{count:,} {noun}{'' if count == 1 else 's'}"
    if dry_run:
        print(f"dry run: nothing was changed; {things} to {verb}", file=sys.stderr)
        return False
    if yes:
        return True
    if sys.stdin.isatty() and sys.stderr.isatty():
        return typer.confirm(f"{verb} {things}?", default=False, err=True)
    print(f"no terminal to ask on and no --yes, so this was a dry run; {things} to {verb}", file=sys.stderr)
    return False
