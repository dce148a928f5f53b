"""The disk fights back: the file is untouched, the error names the cause, nothing stays behind."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking import make_library, rows_for, sha

from genretag.storage.cache import AnalysisCache
from genretag.storage.journal import Journal
from genretag.writing import recovery, steps
from genretag.writing.apply import Result, apply_rows
from genretag.writing.target import WriteOptions

ERRORS = [
    errno.ENOSPC,
    errno.EIO,
    errno.EDQUOT,
    errno.EROFS,
    errno.ENOENT,
    errno.ESTALE,
    errno.EACCES,
]
STEPS = ("intended", "copied", "tagged", "verified", "synced", "ready")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    make_library(folder, 2, big=False)
    return folder


@pytest.fixture
def music(once: Path, tmp_path: Path) -> list[Path]:
    return sorted(p for p in Path(shutil.copytree(once, tmp_path / "music")).iterdir())


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    steps.hook = None


def apply(music: list[Path], folder: Path) -> tuple[dict[str, int], list[Result], Journal]:
    store, journal, results = (
        AnalysisCache(folder / "g.db"),
        Journal(folder / "g.journal.db"),
        list[Result](),
    )
    rows = [(None, row) for row in rows_for(music)]
    counts = apply_rows(
        store, journal, journal.begin("apply", "0", {}), rows, WriteOptions(), results.append
    )
    return dict(counts), results, journal


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", ERRORS, ids=[errno.errorcode[e] for e in ERRORS])
def test_an_error_of_the_system_at_any_step_leaves_the_file_and_the_run_goes_on(
    music: list[Path], tmp_path: Path, step: str, code: int
) -> None:
    """The second file of three meets the error: the others are written."""
    music = [p for p in music if p.suffix in (".flac", ".mp3", ".m4a")]
    before, seen = {p: sha(p) for p in music}, 0

    def fail(name: str) -> None:
        nonlocal seen
        if name == step:
            seen += 1
            if seen == 2:
                raise OSError(code, os.strerror(code))

    steps.hook = None
    rows = rows_for(music)
    store, journal, results = (
        AnalysisCache(tmp_path / "g.db"),
        Journal(tmp_path / "g.journal.db"),
        list[Result](),
    )
    steps.hook = fail
    counts = apply_rows(
        store,
        journal,
        journal.begin("apply", "0", {}),
        [(None, r) for r in rows],
        WriteOptions(),
        results.append,
    )
    assert (counts["written"], counts["failed"]) == (2, 1)
    (failed,) = [r for r in results if r.error]
    assert os.strerror(code) in (failed.error or "")
    assert sha(failed.path) == before[failed.path]
    assert not [s for s in os.listdir(music[0].parent) if s.startswith(".")]
    assert sorted(c.state for c in journal.changes()) == ["dropped", "replaced", "replaced"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_leaves_every_file_as_it_was(
    small_disk: Path, once: Path, tmp_path: Path
) -> None:
    music = [Path(shutil.copy(once / f"small{e}", small_disk)) for e in (".wav", ".mp3", ".flac")]
    (small_disk / "fill").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096 - 30_000))
    before = {p: sha(p) for p in music}
    counts, results, _ = apply(music, tmp_path)
    assert counts["failed"] == 3
    assert all("No space left" in (r.error or "") for r in results)
    assert {p: sha(p) for p in music} == before
    assert not [s for s in os.listdir(small_disk) if s.startswith(".")]


def test_a_disk_that_became_read_only_leaves_every_file_as_it_was(
    small_disk: Path, once: Path, tmp_path: Path
) -> None:
    music = [Path(shutil.copy(once / "small.mp3", small_disk))]
    before = sha(music[0])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    counts, results, _ = apply(music, tmp_path)
    assert counts["failed"] == 1
    assert "Read-only file system" in (results[0].error or "") or "read-only" in (
        results[0].error or ""
    )
    assert sha(music[0]) == before


def test_a_disk_that_is_gone_is_reported_and_tidied_when_it_is_back(
    music: list[Path], tmp_path: Path
) -> None:
    """Its folder vanishes between the copy and the replacing; the stray copy goes when the folder
    is back.
    """
    one = [p for p in music if p.suffix == ".flac"]
    rows = rows_for(one)
    away = one[0].parent.with_name("away")

    def vanish(name: str) -> None:
        if name == "synced":
            one[0].parent.rename(away)

    steps.hook = vanish
    store, journal, results = (
        AnalysisCache(tmp_path / "g.db"),
        Journal(tmp_path / "g.journal.db"),
        list[Result](),
    )
    apply_rows(
        store,
        journal,
        journal.begin("apply", "0", {}),
        [(None, r) for r in rows],
        WriteOptions(),
        results.append,
    )
    assert "No such file" in (results[0].error or "")
    steps.hook = None
    away.rename(one[0].parent)
    assert [s for s in os.listdir(one[0].parent) if s.startswith(".")]
    recovery.recover(journal)
    assert not [s for s in os.listdir(one[0].parent) if s.startswith(".")]
    assert [c.state for c in journal.changes()] == ["dropped"]


@pytest.mark.parametrize("what", ["deleted", "replaced", "a folder now", "a pipe now"])
def test_a_file_that_is_another_thing_now_is_refused(
    music: list[Path], tmp_path: Path, what: str
) -> None:
    one = next(p for p in music if p.suffix == ".mp3")
    row = rows_for([one])[0]
    one.unlink()
    if what == "replaced":
        shutil.copy(next(p for p in music if p.suffix == ".flac"), one)
    elif what == "a folder now":
        one.mkdir()
    elif what == "a pipe now":
        os.mkfifo(one)
    store, journal, results = (
        AnalysisCache(tmp_path / "g.db"),
        Journal(tmp_path / "g.journal.db"),
        list[Result](),
    )
    counts = apply_rows(store, journal, 1, [(None, row)], WriteOptions(), results.append)
    assert counts["failed"] == 1
    assert results[0].error
    assert ("moved or deleted" in results[0].error) == (what == "deleted")


def test_a_journal_that_cannot_be_written_stops_the_run_before_any_file(
    music: list[Path], tmp_path: Path
) -> None:
    before = {p: sha(p) for p in music}
    rows = rows_for(music)
    store, journal = AnalysisCache(tmp_path / "g.db"), Journal(tmp_path / "g.journal.db")
    journal._db.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.Error):
        apply_rows(store, journal, 1, [(None, r) for r in rows], WriteOptions(), lambda _: None)
    assert {p: sha(p) for p in music} == before


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl is not installed")
def test_access_control_lists_are_kept(music: list[Path], tmp_path: Path) -> None:
    one = [p for p in music if p.suffix == ".mp3"]
    if subprocess.run(
        ["setfacl", "-m", "u:12345:r", str(one[0])], capture_output=True, check=False
    ).returncode:
        pytest.skip("no access control lists here")
    acl = subprocess.run(["getfacl", "-c", str(one[0])], capture_output=True, check=True).stdout
    apply(one, tmp_path)
    assert (
        subprocess.run(["getfacl", "-c", str(one[0])], capture_output=True, check=True).stdout
        == acl
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(music: list[Path], tmp_path: Path) -> None:
    one = [p for p in music if p.suffix == ".mp3"]
    os.chown(one[0], 12345, 54321)
    counts, _, _ = apply(one, tmp_path)
    assert counts["written"] == 1
    assert (one[0].stat().st_uid, one[0].stat().st_gid) == (12345, 54321)
