"""Find the music files below folders, in a stable order. No file is opened here."""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

#: Extensions of music files. All are decoded; the tags package says which can hold a genre.
EXTENSIONS = frozenset(
    ".mp3 .mp2 .flac .ogg .oga .opus .spx .m4a .m4b .aac .alac .wav .wave .aif .aiff .aifc"
    " .wma .asf .ape .wv .mpc .mp+ .tta .dsf .dff .mka .caf .au .ac3 .tak".split()
)


#: Folders in which NAS systems and synchronisers keep bins, snapshots, thumbnails and versions.
SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "#trash"),
        *("$recycle.bin", "system volume information", "recycler", "lost+found", "~snapshot"),
    }
)


class _Stat(NamedTuple):
    place: str  # the path as walked; links are not resolved
    size: int  # bytes
    mtime_ns: int
    inode: int
    device: int
    links: int  # hard links
    link: bool  # whether the path is, or leads through, a symbolic link below the given folder


class Found(_Stat):
    """A music file with its stat fields.

    A tuple: a library has a million of them, and a dataclass takes four times as long to make.
    """

    @cached_property
    def path(self) -> Path:
        """Path of the file; made on demand, since that costs as much as the rest of the walk."""
        return Path(self.place)


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that could not be listed, and the system's message."""

    path: Path
    error: str


def is_music(name: str) -> bool:
    """Return whether a file name has a music extension and is not hidden."""
    stem, dot, extension = name.rpartition(".")
    return bool(stem) and stem[0] != "." and dot + extension.lower() in EXTENSIONS


def lies_in_hidden_folder(path: Path, top: Path) -> bool:
    """Return whether a path below ``top`` leads through a hidden or a system folder."""
    inner = path.relative_to(top).parts if path.is_relative_to(top) else path.parts[1:]
    return any(part.startswith(".") or part.lower() in SYSTEM_FOLDERS for part in inner)


def below(path: Path, tops: Collection[Path] | None) -> bool:
    """Return whether a path is, or lies below, one of ``tops``; True if there are none."""
    return not tops or any(path.is_relative_to(top) for top in tops)


def lies_in(path: str, glob: str) -> bool:
    """Return whether a glob matches a path, its last parts, or one of its folders."""
    inside = glob.strip("/")
    return any(
        fnmatch.fnmatch(path, g) for g in (glob, f"*/{inside}", f"*/{inside}/*", f"{inside}/*")
    )


def _excluded(path: str, globs: tuple[str, ...]) -> bool:
    """Return whether one of the globs matches a path."""
    return any(lies_in(path, g) for g in globs)


_MAX_INT64 = (1 << 63) - 1


def signed(number: int) -> int:
    """Return an unsigned 64-bit number as signed: SQLite has no other, and some inodes need it."""
    return number if number <= _MAX_INT64 else number - (1 << 64)


def _look(path: str, *, linked: bool = False) -> Found | Unreadable | None:
    """Return a regular file with its stat fields; None for pipes, sockets and devices."""
    link = False
    try:
        s = os.lstat(path)
        link = stat.S_ISLNK(s.st_mode)
        if link:
            s = os.stat(path)
    except OSError as error:
        broken = link and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        why = "the file that it links to is not there" if broken else error.strerror
        return Unreadable(Path(path), why or str(error))
    if not stat.S_ISREG(s.st_mode):
        return None
    size, when, inode, device = s.st_size, s.st_mtime_ns, s.st_ino, s.st_dev
    if inode > _MAX_INT64 or device > _MAX_INT64 or when > _MAX_INT64:
        # ReFS and some network shares have inodes of 64 bits without sign.
        when, inode, device = signed(when), signed(inode), signed(device)
    return Found(path, size, when, inode, device, s.st_nlink, link or linked)


def _listing(folder: str) -> list[os.DirEntry[str]]:
    """Return a folder's entries in a stable order."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=attrgetter("name"))


class DiskCase:
    """Resolve the on-disk case of paths; each folder is listed once.

    On file systems that ignore case or normalise Unicode (APFS, NTFS, most network shares),
    ``~/music`` and ``~/Music`` are one folder; under two names its files would have two rows.
    """

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str] | None] = {}

    def __call__(self, path: Path) -> Path:
        """Return a path in its on-disk case. Links are not resolved."""
        # abspath, not resolve: the user's links are part of the path that is shown and stored.
        given = Path(os.path.abspath(path))
        at = Path(given.anchor)
        for part in given.parts[1:]:
            at /= self._entry(at, part)
        return path if at == given else at

    def _listing(self, folder: Path) -> frozenset[str] | None:
        """Return the names in a folder; None if it may be entered but not listed."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = None
        return self._names[folder]

    def _entry(self, folder: Path, name: str) -> str:
        """Return an entry's name as its folder lists it."""
        names = self._listing(folder)
        if names is None or name in names or not os.path.lexists(folder / name):
            return name
        # The names alone do not prove it: on a case-sensitive disk both files may exist.
        wanted = _folded(name)
        return next(
            (
                n
                for n in sorted(names)
                if _folded(n) == wanted and os.path.samefile(folder / n, folder / name)
            ),
            name,
        )


def on_disk_case(path: Path) -> Path:
    """Return a path in its on-disk case."""
    return DiskCase()(path)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _enter(
    folder: str, seen: set[tuple[int, int]]
) -> Iterator[os.DirEntry[str]] | Unreadable | None:
    """Return a folder's entries; None if it was ``seen`` before (a link back up the tree)."""
    try:
        s = os.stat(folder)
        # Numbers instead of names: the same folder can be mounted or linked under another one.
        if (s.st_dev, s.st_ino) in seen:
            return None
        seen.add((s.st_dev, s.st_ino))
        return iter(_listing(folder))
    except OSError as error:
        return Unreadable(Path(folder), error.strerror or str(error))


def _walk_folder(
    top: str, globs: tuple[str, ...], seen: set[tuple[int, int]]
) -> Iterator[Found | Unreadable]:
    """Walk one folder, entering each real folder not ``seen`` before.

    The stack is explicit, so that depth is not limited by Python's recursion limit.
    """
    stack: list[tuple[Iterator[os.DirEntry[str]], bool]] = []  # (open folder, reached by a link)
    into: tuple[str, bool] | None = (top, False)
    while into is not None or stack:
        if into is not None:
            entries = _enter(into[0], seen)
            if isinstance(entries, Unreadable):
                yield entries
            elif entries is not None:
                stack.append((entries, into[1]))
            into = None
            continue
        entries, linked = stack[-1]
        for entry in entries:
            name = entry.name
            # Cheapest test first: a library has a million entries.
            if name[0] == "." or (globs and _excluded(entry.path, globs)):
                continue
            if _is_folder(entry):
                if name.lower() in SYSTEM_FOLDERS:
                    continue
                # Depth first: the folder's own entries continue when it is done.
                into = (entry.path, linked or entry.is_symlink())
                break
            if is_music(name) and (found := _look(entry.path, linked=linked)) is not None:
                yield found
        else:
            stack.pop()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def walk(paths: Iterable[Path], exclude: tuple[str, ...] = ()) -> Iterator[Found | Unreadable]:
    """Yield the music below ``paths`` (files or folders), depth first, sorted by name.

    A file that is given by name is taken whatever its extension. Hidden files and folders, system
    folders (``SYSTEM_FOLDERS``) and matches of the ``exclude`` globs are left out. A file or folder
    that can be reached in several ways (another case, a bind mount, a link) comes once.
    """
    cased_paths = list(map(DiskCase(), paths))
    # Each folder is walked once, so only files given by name can come twice.
    named = {os.path.abspath(p) for p in cased_paths if not p.is_dir()}
    met: set[str] = set()
    seen: set[tuple[int, int]] = set()
    for path in cased_paths:
        entries: Iterable[Found | Unreadable | None]
        entries = (
            _walk_folder(os.fspath(path), exclude, seen)
            if path.is_dir()
            else [_look(os.fspath(path))]
        )
        for found in entries:
            if found is None:
                continue
            if named and (key := os.path.abspath(found.path)) in named:
                if key in met:
                    continue
                met.add(key)
            yield found
