"""The log-mel computed at 44.1 kHz is that of the same samples at 16 kHz."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from genretag import audio
from genretag.audio import synthesis
from genretag.features import (
    NATIVE_RATE,
    FrontEnd,
    LogMel,
    MelFrontEnd,
    build_features,
    collectors_of,
)
from genretag.features.native import NativeLogMel
from genretag.scan.worker import Part, Task, WindowReady, analyse

FRONT_END = FrontEnd()
LOG_MEL = LogMel.of(FRONT_END)
DECIBELS = FRONT_END.std * 10 / np.log(10)  # of a step of 1 in the features


def music(seed: int, seconds: float, rate: int = NATIVE_RATE) -> np.ndarray:
    return np.ascontiguousarray(synthesis.piece(seed, seconds, rate).mean(0), np.float32)


def native(samples: np.ndarray) -> np.ndarray:
    """Return the log-mel of samples that come in parts, as a decoder returns them."""
    collector = NativeLogMel(FRONT_END)
    sizes = np.random.default_rng(len(samples)).integers(0, 300_000, 100).cumsum()
    for part in np.split(samples, sizes[sizes < len(samples)]):
        collector.add(part)
    return collector.result()


def noise(seed: int, samples: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def check_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Check that two log-mels differ by less than a model notices.

    The steady tones of synthetic music are the hardest case, as bins lie elsewhere between them.
    """
    difference = (ours - theirs) * DECIBELS
    assert np.sqrt(np.mean(np.square(difference))) < 0.8
    assert np.abs(difference.mean(axis=1)).max() < 2
    assert abs(difference.mean()) < 0.2


@pytest.mark.parametrize("seed", [2, 5, 11])
def test_it_is_librosas_of_scipys_resampling(seed: int) -> None:
    samples = music(seed, 9.3)
    low = resample_poly(samples.astype(np.float64), 160, 441)
    mel = librosa.feature.melspectrogram(
        y=low * 0.1 / np.sqrt(np.mean(np.square(low))),
        sr=16_000,
        n_fft=512,
        hop_length=256,
        n_mels=80,
        fmin=30,
        fmax=7_600,
        center=False,
    )
    check_close(native(samples), (np.log(mel + 1e-6) + 6.5) / 3.0)


@pytest.mark.parametrize("offset", [0.1, -0.5])
def test_an_offset_does_not_change_the_level(offset: float) -> None:
    samples = music(3, 6.0) + np.float32(offset)
    low = soxr.resample(samples, NATIVE_RATE, 16_000, quality="HQ")
    difference = (native(samples) - LOG_MEL(low)) * DECIBELS
    assert abs(np.median(difference[20:])) < 0.3  # the bands that the offset does not leak into


@given(st.integers(0, 99), st.integers(NATIVE_RATE, 8 * NATIVE_RATE), st.floats(-60, 12))
@settings(max_examples=25, deadline=None)
def test_frames_are_those_after_resampling(seed: int, samples: int, db: float) -> None:
    x = noise(seed, samples) * np.float32(10 ** (db / 20))
    ours = native(x)
    theirs = LOG_MEL(np.asarray(soxr.resample(x, NATIVE_RATE, 16_000, quality="HQ")))
    frames = min(ours.shape[1], theirs.shape[1])
    # Resampling rounds the length, which may add a frame.
    assert theirs.shape[1] - ours.shape[1] in (0, 1)
    difference = (ours[:, :frames] - theirs[:, :frames]) * DECIBELS
    assert np.sqrt(np.mean(np.square(difference))) < 0.25
    assert np.abs(difference.mean(axis=1)).max() < 0.6
    assert abs(difference.mean()) < 0.05


@given(st.integers(0, 99), st.integers(1_412, 30_000) | st.integers(704_000, 714_000))
@settings(max_examples=30, deadline=None)
def test_each_frame_is_a_transform_of_its_own_place(seed: int, samples: int) -> None:
    x = noise(seed, samples)
    mel = np.exp(native(x) * FRONT_END.std + FRONT_END.mean).T - FRONT_END.floor
    assert len(mel) == FRONT_END.frames(samples * 16_000 // NATIVE_RATE)
    filters = librosa.filters.mel(sr=NATIVE_RATE, n_fft=1_408, n_mels=80, fmin=30, fmax=7_600)
    ratios = []
    for k in [*range(min(len(mel), 12)), *range(max(0, len(mel) - 12), len(mel))]:
        place = k * 705.6
        first = 3 + 705 * (k % 5) + 3_528 * (k // 5)
        # All of the frame but what the window takes away: no sample before or behind it.
        assert place <= first
        assert first + 1_408 <= place + 1_411.2
        at = (np.arange(first, first + 1_408) - place) / 1_411.2
        spectrum = np.fft.rfft(x[first : first + 1_408] * np.sin(np.pi * at) ** 2)
        ratios.append(mel[k] / (filters @ np.square(np.abs(spectrum))))
    # What is left is the level of the window.
    np.testing.assert_allclose(ratios, np.median(ratios), rtol=5e-3)


@given(st.integers(0, 99), st.floats(9_000, 22_000), st.floats(-40, 20))
@settings(max_examples=25, deadline=None)
def test_what_lies_above_8_khz_has_no_influence(seed: int, hertz: float, db: float) -> None:
    x = music(seed, 3)
    level = np.sqrt(2 * np.mean(np.square(x))) * 10 ** (db / 20)
    tone = level * np.sin(2 * np.pi * hertz * np.arange(len(x)) / NATIVE_RATE)
    difference = (native(x + tone.astype(np.float32)) - native(x)) * DECIBELS
    assert np.abs(difference.mean(axis=1)).max() < 0.3


def test_a_click_at_the_edge_counts_as_much_as_in_the_middle() -> None:
    # The first 16 ms are in one frame only, so that an energy from the frames would be too low.
    levels = []
    for at in (0.004, 1.0):
        x = noise(1, 2 * NATIVE_RATE) * np.float32(1e-3)
        x[round(at * NATIVE_RATE) :][:40] += 0.5
        levels.append(native(x)[:, -20:].mean() * DECIBELS)
    assert levels[0] == pytest.approx(levels[1], abs=0.3)


def test_a_collector_begins_again_after_each_window() -> None:
    collector = NativeLogMel(FRONT_END)
    for seconds in (17.0, 1.0, 30.0, 1.0):
        samples = noise(1, round(seconds * NATIVE_RATE))
        collector.add(samples)
        np.testing.assert_allclose(collector.result(), native(samples), atol=1e-4)


def test_silence_is_finite_and_not_amplified() -> None:
    assert np.array_equal(
        native(np.zeros(NATIVE_RATE, np.float32)), LOG_MEL(np.zeros(16_000, np.float32))
    )


@pytest.mark.parametrize(
    "front_end",
    [
        FrontEnd(hop_length=160),
        FrontEnd(n_fft=1_024),
        FrontEnd(fmax=4_000),
        FrontEnd(sample_rate=22_050),
        MelFrontEnd(),
    ],
)
def test_other_front_ends_get_resampled_samples(front_end: FrontEnd | MelFrontEnd) -> None:
    assert list(collectors_of(build_features(front_end))) == [front_end.sample_rate]


@pytest.mark.parametrize("part", [Part.WHOLE, Part.BOTH])
def test_a_track_has_the_same_log_mel_at_any_rate(tmp_path: Path, part: Part) -> None:
    windows: dict[int, list[WindowReady]] = {}
    whole = synthesis.piece(3, 100)
    for rate in (NATIVE_RATE, 48_000):
        path = tmp_path / f"{rate}.flac"
        samples = np.asarray(soxr.resample(whole.T, NATIVE_RATE, rate, quality="VHQ")).T
        synthesis.encode(path, samples, rate, synthesis.Container("flac", rate))
        log = audio.DecodeLog()
        list(audio.decode(path, 16_000, log, [NATIVE_RATE]))
        assert log.rate == (NATIVE_RATE if rate == NATIVE_RATE else 16_000)
        messages = analyse(Task(path, ask=False, part=part), LOG_MEL, lambda _: True)
        windows[rate] = [m for m in messages if isinstance(m, WindowReady)]
    assert len(windows[48_000]) == (4 if part is Part.WHOLE else 12)
    for ours, theirs in zip(windows[NATIVE_RATE], windows[48_000], strict=True):
        assert ours.start == theirs.start
        assert ours.log_mel.shape == theirs.log_mel.shape
        check_close(ours.log_mel, theirs.log_mel)
