"""Resampling: soxr's HQ, however the stream is cut into blocks."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag.audio.resampling import resampler

RATE = 16_000
RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 37_800, 44_056, 44_099, 44_100, 48_000, 88_200, 96_000, 192_000]


def through(samples: np.ndarray, native: int, cuts: list[int] | None = None, rate: int = RATE) -> np.ndarray:
    """Resample a signal that comes in blocks, cut at these places."""
    resampling, found = resampler(native, rate), []
    for block in np.split(samples, sorted(cuts or [])):
        while len(block):
            room = resampling.room(len(block))
            assert len(room)
            room[:], block = block[: len(room)], block[len(room) :]
            found.append(resampling.taken())
    return np.concatenate([*found, resampling.rest()])


def noise(samples: int, native: int, seed: int = 0, to: float = 7_200.0) -> np.ndarray:
    """Noise without an edge to either side and with nothing above ``to`` Hz: what both must pass."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.normal(0, 1, samples) * np.hanning(samples))
    spectrum[np.fft.rfftfreq(samples, 1 / native) > to] = 0
    found = np.fft.irfft(spectrum, samples)
    return (found * np.hanning(samples) / max(1e-9, np.abs(found).max())).astype(np.float32)


@pytest.mark.parametrize("native", RATES)
def test_it_gives_what_soxr_gives(native: int) -> None:
    samples = noise(3 * native + 17, native, to=min(7_200, 0.4 * native))
    got, want = through(samples, native), soxr.resample(samples, native, RATE, quality="HQ")
    assert got.dtype == np.float32
    assert len(got) == len(want)
    assert np.abs(got - want).max() < 1e-3 * np.abs(want).max()
    assert np.sqrt(np.mean((got - want) ** 2)) < 3e-4 * want.std()


@pytest.mark.parametrize("native", RATES)
@settings(max_examples=15)
@given(data=st.data())
def test_blocks_change_nothing(native: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 2 * native))
    samples = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    cuts = data.draw(st.lists(st.integers(0, length), max_size=6))
    got, whole = through(samples, native, cuts), through(samples, native)
    assert len(got) == len(whole)
    assert abs(len(got) - length * RATE / native) <= 0.5
    if len(got):
        assert np.abs(got - whole).max() < 1e-6


@pytest.mark.parametrize("native", [22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize(("hertz", "passed"), [(50, True), (1_000, True), (7_300, True), (8_050, False), (9_000, False), (10_900, False)])
def test_tones_pass_below_and_vanish_above(native: int, hertz: float, passed: bool) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(2 * native) / native).astype(np.float32)
    middle = through(tone, native)[RATE // 2 : -RATE // 2]
    want = np.sin(2 * np.pi * hertz * np.arange(RATE // 2, 3 * RATE // 2) / RATE) if passed else np.zeros(RATE)
    assert np.abs(middle - want).max() < (2e-3 if passed else 2e-6)


def test_to_other_rates_too() -> None:
    for native, rate in ((44_100, 22_050), (48_000, 22_050), (96_000, 44_100), (44_100, 48_000)):
        samples = noise(2 * native, native)
        want = soxr.resample(samples, native, rate, quality="HQ")
        got = through(samples, native, [native // 3], rate)
        assert len(got) == len(want)
        assert np.abs(got - want).max() < 1e-3 * np.abs(want).max()
