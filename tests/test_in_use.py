"""A file that another program is writing is not replaced."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from genretag.errors import TrackError
from genretag.writing import in_use

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="leases are a Linux feature")


@pytest.fixture
def track(tmp_path: Path) -> Path:
    path = tmp_path / "track.mp3"
    path.write_bytes(b"x" * 1000)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def test_a_file_with_a_writer_is_refused(track: Path) -> None:
    with (
        track.open("ab"),
        pytest.raises(TrackError, match="another program"),
        in_use.leased(track),
    ):
        pass
    with in_use.leased(track) as lease:
        lease.check()


def test_readers_are_no_obstacle(track: Path) -> None:
    with track.open("rb"), in_use.leased(track) as lease:
        assert lease.held
        lease.check()


def test_a_writer_that_comes_later_breaks_the_lease_and_waits(track: Path) -> None:
    opened = threading.Event()

    def write() -> None:
        code = f"open({str(track)!r}, 'ab').close()"
        subprocess.run([sys.executable, "-c", code], check=True)
        opened.set()

    with in_use.leased(track) as lease:
        thread = threading.Thread(target=write)
        thread.start()
        deadline = time.monotonic() + 20
        with pytest.raises(TrackError, match="another program"):
            while time.monotonic() < deadline:
                lease.check()
                time.sleep(0.01)
        assert not opened.is_set()
    thread.join(20)
    assert opened.is_set()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL])
def test_without_leases_a_young_file_is_watched(
    track: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    import fcntl

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr(in_use, "SETTLE_SECONDS", 0.6)
    with in_use.leased(track) as lease:  # an old file needs no watching
        assert not lease.held
    os.utime(track)
    timer = threading.Timer(0.2, lambda: track.write_bytes(b"more"))
    timer.start()
    with pytest.raises(TrackError, match="another program"), in_use.leased(track):
        pass
