"""Playlists, the doctor, the Python API."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Program

from genretag import tags
from genretag.audio import synthesis
from genretag.library.walk import EXTENSIONS


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for n, name in enumerate(["one.flac", "sub/two, or #2.mp3", "sub/#three.mp3"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        synthesis.encode(path, synthesis.piece(n, 3), 44_100, tags={"artist": "A"})
    return folder


def entries(path: Path) -> list[str]:
    return [
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]


def test_playlists_lead_to_the_files(genretag: Program, music: Path, tmp_path: Path) -> None:
    rows = genretag("scan", music, "--dry-run", "--json", "--min-confidence", 0).rows
    genre = rows[0]["genre"]
    mine = [r["file"] for r in rows if r["genre"] == genre]
    assert genretag("playlist", "--genre", genre.upper(), "-O", tmp_path / "a.m3u8").status == 0
    assert entries(tmp_path / "a.m3u8") == mine
    lists = tmp_path / "music" / "lists"
    assert genretag("playlist", "--all", "--relative", "-O", lists).status == 0
    found = [(lists / e).resolve() for p in lists.glob("*.m3u8") for e in entries(p)]
    assert sorted(found) == sorted(Path(r["file"]) for r in rows)
    assert "there are" in genretag("playlist", "--genre", "Polka", "-O", tmp_path / "b.m3u8").err


def test_unsure_tracks_have_a_playlist(genretag: Program, music: Path, tmp_path: Path) -> None:
    rows = genretag("scan", music, "--dry-run", "--json", "--min-confidence", 1).rows
    assert genretag("playlist", "--unsure", "-O", tmp_path / "u.m3u8").status == 0
    by_confidence = sorted(rows, key=lambda r: -r["confidence"])
    assert entries(tmp_path / "u.m3u8")[0] == by_confidence[0]["file"]
    assert genretag("playlist", "--genre", "Jazz", "-O", tmp_path / "u.txt").status == 2


def test_a_playlist_names_artist_and_title(genretag: Program, music: Path, tmp_path: Path) -> None:
    synthesis.encode(
        music / "named.mp3",
        synthesis.piece(9, 3),
        44_100,
        tags={"artist": "A Band", "title": "A Song, and\nmore"},
    )
    genretag("scan", music, "--dry-run", "--min-confidence", 1)
    ran = genretag("playlist", "--unsure", "-O", "-")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "#EXTM3U"
    about = {path: info for info, path in zip(lines[1::2], lines[2::2], strict=True)}
    length, _, title = about[str(music / "named.mp3")].partition(",")
    assert (length, title) == ("#EXTINF:3", "A Band - A Song, and\\x0amore")
    without_title = next(path for path in about if not path.endswith("named.mp3"))
    assert about[without_title] == f"#EXTINF:3,A - {Path(without_title).stem}"
    assert genretag("playlist", "--all", "-O", "-").status == 2


def test_a_plan_can_be_written_to_stdout(genretag: Program, music: Path, tmp_path: Path) -> None:
    genretag("scan", music, "--dry-run")
    rows = genretag("report", "--json").rows
    assert rows
    assert genretag("report", "-O", "-").rows == rows
    assert genretag("scan", music, "--dry-run", "-O", "-").rows == rows
    page = genretag("report", "--html", "-O", "-")
    assert page.out.startswith("<!doctype html>") or page.out.startswith("<!DOCTYPE html>")
    assert not Path("-").exists()


def test_bash_is_offered_quoted_words(genretag: Program, music: Path) -> None:
    tags.write(next(music.glob("*.flac")), ["Drum & Bass"])
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    for typed in ("Drum", "Drum\\ "):
        environment = {
            "_GENRETAG_COMPLETE": "complete_bash",
            "COMP_WORDS": f"genretag\nplaylist\n--genre\n{typed}",
            "COMP_CWORD": "3",
        }
        assert "Drum\\ \\&\\ Bass" in genretag(env=environment).out.splitlines()


def test_a_scan_finds_every_container_of_the_tests() -> None:
    assert set(synthesis.CONTAINERS) <= EXTENSIONS


def test_the_doctor_tries_every_container_and_finds_a_broken_journal(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    genretag("scan", music, "--dry-run")
    done = genretag("doctor", "--json")
    found = {f["what"]: f for f in map(json.loads, done.out.splitlines())}
    assert done.status == 0, done.out
    assert set(synthesis.CONTAINERS) <= set(found)
    assert all(f["health"] in ("fine", "note") for f in found.values())
    assert "ms per 30 s window" in found["model"]["told"]
    journal = tmp_path / "db" / "genretag.journal.db"
    journal.write_bytes(b"broken" * 1000)
    done = genretag("doctor")
    assert done.status == 1
    assert "broken" in done.out
    assert journal.read_bytes() == b"broken" * 1000  # it is only looked at


def test_the_doctor_reports_wrong_settings(genretag: Program, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('model = "/nowhere/x.onnx"\n')
    done = genretag("doctor")
    assert done.status == 1
    assert "is not there" in done.out


SCRIPT = """
import sys
from pathlib import Path
import genretag.api as genretag

if __name__ == "__main__":
    with genretag.Library(sys.argv[1], jobs=1) as library:
        rows = library.hear([Path(sys.argv[2])], genretag.Policy(min_confidence=0.0))
        assert len(rows) == 3 and "Jazz" in library.labels
        assert library.apply(confirm=lambda rows: False) == []
        results = library.apply()
        assert len(results) == 3 and all(r.error is None for r in results)
        again = library.plan(genretag.Policy(existing=genretag.Existing.APPEND, min_confidence=0.0))
        assert all(r.action == "keep" for r in again)
        print("written")
        if "undo" in sys.argv:
            assert len(library.undo()) == 3
"""


@pytest.mark.parametrize("undo", [False, True])
def test_the_python_api_analyses_applies_and_undoes(
    music: Path, tmp_path: Path, undo: bool
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in music.rglob("*.*")}
    command = [
        sys.executable,
        tmp_path / "script.py",
        tmp_path / "my.db",
        music,
        *(["undo"] if undo else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    after = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in music.rglob("*.*")}
    assert (after == before) is undo
    assert bool(tags.read(music / "one.flac").genres) is not undo
    with sqlite3.connect(tmp_path / "my.journal.db") as db:
        kinds = [k for (k,) in db.execute("SELECT kind FROM run ORDER BY id")]
    assert kinds == ["scan", "apply", "plan", *(["undo"] if undo else [])]


def test_each_genre_gets_a_playlist_of_its_own_under_a_safe_name(
    genretag: Program, tmp_path: Path
) -> None:
    folder = tmp_path / "music"
    genres = ("R/B", "R:B", "r-b", "evil\u202e", "x" * 100 + "1", "x" * 100 + "2")
    for n, genre in enumerate(genres):
        path = folder / f"{n}.flac"
        path.parent.mkdir(exist_ok=True)
        synthesis.encode(path, synthesis.piece(n, 3), 44_100)
        tags.write(path, [genre])
    genretag("scan", folder, "--dry-run", "--min-confidence", "0")
    made = genretag("playlist", "--all", "-O", tmp_path / "lists")
    lists = sorted((tmp_path / "lists").iterdir())
    listed = [line for path in lists for line in path.read_text().splitlines() if line[0] != "#"]
    assert sorted(listed) == [str(folder / f"{n}.flac") for n in range(len(genres))]
    assert len({path.name.casefold() for path in lists}) == len(genres)
    assert "\u202e" not in made.err + made.out + "".join(path.name for path in lists)
