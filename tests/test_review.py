"""``genretag review`` in a real terminal (tmux): choose, type, skip, take back, and the answers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Program
from mutagen.flac import FLAC

from genretag import tags
from genretag.audio import synthesis
from genretag.cli.plans import plan_rows
from genretag.decisions.policy import Policy
from genretag.review.questions import Review, questions_from_rows
from genretag.writing.session import journal_path, open_databases


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for n in range(4):
        synthesis.encode(
            folder / f"{n} [red]x[bold].flac",
            synthesis.piece(n, 3),
            44_100,
            tags={"artist": f"\x1b[31mBand {n}"},
        )
    return folder


class Terminal:
    """A program in a tmux window."""

    def __init__(self, socket: Path, command: list[str], env: dict[str, str]) -> None:
        self.tmux = ["tmux", "-S", str(socket)]
        settings = [f"{k}={v}" for k, v in env.items()]
        subprocess.run(
            [*self.tmux, "new-session", "-d", "-x", "110", "-y", "32", "env", *settings, *command],
            check=True,
            env={**os.environ, "TERM": "xterm"},
        )

    def screen(self) -> str:
        return subprocess.run(
            [*self.tmux, "capture-pane", "-p"], capture_output=True, text=True, check=False
        ).stdout

    def wait_for(self, text: str, seconds: float = 120) -> str:
        deadline = time.monotonic() + seconds
        while text not in (screen := self.screen()):
            assert time.monotonic() < deadline, f"{text!r} is not shown:\n{screen}"
            time.sleep(0.1)
        return screen

    def press(self, *keys: str) -> None:
        subprocess.run([*self.tmux, "send-keys", *keys], check=True)

    def has_ended(self, seconds: float = 120) -> bool:
        deadline = time.monotonic() + seconds
        while (
            subprocess.run([*self.tmux, "has-session"], capture_output=True, check=False).returncode
            == 0
        ):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    env = {
        "GENRETAG_DB": str(tmp_path / "db" / "genretag.db"),
        "GENRETAG_CONFIG": str(tmp_path / "config.toml"),
        "LANG": "C.UTF-8",
    }
    window = Terminal(
        tmp_path / "t",
        [sys.executable, "-m", "genretag", "review", "-O", str(tmp_path / "answers.jsonl")],
        env,
    )
    yield window
    subprocess.run([*window.tmux, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def scanned(genretag: Program, music: Path) -> list[dict]:
    rows = genretag("scan", music, "--dry-run", "--json", "--min-confidence", 1).rows
    assert [r["status"] for r in rows] == ["unsure"] * 4
    return sorted(rows, key=lambda r: (-r["confidence"], r["path"]))


def test_answers_enter_the_plan_and_become_labels(
    scanned: list[dict], terminal: Terminal, genretag: Program, music: Path, tmp_path: Path
) -> None:
    screen = terminal.wait_for("1 of 4")
    assert Path(scanned[0]["path"]).name in screen  # markup in a name stays text
    assert "\\x1b[31mBand" in screen
    second = list(scanned[0]["scores"])[1]
    terminal.press("2")
    terminal.wait_for("2 of 4")
    terminal.wait_for(f"written later: {second}")
    terminal.press("1")
    terminal.wait_for("3 of 4")
    terminal.press("u")  # take it back ...
    terminal.wait_for("2 of 4")
    terminal.press("s")  # ... and skip it
    terminal.wait_for("3 of 4")
    terminal.press("t")
    terminal.press("C", "u", "m", "b", "i", "a", "Enter")
    terminal.wait_for("4 of 4")
    terminal.press("1")
    terminal.wait_for("the last one: 3 answered")
    terminal.press("q")
    assert terminal.has_ended()
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [a["new"] for a in answers] == [[second], ["Cumbia"], [next(iter(scanned[3]["scores"]))]]
    # A new plan keeps the answers.
    planned = {r["path"]: r for r in genretag("plan", "--json").rows}
    assert planned[scanned[2]["path"]]["new"] == ["Cumbia"]
    assert genretag("apply", "--yes").status == 0
    assert tags.read(Path(scanned[0]["path"])).genres == [second]
    assert tags.read(Path(scanned[1]["path"])).genres == []


def test_answers_survive_a_kill(scanned: list[dict], terminal: Terminal, genretag: Program) -> None:
    terminal.wait_for("1 of 4")
    terminal.press("1")
    terminal.wait_for("2 of 4")
    subprocess.run([*terminal.tmux, "kill-server"], check=True)
    rows = {r["path"]: r for r in genretag("plan", "--json").rows}
    assert rows[scanned[0]["path"]]["reviewed"] is True
    assert rows[scanned[1]["path"]]["reviewed"] is False


def test_answers_survive_a_new_scan_until_the_user_changes_them(
    scanned: list[dict], genretag: Program, music: Path, tmp_path: Path
) -> None:
    with open_databases(tmp_path / "db" / "genretag.db") as opened:
        last = opened.store.last_scan()
        assert last is not None
        review = Review(
            opened,
            last.run,
            Policy.from_dict(last.policy),
            questions_from_rows(plan_rows(opened, last.run)),
        )
        for words in (["Cumbia"], ["Ska", "Dub"], ["Polka"]):
            review.answer(words)
        review.go_back()
    paths = [Path(q.row.path) for q in review.questions]
    paths[0] = paths[0].rename(paths[0].with_name("moved.flac"))  # recognised by its audio

    def planned() -> dict[str, dict]:
        return {
            r["path"]: r
            for r in genretag("scan", music, "--dry-run", "--json", "--min-confidence", 1).rows
        }

    rows = planned()
    assert [rows[str(p)]["new"] for p in paths] == [["Cumbia"], ["Ska", "Dub"], [], []]
    assert [rows[str(p)]["reviewed"] for p in paths] == [True, True, False, False]
    assert genretag("apply", "--yes").status == 0
    assert tags.read(paths[1]).genres == ["Ska", "Dub"]
    sure = {
        r["path"]: r
        for r in genretag("scan", music, "--dry-run", "--json", "--min-confidence", 0).rows
    }
    # The model is certain now, but the answer of the user stays.
    assert sure[str(paths[0])]["action"] == "keep"
    tags.write(paths[0], ["My own"])
    assert planned()[str(paths[0])]["new"] == ["My own"]
    assert genretag("undo", "--yes").status != 2
    assert planned()[str(paths[1])]["new"] == ["Ska", "Dub"]  # after undo, it is planned again


def test_an_answer_reaches_copies_with_other_keys(genretag: Program, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for level in ("0", "8"):
        # Of these, only the MD5 in STREAMINFO is the same.
        how = synthesis.Container(
            "flac", sample_format="s16", options=(("compression_level", level),)
        )
        synthesis.encode(folder / f"{level}.flac", synthesis.piece(1, 3), 44_100, how)
    scan = ("scan", folder, "--dry-run", "--json", "--min-confidence")
    assert len({row["content_key"] for row in genretag(*scan, 1).rows}) == 2
    with open_databases(tmp_path / "db" / "genretag.db") as opened:

        def reviewed() -> Review:
            last = opened.store.last_scan()
            assert last is not None
            rows = plan_rows(opened, last.run)
            questions = questions_from_rows(rows, again=True)
            return Review(opened, last.run, Policy.from_dict(last.policy), questions)

        def answers() -> list[list[str] | None]:
            keys = [question.row.content_key for question in reviewed().questions]
            return [opened.journal.answered(key) for key in keys]

        for genres in (["Cumbia"], ["Ska"]):
            before, review = answers(), reviewed()
            review.answer(genres)
            assert review.current is None
            assert answers() == [genres, genres]
            review.go_back()
            assert answers() == before
            review.answer(genres)
    # Another threshold, so that the rows are decided again.
    assert [row["new"] for row in genretag(*scan, 0.99).rows] == [["Ska"], ["Ska"]]


def _use_old_content_keys(db: Path) -> None:
    """Replace the content keys of the databases by BLAKE2b ones, as before XXH3 was used."""
    with sqlite3.connect(db) as cache, sqlite3.connect(journal_path(db)) as journal:
        for key in [str(k) for (k,) in cache.execute("SELECT DISTINCT content_key FROM file")]:
            older = hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
            cache.execute("UPDATE file SET content_key = ? WHERE content_key = ?", (older, key))
            for table in ("change", "answer"):
                journal.execute(
                    f"UPDATE {table} SET content_key = ? WHERE content_key = ?", (older, key)
                )
        for (path,) in cache.execute("SELECT path FROM file").fetchall():
            sha256 = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
            cache.execute("UPDATE file SET sha256 = ? WHERE path = ?", (sha256, path))
        journal.execute("DELETE FROM audio")
        cache.execute("DROP TABLE older_key")
        for column in ("places", "summary"):
            cache.execute(f"ALTER TABLE scan DROP COLUMN {column}")
        cache.execute("DROP INDEX heard_audio")
        cache.execute("DROP INDEX file_audio")
        for table in ("file", "heard"):
            cache.execute(f"ALTER TABLE {table} DROP COLUMN audio_key")
        cache.execute("ALTER TABLE file DROP COLUMN file_check")
        cache.execute("ALTER TABLE file DROP COLUMN fields")
        cache.execute("ALTER TABLE heard DROP COLUMN piece")
        cache.execute("PRAGMA user_version = 7")


def test_answers_and_writes_survive_a_change_of_the_content_key(
    scanned: list[dict], genretag: Program, music: Path, tmp_path: Path
) -> None:
    db = tmp_path / "db" / "genretag.db"
    with open_databases(db) as opened:
        last = opened.store.last_scan()
        assert last is not None
        review = Review(
            opened,
            last.run,
            Policy.from_dict(last.policy),
            questions_from_rows(plan_rows(opened, last.run)),
        )
        for words in (["Cumbia"], ["Ska"], ["Polka"]):
            review.answer(words)
    written, answered, retagged = (Path(q.row.path) for q in review.questions[:3])
    assert genretag("apply", "--yes", written, retagged).status == 0
    _use_old_content_keys(db)
    touched = FLAC(retagged)
    touched["title"] = "changed since"
    touched.save()
    verified = genretag("verify").out
    assert "other tags were changed since; the genre is as written" in verified
    assert "its audio was changed" not in verified
    rows = {
        r["path"]: r
        for r in genretag("scan", music, "--dry-run", "--json", "--min-confidence", 1).rows
    }
    assert rows[str(answered)]["new"] == ["Ska"]
    assert (rows[str(written)]["action"], rows[str(written)]["reviewed"]) == ("keep", True)
    with open_databases(db) as opened:
        for path in (written, answered):
            f = opened.store.file(path)
            assert f is not None
            assert opened.journal.answered(f.content_key) is not None
            assert (opened.journal.wrote(f.content_key) == ["Cumbia"]) == (path == written)


def test_without_a_terminal_it_names_the_alternative(
    scanned: list[dict], genretag: Program
) -> None:
    done = genretag("review")
    assert done.status == 2
    assert "playlist --unsure" in done.err
