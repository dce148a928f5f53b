"""Clipped peaks are restored before the log-mel; nothing else changes a sample."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from genretag import audio
from genretag.audio import synthesis
from genretag.audio.declip import Declipper, restored
from genretag.features import FrontEnd, LogMel

RATE = 44_100
SECONDS = 4
HEADROOM = 10 ** (12.1 / 20)  # of a restored peak


def music(seed: int) -> np.ndarray:
    """Return a piece whose highest peak is full scale, [channels, n]."""
    piece = synthesis.piece(seed, SECONDS)
    return (piece / np.abs(piece).max()).astype(np.float32)


SONGS = [music(seed) for seed in range(4)]


def clipped(samples: np.ndarray, decibels: float) -> np.ndarray:
    return np.clip(samples * np.float32(10 ** (decibels / 20)), -1, 1)


def log_mel(mono: np.ndarray) -> np.ndarray:
    """Return the log-mel [frames, bands] at RMS 0.1, above the noise."""
    mel = LogMel.of(FrontEnd()).mel_power(audio.decoding.resample(mono, RATE, 16_000))
    return np.log(np.maximum(mel * (0.1 / np.sqrt((mono**2).mean())) ** 2, 1e-4))


def written(path: Path, channels: np.ndarray, codec: str, sample_format: str) -> Path:
    """Encode channels [channels, n] with FFmpeg, without any other change of level."""
    scale = {"s16": 32767, "s32": 2147483647, "flt": 1}[sample_format]
    dtype = {"s16": np.int16, "s32": np.int32, "flt": np.float32}[sample_format]
    packed = (channels.T.astype(np.float64) * scale).astype(dtype).reshape(1, -1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE, layout="stereo")
        stream.codec_context.format = sample_format
        frame = av.AudioFrame.from_ndarray(packed, sample_format, "stereo")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    return path


def decoded(path: Path) -> np.ndarray:
    return np.concatenate(list(audio.decode(path, RATE, audio.DecodeLog())))


@pytest.mark.parametrize(
    ("name", "codec", "sample_format"),
    [
        ("a.wav", "pcm_s16le", "s16"),
        ("a.flac", "flac", "s16"),
        ("b.flac", "flac", "s32"),
        ("a.aiff", "pcm_s24be", "s32"),
        ("a.caf", "pcm_s16be", "s16"),
        ("b.wav", "pcm_f32le", "flt"),
    ],
)
def test_the_log_mel_of_a_clipped_file_is_closer_to_that_of_the_original(
    tmp_path: Path, name: str, codec: str, sample_format: str
) -> None:
    for song in SONGS[:2]:
        target = log_mel(song.mean(0))
        loud = clipped(song, 12)
        mine = decoded(written(tmp_path / name, loud, codec, sample_format))
        before = np.abs(log_mel(loud.mean(0)) - target).mean()
        after = np.abs(log_mel(mine) - target).mean()
        assert after < 0.65 * before


@given(seed=st.integers(0, len(SONGS) - 1), decibels=st.floats(4, 16))
def test_only_plateaus_change_and_only_outwards(seed: int, decibels: float) -> None:
    loud = clipped(SONGS[seed][0], decibels)
    mine = restored(loud, RATE)
    inside = np.abs(loud) < 1
    assert np.array_equal(mine[inside], loud[inside])
    assert (mine[~inside] * np.sign(loud[~inside]) >= 1).all()
    assert np.abs(mine).max() <= HEADROOM
    assert (np.abs(mine) > 1).any()


@given(seed=st.integers(0, len(SONGS) - 1), gain=st.floats(0.01, 1))
def test_music_that_is_not_clipped_is_left_alone(seed: int, gain: float) -> None:
    for dtype, scale in ((np.float32, 1.0), (np.int16, 32767.0)):
        channels = list((SONGS[seed] * gain * scale).astype(dtype))
        assert Declipper().restore(channels, RATE, scale) is channels


def test_square_waves_and_silence_keep_their_samples() -> None:
    square = np.where(np.arange(RATE) // 50 % 2, 32767, -32768).astype(np.int16)
    silence = np.zeros(RATE, np.int16)
    for wave in (square, silence):
        out = Declipper().restore([wave], RATE, 32768.0)[0]
        assert np.array_equal(out, wave)


def test_eight_bits_are_left_alone() -> None:
    channels = [((clipped(SONGS[0][0], 12) + 1) * 127.5).astype(np.uint8)]
    assert Declipper().restore(channels, RATE, 128.0) is channels


@given(seed=st.integers(0, len(SONGS) - 1), size=st.integers(1, 1023), start=st.integers(0, RATE))
def test_a_short_block_decides_nothing(seed: int, size: int, start: int) -> None:
    song = (SONGS[seed] * 32767).astype(np.int16)
    short = list(song[:, start : start + size])
    declipper = Declipper()
    assert declipper.restore(short, RATE, 32768.0) is short
    whole = list(song)
    assert declipper.restore(whole, RATE, 32768.0) is whole
    # After a clipped block, the end of the track is restored with it.
    loud = clipped(SONGS[seed], 12)
    declipper.restore(list(np.tile(loud, 2)), RATE, 1.0)
    assert declipper.restore(list(loud[:, -size:]), RATE, 1.0)[0].dtype == np.float32
    assert declipper.restore(short, 2 * RATE, 32768.0) is short


@pytest.mark.filterwarnings("error")
def test_numbers_that_float32_cannot_hold_cause_no_warning() -> None:
    huge = np.tile([0.0, 1e300, 1e300, -1e300], 500)
    assert np.isinf(restored(huge, RATE)).sum() == 1500


def test_a_track_is_looked_at_again_after_some_seconds() -> None:
    quiet, loud = SONGS[0] * np.float32(0.5), clipped(SONGS[0], 12)
    declipper, found = Declipper(), []
    for block in (quiet, loud, loud, loud, quiet):
        found.append(declipper.restore(list(block), RATE, 1.0)[0].max() > 1)
    # Blocks of 4 s: a look holds for two of them.
    assert found == [False, False, True, True, False]


@given(
    samples=nps.arrays(
        np.float32, st.integers(1, 400), elements=st.floats(width=32) | st.sampled_from([-1, 1])
    )
)
def test_any_samples_are_taken(samples: np.ndarray) -> None:
    assert restored(samples, RATE).shape == samples.shape
    assert len(Declipper().restore([samples, samples[::-1]], RATE, 1.0)) == 2
