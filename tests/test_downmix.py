"""Channels that are late or inverted copies of each other do not cancel; others are averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from genretag import audio
from genretag.audio import synthesis
from genretag.audio.downmix import Downmix

RATE = 44_100
BLOCK = 1 << 16


def music(seed: int, seconds: float = 3) -> np.ndarray:
    """Return a piece with some noise, as recordings have it, [n]."""
    noise = np.random.default_rng(seed).normal(0, 0.003, int(seconds * RATE))
    return (synthesis.piece(seed, seconds, beat=False).mean(0)[: len(noise)] + noise).astype(
        np.float32
    )


SONGS = [music(seed) for seed in range(3)]


def late(samples: np.ndarray, lag: int) -> np.ndarray:
    """Return samples and a copy that is later by some samples, or earlier, [2, n]."""
    a, b = samples[max(-lag, 0) :], samples[max(lag, 0) :]
    n = min(len(a), len(b))
    return np.stack([b[:n], a[:n]])


def selected(channels: np.ndarray, rate: int = RATE) -> list[np.ndarray]:
    return list(Downmix().select(list(channels), rate, 1.0))


def whole(path: Path, rate: int = RATE) -> np.ndarray:
    return np.concatenate(list(audio.decode(path, rate, audio.DecodeLog())))


def mean_of(channels: np.ndarray) -> np.ndarray:
    """Return the mean of two channels as the decoder computes it."""
    mean = np.add(channels[0], channels[1], dtype=np.float32)
    return mean * np.float32(1 / (2 * (32768 if channels.dtype == np.int16 else 1)))


@given(
    seed=st.integers(0, len(SONGS) - 1),
    milliseconds=st.floats(0.1, 3),
    sign=st.sampled_from([-1, 1]),
    polarity=st.sampled_from([-1, 1]),
    rate=st.sampled_from([22_050, 44_100, 48_000, 96_000]),
    gain=st.floats(0.5, 2),
)
@settings(deadline=None, max_examples=60)
def test_one_of_two_copies_is_used(
    seed: int, milliseconds: float, sign: int, polarity: int, rate: int, gain: float
) -> None:
    channels = late(SONGS[seed], sign * max(round(milliseconds * rate / 1000), 3))[:, :BLOCK]
    channels[1] *= polarity * gain
    (one,) = selected(channels, rate)
    assert one.base is not None
    assert any(np.array_equal(one, channel) for channel in channels)


def decoded_copies(
    folder: Path, extension: str, lag: int, polarity: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mono samples of a file of two copies, and of a file of the first one alone."""
    channels = late(SONGS[0], lag)
    channels[1] *= polarity
    files = folder / f"both{extension}", folder / f"one{extension}"
    for path, samples in zip(files, (channels, channels[0]), strict=True):
        synthesis.encode(path, samples, RATE)
    return whole(files[0]), whole(files[1])


@pytest.mark.parametrize("extension", [".flac", ".wav", ".alac"])
@pytest.mark.parametrize(("lag", "polarity"), [(40, 1), (-40, 1), (9, -1), (0, -1)])
def test_a_file_of_copies_gives_one_channel(
    tmp_path: Path, extension: str, lag: int, polarity: int
) -> None:
    assert np.array_equal(*decoded_copies(tmp_path, extension, lag, polarity))


@pytest.mark.parametrize("extension", [".mp3", ".m4a", ".opus"])
@pytest.mark.parametrize(("lag", "polarity"), [(40, 1), (0, -1)])
def test_a_lossy_file_of_copies_sounds_like_one_channel(
    tmp_path: Path, extension: str, lag: int, polarity: int
) -> None:
    both, one = decoded_copies(tmp_path, extension, lag, polarity)
    # Each frequency keeps its level, where the mean has notches.
    spectra = [
        np.abs(np.fft.rfft(x[:BLOCK]))[200 : 200 + 10_240].reshape(256, -1) for x in (both, one)
    ]
    levels = [20 * np.log10(np.sqrt(np.square(s).mean(axis=1))) for s in spectra]
    assert np.percentile(np.abs(levels[0] - levels[1]), 90) < 2


def test_a_lag_of_one_sample_is_averaged() -> None:
    assert len(selected(late(SONGS[0], 1)[:, :BLOCK])) == 2


def stereo(seed: int, width: float, pan: float, lag: int = 0) -> np.ndarray:
    """Return a sound in the middle or panned, and others on both sides, as 16-bit [2, n]."""
    a, b, c = (np.roll(SONGS[(seed + k) % len(SONGS)], 7919 * k) for k in range(3))
    mixed = np.stack([pan * a + width * b, (1 - pan) * a + width * np.roll(c, lag)])
    return (mixed / np.abs(mixed).max() * 30_000).astype(np.int16)


@given(
    seed=st.integers(0, 2),
    width=st.floats(0, 2),
    pan=st.floats(0, 1),
    scale=st.sampled_from([1.0, 0.01]),
)
@settings(deadline=None, max_examples=30)
def test_ordinary_stereo_and_panned_sounds_are_averaged(
    seed: int, width: float, pan: float, scale: float
) -> None:
    channels = (stereo(seed, width, pan) * scale).astype(np.int16)
    assert len(Downmix().select(list(channels), RATE, 32768.0)) == 2


@given(
    tones=st.lists(st.tuples(st.floats(50, 4000), st.floats(0, 2.8)), min_size=1, max_size=8),
)
@example(tones=[(50.0, 2.5)])  # below the band that is compared
@settings(deadline=None, max_examples=30)
def test_steady_tones_prove_no_delay(tones: list[tuple[float, float]]) -> None:
    t = np.arange(BLOCK) / RATE
    channels = sum(
        np.stack([np.sin(2 * np.pi * f * t), np.sin(2 * np.pi * f * t + phase)])
        for f, phase in tones
    )
    assert len(selected(np.asarray(channels / 8, np.float32))) == 2


def test_plain_stereo_in_a_file_is_the_mean_to_the_bit(tmp_path: Path) -> None:
    for n, channels in enumerate(
        (stereo(0, 0.5, 0.5), stereo(1, 1, 0.8), stereo(0, 0, 1.0), stereo(2, 0, 0.3))
    ):
        wavfile.write(tmp_path / f"{n}.wav", RATE, channels.T)
        assert np.array_equal(whole(tmp_path / f"{n}.wav"), mean_of(channels))


def test_silence_and_numbers_that_are_none_are_averaged() -> None:
    song, nothing = SONGS[0][:BLOCK], np.zeros(BLOCK, np.float32)
    wild = late(song, 40)
    wild[0, 100], wild[1, 200] = np.nan, np.inf
    for channels in (
        [nothing, nothing],
        [song, nothing],
        [nothing, song],
        [song * np.float32(1e-6), -song * np.float32(1e-6)],
        list(wild),
        [song * np.float32(1e30), -song * np.float32(1e30)],
    ):
        assert len(Downmix().select(channels, RATE, 1.0)) == 2


@pytest.mark.parametrize("rate", [1, 100, 8000, 352_800, 2_822_400])
def test_any_rate_will_do(rate: int) -> None:
    assert len(selected(np.stack([SONGS[0], -SONGS[0]]), rate)) == 1
    assert len(selected(np.stack([SONGS[0], SONGS[1]]), rate)) == 2


def test_more_channels_than_two_are_averaged() -> None:
    channels = [SONGS[0], -SONGS[0], SONGS[0]]
    assert Downmix().select(channels, RATE, 1.0) is channels
    assert Downmix().select(channels[:1], RATE, 1.0) == channels[:1]


def test_a_silent_beginning_decides_nothing() -> None:
    downmix, channels = Downmix(), list(late(SONGS[0], 40)[:, :BLOCK])
    assert len(downmix.select([np.zeros(BLOCK, np.float32)] * 2, RATE, 1.0)) == 2
    assert len(downmix.select(channels, RATE, 1.0)) == 1


def test_a_decision_holds_for_a_minute() -> None:
    downmix = Downmix()
    copies, other = late(SONGS[0], 40)[:, :BLOCK], np.stack([SONGS[0], SONGS[1]])[:, :BLOCK]
    blocks = 60 * RATE // BLOCK + 1
    counts = [len(downmix.select(list(copies), RATE, 1.0))]
    counts += [len(downmix.select(list(other), RATE, 1.0)) for _ in range(2 * blocks)]
    assert counts[:blocks] == [1] * blocks
    assert counts[blocks:] == [2] * (len(counts) - blocks)


@pytest.mark.parametrize("copies", [True, False])
def test_pieces_are_mixed_like_the_whole_track(tmp_path: Path, copies: bool) -> None:
    first, second = (np.tile(song, 6) for song in SONGS[:2])
    channels = late(first, 40) if copies else np.stack([first, second])
    synthesis.encode(tmp_path / "a.flac", channels, RATE)
    track = whole(tmp_path / "a.flac")
    found = audio.read_pieces(tmp_path / "a.flac", RATE, lambda _: (2.0, 11.5), audio.DecodeLog())
    for piece in found:
        start = round(piece.start * RATE)
        assert np.array_equal(piece.samples, track[start : start + len(piece.samples)])
