"""Undo a write: the old file is rebuilt from the byte differences, and proven by its hash."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from genretag import audio, tags
from genretag.decisions.fields import EVIDENCE, without_evidence
from genretag.decisions.policy import HardLinks
from genretag.errors import TrackError
from genretag.storage.changes import Change, FieldChange, Fields
from genretag.storage.journal import Journal
from genretag.writing import delta
from genretag.writing.copying import copy_attributes, old_beside, sync, temp_beside, unlink_temp
from genretag.writing.in_use import leased
from genretag.writing.recovery import settle
from genretag.writing.replace import exchange_or_replace, overwrite, put_in_place
from genretag.writing.steps import step
from genretag.writing.target import WriteOptions, Written, check_still, stat_written, track_error
from genretag.writing.write import make_copy, store_way_back

_NO_DIFFERENCES = "the journal holds no byte differences for it"


def undo_change(journal: Journal, run: int, change: Change) -> Written:
    """Put one file back, byte for byte, with its time.

    Raises:
        TrackError: the file was left as it is; the message says why.
    """
    if change.delta is None or change.after is None:
        raise TrackError("undo", _NO_DIFFERENCES)
    temp = temp_beside(change.target)
    try:
        _check_exists(change.target)
        with leased(change.target) as lease:
            before = change.target.lstat()
            _check_as_written(change)
            _rebuild(journal, change, temp, before)
            lease.check()
            # Replacing would separate the names, which the write kept together.
            if before.st_nlink > 1:
                journal.mark(change.id, "overwriting back")
                lease.release()
                overwrite(change.target, temp)
            else:
                exchange_or_replace(change.target, temp, lease)
            lease.release()
        step("put back")
        sync(change.target.parent)
    except BaseException as error:
        settle(journal, change.id)
        if isinstance(error, OSError | ValueError):
            raise track_error(error) from error
        raise
    journal.mark(change.id, "undone", undone_by=run)
    return stat_written(change.target, change.before, "")


def undo_fields(journal: Journal, run: int, change: Change, names: Collection[str]) -> Written:
    """Take some fields of a change back: the old file with the other fields written again.

    The journal has the result in place of the change, so that the rest can be undone later.

    Raises:
        TrackError: the file was left as it is; the message says why.
    """
    left = without(change.fields, names)
    if not left:
        return undo_change(journal, run, change)
    if change.delta is None or change.after is None or change.content_key is None:
        raise TrackError("undo", _NO_DIFFERENCES)
    target, temp = change.target, temp_beside(change.target)
    old = old_beside(temp)
    new = left["genre"].new if "genre" in left else change.old
    number = None
    try:
        _check_exists(target)
        with leased(target) as lease:
            before = target.lstat()
            _check_as_written(change)
            names_of_files = (change.run, change.path, target, temp, change.before)
            facts = (*names_of_files, change.mtime_ns, change.old, new, left, change.id)
            number = journal.intend(*facts)
            _rebuild_into(change, old)
            options = WriteOptions(form=_form_between(old, target), hardlinks=HardLinks.IN_PLACE)
            make_copy(old, temp, left, change.content_key, options)
            copy_attributes(target, temp, preserve_mtimes=False)
            sync(temp)
            store_way_back(journal, number, old, temp, change.before, change.content_key)
            unlink_temp(old)
            put_in_place(journal, number, target, temp, before, options, lease)
    except BaseException as error:
        if number is not None:
            settle(journal, number)
        if isinstance(error, OSError | ValueError):
            raise track_error(error) from error
        raise
    journal.mark(number, "replaced", undone_by=run)
    return stat_written(target, audio.file_sha256(target), change.content_key)


def _check_exists(target: Path) -> None:
    """Raise if the file is not where it was written."""
    if not target.exists():
        text = "it was moved or deleted; move it back or scan its new folder, then undo again"
        raise TrackError("undo", text)


def _check_as_written(change: Change) -> None:
    """Raise if the file is not, byte for byte, what the change made of it."""
    if audio.file_sha256(change.target) != change.after:
        raise TrackError("changed", "it changed since it was written; it is left as it is")


def without(fields: Fields, names: Collection[str]) -> Fields:
    """Return what a change wrote but some fields, and the evidence without these."""
    left = {name: change for name, change in fields.items() if name not in names}
    evidence = left.pop(EVIDENCE, None)
    if left and evidence and (kept := without_evidence(evidence.new, names)):
        left[EVIDENCE] = FieldChange(evidence.old, kept)
    return left


def _form_between(old: Path, new: Path) -> tags.TagOptions:
    """Return the options by which a write made the version of ID3v2 in a new file."""
    versions = []
    for path in (old, new):
        with path.open("rb") as file:
            head = file.read(4)
        versions.append(head[3] if len(head) == 4 and head[:3] == b"ID3" else None)
    # The other fields must be written again as they were, in the same version of ID3v2.
    was, now = versions
    converted = was is not None and now in (3, 4) and was != now
    return tags.TagOptions(convert_v22=was == 2, id3_version=now if converted else None)


def _rebuild_into(change: Change, place: Path) -> None:
    """Make the file as it was before a change, and prove it by its hash."""
    assert change.delta is not None
    with place.open("xb") as out:
        rebuilt = delta.rebuild(delta.Delta.unpack(change.delta), change.target, out)
    if rebuilt != change.before:
        raise TrackError("undo", "the old file could not be rebuilt; it is left as it is")


def _rebuild(journal: Journal, change: Change, temp: Path, before: os.stat_result) -> None:
    """Make the old file beside the new one, and prove it by its hash."""
    journal.aim(change.id, temp)
    step("aimed")
    _rebuild_into(change, temp)
    step("rebuilt")
    copy_attributes(change.target, temp, preserve_mtimes=True)
    os.utime(temp, ns=(before.st_atime_ns, change.mtime_ns))
    sync(temp)
    check_still(change.target, before)
