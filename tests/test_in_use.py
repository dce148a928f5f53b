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

from genretag.audio import file_sha256, identify
from genretag.errors import TrackError
from genretag.storage.journal import Journal
from genretag.writing import in_use, steps, target, write

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


def breaks_lease(path: Path) -> bool:
    """Return whether a program waits for the lease on a file."""
    inode = str(path.stat().st_ino)
    lines = Path("/proc/locks").read_text().splitlines()
    return any("BREAKING" in line and f":{inode} " in line for line in lines)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system lists no locks")
@pytest.mark.parametrize("moment", ["ready", "exchanged"])
def test_what_another_program_writes_at_the_last_moment_is_kept(
    seed_files: dict[str, Path], tmp_path: Path, moment: str
) -> None:
    path = tmp_path / "music" / "a.mp3"
    path.parent.mkdir()
    path.write_bytes(seed_files[".mp3"].read_bytes())
    s, key = path.stat(), identify(path).content_key or ""
    facts = target.Expected(s.st_size, s.st_mtime_ns, file_sha256(path), key)
    journal = Journal(tmp_path / "j.db")
    old = path.stat().st_ino
    writers: list[subprocess.Popen[bytes]] = []

    def begin_to_write(step: str) -> None:
        if step == moment:
            # By whatever name: the program looked for the file just before its names changed.
            name = next(p for p in path.parent.iterdir() if p.stat().st_ino == old)
            code = f"open({str(name)!r}, 'ab').write(b'more')"
            writers.append(subprocess.Popen([sys.executable, "-c", code]))
            deadline = time.monotonic() + 30
            while not breaks_lease(name) and time.monotonic() < deadline:
                time.sleep(0.01)

    steps.hook = begin_to_write
    try:
        run = journal.begin("apply", "0", {})
        with pytest.raises(TrackError, match="another program"):
            write.write_genres(journal, run, path, [], ["Jazz"], facts, target.WriteOptions())
    finally:
        steps.hook = None
    assert writers[0].wait(30) == 0
    assert path.read_bytes() == seed_files[".mp3"].read_bytes() + b"more"
    assert [c.state for c in journal.changes()] == ["dropped"]
    assert [p.name for p in path.parent.iterdir()] == ["a.mp3"]
    journal.close()


def test_names_are_exchanged_or_nothing_changes(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    with pytest.raises(OSError, match="No such file"):
        in_use.exchange(a, b)
    b.write_text("2")
    if in_use.exchange(a, b):
        assert (a.read_text(), b.read_text()) == ("2", "1")
    else:
        assert (a.read_text(), b.read_text()) == ("1", "2")
