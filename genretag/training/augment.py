"""Augmentation: changes to a mel spectrogram that do not change the genre."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def tilt(rng: np.random.Generator, bands: int) -> FloatArray:
    """Return band gains (power) of a random smooth filter: a slope and two bumps, about 8 dB."""
    x = np.linspace(-1, 1, bands)
    db = rng.normal(0, 3) * x
    for _ in range(2):
        db = db + rng.normal(0, 3) * np.exp(
            -(((x - rng.uniform(-1, 1)) / rng.uniform(0.15, 0.6)) ** 2)
        )
    return (10 ** (db / 10)).astype(np.float32)


def low_pass(rng: np.random.Generator, bands: int) -> FloatArray:
    """Return band gains (power) of a random low-pass in the upper third, like a poor codec's."""
    edge = rng.integers(bands * 2 // 3, bands)
    gains = np.ones(bands, dtype=np.float32)
    gains[edge:] = 10 ** (-rng.uniform(2, 6))
    return gains


def warp(rng: np.random.Generator, mel: FloatArray, frames: int) -> FloatArray:
    """Stretch time by up to 8 % and shift pitch by up to 1.5 bands.

    ``mel`` [frames + ``spare_frames``, bands] has frames to spare.
    """
    speed = rng.uniform(0.92, 1.08)
    # Do not read behind the end of a short excerpt.
    speed = min(speed, (len(mel) - 1) / frames)
    at = np.arange(frames) * speed
    i = at.astype(int)
    f = (at - i)[:, None].astype(np.float32)
    out = mel[i] * (1 - f) + mel[np.minimum(i + 1, len(mel) - 1)] * f
    # A shift by bands is a shift of pitch, since the bands are evenly spaced on the mel scale.
    shift = rng.uniform(-1.5, 1.5)
    j = np.clip(np.arange(mel.shape[1]) + shift, 0, mel.shape[1] - 1)
    k = j.astype(int)
    g = (j - k).astype(np.float32)
    shifted: FloatArray = out[:, k] * (1 - g) + out[:, np.minimum(k + 1, mel.shape[1] - 1)] * g
    return shifted


def augment_mel(rng: np.random.Generator, mel: FloatArray, frames: int) -> FloatArray:
    """Return ``frames`` frames of mel power [frames or more, bands] with random changes."""
    if len(mel) > frames + 1 and rng.random() < 0.6:
        mel = warp(rng, mel, frames)
    else:
        skip = rng.integers(0, max(1, len(mel) - frames + 1))
        mel = mel[skip : skip + frames]
    if rng.random() < 0.6:
        mel = mel * tilt(rng, mel.shape[1])
    if rng.random() < 0.15:
        mel = mel * low_pass(rng, mel.shape[1])
    if rng.random() < 0.1:
        # A noise floor, as of old recordings and of dither.
        mel = mel + np.float32(10 ** rng.uniform(-6, -3))
    return mel


def spare_frames(frames: int) -> int:
    """Return the additional frames that ``augment_mel`` needs to stretch time."""
    return round(frames * 0.09) + 2


def mask(rng: np.random.Generator, log_mel: FloatArray, fill: float) -> None:
    """Mask two ranges of time and two of bands in place (SpecAugment: Park et al. 2019)."""
    frames, bands = log_mel.shape
    for _ in range(2):
        width = rng.integers(0, max(1, frames // 8))
        start = rng.integers(0, frames - width)
        log_mel[start : start + width] = fill
        width = rng.integers(0, bands // 8)
        start = rng.integers(0, bands - width)
        log_mel[:, start : start + width] = fill


def mix(x: FloatArray, other: npt.NDArray[np.intp], share: FloatArray, std: float) -> FloatArray:
    """Mix log-mels [n, bands, frames] by power: ``share`` [n, 1] of each, the rest of another."""
    # Sounds add in power; a mean of logarithms is not the log-mel of any mixture.
    power = np.exp(x * std) * share[..., None] + np.exp(x[other] * std) * (1 - share[..., None])
    out: FloatArray = np.log(power) / np.float32(std)
    return out
