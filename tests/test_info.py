"""``genretag info``: a long track is shown in a few lines."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Program
from mutagen.id3 import ID3, TCON

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


def shown(genretag: Program, *arguments: object) -> dict:
    row: dict = genretag("info", *arguments, "--json").rows[0]
    return row


@pytest.fixture
def judged_by_pieces(genretag: Program, tmp_path: Path) -> Path:
    """Return a track of 100 s after a sparse scan."""
    path = tmp_path / "music" / "long.mp3"
    path.parent.mkdir()
    synthesis.encode(path, synthesis.piece(1, 100), 44_100)
    assert genretag("scan", path, "--dry-run", "--windows", "sparse").status == 0
    return path


def test_a_sparse_analysis_is_shown_and_not_replaced(
    genretag: Program, judged_by_pieces: Path
) -> None:
    first = shown(genretag, judged_by_pieces)
    assert first["piece"] == 5
    assert len(first["windows"]) in (6, 12)
    text = genretag("info", judged_by_pieces).out
    assert f"{len(first['windows'])} pieces of 5 s; --windows all analyses the whole track" in text
    # What was not replaced still serves, with the tags that the file has now, under any name.
    tags = ID3(judged_by_pieces)
    tags.add(TCON(text="Polka"))
    tags.save(judged_by_pieces)
    moved = judged_by_pieces.rename(judged_by_pieces.with_name("moved.mp3"))
    again = shown(genretag, moved)
    assert again["genres"] == ["Polka"]
    assert again["windows"] == first["windows"]


def test_the_whole_track_is_analysed_on_request(genretag: Program, judged_by_pieces: Path) -> None:
    whole = shown(genretag, judged_by_pieces, "--windows", "all")
    assert (whole["piece"], len(whole["windows"])) == (0, 4)
    assert shown(genretag, judged_by_pieces) == whole
    assert "--windows all" not in genretag("info", judged_by_pieces).out


def test_a_drawing_needs_the_whole_track(genretag: Program, judged_by_pieces: Path) -> None:
    assert genretag("info", judged_by_pieces, "--plot").status == 0
    assert shown(genretag, judged_by_pieces)["piece"] == 0


def test_a_new_track_is_analysed_by_pieces_on_request(genretag: Program, tmp_path: Path) -> None:
    synthesis.encode(tmp_path / "a.mp3", synthesis.piece(3, 100), 44_100)
    assert shown(genretag, tmp_path / "a.mp3", "--windows", "sparse")["piece"] == 5
