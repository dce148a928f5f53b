"""The page of containers says what other programs read: measured again here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "layout"))

from matrix import (
    NAMES,
    PAGE,
    READERS,
    measure,
    measure_fields,
    names_table,
    version_of,
)

ROWS = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
HEAD = [cell.strip() for cell in ROWS[0].strip("|").split("|")]


def row_of(extension: str) -> dict[str, str]:
    """Return the cells of a container, by column."""
    row = next(r for r in ROWS if f"`{extension}`" in r)
    return dict(zip(HEAD, (cell.strip() for cell in row.strip("|").split("|")), strict=True))


@pytest.mark.parametrize("extension", NAMES)
def test_the_page_says_what_each_reader_shows(tmp_path: Path, extension: str) -> None:
    found = measure(extension, tmp_path)
    if found is None:
        pytest.skip("no encoder for it here")
    field, cells = found
    row = row_of(extension)
    assert row["genre field"] == f"`{field}`"
    assert "LOST" not in cells.values()
    text = PAGE.read_text("utf-8")
    for reader in (r for r in READERS if r in HEAD and version_of(r) in text):
        assert cells[reader] == row[reader], reader


def test_the_page_has_the_names_of_the_fields() -> None:
    text = PAGE.read_text("utf-8")
    assert "\n".join(names_table()) in text


@pytest.mark.parametrize("extension", [".mp3", ".flac", ".m4a", ".wma", ".wv", ".wav"])
def test_the_page_says_which_fields_each_reader_shows(tmp_path: Path, extension: str) -> None:
    found = measure_fields(extension, tmp_path)
    assert found is not None
    rows = [row for row in ROWS if f"`{extension}`" in row]
    cells = [cell.strip() for cell in rows[1].strip("|").split("|")][1:]
    text = PAGE.read_text("utf-8")
    for reader, cell in zip(HEAD[2:], cells, strict=True):
        if reader in READERS and version_of(reader) in text:
            assert found[reader] == cell, reader
