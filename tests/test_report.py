"""The report in the terminal: short and long libraries, narrow and wide."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from genretag.decisions.plan import Row, failed_row
from genretag.report.summary import summarise
from genretag.report.terminal import print_report


def rows(n: int) -> list[Row]:
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


def printed(n: int, width: int) -> str:
    out = io.StringIO()
    all_rows = rows(n)
    print_report(
        Console(file=out, width=width, markup=False, highlight=False),
        all_rows,
        summarise(all_rows),
        "with --json",
    )
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_line_fits(width: int) -> None:
    for n in (10, 1000):
        assert max(map(len, printed(n, width).splitlines())) <= width


def test_a_short_library_is_listed_whole_by_folder() -> None:
    text = printed(20, 140)
    assert text.count("A Title.mp3") == 20
    assert text.count("/Music/Artist") == 2
    assert "— → Jazz" in text
    assert "6/8" in text
    assert "unsure (Jazz or Blues?)" in text
    assert "already has a genre (sounds like Reggae)" in text


def test_a_long_library_is_summed_up_and_says_where_the_list_is() -> None:
    text = printed(1000, 140)
    assert len(text.splitlines()) < 40
    assert "most certain" in text
    assert "least certain" in text
    assert "All 1,000 files: with --json" in text
    assert "600  → Jazz" in text
    assert "200  left alone: unsure" in text
