"""``genretag watch`` tags settled files, ignores its own writes, and survives restarts."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genretag import tags
from genretag.audio import synthesis
from genretag.library.watch import Arrivals, arrivals, needs_polling


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_file_that_grows_is_not_settled_and_one_that_vanishes_is_forgotten(
    tmp_path: Path,
) -> None:
    clock = Clock()
    waiting, path = Arrivals(tmp_path, 5.0, clock), tmp_path / "a.mp3"
    for size in range(1, 5):
        path.write_bytes(b"x" * size)
        waiting.note(path)
        clock.now += 4
        assert waiting.settled() == []
    clock.now += 2
    assert waiting.settled() == []
    clock.now += 4
    assert waiting.settled() == [path]
    assert waiting.waiting == 0
    waiting.note(path)
    path.unlink()
    assert waiting.settled() == []
    assert waiting.waiting == 0


def test_hidden_files_and_files_that_are_no_music_do_not_count(tmp_path: Path) -> None:
    waiting = Arrivals(tmp_path, 1.0)
    for name in ("notes.txt", ".a.mp3.genretag-tmp", "._a.mp3", ".trash/a.mp3"):
        waiting.note(tmp_path / name)
    assert waiting.waiting == 0


def test_a_library_below_a_hidden_folder_is_watched(tmp_path: Path) -> None:
    folder = tmp_path / ".media"
    waiting = Arrivals(folder, 1.0)
    waiting.note(folder / "album" / "a.mp3")
    waiting.note(folder / "#recycle" / "b.mp3")
    assert waiting.waiting == 1


def test_a_network_share_is_polled_and_a_local_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not needs_polling(tmp_path)
    for kind, polled in (("cifs", True), ("nfs4", True), ("fuse.sshfs", True), ("ext4", False)):
        monkeypatch.setattr("genretag.library.watch.file_system_of", lambda _, k=kind: k)
        assert needs_polling(tmp_path) is polled


def test_polling_finds_new_files(tmp_path: Path) -> None:
    stop, found = threading.Event(), set[str]()
    (tmp_path / "first.mp3").write_bytes(b"x")
    timer = threading.Timer(1.0, lambda: (tmp_path / "second.mp3").write_bytes(b"x"))
    timer.start()
    for paths in arrivals(tmp_path, 0.2, stop, poll=True):
        found |= {path.name for path in paths}
        if len(found) == 2:
            stop.set()
            break
    assert found == {"first.mp3", "second.mp3"}


@pytest.mark.skipif(sys.platform != "linux", reason="file names are UTF-8 here")
@pytest.mark.parametrize("poll", [False, True])
def test_a_name_that_is_not_utf8_does_not_end_the_watch(tmp_path: Path, poll: bool) -> None:
    names = [b"first.mp3", b"caf\xe9.mp3", b"last.mp3"]
    stop, found = threading.Event(), list[bytes]()
    (tmp_path / "first.mp3").write_bytes(b"x")
    for paths in arrivals(tmp_path, 0.2, stop, poll):
        found += [os.fsencode(path.name) for path in paths]
        if set(found) == set(names):
            stop.set()
            break
        # One after the other: the last one arrives at a watch that was started again.
        (tmp_path / os.fsdecode(names[len(set(found))])).write_bytes(b"x")
    assert set(found) == set(names)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []

    def run() -> subprocess.Popen[bytes]:
        env = {
            **os.environ,
            "GENRETAG_DB": str(tmp_path / "g.db"),
            "GENRETAG_CONFIG": str(tmp_path / "none.toml"),
        }
        command = [
            sys.executable,
            "-m",
            "genretag",
            "watch",
            str(tmp_path / "music"),
            "--settle",
            "0.5",
            "--min-confidence",
            "0",
            "-j",
            "1",
        ]
        running.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait()


def until(what: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.1)
    return False


def genre(path: Path) -> list[str]:
    try:
        return tags.read(path).genres
    except Exception:  # it is just being copied
        return []


def writes(tmp_path: Path) -> int:
    with sqlite3.connect(tmp_path / "g.journal.db") as db:
        return int(db.execute("SELECT count(*) FROM change").fetchone()[0])


def test_new_files_are_tagged_once_and_a_restart_misses_none(
    start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    music, made = tmp_path / "music", []
    music.mkdir()
    for n in range(4):
        made.append(tmp_path / f"{n}.flac")
        synthesis.encode(made[-1], synthesis.piece(n, 3), 44_100)
    shutil.copy(made[0], music / "there before.flac")
    process = start()
    assert until(lambda: bool(genre(music / "there before.flac")))
    data = made[1].read_bytes()
    with (music / "arriving.flac").open("wb") as out:  # a slow download
        out.write(data[: len(data) // 2])
        out.flush()
        time.sleep(0.4)
        out.write(data[len(data) // 2 :])
    (tmp_path / "album").mkdir()
    shutil.copy(made[2], tmp_path / "album" / "moved in.flac")
    (tmp_path / "album").rename(music / "album")
    assert until(
        lambda: (
            bool(genre(music / "arriving.flac")) and bool(genre(music / "album" / "moved in.flac"))
        )
    )
    time.sleep(2)  # its own writes are events too
    assert writes(tmp_path) == 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    shutil.copy(made[3], music / "while it slept.flac")
    process = start()
    assert until(lambda: bool(genre(music / "while it slept.flac")))
    assert writes(tmp_path) == 4
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def test_a_track_that_decodes_in_part_is_left_alone(
    start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    whole = tmp_path / "whole.flac"
    synthesis.encode(whole, synthesis.piece(1, 20), 44_100)
    data = whole.read_bytes()
    (music / "part.flac").write_bytes(data[: len(data) * 3 // 4])
    shutil.copy(whole, music / "whole.flac")
    process = start()
    assert until(lambda: bool(genre(music / "whole.flac")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert (music / "part.flac").read_bytes() == data[: len(data) * 3 // 4]
    assert b"is the copy complete" in process.stderr.read()


def test_a_file_that_failed_is_named_once_until_it_changes(
    start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    (music / "broken.flac").write_bytes(b"no music")
    counts = []
    for n in range(3):
        synthesis.encode(music / f"{n}.flac", synthesis.piece(n, 3), 44_100)
        if n == 2:
            (music / "broken.flac").write_bytes(b"still no music")
        process = start()
        assert until(lambda name=f"{n}.flac": bool(genre(music / name)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        counts.append(process.stderr.read().count(b"broken.flac"))
    assert counts == [1, 0, 1]
