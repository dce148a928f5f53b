"""A real file system (FUSE) with the habits and the faults of real ones: a folder shown through it.

    python faulty_disk.py SOURCE MOUNT CONTROL [--fold] [--sync-ms 20]

With ``--fold`` names that differ by case or Unicode form are one file, as on APFS, NTFS and
most network shares. A file in CONTROL makes a fault: ``write``, ``read``, ``fsync``, ``rename``,
``create`` or
``all``; what it holds is the error's number (EIO where it is empty). With ``--sync-ms`` each fsync
takes so long, as on a disk that turns,
and several calls are served at once.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import unicodedata
from typing import Any

import mfusepy


class Disk(mfusepy.Operations):  # type: ignore[misc]
    use_ns = True

    def __init__(self, source: str, control: str, fold: bool, sync_ms: float = 0) -> None:
        self.source, self.control, self.fold, self.sync_ms = source, control, fold, sync_ms

    def fault(self, what: str) -> None:
        for name in (what, "all"):
            path = os.path.join(self.control, name)
            if os.path.exists(path):
                with open(path) as handle:
                    raise OSError(int(handle.read() or errno.EIO), "a requested fault")

    def real(self, path: str) -> str:
        """Return the path below, each part as it is spelled on the disk."""
        at = self.source
        for part in path.strip("/").split("/"):
            if part:
                at = os.path.join(at, self.name_on_disk(at, part))
        return at

    def name_on_disk(self, folder: str, name: str) -> str:
        if (
            not self.fold
            or os.path.lexists(os.path.join(folder, name))
            or not os.path.isdir(folder)
        ):
            return name
        return next((n for n in os.listdir(folder) if folded(n) == folded(name)), name)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        self.fault("stat")
        s = os.lstat(self.real(path))
        names = ("mode", "nlink", "uid", "gid", "size", "ino")
        times = {f"st_{t}": getattr(s, f"st_{t}_ns") for t in ("atime", "mtime", "ctime")}
        return {**{f"st_{n}": getattr(s, f"st_{n}") for n in names}, **times}

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        self.fault("read")
        with os.scandir(self.real(path)) as entries:
            return [
                (e.name, {"st_ino": e.inode(), "st_mode": e.stat(follow_symlinks=False).st_mode}, 0)
                for e in entries
            ]

    def open(self, path: str, flags: int) -> int:
        self.fault("open")
        return os.open(self.real(path), flags & ~os.O_NOFOLLOW)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self.fault("create")
        return os.open(self.real(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self.fault("read")
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self.fault("write")
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self.fault("fsync")
        os.fsync(fh)
        time.sleep(self.sync_ms / 1000)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        time.sleep(self.sync_ms / 1000)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> int:
        self.fault("rename")
        os.rename(self.real(old), self.real(new))
        return 0

    def unlink(self, path: str) -> int:
        self.fault("unlink")
        os.unlink(self.real(path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self.real(path), mode)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self.fault("write")
        os.truncate(self.real(path), length)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self.real(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self.real(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self.real(path), ns=times) if times else os.utime(self.real(path))
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        s = os.statvfs(self.source)
        return {
            n: getattr(s, n)
            for n in ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_frsize", "f_namemax")
        }


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


if __name__ == "__main__":
    source, mount, control = sys.argv[1:4]
    sync_ms = float(sys.argv[sys.argv.index("--sync-ms") + 1]) if "--sync-ms" in sys.argv else 0.0
    disk = Disk(source, control, "--fold" in sys.argv, sync_ms)
    # No caching, so that a requested fault hits the next call.
    mfusepy.FUSE(
        disk,
        mount,
        foreground=True,
        nothreads=not sync_ms,
        attr_timeout=0,
        entry_timeout=0,
        use_ino=True,
    )
