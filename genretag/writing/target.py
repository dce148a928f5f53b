"""The file that is to be written: what it must be before, during and after a write."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from genretag import audio, tags
from genretag.decisions.policy import HardLinks, Owner, Protect
from genretag.errors import TrackError
from genretag.library.walk import signed


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


def stat_written(path: Path, sha256: str, content_key: str) -> Written:
    """Return a written file's stat fields with its hash and content key."""
    s = path.stat()
    mtime, inode, device = map(signed, (s.st_mtime_ns, s.st_ino, s.st_dev))
    return Written(s.st_size, mtime, inode, device, s.st_nlink, sha256, content_key)


def check_target(target: Path, options: WriteOptions) -> os.stat_result:
    """Return the file's stat result; raise for files that must not be replaced."""
    # lstat: the target is resolved, so a link here was put in its place a moment ago.
    try:
        s = target.lstat()
    except FileNotFoundError as error:
        raise TrackError("write", "it was moved or deleted; scan again") from error
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


def check_unchanged(target: Path, expected: Expected) -> str:
    """Return the file's SHA-256; raise if it is not the file that was scanned."""
    hashes = audio.file_hashes(target)
    if not expected.is_met_by(target, hashes):
        raise TrackError("changed", "it changed since the scan; scan it again")
    return hashes.sha256


def content_key_of(target: Path, expected: Expected) -> str:
    """Return the file's content key, which a scan of pieces does not compute."""
    if expected.content_key.startswith(audio.AUDIO_KEY_PREFIX):
        return audio.content_key(target)
    return expected.content_key


def check_still(target: Path, before: os.stat_result) -> None:
    """Raise if the file was touched while its copy was made."""
    now = target.lstat()
    fields = ("st_mtime_ns", "st_size", "st_ino")
    if any(getattr(now, name) != getattr(before, name) for name in fields):
        raise TrackError("changed", "it changed while it was being written; scan it again")


def track_error(error: Exception) -> TrackError:
    """Return an error of the system as this track's error."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TrackError("write", f"it could not be written: {text}")
