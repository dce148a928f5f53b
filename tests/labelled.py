"""Synthetic labelled music for tests of training: three kinds, several artists each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genretag.audio import synthesis

RATE = 44_100
KINDS = ("Beats", "Chords", "Hiss & Hum")


def sound(kind: str, seed: int, seconds: float = 4.0) -> np.ndarray:
    """Return synthetic music of a kind: chords with drums, chords, or noise over a hum."""
    if kind != KINDS[2]:
        return synthesis.piece(seed, seconds, RATE, beat=kind == KINDS[0])
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.3, 2) * t)
    hum = np.sin(2 * np.pi * rng.uniform(50, 90) * t)
    return np.asarray(0.2 * swell * rng.normal(0, 1, len(t)) + 0.3 * hum, np.float32)


def make(
    folder: Path,
    kinds: tuple[str, ...] = KINDS,
    artists: int = 6,
    each: int = 2,
    extension: str = ".flac",
    first_seed: int = 0,
) -> list[Path]:
    """Write ``Kind/track`` with artists in the tags; return the paths."""
    paths = []
    for k, kind in enumerate(kinds):
        for a in range(artists):
            for n in range(each):
                path = folder / kind / f"{a:02d}-{n}{extension}"
                path.parent.mkdir(parents=True, exist_ok=True)
                synthesis.encode(
                    path,
                    sound(kind, first_seed + 1000 * k + 10 * a + n),
                    RATE,
                    tags={"artist": f"{kind} Band {a}", "title": str(n)},
                )
                paths.append(path)
    return paths
