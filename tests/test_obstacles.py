"""A plan promises only what apply can do."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import Program

from genretag.library import access

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")


def _pretend_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let permissions count although the tests may run as root."""

    def may(path: Path, mode: int) -> bool:
        return bool(os.stat(path).st_mode & 0o200) or not mode & os.W_OK

    monkeypatch.setattr(access.os, "access", may)


def test_a_file_in_a_read_only_folder_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_user(monkeypatch)
    track = tmp_path / "track.mp3"
    track.write_bytes(b"x")
    assert access.write_obstacle(track) is None
    track.chmod(0o444)
    assert access.write_obstacle(track) == "the file is read-only"
    track.chmod(0o644)
    tmp_path.chmod(0o555)
    try:
        assert access.write_obstacle(track) == "its folder is not writable"
    finally:
        tmp_path.chmod(0o755)
    assert access.write_obstacle(tmp_path / "none.mp3") is None  # apply will find out


def test_a_file_of_another_user_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = tmp_path / "track.mp3"
    track.write_bytes(b"x")
    monkeypatch.setattr(access.os, "geteuid", lambda: os.stat(track).st_uid + 1)
    assert "--owner mine" in (access.write_obstacle(track) or "")
    assert access.write_obstacle(track, keep_owner=False) is None


def test_the_plan_says_what_cannot_be_written(
    genretag: Program, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for extension in (".mp3", ".flac"):
        shutil.copy(seed_files[extension], music / f"track{extension}")
    (music / "track.mp3").chmod(0o444)
    ran = genretag("scan", music, "--dry-run", "--json", "--min-confidence", 0)
    rows = {Path(r["file"]).suffix: r for r in map(json.loads, ran.out.splitlines())}
    assert (rows[".mp3"]["action"], rows[".mp3"]["code"]) == ("skip", "not-writable")
    assert rows[".mp3"]["reason"].startswith("would write ")
    assert rows[".mp3"]["reason"].endswith("; the file is read-only")
    assert rows[".flac"]["action"] == "write"
    assert genretag("apply", "--yes").status == 0
