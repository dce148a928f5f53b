"""The report in the terminal: short and long plans, narrow and wide terminals."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from genretag.cli import app
from genretag.decisions.fields import FieldPlan
from genretag.decisions.rows import Row, failed_row
from genretag.errors import UsageError
from genretag.report.columns import cut_middle
from genretag.report.formats import WRITERS, write_report
from genretag.report.sentences import report_lines
from genretag.report.summary import Scope, Summary, summarise
from genretag.report.terminal import print_report


def make_rows(n: int) -> list[Row]:
    base = replace(
        failed_row(Path("x"), ""),
        status="ok",
        action="write",
        reason="fills an empty genre",
        error=None,
        windows=8,
        new=["Jazz"],
    )
    out = []
    for i in range(n):
        row = replace(
            base,
            path=f"/Music/Artist {i // 10}/{i:04d} A Title.mp3",
            confidence=0.7 + 0.3 * i / n,
            agreement=0.75,
        )
        if i % 5 == 1:
            row = replace(
                row,
                action="skip",
                status="unsure",
                reason="unsure",
                new=[],
                scores={"Jazz": 0.5, "Blues": 0.4},
            )
        if i % 5 == 2:
            row = replace(
                row,
                action="keep",
                reason="already has a genre",
                old=["Dub"],
                new=["Dub"],
                genre="Reggae",
            )
        out.append(row)
    return out


def print_rows(rows: list[Row], width: int, **options: Any) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False)
    print_report(console, rows, summarise(rows), **options)
    return out.getvalue()


def print_to_text(n: int, width: int) -> str:
    return print_rows(make_rows(n), width, scope=Scope())


def test_totals_survive_as_text() -> None:
    rows = make_rows(60)
    plan: FieldPlan = {
        "old": [],
        "new": ["Calm", "Sad"],
        "action": "write",
        "reason": "fills an empty mood",
        "code": "empty",
        "confidence": 0.9,
        "tag": "mood",
    }
    rows += [
        replace(rows[0], path="/Music/\udcff.mp3", fields={"mood": plan}, source="both", piece=5.0),
        replace(rows[0], path="/Music/a.mp3", old=["Dub"], reason="replaces", share=0.5),
    ]
    summary = summarise(rows)
    again = Summary.from_json(summary.to_json())
    assert again == summary
    assert again is not None
    assert list(again.left.items()) == list(summary.left.items())
    assert Summary.from_json(summarise([]).to_json()) == Summary()


@pytest.mark.parametrize("change", [{"version": "0.1"}, {"another field": 1}])
def test_totals_of_another_version_are_not_used(change: dict[str, object]) -> None:
    text = json.dumps({**json.loads(summarise(make_rows(3)).to_json()), **change})
    assert Summary.from_json(text) is None


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_line_fits_the_terminal(width: int) -> None:
    for n in (10, 1000):
        assert max(map(len, print_to_text(n, width).splitlines())) <= width


def test_a_short_plan_is_listed_by_folder() -> None:
    text = print_to_text(20, 140)
    assert text.count("A Title.mp3") == 20
    assert text.count("/Music/Artist") == 2
    assert "— → Jazz" in text
    assert "6/8" in text
    assert "unsure (Jazz or Blues?)" in text
    assert "already has a genre (sounds like Reggae)" in text


def test_a_long_plan_shows_risky_changes_first_and_names_the_next_command_of_each_group() -> None:
    text = print_to_text(1000, 140)
    assert len(text.splitlines()) < 40
    assert "most certain" not in text
    assert "least certain (600)\n" in text
    assert "600  → Jazz" in text
    assert "200  left alone: unsure" in text
    assert re.search(r"genretag report --all +lists all 1,000 files", text)
    assert re.search(r"genretag review +asks about 200 unsure tracks", text)
    assert "genretag errors" not in text  # none failed
    assert "genretag apply" not in text  # this plan is being written


def test_replaced_genres_come_before_album_decisions_and_these_before_the_least_certain() -> None:
    rows = make_rows(1000)
    rows[0] = replace(rows[0], old=["Dub"], code="replaces", confidence=0.99)
    rows[3] = replace(rows[3], reason="fills an empty genre, as 3 of 4 sure tracks of its album")
    text = print_rows(rows, 140, scope=Scope(writes=1))
    titles = ("replaces a genre\n", "decided by its album\n", "least certain (")
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert places[0] < text.index("Dub → Jazz") < places[1]
    assert re.search(r"genretag report --replaced +lists 1 replaced genre", text)
    assert re.search(r"genretag apply +writes 1 file\s", text)


def test_the_next_commands_are_for_the_files_of_the_report() -> None:
    text = print_rows(make_rows(1000), 140, scope=Scope("'My Music'", writes=7))
    assert re.search(r"genretag apply 'My Music' +writes 7 files", text)
    assert re.search(r"genretag review 'My Music' +asks about 200 unsure tracks", text)
    text = print_rows(make_rows(1000), 140, scope=Scope("Music", writes=7, tidied=2))
    assert re.search(r"genretag tidy Music +writes 2 tidied files only", text)
    edited = Scope("Music", writes=2, tidied=2, table="genres.csv")
    assert "genretag tidy Music --table genres.csv " in print_rows(
        make_rows(1000), 140, scope=edited
    )
    assert re.search(r"genretag apply +writes 7 files, 5 of them planned by a scan", text)
    assert "genretag review" not in text
    text = print_rows(make_rows(1000), 140, scope=Scope(run=3, writes=7))
    assert re.search(r"genretag apply --run 3 +writes 7 files", text)
    assert "genretag review" not in text
    # A choice by filters is not what another command would work on.
    assert "genretag" not in print_rows(make_rows(1000), 140).partition("left alone")[2]


@pytest.mark.parametrize("width", [40, 64, 80, 120, 200])
def test_columns_stand_below_each_other_and_names_are_cut_in_the_middle(width: int) -> None:
    rows = make_rows(30)
    long = "01 " + "A Very Long Title " * 12 + "(Remix).flac"
    rows[3] = replace(rows[3], path=f"/Music/Artist 0/{long}", old=["Bebop", "Cool Jazz"])
    rows[4] = replace(rows[4], path="/Music/Artist 0/" + "東京の夜" * 30 + ".mp3")
    lines = [line for line in print_rows(rows, width).splitlines() if ".mp3" in line]
    assert len({cell_len(line[: line.index(" 0.")]) for line in lines if " 0." in line}) == 1
    text = print_rows(rows, width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert re.search(r"01 A[^\n]*…[^\n]*\.flac", text)
    assert re.search(r"東[^\n]*…[^\n]*夜\.mp3", text)


def test_a_name_is_cut_to_the_cells_that_it_has() -> None:
    for width in range(2, 20):
        for name in ("a long name.mp3", "東京の夜.mp3", "x"):
            assert cell_len(cut_middle(name, width)) <= width
    assert cut_middle("01 Some Title.mp3", 10) == "01 S…e.mp3"[:4] + "…" + "e.mp3"


def test_plain_sentences_agree_in_number() -> None:
    rows = make_rows(3)
    text = list(report_lines(rows, summarise(rows)))
    assert text[:3] == [
        "3 files.",
        "1 file becomes Jazz.",
        "1 file left alone: unsure.",
    ]
    assert text[4].endswith(
        "empty becomes Jazz; fills an empty genre. Confidence 0.70. 6 of 8 windows agree."
    )
    one = list(report_lines(rows[:1], summarise(rows[:1])))
    assert one[0] == "1 file."


def test_a_file_name_without_a_format_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"r\.txt: the file name must end in \.csv"):
        write_report([], tmp_path / "r.txt")


@pytest.mark.parametrize("command", ["scan", "report"])
def test_the_help_names_every_format(command: str) -> None:
    described = CliRunner().invoke(app, [command, "--help"]).stdout
    assert not {suffix for suffix in WRITERS if suffix not in described}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_writes_every_row(suffix: str, tmp_path: Path) -> None:
    write_report(make_rows(7), tmp_path / f"r{suffix}")
    assert (tmp_path / f"r{suffix}").read_text().count("A Title.mp3") == 7
