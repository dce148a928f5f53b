"""``genretag info``: a long track is shown in a few lines."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from conftest import Program

from genretag.audio import synthesis


def test_equal_neighbouring_windows_are_one_line(genretag: Program, tmp_path: Path) -> None:
    piece = synthesis.piece(1, 30)
    synthesis.encode(tmp_path / "long.mp3", np.tile(piece, 8), 44_100)
    ran = genretag("info", tmp_path / "long.mp3")
    assert ran.status == 0, ran.err
    lines = re.findall(r"^\d+:\d\d .*", ran.out, re.MULTILINE)
    assert len(lines) < 5
    counts = [int(n) for n in re.findall(r"\((\d+) windows\)", ran.out)]
    single = len(lines) - len(counts)
    assert sum(counts) + single == 8
    assert len(genretag("info", tmp_path / "long.mp3", "--json").rows[0]["windows"]) == 8


def test_the_confidence_is_that_of_the_plan(genretag: Program, tmp_path: Path) -> None:
    synthesis.encode(tmp_path / "a.flac", synthesis.piece(3, 12), 44_100)
    plan = genretag("scan", tmp_path / "a.flac", "--dry-run", "--plain").out
    (shown,) = re.findall(r"Confidence (\d\.\d\d)", plan)
    vote = genretag("info", tmp_path / "a.flac").out.partition("vote: ")[2]
    assert shown in vote
