"""Synthesise short pieces of music and encode them, for ``demo``, ``doctor`` and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Container:
    """Encoder settings of one container."""

    encoder: str
    rate: int = 44_100
    format: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    sample_format: str | None = None  # None: the encoder's first


#: Extension -> encoder settings, for the encoders in PyAV's wheels.
CONTAINERS = {
    ".mp3": Container("libmp3lame"),
    ".flac": Container("flac", sample_format="s16"),
    ".ogg": Container("vorbis", options=(("strict", "experimental"),)),  # FFmpeg's; stereo only
    ".oga": Container("flac", format="ogg"),
    ".opus": Container("libopus", 48_000),
    ".m4a": Container("aac", format="ipod"),
    ".alac": Container("alac", format="ipod"),
    ".wav": Container("pcm_s16le"),
    ".aiff": Container("pcm_s16be"),
    ".wma": Container("wmav2", format="asf"),
    ".wv": Container("wavpack", sample_format="s16p"),
    ".tta": Container("tta", sample_format="s16"),
    ".mka": Container("flac", format="matroska"),
}


def encode(
    path: Path,
    samples: FloatArray,
    rate: int,
    container: Container | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """Encode float samples [n] or [2, n] to a file; its extension selects the container."""
    how = container or CONTAINERS[path.suffix.lower()]
    planes = np.atleast_2d(np.asarray(samples, np.float32))
    if how.encoder == "vorbis" and len(planes) == 1:
        planes = np.repeat(planes, 2, axis=0)
    layout = "mono" if len(planes) == 1 else "stereo"
    with av.open(str(path), "w", format=how.format) as out:
        if tags:
            out.metadata.update(tags)
        stream: Any = out.add_stream(
            how.encoder, rate=how.rate, layout=layout, options=dict(how.options)
        )
        if how.sample_format:
            stream.codec_context.format = how.sample_format
        if how.encoder.startswith("wma"):
            stream.bit_rate = 128_000
        resampler = av.AudioResampler(
            stream.codec_context.format or "s16",
            layout,
            how.rate,
            stream.codec_context.frame_size or 4096,
        )
        step = 1 << 15
        for start in range(0, planes.shape[1], step):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(planes[:, start : start + step]), "fltp", layout
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for resampled in resampler.resample(frame):
                out.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))


# A piece repeats few notes and drums; their arrays are not changed after they are made.
@lru_cache(maxsize=32)
def _note(frequency: float, seconds: float, rate: int, brightness: float) -> FloatArray:
    """Return a plucked tone with decaying harmonics."""
    t = np.arange(int(seconds * rate)) / rate
    tone = sum(
        np.sin(2 * np.pi * frequency * k * t) * brightness ** (k - 1) / k for k in range(1, 7)
    )
    return np.asarray(tone * np.exp(-3 * t / seconds), np.float32)


@lru_cache(maxsize=8)
def _drum_parts(
    seconds: float, rate: int, pitch: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the falling sine of a drum, and the decay of its noise."""
    t = np.arange(int(seconds * rate)) / rate
    body = np.sin(2 * np.pi * pitch * t * np.exp(-8 * t)) * np.exp(-12 * t)
    return body, np.exp(-25 * t)


def _drum(
    seconds: float, rate: int, rng: np.random.Generator, pitch: float, noise: float
) -> FloatArray:
    """Return a drum: a falling sine and a burst of noise."""
    body, decay = _drum_parts(seconds, rate, pitch)
    burst = noise * rng.normal(0, 0.5, len(body)) * decay
    return np.asarray(body * (1 - noise) + burst, np.float32)


def piece(seed: int, seconds: float, rate: int = 44_100, *, beat: bool = True) -> FloatArray:
    """Return a random piece in stereo [2, n]: chords, a bass and drums; equal for equal seeds."""
    rng = np.random.default_rng(seed)
    tempo = rng.uniform(80, 150)  # beats per minute
    step = 60 / tempo / 2
    total = int(seconds * rate)
    mix = np.zeros((2, total + rate * 2), np.float32)
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    scale = [0, 2, 3, 5, 7, 8, 10] if rng.random() < 0.5 else [0, 2, 4, 5, 7, 9, 11]
    brightness = rng.uniform(0.3, 0.9)
    for i in range(int(seconds / step)):
        at = int(i * step * rate)
        degree = scale[int(rng.integers(0, 7))]
        note = _note(root * 2 ** ((degree + 12) / 12), 0.8, rate, brightness) * 0.2
        pan = rng.uniform(0.3, 0.7)
        mix[0, at : at + len(note)] += note * pan
        mix[1, at : at + len(note)] += note * (1 - pan)
        if i % 4 == 0:
            bass = _note(root / 2 * 2 ** (scale[(i // 8) % 4] / 12), 1.0, rate, 0.4) * 0.3
            mix[:, at : at + len(bass)] += bass
        if beat:
            hit = (
                _drum(0.3, rate, rng, 120, 0.1)
                if i % 4 == 0
                else _drum(0.2, rate, rng, 200, 0.9) * 0.4
            )
            mix[:, at : at + len(hit)] += hit * 0.5
    out: FloatArray = mix[:, :total]
    return out * np.float32(0.7 / max(1e-6, float(np.abs(out).max())))


def make_library(folder: Path, seconds: float = 32) -> list[Path]:
    """Make a library of two albums in six containers, some with genres, and a file of noise.

    ``seconds`` is the length of each piece.
    """
    kinds = (".mp3", ".flac", ".m4a", ".ogg", ".opus", ".wav")
    made = []
    for n, extension in enumerate(kinds):
        album = folder / ("The Examples" if n < 3 else "Various Artists") / f"Album {1 + n // 3}"
        album.mkdir(parents=True, exist_ok=True)
        path = album / f"{1 + n % 3:02d} Piece {n + 1}{extension}"
        tags = {"title": f"Piece {n + 1}", "artist": album.parent.name, "album": album.name}
        if n == 1:
            tags["genre"] = "Chamber Music"
        encode(path, piece(n, seconds), 44_100, tags=tags)
        made.append(path)
    noise = folder / "Recordings" / "rain.mp3"
    noise.parent.mkdir()
    encode(noise, np.random.default_rng(0).normal(0, 0.1, 12 * 44_100).astype(np.float32), 44_100)
    return [*made, noise]
