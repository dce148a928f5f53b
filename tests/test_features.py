"""The log-mel is librosa's."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag import demo, features
from genretag.errors import ModelError
from genretag.features import FrontEnd, LogMel


@pytest.mark.parametrize(
    "front_end",
    [FrontEnd(), FrontEnd(sample_rate=22_050, n_fft=2048, hop_length=1024, n_mels=128, fmin=0, fmax=11_025)],
    ids=["ours", "the classic 128 bands"],
)
def test_mel_power_equals_librosas(front_end: FrontEnd) -> None:
    samples = demo.piece(5, 6, front_end.sample_rate).mean(0)
    ours = LogMel.of(front_end).mel_power(samples)
    theirs = librosa.feature.melspectrogram(
        y=samples, sr=front_end.sample_rate, n_fft=front_end.n_fft, hop_length=front_end.hop_length,
        n_mels=front_end.n_mels, fmin=front_end.fmin, fmax=front_end.fmax, center=False,
    )  # fmt: skip
    assert ours.shape == theirs.T.shape
    np.testing.assert_allclose(ours, theirs.T, rtol=1e-3, atol=1e-7 * theirs.max())


@given(st.floats(-40, 12), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_level_tells_nothing(db: float, seed: int) -> None:
    log_mel = LOG_MEL
    samples = np.random.default_rng(seed).normal(0, 0.1, 16_000).astype(np.float32)
    louder = samples * np.float32(10 ** (db / 20))
    np.testing.assert_allclose(log_mel(samples), log_mel(louder), atol=2e-3)


LOG_MEL = LogMel.of(FrontEnd())


def test_silence_is_finite_and_not_raised() -> None:
    out = LOG_MEL(np.zeros(16_000, np.float32))
    assert np.isfinite(out).all()
    assert out.max() < 0


@given(st.integers(512, 50_000))
@settings(max_examples=30, deadline=None)
def test_frames_are_whole_and_as_many_as_said(samples: int) -> None:
    fe = LOG_MEL.front_end
    out = LOG_MEL(np.ones(samples, np.float32))
    assert out.shape == (fe.n_mels, fe.frames(samples))
    assert (fe.frames(samples) - 1) * fe.hop_length + fe.n_fft <= samples


@pytest.mark.parametrize(
    "change", [{"kind": "cqt"}, {"n_fft": 0}, {"fmax": 9e9}, {"std": 0}, {"hop_length": "x"}, {"colour": 1}, {"floor": float("nan")}]
)
def test_a_front_end_that_is_not_understood_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="front end"):
        FrontEnd.from_metadata({**FrontEnd().to_metadata(), **change})


def test_a_front_end_survives_its_metadata() -> None:
    assert FrontEnd.from_metadata(FrontEnd().to_metadata()) == FrontEnd()


def test_a_kept_filter_bank_is_the_one_that_librosa_makes_and_a_broken_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_kept_filters", lambda _: tmp_path / "mel.npy")
    made = features.mel_filters(FrontEnd())
    assert (tmp_path / "mel.npy").exists()
    np.testing.assert_array_equal(features.mel_filters(FrontEnd()), made)
    np.testing.assert_array_equal(made, features._librosa_filters(FrontEnd()))
    for broken in (b"", b"nonsense", (tmp_path / "mel.npy").read_bytes()[:500]):
        (tmp_path / "mel.npy").write_bytes(broken)
        np.testing.assert_array_equal(features.mel_filters(FrontEnd()), made)
    assert features.mel_filters(FrontEnd(n_mels=40)).shape == (257, 40)
