"""Start Ray's processes or connect to them, keep them quiet, and end them."""

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

from genretag.errors import RunError, UsageError, describe_error

log = logging.getLogger("genretag")

_REACH_SECONDS = 5.0
# Object store of a local cluster: about a hundred tracks between decoding and scoring.
_STORE_BYTES = 512 << 20


@contextlib.contextmanager
def cluster(address: str | None, jobs: int) -> Iterator[str | None]:
    """Connect to the cluster at an address, or start one on this machine for the scan.

    Yields the folder for copies of remote files; None: each machine's temporary folder.

    Raises:
        UsageError: the address is malformed, or nothing answers there.
    """
    # A Python program that calls genretag may be connected already.
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield None
        return
    if address is not None:
        _check_address(address)
    folder = tempfile.mkdtemp(prefix="genretag-ray-", dir=_short_place())
    settle_ray(local=address is None)
    import ray.data

    try:
        with contextlib.redirect_stdout(_Log()), _native_stderr_in(Path(folder) / "native.log"):
            try:
                ray.init(**init_arguments(address, jobs, folder))
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
    """Return a temporary folder with a short path.

    Ray appends some 65 characters for its sockets, whose paths may have 104 at most.
    """
    usual = tempfile.gettempdir()
    return (
        "/tmp"
        if os.name == "posix" and len(usual) > len("/tmp/123456789") and os.path.isdir("/tmp")
        else usual
    )


def settle_ray(*, local: bool) -> None:
    """Set the environment that Ray reads on import: no telemetry, no progress bars.

    A local cluster gets a token, so that no other user can connect to it.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Its ports are open to the network: without a token anybody there could run code here.
    if local:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def init_arguments(address: str | None, jobs: int, folder: str) -> dict[str, Any]:
    """Return the arguments of ``ray.init``."""
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
    """Raise ``UsageError`` if an address is malformed or nothing answers there.

    Ray itself would try for minutes.
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
        raise UsageError(
            f"--address {address}: nothing answers there: {describe_error(error)}"
        ) from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _Log(io.TextIOBase):
    """Sends Ray's messages on stdout to the log: stdout is for rows, which programs may read."""

    def write(self, text: str) -> int:
        """Log a message."""
        if text.strip():
            log.debug("ray: %s", text.rstrip())
        return len(text)


@contextlib.contextmanager
def _native_stderr_in(file: Path) -> Iterator[None]:
    """Send what native code writes to descriptor 2 into a file; Python's stderr stays.

    Ray's core logs remarks for its developers there, and no setting suppresses all of them.
    """
    try:
        if sys.stderr.fileno() != 2:
            raise OSError
        stderr = os.fdopen(
            os.dup(2), "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors, buffering=1
        )
    except (OSError, ValueError, AttributeError):  # stderr is something else already, as in tests
        yield
        return
    before = sys.stderr
    ours = (before, sys.__stderr__)  # a progress bar may have replaced the real one
    handlers = [
        (h, h.stream)
        for h in logging.getLogger().handlers
        if isinstance(h, logging.StreamHandler) and h.stream in ours
    ]
    native = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        before.flush()
        os.dup2(native, 2)
        sys.stderr = stderr
        for handler, _ in handlers:
            handler.setStream(stderr)
        yield
    finally:
        stderr.flush()
        os.dup2(stderr.fileno(), 2)
        sys.stderr = before
        for handler, stream in handlers:
            handler.setStream(stream)
        os.close(native)
        stderr.close()
