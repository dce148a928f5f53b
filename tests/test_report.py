"""The report in the terminal: short and long plans, narrow and wide terminals."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from genretag.decisions.plan import Row, failed_row
from genretag.errors import UsageError
from genretag.report.formats import WRITERS, write_report
from genretag.report.sentences import report_lines
from genretag.report.summary import summarise
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


def print_to_text(n: int, width: int) -> str:
    out = io.StringIO()
    rows = make_rows(n)
    print_report(
        Console(file=out, width=width, markup=False, highlight=False),
        rows,
        summarise(rows),
        "with --json",
    )
    return out.getvalue()


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


def test_a_long_plan_is_summarised_and_says_where_the_list_is() -> None:
    text = print_to_text(1000, 140)
    assert len(text.splitlines()) < 40
    assert "most certain" in text
    assert "least certain" in text
    assert "All 1,000 files: with --json" in text
    assert "600  → Jazz" in text
    assert "200  left alone: unsure" in text


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


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_writes_every_row(suffix: str, tmp_path: Path) -> None:
    write_report(make_rows(7), tmp_path / f"r{suffix}")
    assert (tmp_path / f"r{suffix}").read_text().count("A Title.mp3") == 7
