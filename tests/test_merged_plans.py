"""Plans of several scans: the newest that covers a file holds, and one apply is one run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Ran

from genretag import tags
from genretag.audio import synthesis


def names(rows: list[dict[str, str]]) -> list[str]:
    return sorted(Path(row["file"]).name for row in rows)


def digests(folder: Path) -> dict[Path, str]:
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


@dataclass(frozen=True)
class Library:
    """Three folders, of which A (run 1) and B (run 2) are scanned, each for itself."""

    music: Path
    environment: dict[str, str]

    def run(self, *arguments: object, columns: int = 160) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "genretag", *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment, "COLUMNS": str(columns)},
            timeout=200,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


def make_library(folder: Path) -> Library:
    database, config = folder / "db" / "genretag.db", folder / "config.toml"
    environment = {"GENRETAG_DB": str(database), "GENRETAG_CONFIG": str(config)}
    library = Library(folder / "music", environment)
    for n, name in enumerate(["A/one.flac", "A/two.mp3", "B/three.mp3", "C/four.mp3"]):
        path = library.music / name
        path.parent.mkdir(parents=True, exist_ok=True)
        synthesis.encode(path, synthesis.piece(n, 3), 44_100, tags={"artist": "A"})
    for name in "AB":
        scan = ("scan", library.music / name, "--dry-run", "--min-confidence", 0)
        assert library.run(*scan).status == 0
    return library


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Return a library that tests only read."""
    return make_library(tmp_path_factory.mktemp("scanned"))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Return a library of the test's own."""
    return make_library(tmp_path)


def test_apply_of_several_plans_is_one_run(library: Library) -> None:
    before = digests(library.music)
    done = library.run("apply", library.music, "--yes")
    assert done.status == 0
    assert "wrote 3 of 3 genres (run 3" in done.err
    assert "plan 2 (scan" in done.err
    assert "plan 1 (scan" in done.err
    runs = library.run("history", "--json").rows
    assert [(run["kind"], run["counts"]) for run in runs if run["kind"] == "apply"] == [
        ("apply", {"written": 3})
    ]
    assert "plans of run 2 and 1" in library.run("history").out
    assert "nothing to write" in library.run("apply", library.music, "--yes").err
    assert library.run("undo", "--yes").status == 0
    assert digests(library.music) == before
    # Undone writes are planned again, in each of the plans.
    assert names(library.run("apply", library.music, "--dry-run", "--json").rows) == [
        "one.flac",
        "three.mp3",
        "two.mp3",
    ]


def test_report_of_a_folder_merges_the_plans_below_it(scanned: Library) -> None:
    assert names(scanned.run("report", "--json").rows) == ["three.mp3"]
    assert len(scanned.run("report", scanned.music, "--json").rows) == 3
    assert len(scanned.run("report", scanned.music / "A", scanned.music / "B", "--json").rows) == 3
    assert len(scanned.run("report", scanned.music / "A", "--json").rows) == 2
    assert names(scanned.run("report", scanned.music, "--run", 1, "--json").rows) == [
        "one.flac",
        "two.mp3",
    ]
    assert scanned.run("report", scanned.music / "A", scanned.music / "C").status == 2


def test_the_page_of_a_folder_merges_the_plans_and_names_each(library: Library) -> None:
    library.run("plan", library.music / "A", "--min-confidence", 1)
    page = library.run("report", library.music, "--html", "-O", "-").out
    packed = re.search(r'id="packed">([^<]+)<', page)
    assert packed is not None
    assert len(json.loads(gzip.decompress(base64.b64decode(packed[1])))) == 3
    assert "Plan 3" in page
    assert "Plan 2" in page
    assert "different thresholds" in page  # instead of a slider


def test_plan_of_a_folder_is_a_plan_of_its_own(library: Library) -> None:
    library.run("plan", library.music / "A" / "two.mp3", "--min-confidence", 1)
    assert "nothing to write" in library.run("apply").err

    def actions(*command: object) -> dict[str, str]:
        rows = library.run(*command, library.music, "--json").rows
        return {Path(row["file"]).name: row["action"] for row in rows}

    expected = {"one.flac": "write", "two.mp3": "skip", "three.mp3": "write"}
    assert actions("report") == expected
    # The next plan of the folder merges all of them, by the rules of the newest.
    assert set(actions("plan").values()) == {"skip"}
    assert set(actions("plan", "--min-confidence", 0).values()) == {"write"}
    assert "plan 5 (plan" in library.run("apply", "--dry-run").err


def test_a_newer_scan_of_a_folder_hides_what_it_left_out(library: Library) -> None:
    library.run(
        "scan", library.music / "A", "--dry-run", "--min-confidence", 0, "--exclude", "*.flac"
    )
    assert names(library.run("report", library.music, "--json").rows) == ["three.mp3", "two.mp3"]
    assert library.run("apply", library.music, "--yes").status == 0
    assert not tags.read(library.music / "A" / "one.flac").genres


def test_playlists_and_paths_with_dots_reach_every_scanned_place(scanned: Library) -> None:
    rows = scanned.run("report", scanned.music / "B" / ".." / "A", "--json").rows
    assert names(rows) == ["one.flac", "two.mp3"]
    shown = scanned.run("playlist", scanned.music, "--genre", rows[0]["genre"], "-O", "-").out
    assert str(scanned.music / "A" / "one.flac") in shown


def test_history_on_a_narrow_terminal_tears_no_word(scanned: Library) -> None:
    text = scanned.run("history", columns=80).out
    assert "     --min-confidence 0.0\n" in text
    assert re.search(r"^1    \S+ \S+  scan   2 ok", text)
    assert str(scanned.music / "A") in text.replace("\n", "")
