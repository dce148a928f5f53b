"""Looking changes nothing, rules persist as a whole, and each place keeps its plan."""

from __future__ import annotations

import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Program

from genretag import tags
from genretag.audio import synthesis


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for n, name in enumerate(["A/one.flac", "A/two.mp3", "B/three.mp3"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        synthesis.encode(path, synthesis.piece(n, 3), 44_100, tags={"artist": "A"})
    tags.write(folder / "A" / "one.flac", ["My Own Genre"])
    return folder


def on_terminal(tmp_path: Path, *arguments: object, keys: list[str]) -> tuple[int, str]:
    """Run the program on a terminal, answer each question, and return its status and output."""
    main, side = pty.openpty()
    environment = {
        **os.environ,
        "GENRETAG_DB": str(tmp_path / "db" / "genretag.db"),
        "GENRETAG_CONFIG": str(tmp_path / "config.toml"),
        "COLUMNS": "100",
        "PAGER": "cat",
        "TERM": "xterm",
    }
    command = [sys.executable, "-m", "genretag", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdin=side,
        stdout=side,
        stderr=side,
        env=environment,
        start_new_session=True,
        cwd=tmp_path,
    )
    os.close(side)
    text, answered, deadline = "", 0, time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([main], [], [], 0.2)[0]:
            try:
                text += os.read(main, 65_536).decode("utf-8", "replace")
            except OSError:
                break
        if text.count("[h]tml: ") > answered and answered < len(keys):
            key, answered = keys[answered], answered + 1
            if key == "^C":
                process.send_signal(signal.SIGINT)
            else:
                os.write(main, f"{key}\n".encode())
        elif process.poll() is not None and not select.select([main], [], [], 0)[0]:
            break
    os.close(main)
    return process.wait(10), text


def plan_of(genretag: Program) -> list[tuple[str, str]]:
    return [(row["file"], row["action"]) for row in genretag("report", "--json").rows]


def test_a_dry_run_of_apply_leaves_the_plan_as_it_was(genretag: Program, music: Path) -> None:
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    before = plan_of(genretag)
    shown = genretag("apply", "-f", "--dry-run", "--json").rows
    assert any(r["action"] == "write" and r["old"] for r in shown)
    assert plan_of(genretag) == before
    genretag("apply", "-f")  # without a terminal it is a dry run
    assert plan_of(genretag) == before
    assert [run["kind"] for run in genretag("history", "--json").rows] == ["scan"]
    assert genretag("apply", "--yes").status == 0
    assert tags.read(music / "A" / "one.flac").genres == ["My Own Genre"]


@pytest.mark.parametrize("key", ["n", "^C", ""])
@pytest.mark.parametrize("command", ["scan", "apply"])
def test_a_question_without_a_yes_leaves_the_plan_as_it_was(
    genretag: Program, music: Path, tmp_path: Path, command: str, key: str
) -> None:
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    before = plan_of(genretag)
    paths = [music] if command == "scan" else []
    status, text = on_terminal(
        tmp_path, command, *paths, "-f", "--min-confidence", 0, keys=["l", key]
    )
    assert text.count("[y]es / [n]o / [l]ist / [r]eview / [h]tml") == 2
    assert "rules: --min-confidence 0.0 --existing replace" in text
    assert "1 of them replaces an existing genre" in text
    assert "My Own Genre" in text
    assert (status == 0) is (key != "^C")
    assert plan_of(genretag) == before


def test_a_first_scan_that_is_answered_with_no_keeps_its_plan(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    status, _ = on_terminal(tmp_path, "scan", music, "--min-confidence", 0, keys=["n"])
    assert status == 0
    assert len(plan_of(genretag)) == 3


def test_a_yes_to_new_rules_stores_their_plan(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    status, text = on_terminal(tmp_path, "apply", "-f", keys=["h", "y"])
    assert (status, (tmp_path / "genretag.html").exists()) == (0, True)
    assert "wrote 3 of 3 genres" in text
    assert tags.read(music / "A" / "one.flac").genres != ["My Own Genre"]


def test_rules_persist_with_the_vocabulary_until_they_are_reset(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.toml"
    labels = {r["genre"] for r in genretag("scan", music, "--dry-run", "--json").rows}
    lines = "".join(f'"{label}" = "Word {label}"\n' for label in labels)
    words.write_text(f"[aliases]\n{lines}")
    genretag("plan", "--vocabulary", words, "--min-confidence", 0)
    words.unlink()
    for again in (("plan",), ("plan", "--top", 1), ("apply", "--min-confidence", 0, "--dry-run")):
        rows = genretag(*again, "--json").rows
        new = [r["new"] for r in rows if r["action"] == "write"]
        assert new, again
        assert all(g.startswith("Word ") for genres in new for g in genres), again
    rows = genretag("plan", "--reset-rules", "--min-confidence", 0, "--json").rows
    assert not any(g.startswith("Word ") for r in rows for g in r["new"])


def test_each_place_keeps_its_plan(genretag: Program, music: Path) -> None:
    genretag("scan", music / "A", "--dry-run", "--min-confidence", 0)
    for _ in range(7):
        genretag("scan", music / "B", "--dry-run", "--min-confidence", 0, "--rescan")
    assert len(genretag("report", music / "A", "--json").rows) == 2
    assert len(genretag("report", "--json").rows) == 1
    assert len(genretag("plan", music / "A", "--json").rows) == 2
    assert genretag("apply", music / "A", "--yes").status == 0
    assert tags.read(music / "A" / "two.mp3").genres
    assert not tags.read(music / "B" / "three.mp3").genres


def test_the_newest_plan_that_covers_a_file_holds(genretag: Program, music: Path) -> None:
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    genretag("scan", music / "B", "--dry-run", "--min-confidence", 1)
    rows = genretag("apply", music, "--dry-run", "--json").rows
    actions = {Path(r["file"]).name: r["action"] for r in rows}
    assert actions["two.mp3"] == "write"
    assert actions["three.mp3"] != "write"
    rows = genretag("apply", music, "--run", 1, "--dry-run", "--json").rows
    assert {Path(r["file"]).name: r["action"] for r in rows}["three.mp3"] == "write"
    assert genretag("apply", "--run", 77).status == 2


def test_history_shows_folders_and_the_newest_runs(genretag: Program, music: Path) -> None:
    genretag("scan", music / "A", "--dry-run", "--min-confidence", 0)
    for _ in range(22):
        genretag("plan", "-q")
    text = genretag("history").out
    assert len([line for line in text.splitlines() if " plan " in line]) == 20
    text = genretag("history", "--all").out
    assert str(music / "A") in text
    assert "--min-confidence 0.0  2 files" in text


def test_a_scan_that_is_running_is_not_called_stopped(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    genretag("scan", music, "--dry-run")
    with sqlite3.connect(tmp_path / "db" / "genretag.journal.db") as journal:
        journal.execute("UPDATE run SET ended = NULL, counts = NULL")
        alive = f'{{"paths": [], "process": {os.getpid()}}}'
        journal.execute("UPDATE run SET options = ?", (alive,))
    shown = genretag("history").out
    assert "running" in shown
    assert "stopped" not in shown
    with sqlite3.connect(tmp_path / "db" / "genretag.journal.db") as journal:
        journal.execute("UPDATE run SET options = '{}'")
    assert "stopped" in genretag("history").out
