"""Write the rows of a plan into tags, and undo them. A file gets exactly its row, or nothing."""

from __future__ import annotations

import contextlib
import logging
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from types import FrameType
from typing import TypeVar

from genretag.audio import (
    AUDIO_KEY_PREFIX,
    KEY_DIGITS,
    audio_key,
    check_of_sha256,
    content_key,
    file_sha256,
    identify,
)
from genretag.decisions.fields import EVIDENCE
from genretag.decisions.policy import HardLinks
from genretag.decisions.rows import Row
from genretag.errors import TrackError
from genretag.records import FileRow
from genretag.storage.cache import AnalysisCache
from genretag.storage.changes import Change, FieldChange, Fields
from genretag.storage.journal import Journal
from genretag.tags import read as read_tags
from genretag.writing.target import Expected, WriteOptions, Written
from genretag.writing.turns import Turn, in_turns
from genretag.writing.undo import undo_change, undo_fields, without
from genretag.writing.verification import values_in
from genretag.writing.write import write_fields

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """Result for one file; ``error`` says why it was left alone."""

    path: Path
    old: list[str]
    new: list[str]
    error: str | None = None
    fields: Fields = field(default_factory=dict)  # all that were written or taken back
    file: Path | None = None  # absolute path; None if ``path`` is absolute


log = logging.getLogger("genretag")

OnResult = Callable[[Result], None]


class _Stop:
    """Signal handler that requests a stop after the current file."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None  # the one that requested it

    @property
    def requested(self) -> bool:
        """Whether a signal asked to stop."""
        return self.signal is not None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)


@contextmanager
def _stoppable() -> Iterator[_Stop]:
    """Shield every file's write from signals that ask to stop.

    A handler of the program's own is called afterwards: else ``watch`` would go on.
    """
    stop, before = _Stop(), {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            # A signal in the middle of a write would leave work to the recovery of the next start.
            before[number] = signal.signal(number, stop)
        except ValueError:  # not the main thread
            continue
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if stop.signal is not None:
            own = before[stop.signal]
            # Python's handler of Ctrl-C would raise, and hide what was written.
            if callable(own) and own is not signal.default_int_handler:
                own(stop.signal, None)


@dataclass(frozen=True)
class PlannedWrite:
    """A row to write, how, and where its plan is marked as done."""

    row: Row
    options: WriteOptions
    plan: int | None = None  # the run of its plan; None: the plan is not stored
    ordinal: int | None = None  # of the row in that plan


def apply_rows(
    store: AnalysisCache,
    journal: Journal,
    run: int,
    rows: Iterable[tuple[int | None, Row]],
    options: WriteOptions,
    on_result: OnResult,
    plan_run: int | None = None,
    jobs: int = 1,
) -> Counter[str]:
    """Write the rows of one plan; ``rows`` are (ordinal, row). See ``apply_writes``."""
    writes = (PlannedWrite(row, options, plan_run, ordinal) for ordinal, row in rows)
    return apply_writes(store, journal, run, writes, on_result, jobs)


def apply_writes(
    store: AnalysisCache,
    journal: Journal,
    run: int,
    writes: Iterable[PlannedWrite],
    on_result: OnResult,
    jobs: int = 1,
) -> Counter[str]:
    """Write the rows whose action is ``write``, ``jobs`` at once; return counts.

    Each is a safe write of its own, and the journal keeps their order. Ctrl-C stops after the
    files in hand; what is left stays planned.
    """
    counts: Counter[str] = Counter()
    # Without a thread-safe SQLite, threads must not share the journal.
    done, jobs = Lock(), jobs if sqlite3.threadsafety == 3 else 1

    def write(planned: PlannedWrite, turn: Turn) -> _Outcome:
        outcome = _write_row(journal, run, planned.row, planned.options, turn)
        if outcome.written is not None:
            # At once, and not in order: after a kill the cache should know of as much as can be.
            # The cache may fail; the write holds.
            with done, contextlib.suppress(sqlite3.Error):
                values = new_values(changes_of(planned.row))
                _note(store, planned.row.absolute, outcome.written, values)
                if planned.plan is not None and planned.ordinal is not None:
                    store.mark_done(planned.plan, planned.ordinal)
        return outcome

    with _stoppable() as stop:
        todo = (w for w in writes if w.row.writes)
        for planned, outcome in in_turns(
            _until(todo, stop, counts), write, jobs, lambda w: _file_of(w.row)
        ):
            row = planned.row
            counts[outcome.kind] += 1
            if outcome.kind == "written":
                log.info("%s: wrote %s", row.path, describe_values(row.writes))
            if outcome.kind != "same file":
                fields, file = changes_of(row), row.absolute
                new = row.new if "genre" in fields else row.old
                on_result(Result(Path(row.path), row.old, new, outcome.why, fields, file))
    return counts


def changes_of(row: Row) -> dict[str, FieldChange]:
    """Return what a row writes, by the fields of the tags."""
    found = dict[str, FieldChange]()
    for name, new in row.writes.items():
        if name == "genre":
            found[name] = FieldChange(row.old, new)
        else:
            found[row.fields[name]["tag"]] = FieldChange(row.fields[name]["old"], new)
    return found


def new_values(fields: Fields) -> dict[str, list[str]]:
    """Return the values of fields after a write."""
    return {name: change.new for name, change in fields.items()}


def describe_values(values: Mapping[str, list[str]]) -> str:
    """Return values as text; genres alone need no name."""
    texts = {name: ", ".join(words) for name, words in values.items() if name != EVIDENCE}
    if list(texts) == ["genre"]:
        return texts["genre"]
    return "; ".join(f"{name} {text}" for name, text in texts.items())


@dataclass(frozen=True)
class _Outcome:
    """Outcome of a row: its kind for the counts, the reason if left alone, the new stat fields."""

    kind: str
    why: str | None = None
    written: Written | None = None


def _until(rows: Iterable[T], stop: _Stop, counts: Counter[str]) -> Iterator[T]:
    """Yield rows until a stop is requested; count the interruption."""
    for row in rows:
        if stop.requested:
            counts["interrupted"] = 1
            return
        yield row


def _file_of(row: Row) -> tuple[int, int] | str:
    """Return the identity of a file, the same for all its hard links."""
    try:
        s = row.absolute.stat()
    except OSError:
        return row.path
    return s.st_dev, s.st_ino


def _is_written_already(row: Row) -> bool:
    """Return whether a file holds the planned values and the planned music already."""
    with contextlib.suppress(TrackError, OSError):
        tags, planned = read_tags(row.absolute), new_values(changes_of(row))
        return all(
            values_in(tags, name) == values for name, values in planned.items()
        ) and row.content_key in (audio_key(row.absolute), content_key(row.absolute))
    return False


def _write_row(journal: Journal, run: int, row: Row, options: WriteOptions, turn: Turn) -> _Outcome:
    """Write one row and return its outcome."""
    if (
        why := options.protect.reason(str(row.absolute), (row.artist, row.album_artist), row.old)
    ) is not None:
        return _Outcome("protected", why)
    # An edited plan may have lost its keys; writing by the path alone could hit another file.
    if not (row.sha256 or row.file_check or row.audio_key) or not row.content_key:
        return _Outcome("failed", "the plan does not say which file it was made for; scan it again")
    if len(row.content_key.removeprefix(AUDIO_KEY_PREFIX)) != KEY_DIGITS:
        return _Outcome("failed", "the plan is of an older genretag; scan it again")
    # The file must be the one that the plan was made for.
    expected = Expected(
        row.size, row.mtime_ns, row.sha256, row.content_key, row.file_check, row.audio_key
    )
    try:
        args = (journal, run, row.absolute, row.old, changes_of(row), expected, options, turn)
        return _Outcome("written", None, write_fields(*args))
    except TrackError as error:
        if (
            error.stage == "changed"
            and options.hardlinks is HardLinks.IN_PLACE
            and _is_written_already(row)
        ):
            return _Outcome("same file")  # another of its names was written a moment ago
        return _Outcome("failed", str(error))


def _note(
    store: AnalysisCache, path: Path, written: Written, values: Mapping[str, list[str]]
) -> None:
    """Note a file's facts after a write, so that the next scan need not open it. The cache may
    fail; the write holds.
    """
    with contextlib.suppress(
        sqlite3.Error
    ):  # the next scan opens the file and finds its music known
        f = store.file(path)
        if f is not None:
            if written.content_key and f.audio_key is not None and f.content_key == f.audio_key:
                store.name_packets(f.audio_key, written.content_key)
            store.save_file(_renewed(f, written, values))


def _renewed(f: FileRow, w: Written, values: Mapping[str, list[str]]) -> FileRow:
    genres, fields = values.get("genre", f.tags.genres), f.tags.fields
    if fields is not None:
        others = {name: words for name, words in values.items() if name != "genre"}
        known = {name: words for name, words in (fields.values | others).items() if words}
        fields = replace(fields, values=known)
    tags = replace(f.tags, genres=genres, fields=fields)
    return replace(
        f,
        size=w.size,
        mtime_ns=w.mtime_ns,
        inode=w.inode,
        device=w.device,
        links=w.links,
        sha256=w.sha256,
        content_key=w.content_key or f.content_key,
        file_check=check_of_sha256(w.sha256),
        tags=tags,
    )


@dataclass(frozen=True)
class Verified:
    """Whether a file is as a run left it."""

    path: Path
    genres: list[str]  # as written
    finding: str | None  # None: it is, byte for byte


def verify_change(change: Change) -> Verified:
    """Compare a written file with its journal entry."""
    try:
        if file_sha256(change.target) == change.after:
            return Verified(change.path, change.new, None)
    except FileNotFoundError:
        return Verified(change.path, change.new, "it is gone (moved or deleted)")
    except OSError as error:
        return Verified(change.path, change.new, f"it cannot be read: {error.strerror}")
    return Verified(change.path, change.new, _what_others_changed(change))


def _what_others_changed(change: Change) -> str:
    """Return which part of a written file changed since: audio, genre, or another tag."""
    try:
        identity = identify(change.target)
    except TrackError as error:
        return f"it was damaged since: {error}"
    now = read_tags(change.target)
    changed = {name for name, c in change.fields.items() if values_in(now, name) != c.new}
    comparable = (
        len(change.content_key or "") == KEY_DIGITS
    )  # an older genretag's key says nothing here
    audio = (
        "its audio was changed since; "
        if comparable and identity.content_key != change.content_key
        else ""
    )
    for name in change.fields:
        if name in changed:
            value = ", ".join(values_in(now, name)) or "none"
            return f"{audio}its {name} was changed since, to {value}"
    kept = " and ".join(name for name in change.fields if name != EVIDENCE) or "evidence"
    verb = "are" if " and " in kept else "is"
    return (
        f"{audio}other tags were changed since; the {kept} {verb} as written"
        if not audio
        else audio.rstrip("; ")
    )


def undo_runs(
    store: AnalysisCache,
    journal: Journal,
    run: int,
    changes: Iterable[Change],
    on_result: OnResult,
    names: Collection[str] = (),
) -> Counter[str]:
    """Put files back as they were, the last change first; return counts. Their plan holds again.

    ``names`` are the fields of the tags to take back; none: all that were written.
    """
    counts: Counter[str] = Counter()
    with _stoppable() as stop:
        for change in changes:
            if stop.requested:
                counts["interrupted"] = 1
                break
            back = taken_back(change, names)
            old = change.old if "genre" in back else change.new
            try:
                if names:
                    written = undo_fields(journal, run, change, names)
                else:
                    written = undo_change(journal, run, change)
            except TrackError as error:
                counts["failed"] += 1
                on_result(Result(change.path, change.new, old, str(error), back))
                continue
            _note(store, change.path, written, new_values(back))
            # The plan of the file holds again; should the cache fail, the file is still restored.
            # A file that keeps some of what was written is not the one of the plan.
            if not names or not without(change.fields, names):
                with contextlib.suppress(sqlite3.Error):
                    store.reopen(change.path)
            counts["undone"] += 1
            on_result(Result(change.path, change.new, old, fields=back))
    return counts


def taken_back(change: Change, names: Collection[str]) -> dict[str, FieldChange]:
    """Return what an undo does to the fields of a change: those named, else all."""
    left = without(change.fields, names) if names else {}
    found = dict[str, FieldChange]()
    for name, written in change.fields.items():
        if name not in left or left[name].new != written.new:
            found[name] = FieldChange(written.new, left[name].new if name in left else written.old)
    return found
