"""``genretag report`` of a part of a plan: paths, filters, runs, and the pager of a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Program

from genretag import tags
from genretag.audio import synthesis


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for n, place in enumerate(("A/1", "A/2", "B/3", "B/4")):
        path = folder / f"{place}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        synthesis.encode(path, synthesis.piece(n, 3), 44_100)
    tags.write(folder / "A/2.flac", ["Dub"])
    tags.write(folder / "B/4.flac", ["Hip Hop"])
    (folder / "B" / "broken.mp3").write_text("this is not audio")
    return folder


@pytest.fixture
def planned(genretag: Program, music: Path) -> Path:
    genretag("scan", music, "--dry-run", "--min-confidence", 0, "-f")
    return music


def names(genretag: Program, *arguments: object) -> list[str]:
    ran = genretag("report", "--json", *arguments)
    assert ran.status == 0, ran.err
    return sorted(Path(row["path"]).name for row in ran.rows)


def test_a_report_of_paths_shows_their_files_only(genretag: Program, planned: Path) -> None:
    assert names(genretag, planned / "A") == ["1.flac", "2.flac"]
    assert names(genretag, planned / "A" / "1.flac", planned / "B" / "3.flac") == [
        "1.flac",
        "3.flac",
    ]
    missing = genretag("report", planned / "none")
    assert (missing.status, "none" in missing.err) == (2, True)


def test_duplicates_are_listed_in_groups(genretag: Program, planned: Path) -> None:
    none = genretag("report", "--duplicates")
    assert (none.status, "no file of the plan matches" in none.err) == (0, True)
    (planned / "B" / "copy.flac").write_bytes((planned / "A" / "1.flac").read_bytes())
    (planned / "B" / "moved.flac").write_bytes((planned / "A" / "1.flac").read_bytes())
    (planned / "C").mkdir()
    (planned / "C" / "z.flac").write_bytes((planned / "B" / "3.flac").read_bytes())
    tags.write(planned / "B" / "copy.flac", ["Polka"])
    genretag("scan", planned, "--dry-run")
    rows = genretag("report", "--duplicates", "--json").rows
    groups = [["1.flac", "copy.flac", "moved.flac"], ["3.flac", "z.flac"]]
    assert [Path(r["path"]).name for r in rows] == [name for group in groups for name in group]
    assert len({r["content_key"] for r in rows}) == 2
    shown = genretag("report", "--duplicates").out
    assert "5 files in 2 groups of the same audio" in shown
    at = [shown.index(f"{os.sep}{name}") for group in groups for name in group]
    assert at == sorted(at)
    assert "Polka" in shown
    # A group is one of the files that are shown.
    assert names(genretag, "--duplicates", planned / "B") == ["copy.flac", "moved.flac"]


def test_filters_choose_by_kind_genre_and_reason(genretag: Program, planned: Path) -> None:
    assert names(genretag, "--failed") == ["broken.mp3"]
    assert names(genretag, "--replaced") == ["2.flac", "4.flac"]
    assert names(genretag, "--reason", "empty") == ["1.flac", "3.flac"]
    assert names(genretag, "--reason", "empty", "--failed") == ["1.flac", "3.flac", "broken.mp3"]
    assert names(genretag, "--unsure") == []
    genretag("plan", "--min-confidence", 1)
    assert names(genretag, "--unsure", planned / "A") == ["1.flac", "2.flac"]
    genretag("plan", "--min-confidence", 0, "--existing", "skip")
    assert names(genretag, "--genre", "hiphop") == ["4.flac"]
    assert names(genretag, "--genre", "dub", "--genre", "HIP HOP") == ["2.flac", "4.flac"]


def test_an_unknown_reason_is_refused_with_the_nearest(genretag: Program, planned: Path) -> None:
    ran = genretag("report", "--reason", "has-gener")
    assert (ran.status, "did you mean has-genre?" in ran.err) == (2, True)


def test_a_filter_that_nothing_matches_says_so_and_names_the_genres(
    genretag: Program, planned: Path
) -> None:
    ran = genretag("report", "--genre", "Polka")
    assert (ran.status, ran.out) == (0, "")
    assert "no file of the plan matches; there are: " in ran.err


def test_a_filter_holds_for_files_that_are_written(
    genretag: Program, planned: Path, tmp_path: Path
) -> None:
    assert genretag("report", planned / "A", "-O", tmp_path / "a.csv").status == 0
    assert (tmp_path / "a.csv").read_text().count(".flac") == 2
    assert genretag("report", "--failed", "--html", "-O", tmp_path / "a.html").status == 0


def test_an_older_plan_is_shown_by_its_run(genretag: Program, planned: Path) -> None:
    first = genretag("history", "--json").rows[-1]["id"]
    genretag("plan", "--min-confidence", 1)
    assert names(genretag, "--unsure") == ["1.flac", "2.flac", "3.flac", "4.flac"]
    assert names(genretag, "--unsure", "--run", first) == []
    ran = genretag("report", "--run", 4242)
    assert (ran.status, "--run 4242: " in ran.err) == (2, True)


def test_the_summary_names_the_next_command_of_each_group(genretag: Program, planned: Path) -> None:
    out = genretag("report").out
    for command in ("report --replaced", "errors", "apply"):
        assert f"genretag {command} " in out
    assert "genretag review" not in out  # none is unsure


def run_on_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """Return what a command writes on a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "genretag", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the terminal's last user has gone
                break
            shown += part
            if not part:
                break
        process.wait(60)
    os.close(ours)
    return shown.decode()


def test_a_list_goes_through_the_pager_of_a_terminal(
    genretag: Program, planned: Path, tmp_path: Path
) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nread first\necho paged: $first\n")  # quits early, as q does
    pager.chmod(0o755)
    environment = {
        "GENRETAG_DB": str(tmp_path / "db" / "genretag.db"),
        "GENRETAG_CONFIG": str(tmp_path / "config.toml"),
        "PAGER": str(pager),
    }
    for arguments in (["report", "--all"], ["report", "--failed"], ["report", str(planned / "A")]):
        shown = run_on_terminal(arguments, environment)
        assert "paged: " in shown
        assert "1.flac" not in shown.partition("paged")[2].partition("\n")[2]
    assert "paged: " not in run_on_terminal(["report"], environment)
    plain = run_on_terminal(["report", "--all"], {**environment, "PAGER": "cat"})
    assert "paged: " not in plain
    assert "1.flac" in plain


def test_a_page_of_the_manual_goes_through_the_same_pager(tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho less takes: $LESS\ncat >/dev/null\n")
    pager.chmod(0o755)
    # Without -R less shows the codes of colours as text.
    shown = run_on_terminal(["help", "reports"], {"GENRETAG_PAGER": str(pager)})
    assert re.search(r"less takes: \w*R", shown)
