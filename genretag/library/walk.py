"""A folder -> the music files in it, in a stable order. Nothing is opened here."""

from __future__ import annotations

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

#: What is taken for music. Everything here is decoded; which of it can hold a genre, tags/ knows.
EXTENSIONS = frozenset(
    ".mp3 .mp2 .flac .ogg .oga .opus .spx .m4a .m4b .aac .alac .wav .wave .aif .aiff .aifc"
    " .wma .asf .ape .wv .mpc .mp+ .tta .dsf .dff .mka .caf .au .ac3 .tak".split()
)


class _Facts(NamedTuple):
    place: str  # the path as walked: links are not resolved
    size: int  # bytes
    mtime_ns: int
    inode: int
    device: int
    links: int  # hard links to it
    link: bool  # whether the path is a symbolic link, or leads through one below what was named


class Found(_Facts):
    """A music file as the walk met it: a tuple, for a library has a million, and a dataclass takes four times as long to make."""

    @cached_property
    def path(self) -> Path:
        """The path; making it costs as much as the rest of the walk."""
        return Path(self.place)


@dataclass(frozen=True)
class Missed:
    """A place that the walk could not look into."""

    path: Path
    error: str


def is_music(name: str) -> bool:
    """Return whether a file name is one that the walk takes: a known extension, not hidden, not ``._*``."""
    stem, dot, extension = name.rpartition(".")
    return bool(stem) and stem[0] != "." and dot + extension.lower() in EXTENSIONS


def below(path: Path, tops: Collection[Path] | None) -> bool:
    """Return whether a path lies below one of some places, or is one; every path does where no place is named."""
    return not tops or any(path.is_relative_to(top) for top in tops)


def lies_in(path: str, glob: str) -> bool:
    """Return whether a glob means a path: the whole of it, its end, or a folder that it lies in."""
    inside = glob.strip("/")
    return any(
        fnmatch.fnmatch(path, g) for g in (glob, f"*/{inside}", f"*/{inside}/*", f"{inside}/*")
    )


def _excluded(path: str, globs: tuple[str, ...]) -> bool:
    """Return whether some glob means a path."""
    return any(lies_in(path, g) for g in globs)


_MAX_INT64 = (1 << 63) - 1


def signed(number: int) -> int:
    """Return a number as 64 bits with a sign: inodes of some file systems have none, and SQLite knows only such."""
    return number if number <= _MAX_INT64 else number - (1 << 64)


def _look(path: str, *, linked: bool = False) -> Found | Missed | None:
    """Return a regular file's facts; None for pipes, sockets and devices, which are never opened."""
    try:
        s = os.lstat(path)
        link = stat.S_ISLNK(s.st_mode)
        if link:
            s = os.stat(path)
    except OSError as error:
        return Missed(Path(path), error.strerror or str(error))
    if not stat.S_ISREG(s.st_mode):
        return None
    size, when, inode, device = s.st_size, s.st_mtime_ns, s.st_ino, s.st_dev
    if inode > _MAX_INT64 or device > _MAX_INT64 or when > _MAX_INT64:
        when, inode, device = signed(when), signed(inode), signed(device)
    return Found(path, size, when, inode, device, s.st_nlink, link or linked)


def _listing(folder: str) -> list[os.DirEntry[str]]:
    """Return a folder's entries in a stable order."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=attrgetter("name"))


class DiskCase:
    """Says how the disk spells a path; each folder is listed once.

    On a file system that ignores case or normalises Unicode (APFS, NTFS, most network shares), ``~/music`` and
    ``~/Music`` are one folder: under two names its files would have two rows.
    """

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str] | None] = {}

    def __call__(self, path: Path) -> Path:
        """Return a path as the disk spells it: as it was given, where that is so already. Links are not resolved."""
        given = Path(os.path.abspath(path))
        at = Path(given.anchor)
        for part in given.parts[1:]:
            at /= self._entry(at, part)
        return path if at == given else at

    def _listing(self, folder: Path) -> frozenset[str] | None:
        """Return a folder's names; None for one that may be passed through but not listed."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = None
        return self._names[folder]

    def _entry(self, folder: Path, name: str) -> str:
        """Return the name under which a folder lists an entry."""
        names = self._listing(folder)
        if names is None or name in names or not os.path.lexists(folder / name):
            return name
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
    """Return a path as the disk spells it."""
    return DiskCase()(path)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _enter(folder: str, seen: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]] | Missed | None:
    """Return a folder's entries; None where it was ``seen`` (a link back into the tree)."""
    try:
        s = os.stat(folder)
        if (s.st_dev, s.st_ino) in seen:
            return None
        seen.add((s.st_dev, s.st_ino))
        return iter(_listing(folder))
    except OSError as error:
        return Missed(Path(folder), error.strerror or str(error))


def _walk_folder(
    top: str, globs: tuple[str, ...], seen: set[tuple[int, int]]
) -> Iterator[Found | Missed]:
    """Walk one folder with a stack of its own (depth is no limit), each real folder that was not ``seen`` once."""
    stack: list[
        tuple[Iterator[os.DirEntry[str]], bool]
    ] = []  # folders that are not done, and whether a link led there
    into: tuple[str, bool] | None = (top, False)
    while into is not None or stack:
        if into is not None:
            entries = _enter(into[0], seen)
            if isinstance(entries, Missed):
                yield entries
            elif entries is not None:
                stack.append((entries, into[1]))
            into = None
            continue
        entries, linked = stack[-1]
        for entry in entries:
            name = entry.name
            if name[0] == "." or (globs and _excluded(entry.path, globs)):
                continue
            if _is_folder(entry):
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


def walk(paths: Iterable[Path], exclude: tuple[str, ...] = ()) -> Iterator[Found | Missed]:
    """Yield the music below ``paths`` (files or folders), depth first, sorted by name.

    A file that is named outright is taken whatever its extension. Hidden files and folders,
    ``._*`` and what matches an ``exclude`` glob are left out. Each path comes once, and so does a folder that has
    several (two spellings where case does not count, a bind mount, a link that was given beside it).
    """
    spelt_paths = list(map(DiskCase(), paths))
    # Only what was named outright can be met twice (each folder is walked once), so that nothing is kept of a million others.
    named = {os.path.abspath(p) for p in spelt_paths if not p.is_dir()}
    met: set[str] = set()
    seen: set[tuple[int, int]] = set()
    for path in spelt_paths:
        entries: Iterable[Found | Missed | None]
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
