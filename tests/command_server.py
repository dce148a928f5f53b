"""Run ``python -m genretag`` and ``python -c`` in processes forked from one that has imported it.

An interpreter of its own for each command would spend more time on imports than on most commands,
and train and evaluate more than a second. Each forked process has its own environment, working
directory, streams and exit status, and ends as an interpreter does. Linux only.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

#: Variables that an interpreter or a library reads when it starts; another value of one needs
#: another interpreter.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "OMP_", "OPENBLAS_", "MKL_", "MPL")

# No module that imports onnxruntime: it has a thread, which a forked process lacks.
_ALWAYS = (
    *("genretag.cli", "genretag.tags.spliced", "genretag.writing.apply", "genretag.storage.cache"),
    *("genretag.report.formats", "genretag.report.html", "genretag.report.terminal", "jinja2"),
    *("genretag.inference.metadata", "genretag.inference.safety", "av", "ducc0", "soxr"),
)
_TRAINING = (
    *("genretag.training.head", "genretag.training.provenance", "genretag.evaluation.evaluate"),
    *("sklearn.decomposition", "sklearn.linear_model", "sklearn.manifold", "sklearn.metrics"),
    *("sklearn.model_selection", "scipy.optimize", "matplotlib.figure", "onnx"),
    "matplotlib.backends.backend_agg",
)

#: Command -> modules that its process starts with, beyond those of every command.
_MODULES = {"train": _TRAINING, "evaluate": _TRAINING, "models": _TRAINING}

#: A forked process has only the thread that forks: no library may start another on import.
_ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

_SIZE = struct.Struct("!I")


@dataclass(frozen=True)
class Request:
    """A command: the arguments of its interpreter, environment and working directory."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str


class CommandServer:
    """The process that commands are forked from, and this process's end of its socket."""

    def __init__(self) -> None:
        self._environment = _start_environment(os.environ)
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        command = [sys.executable, __file__, str(theirs.fileno())]
        environment = {**os.environ, **_ONE_THREAD}
        environment.pop("FORCE_COLOR", None)
        self._process = subprocess.Popen(
            command, env=environment, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL
        )
        theirs.close()

    def fits(self, environment: dict[str, str]) -> bool:
        """Return whether a command with this environment can run in a forked process."""
        return _start_environment(environment) == self._environment

    def run(
        self, arguments: list[str], environment: dict[str, str], stdin: bytes, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``python`` with arguments as ``subprocess.run`` does with ``capture_output``.

        The first argument is ``-m`` or ``-c``.
        """
        pipes = [os.pipe() for _ in range(3)]
        (stdin_read, stdin_write), (out_read, out_write), (err_read, err_write) = pipes
        answer, theirs = socket.socketpair()
        given = (stdin_read, out_write, err_write, theirs.fileno())
        request = json.dumps([arguments, environment, os.getcwd()]).encode("ascii")
        with self._lock:
            socket.send_fds(self._socket, [_SIZE.pack(len(request))], given)
            self._socket.sendall(request)
        for descriptor in given[:3]:
            os.close(descriptor)
        theirs.close()
        streams = _Streams(stdin_write, stdin, out_read, err_read)
        answer.settimeout(timeout)
        with answer, answer.makefile("r") as lines:
            first = lines.readline()
            if not first:
                raise RuntimeError("the process that commands are forked from has ended")
            pid = int(first)
            try:
                status = int(lines.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout) from None
        out, err = streams.finish()
        return subprocess.CompletedProcess(arguments, status, out, err)

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait(10)


class _Streams:
    """Threads that write the input of a process and collect what it prints."""

    def __init__(self, stdin_write: int, stdin: bytes, out_read: int, err_read: int) -> None:
        self._output: dict[int, bytes] = {}
        self._order = (out_read, err_read)
        self._threads = [
            threading.Thread(target=self._write, args=(stdin_write, stdin), daemon=True),
            threading.Thread(target=self._read, args=(out_read,), daemon=True),
            threading.Thread(target=self._read, args=(err_read,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _write(descriptor: int, data: bytes) -> None:
        try:
            with open(descriptor, "wb") as pipe:
                pipe.write(data)
        except BrokenPipeError:
            pass  # the command ended without reading all of it

    def _read(self, descriptor: int) -> None:
        with open(descriptor, "rb") as pipe:
            self._output[descriptor] = pipe.read()

    def finish(self) -> tuple[bytes, bytes]:
        """Wait for the end of both outputs and return them."""
        for thread in self._threads:
            thread.join()
        out, err = (self._output[descriptor] for descriptor in self._order)
        return out, err


def _start_environment(environment: dict[str, str] | os._Environ[str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(_READ_AT_START)}


def _receive(connection: socket.socket) -> tuple[Request, list[int]] | None:
    """Return the next request with its descriptors; None when the tests have ended."""
    head, descriptors, _, _ = socket.recv_fds(connection, _SIZE.size, 4)
    if not head:
        return None
    left, data = _SIZE.unpack(head)[0], bytearray()
    while len(data) < left:
        data += connection.recv(left - len(data))
    return Request(*json.loads(data)), list(descriptors)


def _serve(connection: socket.socket) -> Request | None:
    """Fork a process for each request; return the request in that process."""
    _import(_ALWAYS)
    while received := _receive(connection):
        request, descriptors = received
        for argument in request.arguments:
            _import(_MODULES.get(argument, ()))
        if len(os.listdir("/proc/self/task")) > 1:
            raise RuntimeError("a module that commands share has started a thread")
        if os.fork() == 0:
            connection.close()
            return _fork_command(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()
    return None


def _import(names: tuple[str, ...]) -> None:
    """Import modules, and keep their objects out of the collections of forked processes."""
    if all(name in sys.modules for name in names):
        return
    for name in names:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _reap() -> None:
    """Collect the processes that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _fork_command(request: Request, descriptors: list[int]) -> Request:
    """Fork once more: the child returns as the command, the parent reports how it ends."""
    *streams, answer = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return request
    for descriptor in (0, 1, 2, *streams):
        os.close(descriptor)
    os.write(answer, b"%d\n" % pid)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(answer, b"%d\n" % status)
    os._exit(0)


def _reopen(descriptor: int, mode: str, old: IO[str]) -> IO[str]:
    """Return a standard stream as the interpreter opens it where it is not a terminal."""
    return open(descriptor, mode, encoding=old.encoding, errors=old.errors, closefd=False)


def _become(request: Request) -> None:
    """Take over the environment, working directory and streams of a command, and run it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    sys.stdin = sys.__stdin__ = _reopen(0, "r", sys.stdin)
    sys.stdout = sys.__stdout__ = _reopen(1, "w", sys.stdout)
    sys.stderr = sys.__stderr__ = _reopen(2, "w", sys.stderr)
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[attr-defined]
    option, what, *sys.argv[1:] = request.arguments
    if option == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, and so this process
    _request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if _request is not None:
        _become(_request)
