"""An endless stream of changed and synthetic sounds, which the teachers label."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import signal

from genretag.audio import synthesis
from models.recipe.corpus import Clip, path_of
from models.recipe.teachers import RATE_MN04

FloatArray = npt.NDArray[np.float32]

SAMPLES = 10 * RATE_MN04
SYNTHETIC_SHARE = 0.07
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


def _applause(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    """Return claps at random times, from a few people to a hall."""
    x = np.zeros(SAMPLES)
    count = int(10 * np.exp(rng.uniform(np.log(4), np.log(2000))))
    np.add.at(x, rng.integers(0, SAMPLES, count), rng.exponential(1, count))
    at = np.arange(int(0.03 * RATE_MN04)) / RATE_MN04
    clap = np.exp(-at / rng.uniform(0.002, 0.008)) * rng.normal(size=len(at))
    return np.asarray(signal.fftconvolve(x, clap, "same"))


def _ring(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    """Return a telephone's ring: two tones in fast turns, with pauses."""
    other = hertz * rng.uniform(1.1, 1.5)
    turns = np.sin(2 * np.pi * rng.uniform(10, 30) * _TIME) > 0
    return np.where(turns, _sine(rng, hertz), _sine(rng, other)) * (rng.uniform(1, 3) > _TIME % 3)


def _siren(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    pitch = 700 * 2 ** (0.6 * np.sin(2 * np.pi * rng.uniform(0.1, 3) * _TIME))
    return np.sin(2 * np.pi * np.cumsum(pitch) / RATE_MN04)


def _fan(rng: np.random.Generator, hertz: float) -> npt.NDArray[np.float64]:
    """Return coloured noise with a hum."""
    sos = signal.butter(1, float(rng.uniform(100, 4000)), "low", fs=RATE_MN04, output="sos")
    noise = np.asarray(signal.sosfilt(sos, rng.normal(size=SAMPLES)))
    return noise / noise.std() + rng.uniform(0, 1) * _hum(rng, hertz)


NOT_MUSIC: tuple[Callable[[np.random.Generator, float], npt.NDArray[np.float64]], ...] = (
    _sine,
    _square,
    _hum,
    _dial,
    _beeps,
    _sweep,
    _clicks,
    _engine,
    _noise,
    _applause,
    _ring,
    _siren,
    _fan,
)


def synthetic(rng: np.random.Generator) -> FloatArray:
    """Return 10 s of a tone, hum, beeps, clicks, engine, applause, noise or the like."""
    source = NOT_MUSIC[rng.integers(len(NOT_MUSIC))]
    return levelled(source(rng, float(np.exp(rng.uniform(np.log(60), np.log(6000))))))


def _flute(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a melody of one wind instrument with vibrato and breath."""
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    x, at = np.zeros(SAMPLES), 0
    root = float(rng.uniform(220, 600))
    while at < SAMPLES:
        n = int(RATE_MN04 * rng.choice([0.25, 0.5, 0.75, 1, 2]))
        t = np.arange(min(n, SAMPLES - at)) / RATE_MN04
        pitch = root * 2 ** (rng.choice(scale) / 12)
        phase = 2 * np.pi * pitch * t + 0.02 * pitch * np.sin(2 * np.pi * 5 * t) / 5
        tone = np.sin(phase) + 0.3 * np.sin(2 * phase) + 0.1 * np.sin(3 * phase)
        envelope = np.minimum(1, t / 0.05) * np.minimum(1, (t[-1] - t) / 0.05)
        x[at : at + len(t)] = (tone + 0.05 * rng.normal(size=len(t))) * envelope
        at += n
    return x


def _drone(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return held chords whose partials swell at rates of their own."""
    root, x = float(rng.uniform(40, 160)), np.zeros(SAMPLES)
    for interval in (1, 1.5, 2, rng.choice([1.2, 1.25, 1.333]), 3):
        for partial in range(1, 6):
            swell = 1 + np.sin(2 * np.pi * rng.uniform(0.03, 0.4) * _TIME + rng.uniform(0, 6))
            detuned = root * interval * partial * (1 + rng.normal(0, 0.002))
            x += swell * np.sin(2 * np.pi * detuned * _TIME + rng.uniform(0, 6)) / partial
    return x


def _minimal(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a pattern of kick, hi-hat and a bass of few notes."""
    beat = 60 / rng.uniform(90, 140)
    since = _TIME % beat
    kick = np.sin(2 * np.pi * 50 * since + 8 * np.exp(-since * 30)) * np.exp(-since * 8)
    off = (_TIME + beat / 2) % beat
    hat = rng.normal(size=SAMPLES) * np.exp(-off * 60) * rng.uniform(0, 0.4)
    notes = 55 * 2 ** (rng.choice([0, 3, 5, 7, 10], 16) / 12)
    step = (_TIME / (beat / 2)).astype(int) % int(rng.choice([4, 8, 16]))
    bass = np.sign(np.sin(2 * np.pi * notes[step] * _TIME)) * np.exp(-(_TIME % (beat / 2)) * 10)
    return kick + hat + rng.uniform(0, 0.5) * bass


MUSIC: tuple[Callable[[np.random.Generator], npt.NDArray[np.float64]], ...] = (
    _flute,
    _drone,
    _minimal,
)


def synthetic_music(rng: np.random.Generator) -> FloatArray:
    """Return 10 s of music that is close to tones: a flute, a drone, a minimal pattern, a demo."""
    kind = int(rng.integers(len(MUSIC) + 1))
    if kind == len(MUSIC):
        x = synthesis.piece(
            int(rng.integers(1 << 30)), 10, RATE_MN04, beat=bool(rng.random() < 0.5)
        )
        return levelled(np.resize(np.atleast_2d(x).mean(0), SAMPLES))
    return levelled(MUSIC[kind](rng))


def changed(rng: np.random.Generator, x: FloatArray) -> FloatArray:
    """Return samples filtered, clipped, reversed, delayed, looped or as they are.

    One in five gets the reverberation of a room as well.
    """
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
    elif v < 0.66:
        x = _shuffled(rng, x)
    elif v < 0.75:
        x = _equalised(rng, x)
    if rng.random() < 0.2:
        x = _in_a_room(rng, x)
    return np.ascontiguousarray(x, np.float32)


def _shuffled(rng: np.random.Generator, x: FloatArray) -> FloatArray:
    """Return the pieces of samples in another order."""
    pieces = np.array_split(x, int(rng.integers(4, 30)))
    return np.concatenate([pieces[k] for k in rng.permutation(len(pieces))])


def _equalised(rng: np.random.Generator, x: FloatArray) -> FloatArray:
    """Return samples with a random gain in each octave, up to some 12 dB."""
    spectrum = np.fft.rfft(x)
    octave = np.log2(np.maximum(np.fft.rfftfreq(len(x), 1 / RATE_MN04), 20) / 20)
    gains = rng.normal(0, 6, 11)
    gain = 10 ** (np.interp(octave, np.arange(11), gains) / 20)
    return np.fft.irfft(spectrum * gain, len(x)).astype(np.float32)


def _in_a_room(rng: np.random.Generator, x: FloatArray) -> FloatArray:
    """Return samples with reverberation: decaying noise as the impulse response."""
    at = np.arange(int(1.5 * RATE_MN04)) / RATE_MN04
    tail = rng.normal(size=len(at)) * np.exp(-at * 6.9 / rng.uniform(0.2, 2.5))
    wet = signal.fftconvolve(x, tail)[: len(x)]
    share = rng.uniform(0.1, 0.7)
    return (1 - share) * x + share * levelled(wet)


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
            return indices, synthetic(rng) if rng.random() < 0.7 else synthetic_music(rng)
        x = np.zeros(SAMPLES, np.float32)
        for k in range(rng.choice([1, 2, 3], p=[0.35, 0.5, 0.15])):
            indices[k], piece = self._piece()
            x += piece * np.float32(10 ** (-rng.exponential(4) / 20) if k else 1)
        if rng.random() < 0.06:
            layer = synthetic(rng) if rng.random() < 0.5 else synthetic_music(rng)
            x += layer * np.float32(rng.uniform(0.1, 1))
        return indices, changed(rng, x)

    def _piece(self) -> tuple[int, FloatArray]:
        """Return (index, 10 s) of a random clip, its speed and pitch changed half the time."""
        rng = self.rng
        if len(self.pool) < _POOL * 2 // 3 or rng.random() < _REPLACED:
            index = int(rng.choice(len(self.clips), p=self.share))
            x = decoded(path_of(self.data, self.clips[index]), RATE_MN04)
            self.pool = [*self.pool[-_POOL + 1 :], (index, levelled(x))]
            x = self.pool[-1][1]
        else:
            index, x = self.pool[rng.integers(len(self.pool))]
        if rng.random() < 0.5:
            ratio = Fraction(float(rng.uniform(0.75, 1.3))).limit_denominator(40)
            x = signal.resample_poly(x, ratio.numerator, ratio.denominator).astype(np.float32)
        x = np.tile(x, -(-SAMPLES // len(x)))
        start = int(rng.integers(0, len(x) - SAMPLES + 1))
        return index, x[start : start + SAMPLES].astype(np.float32)
