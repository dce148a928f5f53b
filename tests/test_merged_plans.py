"""Plans of several scans: the newest that covers a file holds, and one apply is one run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest
from conftest import Program

from genretag import tags
from genretag.audio import synthesis


def names(rows: list[dict[str, str]]) -> list[str]:
    return sorted(Path(row["file"]).name for row in rows)


def digests(folder: Path) -> dict[Path, str]:
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


@pytest.fixture
def music(tmp_path: Path, genretag: Program) -> Path:
    """Make three folders, of which A (run 1) and B (run 2) are scanned, each for itself."""
    folder = tmp_path / "music"
    for n, name in enumerate(["A/one.flac", "A/two.mp3", "B/three.mp3", "C/four.mp3"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        synthesis.encode(path, synthesis.piece(n, 3), 44_100, tags={"artist": "A"})
    for name in "AB":
        assert genretag("scan", folder / name, "--dry-run", "--min-confidence", 0).status == 0
    return folder


def test_apply_of_several_plans_is_one_run(genretag: Program, music: Path) -> None:
    before = digests(music)
    done = genretag("apply", music, "--yes")
    assert done.status == 0
    assert "wrote 3 of 3 genres (run 3" in done.err
    assert "plan 2 (scan" in done.err
    assert "plan 1 (scan" in done.err
    runs = genretag("history", "--json").rows
    assert [(run["kind"], run["counts"]) for run in runs if run["kind"] == "apply"] == [
        ("apply", {"written": 3})
    ]
    assert "plans of run 2 and 1" in genretag("history").out
    assert "nothing to write" in genretag("apply", music, "--yes").err
    assert genretag("undo", "--yes").status == 0
    assert digests(music) == before
    # Undone writes are planned again, in each of the plans.
    assert names(genretag("apply", music, "--dry-run", "--json").rows) == [
        "one.flac",
        "three.mp3",
        "two.mp3",
    ]


def test_report_of_a_folder_merges_the_plans_below_it(genretag: Program, music: Path) -> None:
    assert names(genretag("report", "--json").rows) == ["three.mp3"]
    assert len(genretag("report", music, "--json").rows) == 3
    assert len(genretag("report", music / "A", music / "B", "--json").rows) == 3
    assert len(genretag("report", music / "A", "--json").rows) == 2
    assert names(genretag("report", music, "--run", 1, "--json").rows) == ["one.flac", "two.mp3"]
    assert genretag("report", music / "A", music / "C").status == 2


def test_the_page_of_a_folder_merges_the_plans_and_names_each(
    genretag: Program, music: Path
) -> None:
    genretag("plan", music / "A", "--min-confidence", 1)
    page = genretag("report", music, "--html", "-O", "-").out
    packed = re.search(r'id="packed">([^<]+)<', page)
    assert packed is not None
    assert len(json.loads(gzip.decompress(base64.b64decode(packed[1])))) == 3
    assert "Plan 3" in page
    assert "Plan 2" in page
    assert "different thresholds" in page  # instead of a slider


def test_plan_of_a_folder_is_a_plan_of_its_own(genretag: Program, music: Path) -> None:
    genretag("plan", music / "A" / "two.mp3", "--min-confidence", 1)
    assert "nothing to write" in genretag("apply").err

    def actions(*command: object) -> dict[str, str]:
        rows = genretag(*command, music, "--json").rows
        return {Path(row["file"]).name: row["action"] for row in rows}

    expected = {"one.flac": "write", "two.mp3": "skip", "three.mp3": "write"}
    assert actions("report") == expected
    # The next plan of the folder merges all of them, by the rules of the newest.
    assert set(actions("plan").values()) == {"skip"}
    assert set(actions("plan", "--min-confidence", 0).values()) == {"write"}
    assert "plan 5 (plan" in genretag("apply", "--dry-run").err


def test_a_newer_scan_of_a_folder_hides_what_it_left_out(genretag: Program, music: Path) -> None:
    genretag("scan", music / "A", "--dry-run", "--min-confidence", 0, "--exclude", "*.flac")
    assert names(genretag("report", music, "--json").rows) == ["three.mp3", "two.mp3"]
    assert genretag("apply", music, "--yes").status == 0
    assert not tags.read(music / "A" / "one.flac").genres


def test_playlists_and_paths_with_dots_reach_every_scanned_place(
    genretag: Program, music: Path
) -> None:
    rows = genretag("report", music / "B" / ".." / "A", "--json").rows
    assert names(rows) == ["one.flac", "two.mp3"]
    shown = genretag("playlist", music, "--genre", rows[0]["genre"], "-O", "-").out
    assert str(music / "A" / "one.flac") in shown


def test_history_on_a_narrow_terminal_tears_no_word(genretag: Program, music: Path) -> None:
    text = genretag("history", env={"COLUMNS": "80"}).out
    assert "     --min-confidence 0.0\n" in text
    assert re.search(r"^1    \S+ \S+  scan   2 ok", text)
    assert str(music / "A") in text.replace("\n", "")
