"""File systems that ignore case, fail, fill up and vanish: real ones, mounted for the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking import rows_for, sha
from conftest import Program
from mounting import Disk, NoFuse, mounted

from genretag import tags
from genretag.audio import synthesis
from genretag.storage.cache import AnalysisCache
from genretag.storage.journal import Journal
from genretag.writing import recovery, steps, undo
from genretag.writing.apply import Result, apply_rows
from genretag.writing.target import WriteOptions


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    try:
        with mounted(
            tmp_path, *(["--fold"] if getattr(request, "param", "") == "fold" else [])
        ) as made:
            yield made
    except NoFuse as reason:
        pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    steps.hook = None


def piece(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    synthesis.encode(path, synthesis.piece(seed, 3), 44_100, tags={"title": "T"})
    return path


@pytest.mark.parametrize("disk", ["fold"], indirect=True)
def test_where_case_and_unicode_form_do_not_count_a_file_has_one_row(
    disk: Disk, genretag: Program
) -> None:
    name = unicodedata.normalize("NFC", "Música")
    piece(disk.below / name / "Café" / "one.mp3")
    spellings = [
        disk.root / unicodedata.normalize("NFD", name),
        disk.root / "MÚSICA",
        disk.root / name / "CAFÉ" / "ONE.MP3",
    ]
    (row,) = genretag("scan", *spellings, "--dry-run", "--json").rows
    assert row["file"] == str(disk.root / name / "Café" / "one.mp3")
    for spelling in spellings:
        (again,) = genretag("scan", spelling, "--dry-run", "--json").rows
        assert again["file"] == row["file"]
    assert genretag("apply", disk.root / "MÚSICA", "--min-confidence", 0, "--yes").status == 0
    assert len(tags.read(disk.below / name / "Café" / "one.mp3").genres) == 1
    store = AnalysisCache(disk.root.parent / "db" / "genretag.db")
    assert store.file(spellings[-1]) is None
    assert store.file(disk.root / name / "Café" / "one.mp3") is not None
    store.close()


@pytest.mark.parametrize("call", ["create", "write", "fsync", "rename", "read", "unlink"])
def test_a_disk_that_fails_leaves_the_file_and_the_next_run_finishes(
    disk: Disk, genretag: Program, tmp_path: Path, call: str
) -> None:
    sick, well = piece(disk.below / "sick.mp3"), piece(tmp_path / "well" / "well.flac", 2)
    before = sha(sick)
    assert genretag("scan", disk.root, well.parent, "--dry-run").status == 0
    disk.fault(call)
    done = genretag("apply", "--min-confidence", 0, "--yes")
    disk.mend()
    assert "Traceback" not in done.err
    assert tags.read(well).genres
    if call == "unlink":  # what cannot be tidied now is tidied by the next run
        assert sha(sick) == before or tags.read(sick).genres
    else:
        assert done.status == 1
        assert "sick.mp3" in done.err
        assert "Input/output error" in done.err
        assert sha(sick) == before
    assert genretag("apply", "--yes").status == 0
    assert len(tags.read(sick).genres) == 1
    assert not [n for n in os.listdir(disk.below) if n.startswith(".")]
    assert genretag("undo", "--all", "--yes").status == 0
    assert sha(sick) == before


def test_a_disk_that_fails_while_it_is_read_costs_its_own_tracks(
    disk: Disk, genretag: Program, tmp_path: Path
) -> None:
    piece(disk.below / "sick.mp3")
    well = piece(tmp_path / "well" / "well.flac", 2)
    listing = [disk.root / "sick.mp3", well.parent]
    disk.fault("open")
    done = genretag("scan", *listing, "--dry-run", "--json")
    assert [r["status"] == "failed" for r in done.rows] == [True, False]
    assert "Input/output error" in done.rows[0]["error"]
    assert done.status == 1
    disk.mend()
    assert [
        r["status"]
        for r in genretag("scan", *listing, "--dry-run", "--json", "--retry-failed").rows
        if r["status"] == "failed"
    ] == []


def test_a_disk_that_is_unmounted_in_the_middle_costs_its_own_tracks(
    disk: Disk, tmp_path: Path
) -> None:
    gone, well = piece(disk.below / "gone.flac"), piece(tmp_path / "well" / "well.flac", 2)
    before = sha(gone)
    rows = rows_for([disk.root / "gone.flac", well])

    def unmount(step: str) -> None:
        if step == "tagged" and os.path.ismount(disk.root):
            subprocess.run(["fusermount3", "-uz", disk.root], check=True)

    store, journal, results = (
        AnalysisCache(tmp_path / "g.db"),
        Journal(tmp_path / "g.journal.db"),
        list[Result](),
    )
    steps.hook = unmount
    counts = apply_rows(
        store,
        journal,
        journal.begin("apply", "0", {}),
        [(None, r) for r in rows],
        WriteOptions(),
        results.append,
    )
    assert (counts["written"], counts["failed"]) == (1, 1)
    assert results[0].error
    assert sha(gone) == before
    assert tags.read(well).genres == ["Jazz"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB for the databases."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(folder: Path) -> Path:
    path = folder / "fill"
    with path.open("wb", buffering=0) as handle:
        try:
            while True:
                handle.write(b"x" * 4096)
        except OSError:
            pass
    return path


def test_no_room_for_the_database_is_a_clear_error(
    small: Path, genretag: Program, tmp_path: Path
) -> None:
    music = piece(tmp_path / "music" / "a.mp3")
    before = sha(music)
    filler = fill(small)
    done = genretag("scan", music.parent, "--yes", "--db", small / "g.db")
    assert done.status not in (0, None)
    assert "Traceback" not in done.err
    assert "g.db" in done.err or "g.journal.db" in done.err
    assert sha(music) == before
    filler.unlink()
    assert genretag("scan", music.parent, "--dry-run", "--db", small / "g.db").status == 0


def test_a_journal_without_room_writes_no_file(
    small: Path, genretag: Program, tmp_path: Path
) -> None:
    music = [piece(tmp_path / "music" / f"{n}.mp3", n) for n in range(3)]
    before = {p: sha(p) for p in music}
    assert genretag("scan", music[0].parent, "--dry-run", "--db", small / "g.db").status == 0
    filler = fill(small)
    done = genretag("apply", "--min-confidence", 0, "--yes", "--db", small / "g.db")
    assert done.status not in (0, None)
    assert "Traceback" not in done.err
    assert {p: sha(p) for p in music} == before
    filler.unlink()
    assert genretag("apply", "--min-confidence", 0, "--yes", "--db", small / "g.db").status == 0
    assert all(tags.read(p).genres for p in music)
    assert genretag("undo", "--all", "--yes", "--db", small / "g.db").status == 0
    assert {p: sha(p) for p in music} == before


@pytest.mark.parametrize("step", ["intended", "synced", "ready", "replaced", "marked"])
def test_a_journal_whose_disk_fills_up_in_the_middle_knows_the_truth(
    small: Path, tmp_path: Path, step: str
) -> None:
    """Whatever the step, each file is whole, and when there is room again the next run settles what
    was open.
    """
    music = [piece(tmp_path / "music" / f"{n}.mp3", n) for n in range(3)]
    before = {p: sha(p) for p in music}
    rows = [(None, r) for r in rows_for(music)]
    store, journal = AnalysisCache(tmp_path / "g.db"), Journal(small / "g.journal.db")
    fillers = []

    def hook(name: str) -> None:
        if name == step and not fillers:
            fillers.append(fill(small))

    steps.hook = hook
    results: list[Result] = []
    try:
        apply_rows(
            store, journal, journal.begin("apply", "0", {}), rows, WriteOptions(), results.append
        )
    except Exception as error:  # the journal's failure ends the run: nothing is written without it
        assert "full" in str(error) or "No space" in str(error) or "disk" in str(error), error
    steps.hook = None
    journal.close()
    for p in fillers:
        p.unlink()
    journal = Journal(small / "g.journal.db")
    list(recovery.recover(journal))
    written = {c.target: c for c in journal.changes(states=("replaced",))}
    for p in music:
        assert sha(p) == (written[p].after if p in written else before[p])
    assert not list(journal.changes(states=("intended", "ready", "undoing")))
    assert not [n for n in os.listdir(music[0].parent) if n.startswith(".")]


def test_a_locked_database_is_waited_for(genretag: Program, tmp_path: Path) -> None:
    """Another process holds the write lock for two seconds: the scan waits, and is whole."""
    music = piece(tmp_path / "music" / "a.mp3")
    assert genretag("scan", music.parent, "--dry-run").status == 0
    holder = (
        "import sqlite3, sys, time\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(2); "
        "db.execute('COMMIT')"
    )
    database = tmp_path / "db" / "genretag.db"
    with subprocess.Popen(
        [sys.executable, "-c", holder, database], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = genretag("scan", music.parent, "--dry-run", "--json", "--rescan")
    assert done.status == 0
    assert len(done.rows) == 1


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    """A real file system that can share blocks between files."""
    image, mount = tmp_path / "image", tmp_path / "btrfs"
    mount.mkdir()
    with image.open("wb") as out:
        out.truncate(400 << 20)
    tools = os.geteuid() == 0 and shutil.which("mkfs.btrfs") and shutil.which("mount")
    if (
        not tools
        or subprocess.run(["mkfs.btrfs", "-q", image], capture_output=True, check=False).returncode
    ):
        pytest.skip("no btrfs can be made here")
    if subprocess.run(
        ["mount", "-o", "loop", image, mount], capture_output=True, check=False
    ).returncode:
        pytest.skip("no btrfs can be mounted here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_where_blocks_can_be_shared_a_write_takes_next_to_no_room(
    btrfs: Path, tmp_path: Path
) -> None:
    music = btrfs / "long.aiff"  # its tag goes behind the audio, which stays where it is
    synthesis.encode(music, synthesis.piece(1, 120), 44_100)
    before = sha(music)

    def used() -> int:
        os.sync()
        s = os.statvfs(btrfs)
        return (s.f_blocks - s.f_bfree) * s.f_frsize

    was, held = (
        used(),
        os.open(music, os.O_RDONLY),
    )  # the old file's blocks stay in use while somebody has it open
    store, journal, results = (
        AnalysisCache(tmp_path / "g.db"),
        Journal(tmp_path / "g.journal.db"),
        list[Result](),
    )
    counts = apply_rows(
        store,
        journal,
        journal.begin("apply", "0", {}),
        [(None, rows_for([music])[0])],
        WriteOptions(),
        results.append,
    )
    assert counts["written"] == 1
    assert used() - was < music.stat().st_size / 4
    os.close(held)
    (change,) = journal.changes(states=("replaced",))
    undo.undo_change(journal, journal.begin("undo", "0", {}), change)
    assert sha(music) == before
