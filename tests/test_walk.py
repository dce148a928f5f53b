"""The walk finds music in a stable order, survives every trap, and opens no file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genretag.library.walk import Found, Unreadable, is_music, on_disk_case, signed, walk


def names(*paths: Path, exclude: tuple[str, ...] = ()) -> list[str]:
    return [
        os.fspath(f.path.relative_to(paths[0]))
        for f in walk(paths, exclude)
        if isinstance(f, Found)
    ]


def touch(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_finds_music_below_in_a_stable_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.mp3", "b/1.FLAC", "a.ogg", "c/d/e.m4a", "c/cover.jpg", "readme.txt")
    assert names(tmp_path) == ["a.ogg", "b/1.FLAC", "b/2.mp3", "c/d/e.m4a"]
    assert names(tmp_path) == names(tmp_path)


def test_hidden_and_resource_files_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "._a.mp3", ".hidden/b.mp3", ".c.mp3", "d.mp3", ".abc.genretag-tmp.mp3")
    assert names(tmp_path) == ["d.mp3"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp3")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    assert names(tmp_path) == ["a/x.mp3"]


def test_a_broken_link_is_reported(tmp_path: Path) -> None:
    (tmp_path / "gone.mp3").symlink_to(tmp_path / "nowhere.mp3")
    (missed,) = walk([tmp_path])
    assert isinstance(missed, Unreadable)
    assert missed.error == "the file that it links to is not there"


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.fspath(tmp_path / "s.mp3"))
        assert list(walk([tmp_path])) == []


def test_names_that_are_not_utf8_are_walked(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.mp3"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    (found,) = walk([tmp_path])
    assert os.fsencode(found.path) == raw


def test_excluded_globs_match_names_and_paths(tmp_path: Path) -> None:
    touch(tmp_path, "Podcasts/a.mp3", "b.mp3", "c.live.mp3")
    assert names(tmp_path, exclude=("Podcasts", "*.live.mp3")) == ["b.mp3"]


def test_a_path_given_twice_comes_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp3")
    assert names(tmp_path, tmp_path / "a", tmp_path / "a" / "x.mp3") == ["a/x.mp3"]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied by rm: pytest's own clean-up stumbles over trees this deep."""
    yield tmp_path
    subprocess.run(["rm", "-rf", "--", *map(os.fspath, tmp_path.iterdir())], check=True)


def test_a_thousand_nested_folders_are_walked(deep: Path) -> None:
    tmp_path = deep
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1000):
            os.mkdir("d")
            os.chdir("d")
        Path("deep.mp3").write_bytes(b"x")
    finally:
        os.chdir(here)
    got = list(walk([tmp_path]))
    assert any(isinstance(f, Found) and f.path.name == "deep.mp3" for f in got)


def test_a_path_longer_than_the_system_allows_is_reported(deep: Path) -> None:
    tmp_path = deep
    touch(tmp_path, "z.mp3")
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
    got = list(walk([tmp_path]))
    assert [f.path.name for f in got if isinstance(f, Found)] == ["z.mp3"]
    assert any(isinstance(f, Unreadable) for f in got)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_reported(tmp_path: Path) -> None:
    touch(tmp_path, "no/a.mp3", "yes/b.mp3")
    (tmp_path / "no").chmod(0)
    kinds = [type(f) for f in walk([tmp_path])]
    assert kinds == [Unreadable, Found]


@pytest.mark.parametrize(
    ("name", "want"),
    [("a.MP3", True), ("a.m4a", True), ("mp3", False), ("._a.mp3", False), ("a.jpg", False)],
)
def test_music_is_recognised_by_its_name(name: str, want: bool) -> None:
    assert is_music(name) is want


@pytest.mark.parametrize("number", [0, 1, 2**63 - 1, 2**63, 2**64 - 1, -5])
def test_unsigned_64_bit_numbers_fit_into_sqlite(number: int) -> None:
    assert -(2**63) <= signed(number) < 2**63
    assert signed(number) % 2**64 == number % 2**64


def test_a_folder_that_has_two_names_is_walked_once(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.mp3")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert len(list(walk([tmp_path / "real", tmp_path / "link"]))) == 1


def test_a_path_in_its_on_disk_case_stays_as_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "Music/a.mp3")
    monkeypatch.chdir(tmp_path)
    assert [f.path for f in walk([Path("Music")])] == [Path("Music/a.mp3")]
    assert on_disk_case(tmp_path / "nothing" / "here") == tmp_path / "nothing" / "here"


MEASURE = """
import sys, tracemalloc
from pathlib import Path
from genretag.library.walk import walk
tracemalloc.start()
print(sum(1 for _ in walk([Path(sys.argv[1])])), tracemalloc.get_traced_memory()[1])
"""


def test_the_walk_keeps_no_list_of_files(tmp_path: Path) -> None:
    """A million files must not fill the memory: 10,000 take next to nothing. In a fresh process,
    for Python keeps tables of its own.
    """
    for n in range(10_000):
        folder = tmp_path / f"{n // 200:03d}"
        folder.mkdir(exist_ok=True)
        (folder / f"{n:05d} with a name of some length.mp3").touch()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, check=True
    )
    count, peak = map(int, done.stdout.split())
    assert count == 10_000
    assert peak < 2_000_000  # with every path kept: more than 6 MB
