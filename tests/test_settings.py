"""Settings in config.toml and GENRETAG_ variables: precedence, scope and messages."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Program

from genretag.audio import synthesis
from genretag.cli import app
from genretag.cli.policy_options import POLICY_NAMES


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for n in range(2):
        synthesis.encode(
            folder / f"{n}.flac", synthesis.piece(n, 3), 44_100, tags={"genre": "Old"} if n else {}
        )
    return folder


def settings(genretag: Program, **env: str) -> dict[str, tuple[object, str]]:
    return {
        s["name"]: (s["value"], s["source"])
        for s in map(json.loads, genretag("config", "--json", env=env).out.splitlines())
    }


def test_flags_override_variables_and_variables_the_file(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(
        'existing = "append"\nmin_confidence = 0.0\n[scan]\nlimit = 1\n'
    )
    assert settings(genretag)["existing"] == ("append", "config.toml")
    assert settings(genretag, GENRETAG_EXISTING="replace")["existing"] == (
        "replace",
        "GENRETAG_EXISTING",
    )
    assert settings(genretag)["jobs"] == ("auto", "default")
    rows = genretag("scan", music / "1.flac", "--dry-run", "--json").rows
    assert rows[0]["new"][0] == "Old"
    assert len(rows[0]["new"]) == 2
    assert (
        genretag(
            "scan", music / "1.flac", "--dry-run", "--json", env={"GENRETAG_EXISTING": "skip"}
        ).rows[0]["action"]
        == "keep"
    )
    assert len(genretag("scan", music / "1.flac", "--dry-run", "--json", "-f").rows[0]["new"]) == 1
    assert len(genretag("scan", music, "--dry-run", "--json").rows) == 1  # [scan] limit
    assert len(genretag("scan", music, "--dry-run", "--json", "--limit", 5).rows) == 2


def test_apply_writes_the_shown_plan_whatever_the_settings_are(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    (tmp_path / "config.toml").write_text("min_confidence = 1.0\n")
    assert "wrote 1 of 1" in genretag("apply", "--yes").err


def setting_value(param: Any, file: Path) -> str:
    """Return a value other than the default, as TOML."""
    if param.is_flag:
        return "true"
    if choices := getattr(param.type, "choices", None):
        return json.dumps(str(getattr(list(choices)[-1], "value", list(choices)[-1])))
    values = {"float": "1.0", "int": "2", "str": '"; "', "path": json.dumps(str(file))}
    return next(value for name, value in values.items() if param.type.name.startswith(name))


def test_no_setting_for_all_commands_makes_apply_decide_again(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    """Every option that decides what is written, derived from the declarations."""
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    (words := tmp_path / "words.toml").write_text("canonical = true\n")
    root: Any = typer.main.get_command(app)
    params = [p for p in root.commands["apply"].params if p.name in POLICY_NAMES]
    assert len(params) == len(POLICY_NAMES) > 10
    for param in params:
        setting = f"{param.name} = {setting_value(param, words)}\n"
        (tmp_path / "config.toml").write_text(setting)
        done = genretag("apply", "--dry-run", "-q")
        assert (done.status, "1 genre to write" in done.err) == (0, True), (setting, done.err)
    kinds = [json.loads(line)["kind"] for line in genretag("history", "--json").out.splitlines()]
    assert kinds == ["scan"]


def test_a_given_plan_is_written_as_the_settings_say(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.jsonl"
    genretag("scan", music, "--dry-run", "--min-confidence", 0, "-O", plan)
    os.link(music / "0.flac", tmp_path / "other name.flac")
    assert "hard link" in genretag("apply", plan, "--yes").err
    (tmp_path / "config.toml").write_text('hardlinks = "break"\n')
    assert "wrote 1 of 1" in genretag("apply", plan, "--yes").err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min_confidnce = 1", "did you mean min_confidence?"),
        ("[scan]\nlimt = 1", "did you mean limit?"),
        ("output = 'x.csv'", "[scan]"),
        ("not toml", "config.toml"),
        ("[protect]\nfolders = ['x']", "[protect]"),
        ("existing = 'perhaps'", "perhaps"),
    ],
)
def test_a_mistake_in_the_file_gives_one_clear_message(
    genretag: Program, music: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "config.toml").write_text(text)
    done = genretag("scan", music, "--dry-run")
    assert done.status in (1, 2)
    assert message in done.err
    assert "Traceback" not in done.err
    assert genretag("--help").status == 0


def test_protected_files_are_skipped(genretag: Program, music: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[protect]\npaths = ['*/0.flac']\ngenres = ['old']\n")
    rows = genretag("scan", music, "--dry-run", "--json", "--min-confidence", 0, "-f").rows
    assert [r["action"] for r in rows] == ["skip", "skip"]
    assert all(r["reason"].startswith("protected") for r in rows)
    assert "protect.genres" in genretag("config").out


def test_quiet_works_before_and_after_the_command(genretag: Program, music: Path) -> None:
    assert genretag("scan", music, "--dry-run", "-q").out == ""
    assert genretag("-q", "scan", music, "--dry-run").out == ""


def test_the_shell_completes_commands_runs_and_genres(genretag: Program, music: Path) -> None:
    genretag("scan", music, "--yes", "--min-confidence", 0)

    def offered(line: str) -> str:
        return genretag(
            env={"_GENRETAG_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
        ).out

    assert "playlist" in offered("genretag play")
    assert "1 written" in offered("genretag undo ")
    rows = genretag("scan", music, "--dry-run", "--json", "--min-confidence", 0).rows
    genre = rows[0]["old"][0]
    assert genre in offered(f"genretag playlist --genre {genre[:2]}")


def test_config_reads_another_file(genretag: Program, music: Path, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[scan]\nlimit = 1\n")
    assert (
        len(
            genretag("--config", tmp_path / "other.toml", "scan", music, "--dry-run", "--json").rows
        )
        == 1
    )
    assert len(genretag("scan", music, "--dry-run", "--json").rows) == 2
    assert (
        genretag(f"--config={tmp_path / 'none.toml'}", "scan", music, "--dry-run", "--json").status
        == 2
    )


def test_separator_joins_several_genres_into_one_value(genretag: Program, music: Path) -> None:
    rows = genretag(
        "scan",
        music / "1.flac",
        "--dry-run",
        "--json",
        "--min-confidence",
        0,
        "-k",
        "--separator",
        "; ",
    ).rows
    assert len(rows[0]["new"]) == 1
    assert rows[0]["new"][0].startswith("Old; ")
    assert genretag("apply", "--yes").status == 0
    again = genretag(
        "plan", "-k", "--separator", "; ", "--json"
    ).rows  # existing genres are not appended twice
    assert again[0]["action"] == "keep"


def test_a_misspelled_variable_is_reported(genretag: Program, music: Path) -> None:
    done = genretag("scan", music, "--dry-run", "--json", env={"GENRETAG_MIN_CONFIDNCE": "0.5"})
    assert "GENRETAG_MIN_CONFIDNCE sets nothing; did you mean GENRETAG_MIN_CONFIDENCE?" in done.err
    assert (
        "sets nothing"
        not in genretag(
            "scan", music, "--dry-run", "--json", env={"GENRETAG_MIN_CONFIDENCE": "0.5"}
        ).err
    )
