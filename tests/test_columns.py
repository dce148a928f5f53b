"""Lists of files on a terminal: nothing of a name is lost, and no line is too long."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from genretag.report.columns import common_folder, print_files

NAMES = st.text("ab c東é[]", min_size=1, max_size=60).filter(lambda name: name.strip() == name)


def printed(paths: list[Path], width: int) -> list[str]:
    out = io.StringIO()
    rows = [(path, ("0.50", "because of this")) for path in paths]
    print_files(Console(file=out, width=width), ("number", "file", "why"), rows, 1)
    return out.getvalue().splitlines()


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.integers(50, 160))
def test_a_list_holds_every_name_in_full(names: list[str], width: int) -> None:
    lines = printed([Path("/m") / name / "x.mp3" for name in names], width)
    assert max(map(cell_len, lines)) <= width
    folder, heads, *body = lines
    column, end = heads.index("file"), heads.index("why")
    cells = "".join(_cells(line, column, end) for line in body)
    below = Path(folder) if folder != "/m" else Path("/m")
    wanted = "".join(str((Path("/m") / name / "x.mp3").relative_to(below)) for name in names)
    assert "".join(cells.split()) == "".join(wanted.split())


def _cells(line: str, start: int, stop: int) -> str:
    """Return what a line has between two terminal columns."""
    at, found = 0, []
    for char in line:
        if start <= at < stop:
            found.append(char)
        at += cell_len(char)
    return "".join(found)


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        (["/m/a/1.mp3", "/m/b/2.mp3"], "/m"),
        (["/m/a/1.mp3"], "/m/a"),
        (["/a/1.mp3", "/b/2.mp3"], None),
        (["s3:/bucket/1.mp3", "/b/2.mp3"], None),
        ([], None),
    ],
)
def test_the_common_folder_is_none_where_only_the_root_is_common(
    paths: list[str], folder: str | None
) -> None:
    found = common_folder(map(Path, paths))
    assert found == (Path(folder) if folder else None)
