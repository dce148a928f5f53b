"""Keys of ``genretag review``: all labels, completion, other answers, playing, and corrections."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Program

from genretag import tags
from genretag.audio import synthesis
from genretag.cli.review_screen import complete_genre
from genretag.report.columns import cut_middle
from genretag.review.playback import Playback
from genretag.text import two_digits

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

Start = Callable[..., "Screen"]

SECONDS = 120.0  # that a screen may take on a busy machine; only a failure takes so long


def wait_until(happened: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait for something to happen; fail with the text of ``what``."""
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


class Screen:
    """``genretag`` in a tmux window; a wrong exported COLUMNS must not matter."""

    def __init__(self, folder: Path, width: int, arguments: list[str]) -> None:
        self._tmux = ["tmux", "-S", str(folder / f"t{time.monotonic_ns()}")]
        environment = [
            f"GENRETAG_DB={folder / 'db' / 'genretag.db'}",
            f"GENRETAG_CONFIG={folder / 'config.toml'}",
            "LANG=C.UTF-8",
            "COLUMNS=200",
            "PAGER=cat",
            f"PATH={folder / 'bin'}:{os.environ['PATH']}",
        ]
        command = [sys.executable, "-m", "genretag", *arguments]
        window = [
            "new-session",
            "-d",
            "-x",
            str(width),
            "-y",
            "40",
            "-c",
            str(folder),
            "env",
            *environment,
            *command,
        ]
        subprocess.run([*self._tmux, *window], check=True, env={**os.environ, "TERM": "xterm"})

    def shown(self) -> str:
        capture = [*self._tmux, "capture-pane", "-p"]
        return subprocess.run(capture, capture_output=True, text=True, check=False).stdout

    def wait_for(self, text: str) -> str:
        screens = list[str]()

        def shows() -> bool:
            screens[:] = [self.shown()]
            return text in screens[0]

        wait_until(shows, lambda: f"{text!r} is not shown:\n{screens[0]}")
        return screens[0]

    def wait_for_another(self, before: str) -> str:
        wait_until(lambda: self.shown() != before, lambda: f"nothing else is shown:\n{before}")
        return self.shown()

    def press(self, *keys: str) -> None:
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def leave(self) -> None:
        self.press("q")
        self.wait_until_closed()

    def wait_until_closed(self) -> None:
        has_session = [*self._tmux, "has-session"]
        wait_until(
            lambda: subprocess.run(has_session, capture_output=True, check=False).returncode != 0,
            lambda: f"it is still open:\n{self.shown()}",
        )

    def kill(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    screens = []

    def begin(*arguments: str, width: int = 110, command: str = "review") -> Screen:
        screens.append(Screen(tmp_path, width, [command, *arguments]))
        return screens[-1]

    yield begin
    for screen in screens:
        screen.kill()


@pytest.fixture
def paths(genretag: Program, tmp_path: Path) -> list[Path]:
    """Return unsure tracks, in the order in which they are asked about."""
    for n in range(3):
        path = tmp_path / "music" / f"{n} a rather long name of a track that needs room.flac"
        path.parent.mkdir(exist_ok=True)
        about = {"artist": f"Band {n}", "title": f"Song {n}"}
        synthesis.encode(path, synthesis.piece(n, 3), 44_100, tags=about)
    shutil.copy(path, tmp_path / "music" / "copy.flac")
    return asked(genretag, tmp_path)


def asked(genretag: Program, tmp_path: Path) -> list[Path]:
    ran = genretag("scan", tmp_path / "music", "--dry-run", "--json", "--min-confidence", 1)
    rows = [r for r in ran.rows if r["status"] == "unsure"]
    return [Path(r["path"]) for r in sorted(rows, key=lambda r: (-r["confidence"], r["path"]))]


def plan(genretag: Program) -> dict[str, dict]:
    return {r["path"]: r for r in genretag("report", "--json").rows}


def test_every_label_can_be_reached_and_artist_and_title_are_shown(
    paths: list[Path], start: Start, genretag: Program
) -> None:
    screen = start()
    title = f"Band {paths[0].name[0]} · Song {paths[0].name[0]}"
    if paths[0].name != "copy.flac":
        screen.wait_for(title)
    page = screen.wait_for("1 of 4")
    left = set(plan(genretag)[str(paths[0])]["scores"])
    for _ in range(20):
        left -= {label for label in left if label in page}
        if not left:
            break
        screen.press("m")
        page = screen.wait_for_another(page)
    assert not left
    screen.leave()


def test_it_works_at_60_columns(paths: list[Path], start: Start, genretag: Program) -> None:
    screen = start(width=60)
    best, score = next(iter(plan(genretag)[str(paths[0])]["scores"].items()))
    screen.wait_for("q leave")
    shown = screen.wait_for(two_digits(score))  # the first frame may be drawn in steps
    for key in ("1-9 choose", "n not music", "x never again", "p play/stop"):
        assert key in shown
    assert any(best in line and two_digits(score) in line for line in shown.splitlines())
    assert paths[0].name[-9:] in shown  # the end of a long name is kept
    screen.press("t")
    screen.press(*"Cumbia", "Enter")
    screen.wait_for("written later: Cumbia")
    screen.leave()


def test_typing_completes_and_a_semicolon_separates_several(
    paths: list[Path], start: Start, genretag: Program
) -> None:
    screen = start()
    screen.wait_for("1 of 4")
    screen.press("t")
    screen.press(*"hip-h")
    screen.wait_for("hip-hop")  # the rest is the suggestion
    screen.press("Tab")
    screen.press("\\;", "Space", *"Cumbia", "Enter")
    screen.wait_for("written later: Hip-Hop, Cumbia")
    screen.leave()
    assert plan(genretag)[str(paths[0])]["new"] == ["Hip-Hop", "Cumbia"]


def test_a_completion_keeps_what_was_typed() -> None:
    known = ["Hip-Hop", "House", "Rock"]
    assert complete_genre("ho", known) == "house"
    assert complete_genre("Rock; h", known) == "Rock; hip-Hop"
    assert complete_genre("Rock; ", known) is None
    assert complete_genre("Polka", known) is None


def test_not_music_and_never_ask_again_hold_in_later_scans(
    paths: list[Path], start: Start, genretag: Program, tmp_path: Path
) -> None:
    screen = start()
    screen.wait_for("1 of 4")
    screen.press("n")
    screen.wait_for("not music")
    screen.press("x")
    screen.wait_for("left as it is, and not asked again")
    screen.leave()
    left = asked(genretag, tmp_path)
    assert set(paths[:2]).isdisjoint(left)
    rows = plan(genretag)
    closed = [rows[str(path)] for path in paths if path not in left]
    assert {(r["status"], r["action"], r["reason"]) for r in closed} == {
        ("nonmusic", "skip", "not music"),
        ("ok", "keep", "left as it is, by review"),
    }
    genretag("plan", "--min-confidence", "0")
    assert {plan(genretag)[r["path"]]["action"] for r in closed} == {"skip", "keep"}


def test_a_later_answer_corrects_an_earlier_one_also_after_it_was_written(
    paths: list[Path], start: Start, genretag: Program
) -> None:
    first = next(path for path in paths if path.name[0] in "01")
    for arguments, genre, note in (
        ([str(first)], "Cumbia", "1 of 1"),
        (["--again", str(first)], "Polka", "answered before: Cumbia"),
        ([str(first)], "Ska", "answered before: Polka"),
    ):
        screen = start(*arguments)
        screen.wait_for(note)
        screen.press("t")
        screen.press(*genre, "Enter")
        screen.wait_for(f"written later: {genre}")
        screen.leave()
        assert plan(genretag)[str(first)]["new"] == [genre]
        genretag("apply", "--yes")
    assert tags.read(first).genres == ["Ska"]


def test_an_answer_holds_for_the_copies_of_a_track(
    paths: list[Path], start: Start, genretag: Program
) -> None:
    twins = [path for path in paths if path.name == "copy.flac" or path.name[0] == "2"]
    screen = start()
    for number in range(1, 4):
        screen.wait_for(f"{number} of 4")
        if "Song 2" in screen.wait_for("q leave"):
            break
        screen.press("s")
    screen.press("t")
    screen.press(*"Cumbia", "Enter")
    screen.wait_for("written later: Cumbia")
    screen.leave()
    assert [plan(genretag)[str(path)]["new"] for path in twins] == [["Cumbia"], ["Cumbia"]]


def test_the_play_key_plays_and_stops(paths: list[Path], start: Start, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "mpv"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho $$ > "{tmp_path}/pid"\nexec sleep 100\n')
    fake.chmod(0o755)
    screen = start()
    screen.wait_for("1 of 4")
    screen.press("p")
    screen.wait_for("playing; p stops")
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), lambda: "no player")
    player = Path("/proc") / pid.read_text().strip()
    assert player.exists()
    pid.unlink()
    screen.press("p")
    screen.wait_for("stopped")
    assert not player.exists()
    screen.press("p")
    wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), lambda: "no player")
    screen.leave()
    player = Path("/proc") / pid.read_text().strip()
    wait_until(lambda: not player.exists(), lambda: "it still plays")


def test_a_missing_file_is_not_played(tmp_path: Path) -> None:
    assert Playback().start(tmp_path / "x.mp3") == "cannot play: the file is not there"


def test_answers_go_to_a_file_without_those_that_name_no_genre(
    paths: list[Path], start: Start, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    screen = start("-O", str(answers))
    screen.wait_for("1 of 4")
    screen.press("x")
    screen.wait_for("not asked again")
    screen.press("t")
    screen.press(*"Cumbia", "Enter")
    screen.wait_for("written later: Cumbia")
    screen.leave()
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert {tuple(row["new"]) for row in rows} == {("Cumbia",)}


def test_all_five_answers_at_the_question_of_apply(
    genretag: Program, start: Start, tmp_path: Path
) -> None:
    for n in range(2):
        path = tmp_path / "music" / f"{n}.flac"
        path.parent.mkdir(exist_ok=True)
        synthesis.encode(path, synthesis.piece(n, 3), 44_100)
    rows = genretag("scan", path.parent, "--dry-run", "--json", "--min-confidence", 0).rows
    middle = sum(row["confidence"] for row in rows) / 2
    rows = genretag("plan", "--min-confidence", middle, "--json").rows
    unsure, sure = (next(r for r in rows if (r["status"] == "ok") is ok) for ok in (False, True))
    screen = start(command="apply", width=60)
    screen.wait_for("write 1 genre? [y]es / [n]o / [l]ist / [r]eview / [h]tml:")
    screen.press("l", "Enter")
    screen.wait_for("left alone: unsure")
    screen.press("h", "Enter")
    screen.wait_for("wrote genretag.html")
    assert (tmp_path / "genretag.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    screen.press("r", "Enter")
    screen.wait_for(f"1 of 1   {cut_middle(unsure['path'], 49)}")
    screen.press("t")
    screen.press(*"Ska", "Enter")
    screen.wait_for("That was the last one")
    screen.press("q")
    screen.wait_for("write 2 genres? [y]es / [n]o")
    screen.press("n", "Enter")
    screen.wait_until_closed()
    assert not tags.read(Path(sure["path"])).genres
    screen = start(command="apply")
    screen.wait_for("[h]tml:")
    screen.press("y", "Enter")
    screen.wait_until_closed()
    assert tags.read(Path(sure["path"])).genres == sure["new"]
    assert tags.read(Path(unsure["path"])).genres == ["Ska"]
