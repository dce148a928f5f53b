"""Pictures of a track: the thumbnail in the cache, and ``info --plot``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import Program
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag.audio import synthesis
from genretag.errors import UsageError
from genretag.features import MUSICNN, thumbnail
from genretag.report import picture


@given(st.integers(12, 200), st.integers(16, 3_000), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_a_thumbnail_has_the_same_size_for_every_track(
    bands: int, frames: int, windows: int
) -> None:
    parts = [
        thumbnail.pool_window(
            np.random.default_rng(i).normal(size=(bands, frames)).astype(np.float32)
        )
        for i in range(windows)
    ]
    data = thumbnail.pack([p for p in parts if p is not None])
    assert len(data) == thumbnail.BANDS * thumbnail.COLUMNS // 2
    assert thumbnail.unpack(data).shape == (thumbnail.BANDS, thumbnail.COLUMNS)


def test_a_thumbnail_shows_where_the_sound_is() -> None:
    sound = np.zeros((80, 400), np.float32)
    sound[60:, 200:] = 5  # high and late
    pooled = thumbnail.pool_window(sound)
    assert pooled is not None
    pixels = thumbnail.unpack(thumbnail.pack([pooled]))
    assert pixels[-1, -1] == 15
    assert pixels[0].max() == 0
    assert pixels[-1, 0] == 0


def test_a_waveform_has_no_thumbnail() -> None:
    assert thumbnail.pool_window(np.zeros((1, 16_000), np.float32)) is None
    assert thumbnail.pack([]) == b""


@pytest.fixture
def track(tmp_path: Path) -> Path:
    path = tmp_path / "a [red]track <b>$x$.flac"
    synthesis.encode(path, synthesis.piece(2, 40, 22_050), 22_050, tags={"artist": "A"})
    return path


def test_info_draws_a_track_into_files_and_the_terminal(
    genretag: Program, track: Path, tmp_path: Path
) -> None:
    out = genretag("info", track, "--plot").out
    assert "░" in out
    assert "0:40" in out
    assert out.count("\n") > 12
    for name in ("x.svg", "x.png"):
        assert genretag("info", track, "-O", tmp_path / name).status == 0
    text = (tmp_path / "x.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)  # markup in the name is escaped
    assert "[red]track" in text
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    assert genretag("info", track, "-O", tmp_path / "x.txt").status == 2
    assert genretag("info", track, "-O", tmp_path / "none" / "x.svg").status == 1
    assert not list(tmp_path.glob(".*part*"))


def test_the_spectrogram_follows_the_music(track: Path) -> None:
    mel = picture.compute_spectrogram(track, MUSICNN)
    assert mel.shape[0] == 96
    assert abs(mel.shape[1] - 400) <= 4  # 300 columns per 30 s window
    assert np.isfinite(mel).all()


def test_without_matplotlib_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'genretag\[plots\]'"):
        picture.save_figure(cast(picture.TrackView, None), "title", tmp_path / "x.svg")
