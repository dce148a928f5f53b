"""The command line as users run it: scan, report, apply, undo."""

from __future__ import annotations

import ast
import csv
import dataclasses
import hashlib
import inspect
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from conftest import Program

from genretag import __version__ as genretag_version
from genretag import cli, tags
from genretag.audio import synthesis
from genretag.cli import output
from genretag.cli.formatting import help_text
from genretag.cli.option_groups import with_groups
from genretag.cli.policy_options import POLICY_NAMES, flag_of
from genretag.cli.scan_options import AnalysisOptions, FileOptions
from genretag.decisions.policy import Policy
from genretag.scan.options import Options


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = synthesis.make_library(tmp_path_factory.mktemp("demo") / "Music", seconds=8)
    folder = made[0].parents[2]
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


ANY = ("--min-confidence", "0")  # these tests are about the program, not about the model


def test_a_dry_run_reports_every_file_and_touches_none(genretag: Program, library: Path) -> None:
    before = state(library)
    ran = genretag("scan", library, "--dry-run", "--json", *ANY)
    assert ran.status == 1  # one file is not audio
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
    assert "no audio that can be decoded" in broken["error"]
    written = rows["01 Piece 1.mp3"]
    assert written["action"] == "write"
    assert written["new"] == [written["genre"]]
    assert 0 <= written["confidence"] <= 1
    assert sum(written["scores"].values()) == pytest.approx(1, abs=0.01)
    assert written["windows"] == 1


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


def test_nothing_is_written_without_a_terminal_or_yes(genretag: Program, library: Path) -> None:
    before = state(library)
    ran = genretag("scan", library, *ANY, stdin="y\n")
    assert "dry run" in ran.err
    assert "dry run" in genretag("apply", stdin="y\n").err
    assert state(library) == before


def test_scan_with_yes_writes_immediately(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--yes", *ANY)
    assert tags.read(library / "The Examples/Album 1/01 Piece 1.mp3").genres


def test_apply_decides_again_without_decoding(genretag: Program, library: Path) -> None:
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


def test_a_file_that_changed_since_the_scan_is_skipped_and_named(
    genretag: Program, library: Path
) -> None:
    genretag("scan", library, "--dry-run", *ANY)
    mine = library / "The Examples/Album 1/01 Piece 1.mp3"
    tags.write(mine, ["Mine"])
    ran = genretag("apply", "--yes")
    assert ran.status == 1
    assert "01 Piece 1.mp3: it changed since the scan" in ran.err
    assert tags.read(mine).genres == ["Mine"]


def test_an_exported_and_edited_plan_is_applied(
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


def test_an_invalid_line_of_a_plan_is_named(genretag: Program, tmp_path: Path) -> None:
    (tmp_path / "plan.jsonl").write_text('{"path": 1}\n')
    ran = genretag("apply", tmp_path / "plan.jsonl", "--yes")
    assert ran.status == 1
    assert "plan.jsonl, line 1" in ran.err


def test_apply_can_be_limited_to_a_folder(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--dry-run", *ANY)
    genretag("apply", library / "The Examples", "--yes")
    assert tags.read(library / "The Examples/Album 1/01 Piece 1.mp3").genres
    assert not tags.read(library / "Various Artists/Album 2/01 Piece 4.ogg").genres


def test_moved_and_retagged_files_are_not_analysed_again(genretag: Program, library: Path) -> None:
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
    analysed = db.execute("SELECT count(*) FROM heard").fetchone()[0]
    assert analysed == 7  # one per piece of music, although each was met under two names and tags


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


def test_the_csv_report_has_every_file(genretag: Program, library: Path, tmp_path: Path) -> None:
    genretag("scan", library, "--dry-run", "-O", tmp_path / "r.csv", *ANY)
    lines = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    assert len(lines) == 8
    assert {"path", "action", "reason", "old", "new", "confidence"} <= set(lines[0])


def test_the_report_shows_old_and_new_genres_and_reasons(genretag: Program, library: Path) -> None:
    out = genretag("scan", library, "--dry-run", *ANY).out
    assert "→" in out
    assert "already has a genre" in out
    assert "not music" in out
    assert "left alone: failed" in out
    assert "\x1b" not in out  # no colour where there is no terminal


def test_hostile_file_names_are_shown_safely_and_their_files_written(
    genretag: Program, library: Path
) -> None:
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


def test_a_file_that_is_also_linked_is_written_once(genretag: Program, library: Path) -> None:
    (library / "z.mp3").symlink_to(library / "The Examples/Album 1/01 Piece 1.mp3")
    rows = genretag("scan", library, "--dry-run", "--json", *ANY).rows
    link = next(r for r in rows if r["path"].endswith("/z.mp3"))
    assert link["action"] == "skip"
    assert link["reason"].startswith("same file as")


def test_an_interrupted_scan_keeps_its_analyses(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    for n in range(150):  # enough to be interrupted in the middle
        synthesis.encode(library / f"{n:03d}.wav", synthesis.piece(n, 3), 44_100)
    env = {**os.environ, "GENRETAG_DB": str(tmp_path / "db" / "genretag.db")}
    command = [sys.executable, "-m", "genretag", "scan", str(library), "--dry-run", "-j", "1"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    import sqlite3

    deadline, analysed = time.monotonic() + 60, 0
    while analysed < 5 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        try:
            analysed = (
                sqlite3.connect(tmp_path / "db" / "genretag.db")
                .execute("SELECT count(*) FROM heard")
                .fetchone()[0]
            )
        except sqlite3.Error:
            analysed = 0
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"goes on from there" in err
    kept = (
        sqlite3.connect(tmp_path / "db" / "genretag.db")
        .execute("SELECT count(*) FROM heard")
        .fetchone()[0]
    )
    assert kept >= analysed >= 5
    assert len(genretag("scan", library, "--dry-run", "--json").rows) == 158


def test_files_with_hard_links_are_reported_and_written_on_request(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    name = "The Examples/Album 1/01 Piece 1.mp3"
    os.link(library / name, tmp_path / "seed.mp3")
    rows = genretag("scan", library, "--dry-run", "--json", *ANY).rows
    linked = next(r for r in rows if r["path"].endswith(name))
    assert (linked["code"], "see --hardlinks" in linked["reason"]) == ("hard-links", True)
    assert genretag("apply", "--yes").status == 0
    assert not tags.read(library / name).genres
    assert genretag("apply", "--yes", "--hardlinks", "in-place").status == 0
    assert tags.read(tmp_path / "seed.mp3").genres == tags.read(library / name).genres != []


def test_verify_reports_changes_by_other_programs(genretag: Program, library: Path) -> None:
    genretag("scan", library, "--yes", *ANY)
    assert genretag("verify").status == 0
    tags.write(library / "The Examples/Album 1/01 Piece 1.mp3", ["Mine"])
    (library / "Various Artists/Album 2/01 Piece 4.ogg").unlink()
    ran = genretag("verify")
    assert ran.status == 1
    assert "01 Piece 1.mp3: its genre was changed since, to Mine" in ran.out
    assert "01 Piece 4.ogg: it is gone" in ran.out


def test_an_exported_journal_can_undo(genretag: Program, library: Path, tmp_path: Path) -> None:
    before = state(library)
    genretag("scan", library, "--yes", *ANY)
    assert genretag("history", "--export", tmp_path / "new.journal.db").status == 0
    assert genretag("undo", "--yes", "--db", tmp_path / "new.db").status == 0
    assert state(library) == before


def test_the_readable_part_of_a_broken_journal_is_saved(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    genretag("scan", library, "--yes", *ANY)
    for part in (tmp_path / "db").glob("genretag.journal.db*"):
        part.write_bytes(b"rubbish " * 4096)
    ran = genretag("history")
    assert ran.status == 0, ran.err
    assert "set aside" in ran.err
    assert "Traceback" not in ran.err


def test_a_database_that_cannot_be_opened_gives_one_clear_message(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    ran = genretag("scan", library, "--dry-run", "--db", tmp_path / "file" / "g.db")
    assert ran.status == 1
    assert "the database cannot be opened" in ran.err
    assert "Traceback" not in ran.err


def test_two_scans_can_run_at_once(genretag: Program, library: Path, tmp_path: Path) -> None:
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
    assert "no audio that can be decoded" in genretag("errors").out
    info = json.loads(
        genretag("info", "--json", library / "The Examples/Album 1/01 Piece 1.mp3").out
    )
    assert len(info["windows"]) == 1
    assert info["artist"] == "The Examples"
    assert "vote:" in genretag("info", library / "Various Artists/Album 2/02 Piece 5.opus").out
    assert "scan" in genretag("history").out
    assert "Hip-Hop" in genretag("models").out
    assert "licence" in genretag("models", "--card").out.lower()


def test_info_of_an_unscanned_file_keeps_the_plan(genretag: Program, library: Path) -> None:
    first = library / "The Examples"
    genretag("scan", first, "--dry-run", *ANY)
    genretag("info", library / "Various Artists/Album 2/02 Piece 5.opus")
    rows = genretag("apply", "--dry-run", "--json").rows
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_wrong_usage_exits_with_2_and_one_clear_message(
    genretag: Program, arguments: tuple[str, ...], message: str
) -> None:
    ran = genretag(*arguments)
    assert ran.status == 2, ran.err
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_missing_cuda_is_an_error_that_names_the_fix(genretag: Program, library: Path) -> None:
    ran = genretag("scan", library, "--device", "cuda")
    assert ran.status == 1
    assert "onnxruntime-gpu" in ran.err


def test_a_broken_cache_is_set_aside_and_the_journal_is_kept(
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
        "heavy = {'numpy', 'onnxruntime', 'mutagen', 'librosa', 'av', 'torch', 'scipy'}\n"
        "heavy = (heavy | {'sklearn', 'rich', 'tqdm'}) & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_scan_of_an_unchanged_library_imports_neither_decoder_nor_tags(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    scan = ["scan", str(library), "--dry-run", "-q", "--db", str(tmp_path / "db" / "genretag.db")]
    for _ in range(2):  # failures of the first scan are known to the second
        genretag(*scan[:-2])
    code = (
        f"import sys; sys.argv = {['genretag', *scan]!r}\nfrom genretag.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
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
    assert genretag("--version").out.startswith(f"genretag {genretag_version}")


def commands() -> dict[str, Any]:
    """Return every command and inner command by its words."""
    root = typer.main.get_command(cli.app)
    found = {"": root, **root.commands}  # type: ignore[attr-defined]
    for name, command in list(found.items()):
        if name:
            inner = getattr(command, "commands", {})
            found |= {f"{name} {inner_name}": c for inner_name, c in inner.items()}
    return found


def help_of(name: str, *, short: bool) -> str:
    command = commands()[name]
    return help_text(typer.Context(command, info_name=f"genretag {name}".strip()), short=short)


@pytest.mark.parametrize("name", commands())
def test_the_short_help_has_one_line_per_option_at_80_columns(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    text = help_of(name, short=True)
    lines = text.split(":\n", 1)[1].splitlines()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert not [line for line in lines if line.startswith(" " * 8)]  # a second line of an option
    assert "…" not in text
    for param in commands()[name].params:
        if param.param_type_name == "option":
            assert any(line.strip().startswith(tuple(param.opts)) for line in lines), param.name


@pytest.mark.parametrize("name", commands())
def test_the_long_help_ends_with_examples_that_parse(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    text = help_of(name, short=False)
    assert all(len(line) <= 80 for line in text.splitlines())
    examples = text.partition("Examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        words = shlex.split(example)
        assert words.pop(0) == "genretag"
        command: Any = commands()[""]
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        assert {w for w in words if w.startswith("-")} <= known, example


def test_the_scan_options_stand_under_headings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    lines = help_of("scan", short=True).splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Arguments:",
        "What to write:",
        "Which files:",
        "Analysis:",
        "Output:",
        "Cluster:",
        "Other options:",
    ]


def test_help_shows_commands_and_pages_by_prefix(genretag: Program) -> None:
    assert genretag("help", "scan").out == genretag("scan", "--help").out
    assert genretag("help", "vocab").out == genretag("help", "vocabulary").out != ""
    several = genretag("help", "s")
    assert several.status == 2
    assert "safety, speed" in several.err


#: Fields of a scan's options that commands set by themselves.
INTERNAL = {"aside", "reuse_pieces"}


def test_a_new_option_of_a_plan_or_a_scan_needs_two_files() -> None:
    """Records and groups share names, and the commands name groups instead of options."""
    decided = {f.name for f in dataclasses.fields(Policy)} - {"protect"}
    assert {flag_of(name)[2:].replace("-", "_") for name in decided} <= POLICY_NAMES
    scanned = {f.name for f in dataclasses.fields(Options)} - {"paths", "policy", *INTERNAL}
    grouped = {f.name for g in (FileOptions, AnalysisOptions) for f in dataclasses.fields(g)}
    assert scanned <= grouped
    options = (POLICY_NAMES | scanned) - {"jobs"}  # apply and watch have it for themselves
    for command in ("scan", "plan", "apply", "watch"):
        source = (Path(cli.__file__).parent / f"{command}.py").read_text(encoding="utf-8")
        nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.arg | ast.keyword)]
        assert not {node.arg for node in nodes} & options, command


def test_a_new_field_of_a_group_reaches_the_command_and_the_policy() -> None:
    @dataclasses.dataclass(frozen=True)
    class Group:
        brave: Annotated[bool, typer.Option("--brave")] = False

    def command(group: Group, other: int = 1) -> tuple[bool, int]:
        return group.brave, other

    command.__annotations__ |= {"group": Group, "other": int}
    expanded = with_groups(command)
    assert list(inspect.signature(expanded).parameters) == ["brave", "other"]
    assert expanded(brave=True, other=2) == (True, 2)


def test_progress_is_a_line_every_minute_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    with output.file_progress(None) as progress:
        progress.update(10)
        now[0] += 61
        progress.update(30, "30 ok")
        now[0] += 59
        progress.update(50, total=240)
        now[0] += 1
        progress.update(60, total=240)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "30 files so far, 30 files a minute; 30 ok",
        "60 of 240 files (25%), 30 files a minute, 6 min left",
    ]


@pytest.mark.parametrize("on_terminal", [False, True])
def test_the_time_left_follows_the_last_minute_and_counts_pauses(
    monkeypatch: pytest.MonkeyPatch, on_terminal: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return on_terminal

    now = [0.0]
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    with output.file_progress(10_000) as progress:
        progress.update(5_000)  # known files, at once
        for tenth in range(1, 1300):  # then one file every two seconds
            now[0] = tenth / 10
            progress.update(5_000 + tenth // 20, "ok")
        shown = str(progress._bar) if on_terminal else progress._line("ok")
    speed = r" 0\.(49|50) files/s" if on_terminal else "(29|30) files a minute"
    assert re.search(f"{speed}, 2( h |:)4", shown), shown


def test_progress_on_a_terminal_shows_total_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with output.file_progress(None) as progress:
        progress.update(50, total=200)
        progress.write("left alone: a.mp3")
        progress.close()
    shown = terminal.getvalue()
    assert "left alone: a.mp3\n" in shown
    assert re.search(r"50 of 200 files \(25%\), .*files/s, \d\d:\d\d left", shown), shown
