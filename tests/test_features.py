"""Front ends equal their published definitions: librosa's and those of external models."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag.audio import synthesis
from genretag.errors import ModelError
from genretag.features import (
    EFFICIENT_AT,
    LIBROSA,
    MUSICNN,
    AnyFrontEnd,
    FrontEnd,
    LogMel,
    Mel,
    MelFrontEnd,
    WaveformFrontEnd,
    build_features,
    filters,
    parse_front_end,
)
from genretag.features.filters import MelBank, MelFilters


@pytest.mark.parametrize(
    "front_end",
    [
        FrontEnd(),
        FrontEnd(sample_rate=22_050, n_fft=2048, hop_length=1024, n_mels=128, fmin=0, fmax=11_025),
    ],
    ids=["ours", "the classic 128 bands"],
)
def test_mel_power_equals_librosas(front_end: FrontEnd) -> None:
    samples = synthesis.piece(5, 6, front_end.sample_rate).mean(0)
    ours = LogMel.of(front_end).mel_power(samples)
    theirs = librosa.feature.melspectrogram(
        y=samples,
        sr=front_end.sample_rate,
        n_fft=front_end.n_fft,
        hop_length=front_end.hop_length,
        n_mels=front_end.n_mels,
        fmin=front_end.fmin,
        fmax=front_end.fmax,
        center=False,
    )
    assert ours.shape == theirs.T.shape
    np.testing.assert_allclose(ours, theirs.T, rtol=1e-3, atol=1e-7 * theirs.max())


@given(
    st.sampled_from([8_000, 16_000, 44_100]),
    st.sampled_from([256, 512, 2048]),
    st.integers(8, 200),
    st.floats(0, 300),
    st.floats(0.3, 1),
    st.sampled_from(["slaney", "htk", "kaldi"]),
)
@settings(max_examples=30, deadline=None)
def test_grouped_filters_equal_the_whole_matrix(
    rate: int, n_fft: int, bands: int, fmin: float, share: float, scale: str
) -> None:
    bank = MelBank(rate, n_fft, bands, fmin, share * rate / 2, scale)
    spectra = np.random.default_rng(n_fft).exponential(size=(5, n_fft // 2 + 1)).astype(np.float32)
    out = np.full((5, bands), np.nan, np.float32)
    MelFilters.of(bank)(spectra, out)
    np.testing.assert_allclose(out, spectra @ filters.mel_filters(bank), rtol=1e-5, atol=1e-9)


@given(st.integers(1, 20_000), st.floats(1e-3, 1))
@settings(max_examples=25, deadline=None)
def test_gain_scales_any_length_to_the_same_level(samples: int, level: float) -> None:
    x = np.random.default_rng(samples).normal(0, level, samples).astype(np.float32)
    power = float(np.mean(np.square(x, dtype=np.float64)))
    assert LOG_MEL.gain(x) == pytest.approx(0.1 / max(np.sqrt(power), 1e-5), rel=1e-5)


@given(st.floats(-40, 12), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_log_mel_does_not_depend_on_level(db: float, seed: int) -> None:
    log_mel = LOG_MEL
    samples = np.random.default_rng(seed).normal(0, 0.1, 16_000).astype(np.float32)
    louder = samples * np.float32(10 ** (db / 20))
    np.testing.assert_allclose(log_mel(samples), log_mel(louder), atol=2e-3)


LOG_MEL = LogMel.of(FrontEnd())


def test_silence_is_finite_and_not_amplified() -> None:
    out = LOG_MEL(np.zeros(16_000, np.float32))
    assert np.isfinite(out).all()
    assert out.max() < 0


@given(st.integers(512, 50_000))
@settings(max_examples=30, deadline=None)
def test_frame_count_is_as_announced(samples: int) -> None:
    fe = LOG_MEL.front_end
    out = LOG_MEL(np.ones(samples, np.float32))
    assert out.shape == (fe.n_mels, fe.frames(samples))
    assert (fe.frames(samples) - 1) * fe.hop_length + fe.n_fft <= samples


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "cqt"},
        {"n_fft": 0},
        {"fmax": 9e9},
        {"std": 0},
        {"hop_length": "x"},
        {"colour": 1},
        {"floor": float("nan")},
    ],
)
def test_unknown_front_end_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="front end"):
        parse_front_end({**FrontEnd().to_metadata(), **change})


def test_front_end_round_trips_through_metadata() -> None:
    assert FrontEnd.from_metadata(FrontEnd().to_metadata()) == FrontEnd()


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize(("n_fft", "bands"), [(512, 80), (512, 96), (2048, 40), (2048, 128)])
def test_filter_bank_equals_librosas(
    scale: str, norm: bool, rate: int, n_fft: int, bands: int
) -> None:
    for fmin, fmax in ((0.0, rate / 2), (30.0, 0.475 * rate)):
        bank = MelBank(rate, n_fft, bands, fmin, fmax, scale, norm)
        theirs = librosa.filters.mel(
            sr=rate,
            n_fft=n_fft,
            n_mels=bands,
            fmin=fmin,
            fmax=fmax,
            htk=scale == "htk",
            norm="slaney" if norm else None,
        )
        np.testing.assert_allclose(filters.mel_filters(bank), theirs.T, rtol=0, atol=3e-9)


def test_log_mel_is_computed_without_librosa() -> None:
    code = (
        "import sys; import numpy as np; from genretag.features import FrontEnd, LogMel;"
        " LogMel.of(FrontEnd())(np.ones(16_000, np.float32));"
        " print([m for m in ('librosa', 'numba', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def music(rate: int, seconds: float = 3.0) -> np.ndarray:
    return np.ascontiguousarray(synthesis.piece(5, seconds, rate).mean(0), np.float32)


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {
            "n_fft": 1024,
            "win_length": 800,
            "hop_length": 256,
            "n_mels": 64,
            "fmin": 50.0,
            "fmax": 8000.0,
        },
    ],
    ids=["2048", "1024"],
)
@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_decibels_equal_librosas(numbers: dict[str, float], scale: str) -> None:
    fe, y = replace(LIBROSA, scale=scale, **numbers), music(22_050)  # type: ignore[arg-type]
    mel = librosa.feature.melspectrogram(
        y=y,
        sr=22_050,
        n_fft=fe.n_fft,
        win_length=fe.win_length,
        hop_length=fe.hop_length,
        n_mels=fe.n_mels,
        fmin=fe.fmin,
        fmax=fe.fmax,
        htk=scale == "htk",
    )
    want = librosa.power_to_db(mel)
    got = Mel.of(fe)(y)
    assert got.shape == want.shape == (fe.n_mels, fe.frames(len(y)))
    assert np.abs(got - want).max() < 0.02  # dB


def slow_spectrum(frame: np.ndarray) -> np.ndarray:
    """Return |DFT|^2 by its definition, in double precision."""
    n = len(frame)
    k = np.arange(n // 2 + 1)[:, None]
    return (
        np.abs((np.asarray(frame, np.float64) * np.exp(-2j * np.pi * k * np.arange(n) / n)).sum(1))
        ** 2
    )


def slaney(mel: float) -> float:
    """Return the frequency of a mel (Slaney 1998)."""
    return 200 * mel / 3 if mel < 15 else 1000 * float(np.exp((mel - 15) * np.log(6.4) / 27))


def test_musicnn_input_equals_its_definition() -> None:
    """Pons and Serra 2019: 16 kHz, frames of 512, hop 256, 96 bands, log10(1 + 10000 x)."""
    y = music(16_000, 0.5)
    padded = np.concatenate([np.zeros(256), y, np.zeros(256)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 511)
    edges = [slaney(m) for m in np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), 98)]
    f = np.arange(257) * 16_000 / 512
    want = np.empty((96, 1 + len(y) // 256))
    for t in range(want.shape[1]):
        power = slow_spectrum(padded[t * 256 : t * 256 + 512] * window)
        for b in range(96):
            low, middle, high = edges[b : b + 3]
            triangle = (
                np.clip(
                    np.minimum((f - low) / (middle - low), (high - f) / (high - middle)), 0, None
                )
                * 2
                / (high - low)
            )
            want[b, t] = np.log10(1 + 10_000 * (power * triangle).sum())
    got = Mel.of(MUSICNN)(y)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_efficientat_input_equals_its_definition() -> None:
    """Koutini et al. 2022: 32 kHz, pre-emphasis 0.97, window 800, hop 320, 128 kaldi bands."""
    y = music(32_000, 0.3).astype(np.float64)
    x = y[1:] - 0.97 * y[:-1]
    padded = np.pad(x, 512, mode="reflect")
    window = np.zeros(1024)
    window[112:912] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 799)
    at = 1127 * np.log(1 + np.arange(512) * 32_000 / 1024 / 700)
    step = 1127 * np.log(1 + 15_000 / 700) / 129
    want = np.empty((128, 1 + len(x) // 320))
    for t in range(want.shape[1]):
        power = slow_spectrum(padded[t * 320 : t * 320 + 1024] * window)
        for b in range(128):
            triangle = np.clip(
                np.minimum((at - b * step) / step, ((b + 2) * step - at) / step), 0, None
            )
            want[b, t] = (np.log((power[:512] * triangle).sum() + 1e-5) + 4.5) / 5
    got = Mel.of(EFFICIENT_AT)(y.astype(np.float32))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_waveform_is_unchanged_or_scaled_to_a_level() -> None:
    y = music(16_000, 1.0)
    np.testing.assert_array_equal(build_features(WaveformFrontEnd())(y)[0], y)
    assert (
        abs(float(np.sqrt(np.mean(build_features(WaveformFrontEnd(rms=0.1))(y) ** 2))) - 0.1) < 1e-4
    )
    assert build_features(WaveformFrontEnd(rms=0.1))(np.zeros(0, np.float32)).shape == (1, 0)


@pytest.mark.parametrize(
    "front_end",
    [FrontEnd(), LIBROSA, MUSICNN, EFFICIENT_AT, WaveformFrontEnd(sample_rate=22_050, rms=0.1)],
)
@given(samples=st.integers(0, 5_000))
@settings(max_examples=25, deadline=None)
def test_every_front_end_round_trips_and_counts_its_frames(
    front_end: AnyFrontEnd, samples: int
) -> None:
    assert parse_front_end(front_end.to_metadata()) == front_end
    if not isinstance(front_end, FrontEnd) or samples >= front_end.n_fft:
        made = build_features(front_end)(np.zeros(samples, np.float32))
        assert made.shape == (front_end.bands, front_end.frames(samples))
        assert np.isfinite(made).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": "kaiser"}, "window"),
        ({"n_fft": 7}, "n_fft"),
        ({"fmax": 9e9}, "fmax"),
        ({"magic": 1}, "magic"),
        ({"add": float("nan")}, "finite"),
    ],
)
def test_invalid_mel_front_end_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_front_end({**MelFrontEnd().to_metadata(), **change})
