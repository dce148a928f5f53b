"""The one safe writer: a music file is replaced as a whole by a proven copy, or left alone.

Journal first; copy beside the file; change the copy; prove that audio and all other tags are
unchanged; store the byte differences that lead back; replace atomically; journal again. A kill at
any moment leaves the old file or the new one, and ``recover`` tidies up and finds out which.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from genretag import audio, tags
from genretag.decisions.fields import EVIDENCE, without_evidence
from genretag.decisions.policy import HardLinks, Owner, Protect
from genretag.errors import TrackError
from genretag.layout.account import UnexplainedError
from genretag.layout.detect import UnknownContainerError
from genretag.library.walk import signed
from genretag.storage.journal import OPEN_STATES, Change, FieldChange, Fields, Journal
from genretag.writing import delta
from genretag.writing.in_use import Lease, exchange, leased
from genretag.writing.proof import prove

#: Temporary files are hidden, have this mark in their name, and keep the extension.
TEMP_MARK = "genretag-tmp"
_FICLONE = 0x40049409  # Linux ioctl: share blocks until one of the files changes
_MAX_NAMED_PARTS = 5  # changed parts that an error message names


@dataclass(frozen=True)
class Expected:
    """The file as the scan saw it: by a hash of all of it or, where only pieces were read, by its
    size, time and audio key.
    """

    size: int
    mtime_ns: int
    sha256: str | None
    content_key: str
    file_check: str | None = None
    audio_key: str | None = None

    def is_met_by(self, target: Path, hashes: audio.FileHashes) -> bool:
        """Return whether a file is the one that was scanned."""
        checks = [self.file_check] if self.file_check else []
        checks += [audio.check_of_sha256(self.sha256)] if self.sha256 else []
        if checks:
            return all(map(hashes.match, checks))
        s = target.stat()
        same = (s.st_size, signed(s.st_mtime_ns)) == (self.size, self.mtime_ns)
        return same and self.audio_key == audio.audio_key(target)


@dataclass(frozen=True)
class WriteOptions:
    """How files are written."""

    preserve_mtimes: bool = False
    form: tags.TagOptions = tags.KEEP_AS_IS
    hardlinks: HardLinks = HardLinks.SKIP
    protect: Protect = field(default_factory=Protect)  # never written, whatever a plan says
    owner: Owner = Owner.KEEP


@dataclass(frozen=True)
class Written:
    """Stat fields and hash of a file after a write."""

    size: int
    mtime_ns: int
    inode: int
    device: int
    links: int
    sha256: str
    content_key: str  # "" after an undo, which does not need it


#: Called with the name of each step; only the fault tests set it.
hook: Callable[[str], None] | None = None


def _step(name: str) -> None:
    """Mark a moment between two steps, where the fault tests kill the program."""
    if hook is not None:
        hook(name)


def _written(path: Path, sha256: str, content_key: str) -> Written:
    s = path.stat()
    mtime, inode, device = map(signed, (s.st_mtime_ns, s.st_ino, s.st_dev))
    return Written(s.st_size, mtime, inode, device, s.st_nlink, sha256, content_key)


def _check_target(target: Path, options: WriteOptions) -> os.stat_result:
    """Return the file's stat result; raise for files that must not be replaced."""
    # lstat: the target is resolved, so a link here was put in its place a moment ago.
    s = target.lstat()
    if not stat.S_ISREG(s.st_mode):
        raise TrackError("write", "it is not a regular file")
    # root may write everything, and read-only still means that the owner wants it so.
    any_write = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    if not s.st_mode & any_write or not os.access(target, os.W_OK):
        raise TrackError("write", "the file is read-only")
    if s.st_nlink > 1 and options.hardlinks is HardLinks.SKIP:
        links = f"{s.st_nlink - 1} other hard link{'s' if s.st_nlink > 2 else ''}"
        raise TrackError("write", f"it has {links} (--hardlinks break or in-place writes it)")
    return s


def _check_unchanged(target: Path, expected: Expected) -> str:
    """Return the file's SHA-256; raise if it is not the file that was scanned."""
    hashes = audio.file_hashes(target)
    if not expected.is_met_by(target, hashes):
        raise TrackError("changed", "it changed since the scan; scan it again")
    return hashes.sha256


def _content_key(target: Path, expected: Expected) -> str:
    """Return the file's content key, which a scan of pieces does not compute."""
    if expected.content_key.startswith(audio.AUDIO_KEY_PREFIX):
        return audio.content_key(target)
    return expected.content_key


def _copy(source: Path, temp: Path) -> None:
    """Copy a file into a new file, sharing blocks if the file system can."""
    with source.open("rb") as a, temp.open("xb") as b:
        try:
            import fcntl

            # Btrfs and XFS share the blocks, so that a long file costs no time and no space.
            fcntl.ioctl(b.fileno(), _FICLONE, a.fileno())
        except (ImportError, OSError):
            shutil.copyfileobj(a, b, 1 << 20)


def _copy_attributes(
    source: Path, temp: Path, preserve_mtimes: bool, owner_rule: Owner = Owner.KEEP
) -> None:
    """Give the copy the file's owner, mode, extended attributes, ACLs and, on request, times."""
    s = source.stat()
    owner = (s.st_uid, s.st_gid)
    if hasattr(os, "chown") and owner != (temp.stat().st_uid, temp.stat().st_gid):
        try:
            os.chown(temp, *owner)
        except PermissionError as error:
            if owner_rule is Owner.KEEP:
                message = "its owner could not be kept (--owner mine makes it yours)"
                raise TrackError("write", message) from error
    # After chown, which may clear bits of the mode.
    shutil.copystat(source, temp)
    if not preserve_mtimes:
        os.utime(temp)


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk. Windows cannot do so for folders."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _verify(
    target: Path, temp: Path, fields: Fields, content_key: str, options: tags.TagOptions
) -> None:
    """Raise unless the copy has the same audio, the planned fields, and all else unchanged."""
    # Three independent checks: FFmpeg's packets, the values as read, and every byte by our parsers.
    found = audio.content_key(temp)
    # A track that is known by its audio key may carry the content key of an earlier edit.
    if found != content_key and found != audio.content_key(target):
        raise TrackError("verify", "its audio would have changed; it was not written")
    read_back = tags.read(temp)
    for name, change in fields.items():
        values = values_in(read_back, name)
        if read_back.problem or not tags.are_same(values, change.new):
            found = ", ".join(values) or "none"
            message = f"the {name} did not read back as planned (found: {found})"
            raise TrackError("verify", f"{message}; it was not written")
    if parts := _changed_parts(target, temp, options, tuple(fields)):
        names = ", ".join(parts[:_MAX_NAMED_PARTS])
        raise TrackError("verify", f"another tag would have changed ({names}); it was not written")


def values_in(read: tags.Tags, field: str) -> list[str]:
    """Return the values of a field in a file's tags."""
    if field == "genre":
        return read.genres
    return read.fields.values.get(field, []) if read.fields is not None else []


def _changed_parts(
    target: Path, temp: Path, options: tags.TagOptions, fields: Sequence[str]
) -> list[str]:
    """Return the names of parts that the write changed besides some fields."""
    converted = options.convert_v22 or options.id3_version is not None
    parts = list[str]()
    try:
        parts += prove(target, temp, fields, converted=converted)
    except UnknownContainerError:
        converted = True  # compared by their contents alone
    except UnexplainedError as error:
        raise TrackError("verify", f"{error}; it was not written") from error
    if converted:
        parts += tags.changed_places(
            tags.other_tags(target, fields, options), tags.other_tags(temp, fields, options)
        )
    return parts


class _Discard(io.RawIOBase):
    """Takes bytes and forgets them."""

    def write(self, data: object) -> int:
        """Return the number of bytes."""
        return len(memoryview(data))  # type: ignore[arg-type]


def _differences_back(target: Path, temp: Path, before: str) -> bytes:
    """Return the packed byte differences from new to old, proven to give the old file's hash."""
    packed = delta.compare(target, temp).pack()
    if delta.rebuild(delta.Delta.unpack(packed), temp, _Discard()) != before:  # type: ignore[arg-type]
        raise TrackError("verify", "undo could not be proven; it was not written")
    return packed


def _temp_beside(target: Path) -> Path:
    return target.with_name(f".{secrets.token_hex(8)}.{TEMP_MARK}{target.suffix}")


def _old_beside(temp: Path) -> Path:
    """Return the place of the rebuilt old file from which ``temp`` is made."""
    return temp.with_name(f"{temp.name}.old")


def _unlink(temp: Path) -> None:
    with contextlib.suppress(OSError):  # recover() tries again on the next run
        temp.unlink(missing_ok=True)


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
        stat_before = _check_target(target, options)
        with leased(target) as lease:
            before = _check_unchanged(target, expected)
            content_key = _content_key(target, expected)
            # In the same folder, since os.replace is atomic only within a file system.
            temp = _temp_beside(target)
            with turn or nullcontext():
                mtime = stat_before.st_mtime_ns
                names = (run, path, target, temp, before, mtime)
                # Before the first byte is written: the journal knows every stray copy after a kill.
                change = journal.intend(*names, genres, new, fields)
            try:
                _step("intended")
                _make_copy(target, temp, fields, content_key, options)
                _copy_attributes(target, temp, options.preserve_mtimes, options.owner)
                # A rename may reach the disk before the data of the file does.
                _sync(temp)
                _step("synced")
                after = audio.file_sha256(temp)
                packed = _differences_back(target, temp, before)
                if expected.audio_key is not None:
                    journal.same_audio(expected.audio_key, content_key)
                journal.ready(change, after, content_key, packed)
                _step("ready")
                _put_in_place(journal, change, target, temp, stat_before, options, lease)
            except BaseException as error:
                lease.release()
                _settle(journal, change)
                if isinstance(error, OSError | ValueError):
                    raise _failed(error) from error
                raise
    except OSError as error:
        raise _failed(error) from error
    journal.mark(change, "replaced")
    _step("marked")
    return _written(target, after, content_key)


def _make_copy(
    target: Path, temp: Path, fields: Fields, content_key: str, options: WriteOptions
) -> None:
    """Make the proven copy with new values of some fields beside the file."""
    _copy(target, temp)
    _step("copied")
    # The genre comes first: a tag that another field needs then repeats the new one.
    for name in sorted(fields, key=lambda name: name != "genre"):
        tags.write(temp, fields[name].new, options.form, name)
    _step("tagged")
    _verify(target, temp, fields, content_key, options.form)
    _step("verified")


def _put_in_place(
    journal: Journal,
    change: int,
    target: Path,
    temp: Path,
    stat_before: os.stat_result,
    options: WriteOptions,
    lease: Lease,
) -> None:
    """Replace the file by its copy; with hard links kept, write the copy over it."""
    _check_still(target, stat_before)
    if target.lstat().st_ctime_ns != stat_before.st_ctime_ns:
        # Mode, owner or attributes changed, such as a rating that a player stores there.
        _copy_attributes(target, temp, options.preserve_mtimes, options.owner)
        _sync(temp)
    lease.check()
    if stat_before.st_nlink > 1 and options.hardlinks is HardLinks.IN_PLACE:
        journal.mark(change, "overwriting")
        lease.release()  # our own write would break it
        _overwrite(target, temp)
    else:
        _replace(target, temp, lease)
    lease.release()
    _step("replaced")
    _sync(target.parent)


def _replace(target: Path, temp: Path, lease: Lease) -> None:
    """Replace a file by its copy in one step.

    With a lease the two change places first: a program that asks for the file just before finds
    it there again, since it would write into a file without a name. One that asks later finds the
    copy.

    Raises:
        TrackError: another program wants to write the file.
    """
    if not (lease.held and exchange(target, temp)):
        os.replace(temp, target)
        return
    _step("exchanged")
    try:
        lease.check()
        temp.unlink()
    except (TrackError, OSError):
        exchange(target, temp)
        raise


def _overwrite(target: Path, temp: Path) -> None:
    """Write the proven copy over the file itself, for all its names; then remove the copy.

    This is the one write that is not atomic. The journal knows of it and the copy is on the disk,
    so that ``recover`` completes it after a kill.
    """
    _step("overwriting")
    with temp.open("rb") as source, target.open("r+b") as out:
        shutil.copyfileobj(source, out, 1 << 16)
        _step("overwritten")
        out.truncate()
        out.flush()
        os.fsync(out.fileno())
    shutil.copystat(temp, target)
    _unlink(temp)


def _check_still(target: Path, before: os.stat_result) -> None:
    """Raise if the file was touched while its copy was made."""
    now = target.lstat()
    fields = ("st_mtime_ns", "st_size", "st_ino")
    if any(getattr(now, name) != getattr(before, name) for name in fields):
        raise TrackError("changed", "it changed while it was being written; scan it again")


def _failed(error: Exception) -> TrackError:
    """Return an error of the system as this track's error."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TrackError("write", f"it could not be written: {text}")


def _settle(journal: Journal, number: int) -> None:
    """Bring one open change to the state that its file shows."""
    try:
        for change in journal.changes(states=OPEN_STATES):
            if change.id == number:
                _settle_change(journal, change)
    except sqlite3.Error:  # the journal's disk is full, for example: recover() tries again
        return


def _settle_change(journal: Journal, change: Change) -> str | None:
    """Finish a write in place, remove the stray copy, and record which of the two files is there.

    None: the file cannot be reached now.
    """
    if not change.temp.parent.is_dir():
        return None  # perhaps an unmounted disk, with the stray copy on it
    back = change.state in ("undoing", "overwriting back")
    wanted = change.before if back else change.after
    try:
        if change.state.startswith("overwriting") and _has_hash(change.temp, wanted):
            _overwrite(change.target, change.temp)
        now = audio.file_sha256(change.target) if change.state != "intended" else None
    except OSError:
        return None
    _unlink(change.temp)
    _unlink(_old_beside(change.temp))
    done, not_done = ("undone", "replaced") if back else ("replaced", "dropped")
    # The hash of the file decides, not how far the program seems to have come.
    state = done if now == wanted and now is not None else not_done
    journal.mark(change.id, state)
    return state


def _has_hash(path: Path, sha256: str | None) -> bool:
    return path.exists() and audio.file_sha256(path) == sha256


def recover(journal: Journal) -> list[tuple[Change, str | None]]:
    """Finish or roll back what a killed run left between two states; return what was found."""
    open_changes = journal.changes(states=OPEN_STATES)
    return [(change, _settle_change(journal, change)) for change in open_changes]


def undo_change(journal: Journal, run: int, change: Change) -> Written:
    """Put one file back, byte for byte, with its time.

    Raises:
        TrackError: the file was left as it is; the message says why.
    """
    if change.delta is None or change.after is None:
        raise TrackError("undo", "the journal holds no byte differences for it")
    temp = _temp_beside(change.target)
    try:
        if not change.target.exists():
            message = "it was moved or deleted; move it back, then undo again"
            raise TrackError("undo", message)
        with leased(change.target) as lease:
            before = change.target.lstat()
            if audio.file_sha256(change.target) != change.after:
                raise TrackError("changed", "it changed since it was written; it is left as it is")
            _rebuild(journal, change, temp, before)
            lease.check()
            # Replacing would separate the names, which the write kept together.
            if before.st_nlink > 1:
                journal.mark(change.id, "overwriting back")
                lease.release()
                _overwrite(change.target, temp)
            else:
                _replace(change.target, temp, lease)
            lease.release()
        _step("put back")
        _sync(change.target.parent)
    except BaseException as error:
        _settle(journal, change.id)
        if isinstance(error, OSError | ValueError):
            raise _failed(error) from error
        raise
    journal.mark(change.id, "undone", undone_by=run)
    return _written(change.target, change.before, "")


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
        raise TrackError("undo", "the journal holds no byte differences for it")
    target, temp = change.target, _temp_beside(change.target)
    old = _old_beside(temp)
    new = left["genre"].new if "genre" in left else change.old
    number = None
    try:
        if not target.exists():
            raise TrackError("undo", "it was moved or deleted; move it back, then undo again")
        with leased(target) as lease:
            before = target.lstat()
            if audio.file_sha256(target) != change.after:
                raise TrackError("changed", "it changed since it was written; it is left as it is")
            names_of_files = (change.run, change.path, target, temp, change.before)
            facts = (*names_of_files, change.mtime_ns, change.old, new, left, change.id)
            number = journal.intend(*facts)
            _rebuild_into(change, old)
            options = WriteOptions(form=_form_between(old, target), hardlinks=HardLinks.IN_PLACE)
            _make_copy(old, temp, left, change.content_key, options)
            _copy_attributes(target, temp, preserve_mtimes=False)
            _sync(temp)
            packed = _differences_back(old, temp, change.before)
            _unlink(old)
            journal.ready(number, audio.file_sha256(temp), change.content_key, packed)
            _step("ready")
            _put_in_place(journal, number, target, temp, before, options, lease)
    except BaseException as error:
        if number is not None:
            _settle(journal, number)
        if isinstance(error, OSError | ValueError):
            raise _failed(error) from error
        raise
    journal.mark(number, "replaced", undone_by=run)
    return _written(target, audio.file_sha256(target), change.content_key)


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
    _step("aimed")
    _rebuild_into(change, temp)
    _step("rebuilt")
    _copy_attributes(change.target, temp, preserve_mtimes=True)
    os.utime(temp, ns=(before.st_atime_ns, change.mtime_ns))
    _sync(temp)
    _check_still(change.target, before)
