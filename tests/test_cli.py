"""The program as a user runs it: scan, look, apply, undo."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Program

from genretag import cli, tags
from genretag.audio import synthesis


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(synthesis.make_library(tmp_path_factory.mktemp("demo") / "Music")[0]).parents[2]
    (folder / "Recordings" / "not really music.mp3").write_text(
        "<html>a page that was saved under a wrong name</html>"
    )
    return folder


@pytest.fixture
def library(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "Music"))


def state(folder: Path) -> dict[str, tuple[str, int]]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        str(p.relative_to(folder)): (
            hashlib.sha256(p.read_bytes()).hexdigest(),
            p.stat().st_mtime_ns,
        )
        for p in files
    }


ANY = ("--min-confidence", "0")  # the tests are of the program, not of the ear


def test_a_dry_run_reports_every_file_and_touches_none(genretag: Program, library: Path) -> None:
    before = state(library)
    ran = genretag("scan", library, "--dry-run", "--json", *ANY)
    assert ran.status == 1  # one file is no music at all
    assert state(library) == before
    rows = {Path(r["path"]).name: r for r in ran.rows}
    assert len(rows) == 8
    keys = {
        "path",
        "status",
        "genre",
        "confidence",
        "scores",
        "windows",
        "agreement",
        "old",
        "new",
        "action",
        "reason",
        "error",
    }
    assert all(keys <= set(r) for r in ran.rows)
    kept = rows["02 Piece 2.flac"]
    assert (kept["old"], kept["new"], kept["action"]) == (
        ["Chamber Music"],
        ["Chamber Music"],
        "keep",
    )
    broken = rows["not really music.mp3"]
    assert (broken["status"], broken["action"]) == ("failed", "skip")
    assert "no decoder" in broken["error"]
    heard = rows["01 Piece 1.mp3"]
    assert heard["action"] == "write"
    assert heard["new"] == [heard["genre"]]
    assert 0 <= heard["confidence"] <= 1
    assert sum(heard["scores"].values()) == pytest.approx(1, abs=0.01)
    assert heard["windows"] == 1


def test_scan_apply_undo_and_apply_again(genretag: Program, library: Path) -> None:
    before = state(library)
    assert genretag("scan", library, "--dry-run", *ANY).status == 1
    applied = genretag("apply", "--yes")
    assert applied.status == 0, applied.err
    after = state(library)
    changed = {name for name in before if before[name] != after[name]}
    assert changed >= {
        "The Examples/Album 1/01 Piece 1.mp3",
        "Various Artists/Album 2/03 Piece 6.wav",
    }
    assert "The Examples/Album 1/02 Piece 2.flac" not in changed
    assert set(after) == set(before)
    for name in changed:
        assert tags.read(library / name).genres
    undone = genretag("undo", "--yes")
    assert undone.status == 0, undone.err
    assert state(library) == before
    assert genretag("apply", "--yes").status == 0
    assert {n for n in before if state(library)[n][0] != before[n][0]} == changed
    assert "undo" in genretag("history").out


def test_without_a_terminal_and_without_yes_nothing_is_written(
    genretag: Program, library: Path
) -> None:
    before = state(library)
    ran = genretag("scan", library, *ANY, stdin="y\n")
    assert "dry run" in ran.err
    assert "dry run" in genretag("apply", stdin="y\n").err
    assert state(library) == before


def test_scan_with_yes_writes_at_once(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--yes", *ANY)
    assert tags.read(library / "The Examples/Album 1/01 Piece 1.mp3").genres


def test_apply_decides_again_without_listening(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--dry-run", *ANY)
    hidden = library.rename(library.with_name("Elsewhere"))  # no file can be opened
    none = genretag("apply", "--min-confidence", "1", "--json", "--dry-run")
    assert none.rows
    assert not any(r["action"] == "write" for r in none.rows)
    some = genretag(
        "apply", "--min-confidence", "0", "--existing", "replace", "--json", "--dry-run"
    )
    flac = next(r for r in some.rows if r["path"].endswith(".flac"))
    assert flac["action"] == "write"
    hidden.rename(library)


def test_a_file_changed_since_the_scan_is_refused_by_name(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--dry-run", *ANY)
    mine = library / "The Examples/Album 1/01 Piece 1.mp3"
    tags.write(mine, ["Mine"])
    ran = genretag("apply", "--yes")
    assert ran.status == 1
    assert "01 Piece 1.mp3: it changed since the scan" in ran.err
    assert tags.read(mine).genres == ["Mine"]


def test_a_plan_can_be_exported_edited_and_given_back(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.jsonl"
    genretag("scan", library, "--dry-run", "-O", plan, *ANY)
    rows = [json.loads(line) for line in plan.read_text().splitlines()]
    for row in rows:
        if row["path"].endswith("Piece 1.mp3"):
            row["new"] = ["Cumbia", "Dub/Roots"]
        elif row["action"] == "write":
            row["action"] = "skip"
    plan.write_text("".join(json.dumps(r) + "\n" for r in rows))
    ran = genretag("apply", plan, "--yes")
    assert ran.status == 0, ran.err
    assert tags.read(library / "The Examples/Album 1/01 Piece 1.mp3").genres == [
        "Cumbia",
        "Dub/Roots",
    ]
    assert not tags.read(library / "The Examples/Album 1/03 Piece 3.m4a").genres


def test_a_plan_with_a_broken_line_names_it(genretag: Program, tmp_path: Path) -> None:
    (tmp_path / "plan.jsonl").write_text('{"path": 1}\n')
    ran = genretag("apply", tmp_path / "plan.jsonl", "--yes")
    assert ran.status == 1
    assert "plan.jsonl, line 1" in ran.err


def test_apply_takes_a_folder_of_the_plan_alone(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--dry-run", *ANY)
    genretag("apply", library / "The Examples", "--yes")
    assert tags.read(library / "The Examples/Album 1/01 Piece 1.mp3").genres
    assert not tags.read(library / "Various Artists/Album 2/01 Piece 4.ogg").genres


def test_a_second_scan_hears_nothing_again(genretag: Program, library: Path) -> None:
    first = genretag("scan", library, "--dry-run", "--json", *ANY)
    genretag("apply", "--yes")
    moved = library.rename(library.with_name("Moved"))
    second = genretag(
        "--log-file", library.with_name("log"), "-q", "scan", moved, "--dry-run", "--json", *ANY
    )
    a = {Path(r["path"]).name: r["scores"] for r in first.rows}
    assert a == {Path(r["path"]).name: r["scores"] for r in second.rows}
    import sqlite3

    db = sqlite3.connect(next(p for p in (library.parent / "db").glob("genretag.db")))
    heard = db.execute("SELECT count(*) FROM heard").fetchone()[0]
    assert (
        heard == 7
    )  # as many as there are pieces of music, though each was met twice under other names and tags


def test_verdicts_do_not_depend_on_the_number_of_workers(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    rows = []
    for jobs in ("1", "3"):
        ran = genretag(
            "scan",
            library,
            "--dry-run",
            "--json",
            "-j",
            jobs,
            "--db",
            tmp_path / f"{jobs}.db",
            *ANY,
        )
        rows.append([{k: v for k, v in r.items() if k != "reason"} for r in ran.rows])
    assert rows[0] == rows[1]


def test_csv_report(genretag: Program, library: Path, tmp_path: Path) -> None:
    genretag("scan", library, "--dry-run", "-O", tmp_path / "r.csv", *ANY)
    lines = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    assert len(lines) == 8
    assert {"path", "action", "reason", "old", "new", "confidence"} <= set(lines[0])


def test_the_report_shows_old_and_new_and_why(genretag: Program, library: Path) -> None:
    out = genretag("scan", library, "--dry-run", *ANY).out
    assert "→" in out
    assert "already has a genre" in out
    assert "not music" in out
    assert "left alone: failed" in out
    assert "\x1b" not in out  # no colour where there is no terminal


def test_names_of_every_kind_are_shown_safely_and_written(genretag: Program, library: Path) -> None:
    seed = library / "The Examples/Album 1/01 Piece 1.mp3"
    odd = os.fsencode(library) + b"/od\xff[red] \x1b[31m\n.mp3"
    Path(os.fsdecode(odd)).write_bytes(seed.read_bytes())
    ran = genretag("scan", library, "--dry-run", *ANY)
    assert (
        "od\\xff[red] \\x1b[31m\\x0a.mp3" in ran.out.replace("\n", "") or "od\\xff[red]" in ran.out
    )
    assert "\x1b" not in ran.out
    assert genretag("apply", "--yes").status == 0
    assert tags.read(Path(os.fsdecode(odd))).genres


def test_a_link_to_a_file_that_is_walked_is_written_once(genretag: Program, library: Path) -> None:
    (library / "z.mp3").symlink_to(library / "The Examples/Album 1/01 Piece 1.mp3")
    rows = genretag("scan", library, "--dry-run", "--json", *ANY).rows
    link = next(r for r in rows if r["path"].endswith("/z.mp3"))
    assert link["action"] == "skip"
    assert link["reason"].startswith("same file as")


def test_interrupted_the_scan_keeps_what_it_heard(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    for n in range(150):  # enough to be met in the middle
        synthesis.encode(library / f"{n:03d}.wav", synthesis.piece(n, 3), 44_100)
    env = {**os.environ, "GENRETAG_DB": str(tmp_path / "db" / "genretag.db")}
    command = [sys.executable, "-m", "genretag", "scan", str(library), "--dry-run", "-j", "1"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    import sqlite3

    deadline, heard = time.monotonic() + 60, 0
    while heard < 5 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        try:
            heard = (
                sqlite3.connect(tmp_path / "db" / "genretag.db")
                .execute("SELECT count(*) FROM heard")
                .fetchone()[0]
            )
        except sqlite3.Error:
            heard = 0
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"goes on from there" in err
    kept = (
        sqlite3.connect(tmp_path / "db" / "genretag.db")
        .execute("SELECT count(*) FROM heard")
        .fetchone()[0]
    )
    assert kept >= heard >= 5
    assert len(genretag("scan", library, "--dry-run", "--json").rows) == 158


def test_hard_links_are_told_and_written_as_asked(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    name = "The Examples/Album 1/01 Piece 1.mp3"
    os.link(library / name, tmp_path / "seed.mp3")
    rows = genretag("scan", library, "--dry-run", "--json", *ANY).rows
    assert next(r for r in rows if r["path"].endswith(name))["reason"] == "has other hard links"
    assert genretag("apply", "--yes").status == 0
    assert not tags.read(library / name).genres
    assert genretag("apply", "--yes", "--hardlinks", "in-place").status == 0
    assert tags.read(tmp_path / "seed.mp3").genres == tags.read(library / name).genres != []


def test_verify_says_what_others_changed(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--yes", *ANY)
    assert genretag("verify").status == 0
    tags.write(library / "The Examples/Album 1/01 Piece 1.mp3", ["Mine"])
    (library / "Various Artists/Album 2/01 Piece 4.ogg").unlink()
    ran = genretag("verify")
    assert ran.status == 1
    assert "01 Piece 1.mp3: its genre was changed since, to Mine" in ran.out
    assert "01 Piece 4.ogg: it is gone" in ran.out


def test_the_journal_can_be_exported_and_taken_into_use(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    before = state(library)
    genretag("scan", library, "--yes", *ANY)
    assert genretag("history", "--export", tmp_path / "new.journal.db").status == 0
    assert genretag("undo", "--yes", "--db", tmp_path / "new.db").status == 0
    assert state(library) == before


def test_of_a_broken_journal_what_is_readable_is_saved(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    genretag("scan", library, "--yes", *ANY)
    for part in (tmp_path / "db").glob("genretag.journal.db*"):
        part.write_bytes(b"rubbish " * 4096)
    ran = genretag("history")
    assert ran.status == 0, ran.err
    assert "set aside" in ran.err
    assert "Traceback" not in ran.err


def test_a_database_that_cannot_be_opened_is_one_clear_sentence(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    ran = genretag("scan", library, "--dry-run", "--db", tmp_path / "file" / "g.db")
    assert ran.status == 1
    assert "the database cannot be opened" in ran.err
    assert "Traceback" not in ran.err


def test_two_scans_at_once_do_no_harm(genretag: Program, library: Path, tmp_path: Path) -> None:
    env = {**os.environ, "GENRETAG_DB": str(tmp_path / "db" / "genretag.db")}
    command = [
        sys.executable,
        "-m",
        "genretag",
        "scan",
        str(library),
        "--dry-run",
        "--json",
        "-j",
        "1",
    ]
    both = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outs = [p.communicate(timeout=120) for p in both]
    assert [p.returncode for p in both] == [1, 1], outs
    assert all(len(out.splitlines()) == 8 for out, _ in outs)


def test_errors_info_history_and_models(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--dry-run")
    assert "no decoder" in genretag("errors").out
    info = json.loads(
        genretag("info", "--json", library / "The Examples/Album 1/01 Piece 1.mp3").out
    )
    assert len(info["windows"]) == 1
    assert info["artist"] == "The Examples"
    assert "vote:" in genretag("info", library / "Various Artists/Album 2/02 Piece 5.opus").out
    assert "scan" in genretag("history").out
    assert "Hip-Hop" in genretag("models").out
    assert "licence" in genretag("models", "--card").out.lower()


def test_info_of_a_file_that_was_not_scanned_leaves_the_plan_alone(
    genretag: Program, library: Path
) -> None:
    first = library / "The Examples"
    genretag("scan", first, "--dry-run", *ANY)
    genretag("info", library / "Various Artists/Album 2/02 Piece 5.opus")
    rows = genretag("apply", "--dry-run", "--json").rows
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("arguments", "say"),
    [
        (("scan", "/no/such/folder"), "no such file or folder"),
        (("apply",), "no plan yet"),
        (("undo",), "nothing to undo"),
        (("scan", ".", "--jobs", "many"), "--jobs many"),
        (("scan", ".", "--min-confidence", "7"), "min-confidence"),
        (("scan",), "PATH"),
        (("info", "/no/such/file.mp3"), "no such file"),
    ],
)
def test_wrong_usage_is_status_2_and_one_clear_sentence(
    genretag: Program, arguments: tuple[str, ...], say: str
) -> None:
    ran = genretag(*arguments)
    assert ran.status == 2, ran.err
    assert say in ran.err
    assert "Traceback" not in ran.err


def test_cuda_that_is_not_there_is_an_error_with_the_fix(genretag: Program, library: Path) -> None:
    ran = genretag("scan", library, "--device", "cuda")
    assert ran.status == 1
    assert "onnxruntime-gpu" in ran.err


def test_a_broken_cache_is_set_aside_and_the_journal_kept(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    before = state(library)
    genretag("scan", library, "--yes", *ANY)
    for part in (tmp_path / "db").glob("genretag.db*"):
        part.write_bytes(b"rubbish " * 4096)
    ran = genretag("undo", "--yes")
    assert ran.status == 0, ran.err
    assert "set aside" in ran.err
    assert state(library) == before


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['genretag', '--help']\n"
        "from genretag.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'onnxruntime', 'mutagen', 'librosa', 'av', 'torch', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_scan_of_what_did_not_change_needs_neither_decoder_nor_tags(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    scan = ["scan", str(library), "--dry-run", "-q", "--db", str(tmp_path / "db" / "genretag.db")]
    for _ in range(2):  # what failed the first time is known from the second on
        genretag(*scan[:-2])
    code = (
        f"import sys; sys.argv = {['genretag', *scan]!r}\nfrom genretag.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        "print(*{'mutagen', 'av', 'soxr', 'librosa'} & set(sys.modules), 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["none"]


def test_every_command_has_help(genretag: Program) -> None:
    for command in ("scan", "apply", "undo", "info", "history", "errors", "models", "demo"):
        ran = genretag(command, "--help")
        assert ran.status == 0
        assert len(ran.out.splitlines()) > 5


def test_version(genretag: Program) -> None:
    assert genretag("--version").out.startswith("genretag 0.")


@functools.cache
def every_command() -> Any:
    return typer.main.get_command(cli.app)


def told(parameter: Any) -> dict[str, Any]:
    return {
        k: v
        for k, v in vars(parameter).items()
        if isinstance(v, str | int | float | bool | list | tuple | None)
    }


@pytest.mark.parametrize(
    "name", sorted(c.name for c in cli.app.registered_commands if c.name != "config")
)
def test_a_command_is_the_same_when_it_alone_is_built(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [v for v in os.environ if v.startswith("GENRETAG_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(cli, "config_path", lambda: tmp_path / "config.toml")
    everything = every_command()
    alone = typer.main.get_command(cli._needed(["-q", name, "x"]))
    assert list(alone.commands) == [name]
    assert [told(p) for p in alone.commands[name].params] == [
        told(p) for p in everything.commands[name].params
    ]
    assert [told(p) for p in alone.params] == [told(p) for p in everything.params]
    (tmp_path / "config.toml").touch()
    assert cli._needed([name]) is cli.app


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["scna"], ["models", "--card"], ["config"], ["--config", "scan", "apply"]],
)
def test_all_commands_are_built_where_more_than_one_is_needed(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GENRETAG_CONFIG", raising=False)
    assert cli._needed(arguments) is cli.app
