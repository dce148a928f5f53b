"""The safe write: a file is the old or the new one, whatever happens; undo restores every byte."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_server import CommandServer
from conftest import run_python

from genretag import audio, tags
from genretag.audio import synthesis
from genretag.decisions.policy import HardLinks
from genretag.errors import TrackError
from genretag.storage.journal import Journal
from genretag.writing import steps
from genretag.writing.recovery import recover
from genretag.writing.target import Expected, WriteOptions
from genretag.writing.undo import undo_change
from genretag.writing.write import write_genres

WRITABLE = [e for e in synthesis.CONTAINERS if e != ".mka"]
STEPS = (
    *("intended", "copied", "tagged", "verified", "synced", "ready"),
    *(("exchanged",) if sys.platform == "linux" else ()),  # where there are leases
    *("replaced", "marked"),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "j.db")


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def expected(path: Path) -> Expected:
    s, identity = path.stat(), audio.identify(path)
    return Expected(s.st_size, s.st_mtime_ns, sha(path), identity.content_key or "")


def music(seed_files: dict[str, Path], folder: Path, extension: str = ".mp3") -> Path:
    (folder / "music").mkdir(exist_ok=True)
    path = Path(shutil.copy(seed_files[extension], folder / "music" / f"a{extension}"))
    os.utime(path, ns=(10**18, 10**18 + 123_456_789))
    return path


def write(
    journal: Journal, path: Path, genres: list[str], options: WriteOptions | None = None
) -> int:
    run = journal.begin("apply", "0", {})
    write_genres(journal, run, path, [], genres, expected(path), options or WriteOptions())
    return run


@pytest.mark.parametrize("extension", WRITABLE)
def test_undo_gives_every_byte_and_the_time_back(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path, extension: str
) -> None:
    path = music(seed_files, tmp_path, extension)
    before, mtime, key = sha(path), path.stat().st_mtime_ns, audio.identify(path).content_key
    run = write(journal, path, ["Jazz"])
    assert tags.read(path).genres == ["Jazz"]
    assert audio.identify(path).content_key == key
    assert path.stat().st_mtime_ns != mtime
    (change,) = journal.changes(run, ("replaced",))
    undo_change(journal, run, change)
    assert (sha(path), path.stat().st_mtime_ns) == (before, mtime)
    assert [c.state for c in journal.changes()] == ["undone"]
    assert os.listdir(path.parent) == [path.name]


def test_a_file_of_which_pieces_were_read_is_written_unless_it_changed(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    s, key = path.stat(), audio.audio_key(path)
    assert key is not None
    sparse = Expected(s.st_size, s.st_mtime_ns, None, key, None, key)
    run = journal.begin("apply", "0", {})
    other = audio.AUDIO_KEY_PREFIX + "0" * 32
    for wrong in (
        dataclasses.replace(sparse, size=s.st_size + 1),
        dataclasses.replace(sparse, mtime_ns=s.st_mtime_ns + 1),
        dataclasses.replace(sparse, audio_key=other),
        dataclasses.replace(sparse, file_check="xxh3:" + "0" * 32),
        dataclasses.replace(sparse, sha256="0" * 64),
    ):
        with pytest.raises(TrackError, match="changed since the scan"):
            write_genres(journal, run, path, [], ["Jazz"], wrong, WriteOptions())
    written = write_genres(journal, run, path, [], ["Jazz"], sparse, WriteOptions())
    packets = audio.identify(path).content_key
    assert written.content_key == packets
    assert journal.wrote(packets) == journal.wrote(key, audio_key=key) == ["Jazz"]
    assert journal.wrote("x", audio_key="audio:y") is None


def test_checks_of_both_kinds_are_accepted(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    for check in (audio.file_check(path), audio.check_of_sha256(sha(path))):
        facts = dataclasses.replace(expected(path), sha256=None, file_check=check)
        run = journal.begin("apply", "0", {})
        write_genres(journal, run, path, [], ["Jazz"], facts, WriteOptions())
        (change,) = journal.changes(run, ("replaced",))
        undo_change(journal, run, change)


def test_what_the_journal_keeps_is_small(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    for extension in WRITABLE:
        write(journal, music(seed_files, tmp_path, extension), ["Jazz"])
    for change in journal.changes():
        assert change.delta is not None
        assert len(change.delta) < 8_000, change.path


def test_mode_and_times_are_kept_as_requested(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    path.chmod(0o640)
    mtime = path.stat().st_mtime_ns
    write(journal, path, ["Jazz"], WriteOptions(preserve_mtimes=True))
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_mtime_ns == mtime


def test_extended_attributes_are_kept(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        pytest.skip("no extended attributes here")
    write(journal, path, ["Jazz"])
    assert os.getxattr(path, "user.note") == b"mine"


def test_attributes_that_change_during_the_write_are_kept(
    journal: Journal,
    seed_files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = music(seed_files, tmp_path)
    path.chmod(0o644)
    names = []

    def rate(step: str) -> None:
        if step == "ready":
            path.chmod(0o640)
            with contextlib.suppress(OSError):  # no extended attributes here
                os.setxattr(path, "user.rating", b"5")
                names.append("user.rating")

    monkeypatch.setattr(steps, "hook", rate)
    write(journal, path, ["Jazz"])
    assert tags.read(path).genres == ["Jazz"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert [os.getxattr(path, name) for name in names] == [b"5"] * len(names)


def test_a_link_stays_and_its_target_is_written(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    link = tmp_path / "link.mp3"
    link.symlink_to(path)
    write(journal, link, ["Jazz"])
    assert link.is_symlink()
    assert tags.read(path).genres == ["Jazz"]


def refused(
    journal: Journal,
    path: Path,
    why: str,
    facts: Expected | None = None,
    options: WriteOptions | None = None,
) -> None:
    before, listing = sha(path), sorted(os.listdir(path.parent))
    with pytest.raises(TrackError, match=why):
        write_genres(
            journal,
            journal.begin("apply", "0", {}),
            path,
            [],
            ["Jazz"],
            facts or expected(path),
            options or WriteOptions(),
        )
    assert sha(path) == before
    assert sorted(os.listdir(path.parent)) == listing
    assert not list(journal.changes(states=("intended", "ready", "replaced")))


def test_a_file_that_changed_since_the_scan_is_refused(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    facts = expected(path)
    tags.write(path, ["Mine"])
    refused(journal, path, "changed since the scan", facts)


def test_a_file_that_was_only_touched_is_written(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    facts = expected(path)
    os.utime(path)
    write_genres(journal, 1, path, [], ["Jazz"], facts, WriteOptions())
    assert tags.read(path).genres == ["Jazz"]


def test_a_hard_link_is_skipped_or_broken_as_requested(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    other = tmp_path / "other.mp3"
    os.link(path, other)
    refused(journal, path, "hard link")
    before = sha(other)
    write(journal, path, ["Jazz"], WriteOptions(hardlinks=HardLinks.BREAK))
    assert sha(other) == before
    assert tags.read(path).genres == ["Jazz"]


def test_in_place_all_names_see_the_change_and_the_way_back(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    other = tmp_path / "other.mp3"
    os.link(path, other)
    before, inode, mtime = sha(path), path.stat().st_ino, path.stat().st_mtime_ns
    write(journal, path, ["Jazz"], WriteOptions(hardlinks=HardLinks.IN_PLACE))
    assert tags.read(other).genres == ["Jazz"]
    (change,) = journal.changes()
    undo_change(journal, 2, change)
    assert sha(other) == before
    assert (path.stat().st_ino, other.stat().st_ino, path.stat().st_mtime_ns) == (
        inode,
        inode,
        mtime,
    )
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("step", ["overwriting", "overwritten"])
def test_killed_while_overwriting_in_place_the_next_run_ends_it(
    seed_files: dict[str, Path], tmp_path: Path, step: str, killed_at: Killed
) -> None:
    path = music(seed_files, tmp_path)
    os.link(path, tmp_path / "other.mp3")
    before, key = sha(path), audio.identify(path).content_key
    killed_at(step, path, tmp_path / "j.db", "write")
    if step == "overwriting":  # as a kill in the middle of a write leaves it
        with path.open("r+b") as handle:
            handle.write(b"half of something else")
    journal = Journal(tmp_path / "j.db")
    recover(journal)
    (change,) = journal.changes()
    assert change.state == "replaced"
    assert audio.identify(path).content_key == key
    assert tags.read(path).genres == ["Jazz"]
    undo_change(journal, 2, change)
    assert sha(path) == before
    assert os.listdir(path.parent) == [path.name]


def test_a_read_only_file_is_left_alone(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    path.chmod(0o444)
    refused(journal, path, "read-only")


def test_a_full_disk_leaves_the_file_alone(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    import resource

    path = music(seed_files, tmp_path, ".wav")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    facts = expected(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        refused(journal, path, "could not be written", facts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_tagger_that_harms_the_audio_is_caught(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def harmful(path: Path, genres: list[str], *_: object) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(tags, "write", harmful)
    refused(journal, music(seed_files, tmp_path), "audio would have changed")


def test_a_tagger_that_drops_another_tag_is_caught(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(path: Path, genres: list[str], *_: object) -> None:
        from mutagen.id3 import ID3, TCON

        tag = ID3(path)
        tag.delall("TPE1")
        tag.add(TCON(encoding=3, text=genres))
        tag.save(path)

    monkeypatch.setattr(tags, "write", careless)
    refused(journal, music(seed_files, tmp_path), "another tag would have changed")


KILLED = """
import os, signal, sys
from collections.abc import Callable
from pathlib import Path
from genretag import audio
from genretag.decisions.policy import HardLinks
from genretag.writing import steps
from genretag.writing.target import Expected, WriteOptions
from genretag.writing.undo import undo_change
from genretag.writing.write import write_genres
from genretag.storage.journal import Journal
music, journal, step, what = Path(sys.argv[1]), Journal(Path(sys.argv[2])), sys.argv[3], sys.argv[4]
def kill(name):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)
steps.hook = kill
if what == "write":
    s, i = music.stat(), audio.identify(music)
    sha256 = audio.file_sha256(music)
    facts = Expected(s.st_size, s.st_mtime_ns, sha256, i.content_key)
    options = WriteOptions(hardlinks=HardLinks.IN_PLACE)
    write_genres(journal, 1, music, [], ["Jazz"], facts, options)
else:
    (change,) = journal.changes(states=("replaced",))
    undo_change(journal, 2, change)
"""


Killed = Callable[[str, Path, Path, str], None]


@pytest.fixture
def killed_at(command_server: CommandServer | None) -> Killed:
    """Return a function that writes or undoes in a process that kills itself at a step."""

    def run(step: str, path: Path, journal: Path, what: str) -> None:
        arguments = ["-c", KILLED, str(path), str(journal), step, what]
        done = run_python(arguments, dict(os.environ), server=command_server)
        assert done.returncode == -signal.SIGKILL, done.stderr

    return run


@pytest.mark.parametrize("extension", [".mp3", ".flac", ".m4a", ".opus", ".wav"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_file_is_whole_and_the_journal_knows(
    seed_files: dict[str, Path], tmp_path: Path, step: str, extension: str, killed_at: Killed
) -> None:
    path = music(seed_files, tmp_path, extension)
    before, key = sha(path), audio.identify(path).content_key
    killed_at(step, path, tmp_path / "j.db", "write")
    journal = Journal(tmp_path / "j.db")
    recover(journal)
    assert os.listdir(path.parent) == [path.name]
    (change,) = journal.changes()
    is_new = step in ("exchanged", "replaced", "marked")
    assert change.state == ("replaced" if is_new else "dropped")
    assert (sha(path) == before) is not is_new
    assert audio.identify(path).content_key == key
    if is_new:
        undo_change(journal, 2, change)
        assert sha(path) == before


@pytest.mark.parametrize("step", ["aimed", "rebuilt", *STEPS[6:-2], "put back"])
def test_killed_in_an_undo_the_file_is_whole_and_undo_goes_on(
    seed_files: dict[str, Path], tmp_path: Path, step: str, killed_at: Killed
) -> None:
    path = music(seed_files, tmp_path)
    before = sha(path)
    journal = Journal(tmp_path / "j.db")
    write(journal, path, ["Jazz"])
    written = sha(path)
    killed_at(step, path, tmp_path / "j.db", "undo")
    recover(journal)
    assert os.listdir(path.parent) == [path.name]
    (change,) = journal.changes()
    if step in ("exchanged", "put back"):
        assert (change.state, sha(path)) == ("undone", before)
    else:
        assert (change.state, sha(path)) == ("replaced", written)
        undo_change(journal, 2, change)
        assert sha(path) == before


def test_undo_refuses_a_file_that_changed_since(
    journal: Journal, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = music(seed_files, tmp_path)
    write(journal, path, ["Jazz"])
    tags.write(path, ["Mine"])
    mine = sha(path)
    (change,) = journal.changes()
    with pytest.raises(TrackError, match="changed since"):
        undo_change(journal, 2, change)
    assert sha(path) == mine
    assert [c.state for c in journal.changes()] == ["replaced"]


def test_the_hook_is_for_tests_alone() -> None:
    assert steps.hook is None
