"""Ray's own processes: begun, kept quiet, and ended."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genretag.errors import RunError, UsageError

log = logging.getLogger("genretag")

_REACH_SECONDS = 5.0
_STORE_BYTES = (
    512 << 20
)  # of the local cluster's object store: some hundred tracks on their way from ear to ear


@contextlib.contextmanager
def cluster(address: str | None, jobs: int) -> Iterator[str | None]:
    """Have a cluster: that of an address, or one of this machine's CPUs that ends with the scan;
    one that is there already stays.

    Yields the folder for files that are brought near; None: that of each machine's system.

    Raises:
        UsageError: the address cannot be meant, or nothing answers there.
    """
    if (
        "ray" in sys.modules and sys.modules["ray"].is_initialized()
    ):  # who calls from Python may have a cluster already
        yield None
        return
    if address is not None:
        _check_address(address)
    folder = tempfile.mkdtemp(prefix="genretag-ray-", dir=_short_place())
    settle_ray(local=address is None)
    import ray.data

    try:
        with contextlib.redirect_stdout(_Log()), _aside(Path(folder) / "native.log"):
            try:
                ray.init(**how(address, jobs, folder))
            except Exception as error:
                at = (
                    f"--address {address}: no cluster of Ray answers there"
                    if address
                    else "Ray could not be started"
                )
                raise RunError(f"{at}: {first_line(error)}") from error
            for name in ("ray", "ray.data"):
                logging.getLogger(name).setLevel(logging.ERROR)
                logging.getLogger(name).propagate = False
            try:
                yield folder if address is None else None
            finally:
                ray.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _short_place() -> str:
    """Return a folder for temporary files with a short name: Ray keeps sockets some 65 characters
    further down, and 104 is the most.
    """
    usual = tempfile.gettempdir()
    return (
        "/tmp"
        if os.name == "posix" and len(usual) > len("/tmp/123456789") and os.path.isdir("/tmp")
        else usual
    )


def settle_ray(*, local: bool) -> None:
    """Set what Ray reads when it is loaded: it calls nobody, draws nothing, and a cluster of our
    own is ours alone.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if (
        local
    ):  # its ports are open to the network: without a token anybody there could run code here
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def how(address: str | None, jobs: int, folder: str) -> dict[str, Any]:
    """Return how Ray is to be started."""
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    if address is not None:
        return {"address": address, **quiet}
    return {
        "address": "local",
        "num_cpus": jobs,
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
        "_temp_dir": folder,
        **quiet,
    }


def _check_address(address: str) -> None:
    """Raise ``UsageError`` for an address that cannot be meant, or where nothing answers: Ray
    itself would try for minutes.
    """
    if address == "auto":
        return
    if "://" in address:
        raise UsageError(
            f"--address {address}: give the cluster's own HOST:PORT, on one of its machines (ray "
            f"start --address HOST:PORT)"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--address {address}: HOST:PORT, or auto")
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--address {address}: nothing answers there: {error}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _Log(io.TextIOBase):
    """Takes what Ray prints on stdout, of workers that died for one: rows go there, and a program
    may read them.
    """

    def write(self, text: str) -> int:
        """Keep it in the log."""
        if text.strip():
            log.debug("ray: %s", text.rstrip())
        return len(text)


@contextlib.contextmanager
def _aside(file: Path) -> Iterator[None]:
    """Let what native code of Ray says on descriptor 2 go into a file; Python's own talk goes where
    it went.

    Ray's core logs remarks for its own developers there, and no setting keeps it from all of them.
    """
    try:
        if sys.stderr.fileno() != 2:
            raise OSError
        kept = os.fdopen(
            os.dup(2), "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors, buffering=1
        )
    except (OSError, ValueError, AttributeError):  # stderr is something else already, as in tests
        yield
        return
    before = sys.stderr
    ours = (before, sys.__stderr__)  # a progress line stands before the real one
    handlers = [
        (h, h.stream)
        for h in logging.getLogger().handlers
        if isinstance(h, logging.StreamHandler) and h.stream in ours
    ]
    native = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        before.flush()
        os.dup2(native, 2)
        sys.stderr = kept
        for handler, _ in handlers:
            handler.setStream(kept)
        yield
    finally:
        kept.flush()
        os.dup2(kept.fileno(), 2)
        sys.stderr = before
        for handler, stream in handlers:
            handler.setStream(stream)
        os.close(native)
        kept.close()
