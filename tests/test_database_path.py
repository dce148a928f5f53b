"""``--db FILE`` never touches a file that is not a genretag database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from conftest import Program

from genretag.errors import RunError, UsageError
from genretag.storage import sqlite
from genretag.writing.session import journal_path, open_databases, writing


def snapshot(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_song_given_as_database_is_refused_and_untouched(
    genretag: Program, tmp_path: Path, seed_files: dict[str, Path]
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    song = folder / "song.mp3"
    song.write_bytes(seed_files[".mp3"].read_bytes())
    before = snapshot(folder)
    ran = genretag("history", "--db", song)
    assert ran.status == 2
    assert "not a database" in ran.err
    assert snapshot(folder) == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_of_another_program_is_refused_and_untouched(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "library.db"
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA journal_mode = {mode}")
    other.execute("CREATE TABLE items (id INTEGER)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="another program"), open_databases(path):
        pass
    assert path.read_bytes() == before
    assert not journal_path(path).exists()


def test_a_damaged_cache_is_set_aside_only_beside_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    with open_databases(path):
        pass
    path.write_bytes(b"rubbish")
    with open_databases(path):
        pass
    assert any(".broken-" in p.name for p in tmp_path.iterdir())
    journal_path(path).unlink()
    path.write_bytes(b"rubbish")
    with pytest.raises(UsageError, match="left as it is"), open_databases(path):
        pass
    assert path.read_bytes() == b"rubbish"


def test_a_foreign_file_in_the_place_of_the_journal_is_untouched(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    journal_path(path).write_bytes(b"a song")
    with pytest.raises(UsageError, match="left as it is"), open_databases(path):
        pass
    assert journal_path(path).read_bytes() == b"a song"


def test_a_read_only_database_can_be_read_but_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g.db"
    with open_databases(path) as databases:
        databases.journal.begin("scan", "0", {})
    before = snapshot(tmp_path)
    monkeypatch.setattr(sqlite.os, "access", lambda *_: False)
    with open_databases(path) as databases:
        assert len(databases.journal.runs()) == 1
        with pytest.raises(RunError, match="read-only"):
            databases.journal.begin("scan", "0", {})
        with pytest.raises(RunError, match="read-only"), writing(databases):
            pass
    assert snapshot(tmp_path) == before
