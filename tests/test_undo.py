"""``genretag undo`` and ``verify``: which files they take, and files that were moved since."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from typer.testing import CliRunner

from genretag import tags
from genretag.audio import synthesis
from genretag.cli import app

ANY = ("--min-confidence", "0")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for n, place in enumerate(("A/1", "A/2", "B/3")):
        path = folder / f"{place}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        synthesis.encode(path, synthesis.piece(n, 3), 44_100)
    return folder


@pytest.fixture
def before(music: Path) -> dict[str, bytes]:
    return contents(music)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*.flac")}


def run_of(genretag: Program, kind: str) -> int:
    return max(r["id"] for r in genretag("history", "--json").rows if r["kind"] == kind)


def test_undo_of_a_folder_restores_its_files_and_no_others(
    genretag: Program, music: Path, before: dict[str, bytes]
) -> None:
    assert genretag("scan", music, "--yes", *ANY).status == 0
    written = contents(music)
    ran = genretag("undo", music / "A", "--yes")
    assert (ran.status, "restored 2 of 2 files" in ran.err) == (0, True), ran.err
    expected = {**before, "3.flac": written["3.flac"]}
    assert contents(music) == expected
    nothing = genretag("undo", music / "A", "--yes")
    assert nothing.status == 2
    assert "there is nothing to undo below" in nothing.err


def test_a_number_is_a_run_and_a_path_of_digits_is_written_with_a_dot(
    genretag: Program, music: Path, before: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert genretag("scan", music, "--yes", *ANY).status == 0
    run = run_of(genretag, "apply")
    (music / "A").rename(music / str(run))
    assert genretag("scan", music, "--dry-run").status == 0
    assert "3 files to restore" in genretag("undo", run, "--dry-run").err
    assert "3 files to restore" in genretag("undo", "--run", run, "--dry-run").err
    monkeypatch.chdir(music)
    assert "2 files to restore" in genretag("undo", f"./{run}", "--dry-run").err
    assert "2 files to restore" in genretag("undo", "--run", run, f"./{run}", "--dry-run").err
    unknown = genretag("undo", 4242, "--yes")
    assert (unknown.status, "there is no run 4242" in unknown.err) == (2, True)
    assert genretag("undo", run, run + 1, "--yes").status == 2
    assert genretag("undo", run, "--yes").status == 0
    assert contents(music) == before


def test_what_another_genretag_restored_meanwhile_is_no_failure(
    genretag: Program,
    music: Path,
    before: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from genretag.cli import undo

    def agree_while_another_restores(*_: Any, **__: Any) -> bool:
        assert genretag("undo", music / "A", "--yes").status == 0
        return True

    assert genretag("scan", music, "--yes", *ANY).status == 0
    monkeypatch.setattr(undo, "confirm", agree_while_another_restores)
    env = {"GENRETAG_DB": str(tmp_path / "db" / "genretag.db")}
    ran = CliRunner().invoke(app, ["undo"], env=env)
    assert (ran.exit_code, "left alone" in ran.output) == (0, False), ran.output
    assert "restored 1 of 3 files, byte for byte; another genretag restored 2" in ran.output
    assert contents(music) == before


def test_undo_prints_each_file_as_json(
    genretag: Program, music: Path, before: dict[str, bytes]
) -> None:
    genretag("scan", music, "--yes", *ANY)
    planned = genretag("undo", "--json", "--dry-run").rows
    done = genretag("undo", "--json", "--yes").rows
    assert (
        {r["path"] for r in planned}
        == {r["path"] for r in done}
        == set(map(str, music.rglob("*.flac")))
    )
    assert all(r["new"] == [] and r["old"] and r["error"] is None for r in done)
    assert contents(music) == before


def test_moved_files_are_found_by_their_content_below_the_last_scan(
    genretag: Program, music: Path, before: dict[str, bytes]
) -> None:
    genretag("scan", os.path.relpath(music), "--yes", *ANY)
    # The place is absolute, so that it can be found from any folder.
    assert genretag("history", "--json").rows[0]["options"]["paths"] == [str(music)]
    (music / "A").rename(music / "C")
    (music / "C" / "1.flac").rename(music / "C" / "one.flac")
    verified = genretag("verify")
    assert verified.status == 0
    assert "3 of 3 files are as written, byte for byte; 2 found at another place" in verified.err
    ran = genretag("undo", music / "C", "--yes")
    assert (ran.status, "2 files had been moved" in ran.err) == (0, True), ran.err
    assert genretag("undo", "--all", "--yes").status == 0
    now = contents(music)
    assert now.pop("one.flac") == before.pop("1.flac")
    assert now == before


def test_two_writes_of_a_moved_file_are_both_taken_back(
    genretag: Program, music: Path, before: dict[str, bytes]
) -> None:
    genretag("scan", music, "--yes", *ANY)
    genretag("apply", "--existing", "append", "--top", "2", "--yes", *ANY)
    (music / "B" / "3.flac").rename(music / "3.flac")
    assert genretag("undo", "--all", "--yes").status == 0
    assert contents(music) == before


def test_two_files_of_the_same_content_are_no_match(
    genretag: Program, music: Path, before: dict[str, bytes]
) -> None:
    genretag("scan", music, "--yes", *ANY)
    shutil.copy(music / "B" / "3.flac", music / "copy.flac")
    (music / "B" / "3.flac").rename(music / "moved.flac")
    ran = genretag("undo", music / "B", "--yes")
    assert (ran.status, "it was moved or deleted" in ran.err) == (1, True), ran.err
    assert tags.read(music / "moved.flac").genres == tags.read(music / "copy.flac").genres != []
    assert genretag("verify").status == 1


def test_verify_names_what_another_program_did_to_a_moved_file(
    genretag: Program, music: Path
) -> None:
    genretag("scan", music, "--yes", *ANY)
    moved = (music / "B" / "3.flac").rename(music / "moved.flac")
    tags.write(moved, ["Mine"])
    (row,) = [r for r in genretag("verify", "--json").rows if r["finding"]]
    assert (row["path"], row["moved_from"]) == (str(moved), str(music / "B" / "3.flac"))
    assert row["finding"] == "its genre was changed since, to Mine"


def test_verify_judges_only_the_last_write_of_a_file(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    genretag("scan", music, "--yes", *ANY)
    first = run_of(genretag, "apply")
    rows = genretag("scan", music / "B", "--json", "--dry-run").rows
    plan = tmp_path / "plan.jsonl"
    plan.write_text(json.dumps({**rows[0], "action": "write", "new": ["Ska"]}))
    assert genretag("apply", plan, "--yes").status == 0
    second = run_of(genretag, "apply")
    verified = genretag("verify")
    assert (verified.status, "3 of 3 files are as written" in verified.err) == (0, True)
    assert "1 of 1 file is as written" in genretag("verify", second).err
    ran = genretag("verify", first)
    assert (ran.status, ran.out) == (0, "")
    assert "2 of 2 files" in ran.err
    assert "1 not checked: genretag wrote them again later" in ran.err


def test_verify_refuses_a_run_that_wrote_nothing(genretag: Program, music: Path) -> None:
    genretag("scan", music, "--yes", *ANY)
    scan, apply = run_of(genretag, "scan"), run_of(genretag, "apply")
    for run, why in ((scan, "(scan) wrote no file"), (4242, "there is no run"), (0, "no run 0")):
        ran = genretag("verify", run)
        assert (ran.status, why in ran.err) == (2, True), ran.err
    assert "1 of" not in genretag("verify", apply).out
    genretag("undo", "--yes")
    assert "all of its writes were undone" in genretag("verify", apply).err
