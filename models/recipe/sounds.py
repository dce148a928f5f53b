"""An endless stream of changed and synthetic sounds, which the teachers are asked about."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import signal

from models.recipe.corpus import Clip, path_of
from models.recipe.teachers import RATE_MN04

FloatArray = npt.NDArray[np.float32]

SAMPLES = 10 * RATE_MN04
SYNTHETIC_SHARE = 0.05
_POOL = 60  # clips that are kept decoded
_REPLACED = 0.35  # chance that a mix decodes a new clip
_TIME = np.arange(SAMPLES) / RATE_MN04
_WEIGHTS = {"taffc": 3.0}  # how often a source is drawn


def decoded(path: Path, rate: int) -> FloatArray:
    """Return a file's mono samples at ``rate`` Hz, decoded by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(rate)]
    done = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32)


def levelled(x: npt.NDArray[np.floating]) -> FloatArray:
    """Return samples at RMS 0.1."""
    return (x * (0.1 / max(1e-6, float(np.sqrt(np.mean(x * x)))))).astype(np.float32)


def _sine(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    return np.sin(2 * np.pi * hertz * _TIME)


def _square(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    return np.sign(_sine(rng, hertz))


def _hum(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    orders = range(1, int(rng.integers(3, 12)))
    waves = [np.sin(2 * np.pi * 50 * k * _TIME + rng.uniform(0, 6)) / k for k in orders]
    return np.sum(waves, axis=0)


def _dial(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    if rng.random() < 0.5:
        return _sine(rng, 350) + _sine(rng, 440)
    low, high = rng.choice([697, 770, 852, 941]), rng.choice([1209, 1336, 1477])
    return _sine(rng, low) + _sine(rng, high)


def _beeps(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    return _sine(rng, hertz) * (_TIME % rng.uniform(0.3, 2) < rng.uniform(0.05, 0.5))


def _sweep(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    pitch = np.interp(_TIME % rng.uniform(1, 10), [0, 10], np.log([100, 8000]))
    return np.sin(2 * np.pi * np.cumsum(np.exp(pitch)) / RATE_MN04)


def _pulses(
    rng: np.random.Generator, period: float, seconds: float, decay: float
) -> npt.NDArray[np.float64]:
    """Return bursts of noise, one each ``period`` (s), that fade with ``decay`` (s)."""
    x = np.zeros(SAMPLES)
    x[:: int(RATE_MN04 * period)] = 1
    at = np.arange(int(seconds * RATE_MN04)) / RATE_MN04
    burst = np.exp(-at / decay) * rng.normal(size=len(at))
    return np.asarray(signal.fftconvolve(x, burst, "same"))


def _clicks(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    return _pulses(rng, rng.uniform(0.2, 1.2), 0.0125, rng.uniform(0.0003, 0.0025))


def _engine(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    bursts = _pulses(rng, 1 / rng.uniform(15, 60), 0.094, 0.016)
    return bursts + 0.02 * rng.normal(size=SAMPLES)


def _noise(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    return rng.normal(size=SAMPLES)


_SOURCES: tuple[Callable[[np.random.Generator, float], npt.NDArray[np.float64]], ...] = (
    _sine,
    _square,
    _hum,
    _dial,
    _beeps,
    _sweep,
    _clicks,
    _engine,
    _noise,
)


def synthetic(rng: np.random.Generator) -> FloatArray:
    """Return 10 s of a tone, hum, dial tone, beeps, sweep, clicks, engine or noise at 32 kHz."""
    source = _SOURCES[rng.integers(len(_SOURCES))]
    return levelled(source(rng, float(np.exp(rng.uniform(np.log(60), np.log(6000))))))


def changed(rng: np.random.Generator, x: FloatArray) -> FloatArray:
    """Return samples filtered, clipped, reversed, delayed, looped or as they are."""
    v = rng.random()
    if v < 0.35:
        kind, edges = ("low", (1500, 12_000)) if v < 0.2 else ("high", (60, 800))
        sos = signal.butter(2, rng.uniform(*edges), kind, fs=RATE_MN04, output="sos")
        x = signal.sosfilt(sos, x)
    elif v < 0.45:
        x = np.clip(x * 3 * 10 ** (rng.uniform(3, 18) / 20), -1, 1)
    elif v < 0.5:
        x = x[::-1]
    elif v < 0.55:
        delay = int(RATE_MN04 * rng.uniform(0.0003, 0.08))
        x = x + rng.uniform(0.3, 1) * np.pad(x, (delay, 0))[: len(x)]
    elif v < 0.6:
        loop = int(RATE_MN04 * rng.uniform(0.4, 3))
        x = np.tile(x[:loop], -(-len(x) // loop))[: len(x)]
    return np.ascontiguousarray(x, np.float32)


class Mixer:
    """Make sounds of 10 s at 32 kHz out of one to three clips, or of none."""

    def __init__(self, data: Path, clips: list[Clip], rng: np.random.Generator) -> None:
        weight = np.array([_WEIGHTS.get(c.source, 0.5 + (c.role != "nonmusic")) for c in clips])
        self.data, self.clips, self.rng = data, clips, rng
        self.share = weight / weight.sum()
        self.pool: list[tuple[int, FloatArray]] = []

    def __call__(self) -> tuple[list[int], FloatArray]:
        """Return (indices of the clips, -1 for none; samples)."""
        rng, indices = self.rng, [-1, -1, -1]
        if rng.random() < SYNTHETIC_SHARE:
            return indices, synthetic(rng)
        x = np.zeros(SAMPLES, np.float32)
        for k in range(rng.choice([1, 2, 3], p=[0.35, 0.5, 0.15])):
            indices[k], piece = self._piece()
            x += piece * np.float32(10 ** (-rng.exponential(4) / 20) if k else 1)
        if rng.random() < 0.03:
            x += synthetic(rng) * np.float32(rng.uniform(0.1, 1))
        return indices, changed(rng, x)

    def _piece(self) -> tuple[int, FloatArray]:
        """Return (index, 10 s) of a random clip, its speed and pitch changed four times in ten."""
        rng = self.rng
        if len(self.pool) < _POOL * 2 // 3 or rng.random() < _REPLACED:
            index = int(rng.choice(len(self.clips), p=self.share))
            x = decoded(path_of(self.data, self.clips[index]), RATE_MN04)
            self.pool = [*self.pool[-_POOL + 1 :], (index, levelled(x))]
            x = self.pool[-1][1]
        else:
            index, x = self.pool[rng.integers(len(self.pool))]
        if rng.random() < 0.4:
            ratio = Fraction(float(rng.uniform(0.85, 1.18))).limit_denominator(40)
            x = signal.resample_poly(x, ratio.numerator, ratio.denominator).astype(np.float32)
        x = np.tile(x, -(-SAMPLES // len(x)))
        start = int(rng.integers(0, len(x) - SAMPLES + 1))
        return index, x[start : start + SAMPLES].astype(np.float32)
