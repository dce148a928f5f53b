"""Refuse to replace a file that another program is writing.

Linux: a read lease (fcntl(2), F_SETLEASE) is refused while a writer has the file open, and is
broken when one opens it; it is held until the file has been replaced. Windows: the file is opened
without sharing. Elsewhere, on network shares, and for files of other owners, which give no lease,
a file that changed in the last seconds is watched for a settling period.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genretag.errors import TrackError
from genretag.library.watch import needs_polling

SETTLE_SECONDS = 2.0  # a younger file is watched for this long

_F_SETSIG = 10  # Linux; Python has no name for it

#: Errors of a file system, or an owner, that gives no lease.
_NO_LEASE = {errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}

_MESSAGE = "another program is writing it; it was left alone"


class Lease:
    """A claim on a file; ``check`` raises once another program wants to write the file."""

    def __init__(self, path: Path) -> None:
        self._path, self._handle = path, -1
        if sys.platform == "linux" and not needs_polling(path.parent):
            self._take_lease()
        if self._handle < 0:
            _wait_until_settled(path)

    @property
    def held(self) -> bool:
        """Whether the kernel granted the lease."""
        return self._handle >= 0

    def _take_lease(self) -> None:
        import fcntl

        handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # The signal of a broken lease is SIGIO, which would end the process; SIGURG is ignored.
            fcntl.fcntl(handle, _F_SETSIG, signal.SIGURG)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
                raise TrackError("in use", _MESSAGE) from error
            if error.errno not in _NO_LEASE:
                raise
            return
        self._handle = handle

    def check(self) -> None:
        """Raise if another program has opened the file for writing since.

        Raises:
            TrackError: the lease was broken.
        """
        if self._handle < 0:
            return
        import fcntl

        # The kernel downgrades a lease that a writer asked to break.
        if fcntl.fcntl(self._handle, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
            raise TrackError("in use", _MESSAGE)

    def release(self) -> None:
        """Release the lease; a program that waits to open the file continues."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


@contextmanager
def leased(path: Path) -> Iterator[Lease]:
    """Hold a lease on a file.

    Raises:
        TrackError: another program is writing the file.
    """
    if sys.platform == "win32":
        _open_exclusively(path)
    lease = Lease(path)
    try:
        yield lease
    finally:
        lease.release()


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # <fcntl.h>, <linux/fs.h>

#: Errors of a kernel or file system that exchanges no names.
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}


def exchange(a: Path, b: Path) -> bool:
    """Exchange the names of two files in one step (renameat2(2)); False where unsupported.

    Raises:
        OSError: the file system refused it for another reason.
    """
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(a), os.fsencode(b)
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    if (code := ctypes.get_errno()) in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(a))


def _wait_until_settled(path: Path) -> None:
    """Watch a file that changed a moment ago; raise if it still changes.

    Raises:
        TrackError: size or time changed during the settling period.
    """
    before = path.stat()
    # A time in the future says nothing; clocks of network shares often run ahead.
    age = time.time() - before.st_mtime
    if not 0 <= age < SETTLE_SECONDS:
        return
    time.sleep(SETTLE_SECONDS - age)
    now = path.stat()
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise TrackError("in use", _MESSAGE)


def _open_exclusively(path: Path) -> None:  # pragma: no cover
    """Open a file without sharing and close it again; raise if another program has it open.

    Raises:
        TrackError: the system reports a sharing violation.
    """
    if sys.platform != "win32":
        return
    import ctypes

    generic_read, no_sharing, open_existing, sharing_violation = 0x8000_0000, 0, 3, 32
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.CreateFileW.restype = ctypes.c_void_p
    handle = kernel32.CreateFileW(str(path), generic_read, no_sharing, None, open_existing, 0, None)
    if handle == ctypes.c_void_p(-1).value:
        if ctypes.get_last_error() == sharing_violation:
            raise TrackError("in use", _MESSAGE)
        return
    kernel32.CloseHandle(ctypes.c_void_p(handle))
