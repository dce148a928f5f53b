"""Workers that this process adopts: another one, forked early, imports what they need once, forks them, and ends.

What workers import takes a tenth of a second of CPU; so it is done once for all of them, while this process loads its model, and never in
this process, which has no use for a decoder. The orphans of a process become the children of its
nearest ancestor that asked for that (``PR_SET_CHILD_SUBREAPER``, Linux); so this one can wait for them and is told how they ended, as a
pool must know.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 1, 36, 37  # Linux's prctl.h
_PID = struct.Struct("i")
_LOOK_SECONDS = 0.002  # how often somebody who waits for a process looks
_NOBODY_KNOWS = 255  # exit status where this process was started with SIGCHLD ignored: the kernel forgets how its children end


class Adopted:
    """A worker whose parent this process became: what ``multiprocessing`` tells and does of its own processes."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exitcode: int | None = None

    def join(self, timeout: float | None = None) -> None:
        """Wait until it ended, ``timeout`` seconds at most."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.is_alive() and (until is None or time.monotonic() < until):
            time.sleep(_LOOK_SECONDS)

    def is_alive(self) -> bool:
        """Return whether it runs; once it does not, ``exitcode`` tells how it ended (a signal as a negative number)."""
        if self.exitcode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.exitcode = os.waitstatus_to_exitcode(status) if pid else None
            except ChildProcessError:
                self.exitcode = _NOBODY_KNOWS
        return self.exitcode is None

    def kill(self) -> None:
        """Kill it, if it still runs: only until it was waited for is the number its own."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """So many workers on their way. Each runs ``work(pipe)`` once ``prepare()`` ran for all of them."""

    def __init__(
        self, count: int, prepare: Callable[[], None], work: Callable[[Connection], None]
    ) -> None:
        """Fork the process that will fork them.

        Raises:
            OSError: the kernel will not have it so.
        """
        self._adopted_before = _adopts()
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        parent, pipes = os.getpid(), [Pipe() for _ in range(count)]
        self._told, tell = os.pipe()
        try:
            with _held_back(signal.SIGINT):
                self._pid = os.fork()
                if not self._pid:
                    os.close(self._told)
                    for ours, _ in pipes:
                        ours.close()
                    _ended_by(
                        partial(_bear, parent, [theirs for _, theirs in pipes], tell, prepare, work)
                    )
        except OSError:
            os.close(self._told)
            self._adopt_as_before()
            raise
        finally:
            os.close(tell)
            for _, theirs in pipes:
                theirs.close()
        self._pipes = [ours for ours, _ in pipes]

    def workers(self) -> Iterator[tuple[Adopted, Connection]]:
        """Wait until they are born, and yield each that was, with the other end of its pipe. To be asked once."""
        with open(self._told, "rb") as told:
            pids = told.read()  # to its end, which is the process's
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        self._adopt_as_before()
        for pipe, (pid,) in zip(self._pipes, _PID.iter_unpack(pids), strict=False):
            yield Adopted(pid), pipe

    def _adopt_as_before(self) -> None:
        _prctl(_PR_SET_CHILD_SUBREAPER, self._adopted_before)


def _bear(
    parent: int,
    pipes: list[Connection],
    tell: int,
    prepare: Callable[[], None],
    work: Callable[[Connection], None],
) -> None:
    """Fork a worker for each pipe. Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    die_with_parent()
    if os.getppid() != parent:  # it died before we could ask for that
        return
    me = os.getpid()
    with contextlib.suppress(
        Exception
    ):  # whoever needs a worker all the same will be told why there is none
        prepare()
        for mine in pipes:
            if not (pid := os.fork()):
                os.close(tell)
                _ended_by(partial(_live, parent, me, mine, pipes, work))
            os.write(tell, _PID.pack(pid))


def _live(
    parent: int,
    nurse: int,
    mine: Connection,
    pipes: list[Connection],
    work: Callable[[Connection], None],
) -> None:
    """Wait to be adopted, and work."""
    for pipe in pipes:
        if pipe is not mine:
            pipe.close()
    while os.getppid() == nurse:
        time.sleep(_LOOK_SECONDS)
    die_with_parent()
    if os.getppid() == parent:
        work(mine)


def _ended_by(work: Callable[[], None]) -> NoReturn:
    """Do something in a process that was forked, and end it there, without what its parent would do at its own end."""
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, even in the middle of a hung decoder."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _adopts() -> int:
    """Return 1 where this process adopts orphans already, else 0."""
    found = ctypes.c_int()
    _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.addressof(found))
    return found.value


def _prctl(what: int, value: int) -> None:
    libc, zero = ctypes.CDLL(None, use_errno=True), ctypes.c_ulong(0)
    if libc.prctl(what, ctypes.c_ulong(value), zero, zero, zero):
        raise OSError(ctypes.get_errno(), "prctl")


@contextlib.contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    """Keep a signal waiting, for this process and those that are forked meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
