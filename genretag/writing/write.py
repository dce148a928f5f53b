"""The one safe writer: a music file is replaced as a whole by a proven copy, or left alone.

Journal first; copy beside the file; change the copy; prove that audio and all other tags are
unchanged; store the byte differences that lead back; replace atomically; journal again. A kill at
any moment leaves the old file or the new one, and ``recover`` tidies up and finds out which.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from genretag import audio, tags
from genretag.storage.changes import FieldChange, Fields
from genretag.storage.journal import Journal
from genretag.writing.copying import copy_attributes, copy_bytes, sync, temp_beside
from genretag.writing.in_use import leased
from genretag.writing.recovery import settle
from genretag.writing.replace import put_in_place
from genretag.writing.steps import step
from genretag.writing.target import (
    Expected,
    WriteOptions,
    Written,
    check_target,
    check_unchanged,
    content_key_of,
    stat_written,
    track_error,
)
from genretag.writing.verification import differences_back, verify


def write_genres(
    journal: Journal,
    run: int,
    path: Path,
    old: list[str],
    genres: list[str],
    expected: Expected,
    options: WriteOptions,
    turn: AbstractContextManager[object] | None = None,
) -> Written:
    """Write genres into one file, safely. See ``write_fields``."""
    fields = {"genre": FieldChange(old, genres)}
    return write_fields(journal, run, path, old, fields, expected, options, turn)


def write_fields(
    journal: Journal,
    run: int,
    path: Path,
    genres: list[str],
    fields: Fields,
    expected: Expected,
    options: WriteOptions,
    turn: AbstractContextManager[object] | None = None,
) -> Written:
    """Write fields into one file, safely. ``turn`` is held while the journal records the change.

    ``genres`` are those that the file has.

    Raises:
        TrackError: the file was left as it was; the message says why.
    """
    new = fields["genre"].new if "genre" in fields else genres
    try:
        target = Path(os.path.realpath(path))
        stat_before = check_target(target, options)
        with leased(target) as lease:
            before = check_unchanged(target, expected)
            content_key = content_key_of(target, expected)
            temp = temp_beside(target)
            with turn or nullcontext():
                mtime = stat_before.st_mtime_ns
                names = (run, path, target, temp, before, mtime)
                # Before the first byte is written: the journal knows every stray copy after a kill.
                change = journal.intend(*names, genres, new, fields)
            try:
                step("intended")
                make_copy(target, temp, fields, content_key, options)
                _finish_copy(target, temp, options)
                if expected.audio_key is not None:
                    journal.same_audio(expected.audio_key, content_key)
                after = store_way_back(journal, change, target, temp, before, content_key)
                put_in_place(journal, change, target, temp, stat_before, options, lease)
            except BaseException as error:
                lease.release()
                settle(journal, change)
                if isinstance(error, OSError | ValueError):
                    raise track_error(error) from error
                raise
    except OSError as error:
        raise track_error(error) from error
    journal.mark(change, "replaced")
    step("marked")
    return stat_written(target, after, content_key)


def _finish_copy(target: Path, temp: Path, options: WriteOptions) -> None:
    """Give the copy the attributes of the file, and flush it to the disk."""
    copy_attributes(target, temp, options.preserve_mtimes, options.owner)
    # A rename may reach the disk before the data of the file does.
    sync(temp)
    step("synced")


def store_way_back(
    journal: Journal, change: int, old: Path, temp: Path, before: str, content_key: str
) -> str:
    """Store the byte differences that lead from the copy to the old file; return its SHA-256."""
    after = audio.file_sha256(temp)
    journal.ready(change, after, content_key, differences_back(old, temp, before))
    step("ready")
    return after


def make_copy(
    target: Path, temp: Path, fields: Fields, content_key: str, options: WriteOptions
) -> None:
    """Make the proven copy with new values of some fields beside the file."""
    copy_bytes(target, temp)
    step("copied")
    # The genre comes first: a tag that another field needs then repeats the new one.
    for name in sorted(fields, key=lambda name: name != "genre"):
        tags.write(temp, fields[name].new, options.form, name)
    step("tagged")
    verify(target, temp, fields, content_key, options.form)
    step("verified")
