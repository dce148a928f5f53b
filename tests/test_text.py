"""Text from files and tags is displayed, and never acts on a terminal."""

from __future__ import annotations

import csv
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genretag.decisions.rows import Row, failed_row
from genretag.report.formats import write_csv
from genretag.text import cell, escape_control, round_down, two_digits, words

HOSTILE = [
    "\x1b[31mred",
    "a\nb",
    "a\rb",
    "\u202egnp.exe",
    "\x9b2J",
    "\x07",
    "a\u2028b",
    os.fsdecode(b"caf\xe9"),
    "[red]x[/red]",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_acts_on_a_terminal(text: str) -> None:
    safe = escape_control(text)
    safe.encode("utf-8")
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028" for c in safe)


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    assert len(escape_control(text).splitlines()) <= 1


@pytest.mark.parametrize(
    "text", ["Motörhead", "Sigur Rós – Ágætis byrjun", "宇多田ヒカル", "AC/DC", "[red]"]
)
def test_harmless_names_stay_unchanged(text: str) -> None:
    assert escape_control(text) == text


@given(st.lists(st.text(max_size=300), max_size=60))
def test_no_tag_floods_a_report(genres: list[str]) -> None:
    assert len(words(genres)) <= 20 * len("x" * 80 + ", ") + len("40 more")
    if len(genres) <= 20 and all(len(escape_control(genre)) <= 80 for genre in genres):
        assert words(genres) == (", ".join(map(escape_control, genres)) if genres else "—")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert not cell(text).startswith(("=", "+", "-", "@", "\t"))


def test_a_hostile_row_makes_one_safe_line_of_csv() -> None:
    row = Row(
        **{
            **failed_row(__import__("pathlib").Path("=cmd|x\n\x1b[2J.mp3"), "no\nway").to_dict(),
            "old": ["=1"],
        }
    )
    out = io.StringIO()
    write_csv([row], out)
    lines = list(csv.reader(io.StringIO(out.getvalue())))
    assert len(lines) == 2
    assert not any(c.startswith(("=", "+", "@")) or "\x1b" in c or "\n" in c for c in lines[1])


@given(st.floats(0, 1))
def test_a_stored_confidence_looks_like_the_exact_one_and_never_like_more(exact: float) -> None:
    assert two_digits(round_down(exact, 4)) == two_digits(exact)
    assert float(two_digits(exact)) <= exact + 1e-9
