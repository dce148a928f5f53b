"""The one safe writer: a music file is replaced as a whole by a checked copy, or left alone.

Journal first; copy beside the file; change the copy; prove that the audio and every other tag
are as before; know how to get back; replace atomically; journal again. A kill at any moment
leaves the old file or the new one, and ``recover`` tidies up and learns which.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from genretag import audio, tags
from genretag.errors import TrackError
from genretag.layout.account import UnexplainedError
from genretag.layout.detect import UnknownContainerError
from genretag.policy import HardLinks, Protect
from genretag.walk import signed
from genretag.writing import delta
from genretag.writing.journal import OPEN_STATES, Change, Journal
from genretag.writing.proof import prove

#: Temporary files are hidden, bear this mark, and keep the extension: readers of tags go by it.
TEMP_MARK = "genretag-tmp"
_FICLONE = 0x40049409  # Linux: let two files share their blocks until one changes


@dataclass(frozen=True)
class Expected:
    """The file as the scan saw it."""

    size: int
    mtime_ns: int
    sha256: str
    content_key: str


@dataclass(frozen=True)
class Manner:
    """How files are written."""

    preserve_mtimes: bool = False
    form: tags.Form = tags.AS_IT_IS
    hardlinks: HardLinks = HardLinks.SKIP
    protect: Protect = field(default_factory=Protect)  # what is never written, whatever a plan says


@dataclass(frozen=True)
class Written:
    """What became of a file: its facts after the write."""

    size: int
    mtime_ns: int
    inode: int
    device: int
    links: int
    sha256: str


def _step(name: str) -> None:
    """Mark a moment between two steps; the fault tests kill the program here."""
    if hook is not None:
        hook(name)


#: Called with the name of each step; set by the fault tests alone.
hook: Callable[[str], None] | None = None


def _facts(path: Path, sha256: str) -> Written:
    s = path.stat()
    return Written(s.st_size, signed(s.st_mtime_ns), signed(s.st_ino), signed(s.st_dev), s.st_nlink, sha256)


def _check_target(target: Path, manner: Manner) -> os.stat_result:
    """Return the file's facts; raise for files that must not be replaced."""
    s = target.lstat()
    if not stat.S_ISREG(s.st_mode):
        raise TrackError("write", "it is no regular file")
    if not s.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(target, os.W_OK):
        raise TrackError("write", "the file is read-only")
    if s.st_nlink > 1 and manner.hardlinks is HardLinks.SKIP:
        raise TrackError("write", f"it has {s.st_nlink - 1} other hard link(s) (--hardlinks break or in-place writes it)")
    return s


def _check_unchanged(target: Path, expected: Expected) -> str:
    """Return the file's hash; raise where the file is not the one that was scanned."""
    sha256 = audio.file_sha256(target)
    if sha256 != expected.sha256:
        raise TrackError("changed", "it changed since the scan; scan it again")
    return sha256


def _copy(source: Path, temp: Path) -> None:
    """Copy a file's bytes into a new file, sharing blocks where the file system can."""
    with source.open("rb") as a, temp.open("xb") as b:
        try:
            import fcntl

            fcntl.ioctl(b.fileno(), _FICLONE, a.fileno())
        except (ImportError, OSError):
            shutil.copyfileobj(a, b, 1 << 20)


def _dress(source: Path, temp: Path, preserve_mtimes: bool) -> None:
    """Give the copy the file's owner, mode, extended attributes (ACLs are such) and, if asked for, times."""
    s = source.stat()
    if hasattr(os, "chown") and (s.st_uid, s.st_gid) != (temp.stat().st_uid, temp.stat().st_gid):
        try:
            os.chown(temp, s.st_uid, s.st_gid)
        except PermissionError as error:
            raise TrackError("write", "its owner could not be kept") from error
    shutil.copystat(source, temp)
    if not preserve_mtimes:
        os.utime(temp)


def _sync(path: Path) -> None:
    """Bring a file's or a folder's bytes to the disk. Windows cannot do so for folders."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _verify(
    target: Path, temp: Path, genres: list[str], content_key: str, options: tags.Form
) -> None:
    """Raise unless the copy has the same audio, the planned genres, and all else unchanged."""
    if audio.identify(temp).content_key != content_key:
        raise TrackError("verify", "its audio would have changed; it was not written")
    read_back = tags.read(temp)
    if read_back.problem or not tags.are_same(read_back.genres, genres):
        found = ", ".join(read_back.genres) or "none"
        message = f"the genre did not read back as planned (found: {found}); it was not written"
        raise TrackError("verify", message)
    if parts := _changed_parts(target, temp, options):
        message = f"another tag would have changed ({', '.join(parts[:5])}); it was not written"
        raise TrackError("verify", message)


def _changed_parts(target: Path, temp: Path, options: tags.Form) -> list[str]:
    """Return the names of parts that the write changed besides the genre."""
    converted = options.convert_v22 or options.id3_version is not None
    parts = list[str]()
    try:
        parts += prove(target, temp, converted=converted)
    except UnknownContainerError:
        converted = True  # compared by their contents alone
    except UnexplainedError as error:
        raise TrackError("verify", f"{error}; it was not written") from error
    if converted:
        parts += tags.lost(tags.others(target, options), tags.others(temp, options))
    return parts


class _Discard(io.RawIOBase):
    """Takes bytes and forgets them."""

    def write(self, data: object) -> int:
        """Return how many bytes came."""
        return len(memoryview(data))  # type: ignore[arg-type]


def _way_back(target: Path, temp: Path, before: str) -> bytes:
    """Return the packed delta from new to old, proven to give the old file's hash."""
    change = delta.compare(target, temp)
    packed = change.pack()
    if delta.rebuild(delta.Delta.unpack(packed), temp, _Discard()) != before:  # type: ignore[arg-type]
        raise TrackError("verify", "the way back could not be proven; it was not written")
    return packed


def _temp_beside(target: Path) -> Path:
    return target.with_name(f".{secrets.token_hex(8)}.{TEMP_MARK}{target.suffix}")


def _unlink(temp: Path) -> None:
    with contextlib.suppress(OSError):  # recover() tries again on the next run
        temp.unlink(missing_ok=True)


def write_genres(
    journal: Journal, run: int, path: Path, old: list[str], genres: list[str], expected: Expected, manner: Manner,
    turn: AbstractContextManager[object] | None = None,
) -> Written:  # fmt: skip
    """Write genres into one file, safely. ``turn`` is held while the journal learns of it.

    Raises:
        TrackError: why the file was left as it was.
    """
    try:
        target = Path(os.path.realpath(path))
        stat_before = _check_target(target, manner)
        before = _check_unchanged(target, expected)
        temp = _temp_beside(target)
        with turn or nullcontext():
            change = journal.intend(run, path, target, temp, before, stat_before.st_mtime_ns, old, genres)
    except OSError as error:
        raise _failed(error) from error
    try:
        _step("intended")
        _copy(target, temp)
        _step("copied")
        tags.write(temp, genres, manner.form)
        _step("tagged")
        _verify(target, temp, genres, expected.content_key, manner.form)
        _step("verified")
        _dress(target, temp, manner.preserve_mtimes)
        _sync(temp)
        _step("synced")
        after = audio.file_sha256(temp)
        packed = _way_back(target, temp, before)
        journal.ready(change, after, expected.content_key, packed)
        _step("ready")
        _check_still(target, stat_before)
        if stat_before.st_nlink > 1 and manner.hardlinks is HardLinks.IN_PLACE:
            journal.mark(change, "overwriting")
            _overwrite(target, temp)
        else:
            os.replace(temp, target)
        _step("replaced")
        _sync(target.parent)
    except BaseException as error:
        _settle(journal, change)
        if isinstance(error, OSError | ValueError):
            raise _failed(error) from error
        raise
    journal.mark(change, "replaced")
    _step("marked")
    return _facts(target, after)


def _overwrite(target: Path, temp: Path) -> None:
    """Write the checked copy over the file itself, so that all its names see it; then the copy goes.

    This is the one write that is not atomic. The journal knows of it and the copy is on the disk, so that
    ``recover`` ends what a kill began.
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
    """Raise where somebody touched the file while its copy was made."""
    now = target.lstat()
    if (now.st_mtime_ns, now.st_size, now.st_ino) != (before.st_mtime_ns, before.st_size, before.st_ino):
        raise TrackError("changed", "it changed while it was being written; scan it again")


def _failed(error: Exception) -> TrackError:
    """Return a system error as this track's error."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TrackError("write", f"it could not be written: {text}")


# --- after a kill ------------------------------------------------------------------------------------------------


def _settle(journal: Journal, number: int) -> None:
    """Bring one open change to the state that its file shows."""
    try:
        for change in journal.changes(states=OPEN_STATES):
            if change.id == number:
                _settle_change(journal, change)
    except sqlite3.Error:  # the journal's disk is full, say: recover() looks at it on the next run
        return


def _settle_change(journal: Journal, change: Change) -> str | None:
    """Finish what overwrites in place, remove the stray copy, and note which of the two files is there.

    None: that cannot be told yet.
    """
    if not change.temp.parent.is_dir():
        return None  # an unmounted disk, perhaps: the stray may still be there
    back = change.state in ("undoing", "overwriting back")
    wanted = change.before if back else change.after
    try:
        if change.state.startswith("overwriting") and change.temp.exists() and audio.file_sha256(change.temp) == wanted:
            _overwrite(change.target, change.temp)
        now = audio.file_sha256(change.target) if change.state != "intended" else None
    except OSError:
        return None
    _unlink(change.temp)
    done, not_done = ("undone", "replaced") if back else ("replaced", "dropped")
    state = done if now == wanted and now is not None else not_done
    journal.mark(change.id, state)
    return state


def recover(journal: Journal) -> list[tuple[Change, str | None]]:
    """Finish or take back what a killed run left between two states; return what was found."""
    return [(change, _settle_change(journal, change)) for change in journal.changes(states=OPEN_STATES)]


# --- the way back ------------------------------------------------------------------------------------------------


def undo_change(journal: Journal, run: int, change: Change) -> Written:
    """Put one file back, byte for byte, with its time.

    Raises:
        TrackError: why the file was left as it is.
    """
    if change.delta is None or change.after is None:
        raise TrackError("undo", "the journal holds no way back for it")
    temp = _temp_beside(change.target)
    try:
        if not change.target.exists():
            raise TrackError("undo", "it was moved or deleted; move it back, and undo puts the old bytes into it")
        before = change.target.lstat()
        if audio.file_sha256(change.target) != change.after:
            raise TrackError("changed", "it changed since it was written; it is left as it is")
        journal.aim(change.id, temp)
        _step("aimed")
        with temp.open("xb") as out:
            rebuilt = delta.rebuild(delta.Delta.unpack(change.delta), change.target, out)
        if rebuilt != change.before:
            raise TrackError("undo", "the old file could not be rebuilt; it is left as it is")
        _step("rebuilt")
        _dress(change.target, temp, preserve_mtimes=True)
        os.utime(temp, ns=(before.st_atime_ns, change.mtime_ns))
        _sync(temp)
        _check_still(change.target, before)
        if before.st_nlink > 1:
            journal.mark(change.id, "overwriting back")
            _overwrite(change.target, temp)
        else:
            os.replace(temp, change.target)
        _step("put back")
        _sync(change.target.parent)
    except BaseException as error:
        _settle(journal, change.id)
        if isinstance(error, OSError | ValueError):
            raise _failed(error) from error
        raise
    journal.mark(change.id, "undone", undone_by=run)
    return _facts(change.target, change.before)
