"""The progress line on a terminal: what fits is shown, and nothing is cut."""

from __future__ import annotations

import io

import pytest

from genretag.cli import output


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [1234, None])
def test_a_narrow_terminal_shows_whole_parts_of_the_progress(
    monkeypatch: pytest.MonkeyPatch, total: int | None
) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    progress = output.FileProgress(total)
    bar = progress._bar
    assert bar is not None
    bar.dynamic_ncols = None
    progress.update(617, "600 analysed, 17 not music, 31.5 h of music")
    bar.recent_rate = 3.0
    bar.ncols = 200
    whole = str(bar)
    assert whole.endswith(", 600 analysed, 17 not music, 31.5 h of music")
    # A part is what stands between commas; the share may go from the count of files.
    pieces = {*whole.split(", "), "617 of 1234", "50%", "617 files", "617"}
    shown = []
    for width in range(len(whole), 2, -1):
        bar.ncols = width
        line = str(bar)
        assert 0 < len(line) <= width
        assert set(line.split(", ")) <= pieces
        shown.append(len(line))
    assert shown == sorted(shown, reverse=True)
    assert len(set(shown)) >= 6
    progress.close()
