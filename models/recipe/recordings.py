"""Changed recordings of a clip, for which the student must give the answers of the unchanged one.

Played faster or slower, delayed against itself, clipped: none of these changes the genre, but the
teachers' own answers do change. So the target stays that of the original (stability training:
Zheng, Song, Leung and Goodfellow 2016), unlike for the mixes, about which the teachers are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import fft

from genretag import audio
from models.recipe.corpus import Clip, path_of
from models.recipe.teachers import RATE

FloatArray = npt.NDArray[np.float32]

LONGEST = 31 * RATE  # samples of a clip
FULL_SCALE = np.float32(1 << 15)  # of the samples of 16 bits that are kept
_SPEED_SHARE, _DELAY_SHARE, _CLIPPED_SHARE = 0.5, 0.3, 0.5
_SPEED = 0.1  # highest deviation of the natural logarithm of the speed
_DELAYS = (0.0002, 0.006)  # s
_OVERDRIVE = (2.0, 18.0)  # dB above the level at which the highest peak is not clipped
_SOFT_SHARE = 0.3  # of clipped recordings that are driven into a soft limiter


def decoded_clip(data: Path, clip: Clip) -> FloatArray:
    """Return a clip's mono samples at 16 kHz, at most 31 s, as a scan decodes them."""
    blocks = audio.decode(path_of(data, clip), RATE, audio.DecodeLog())
    x = np.concatenate(list(blocks))[:LONGEST]
    return np.pad(x.astype(np.float32), (0, max(0, RATE // 10 - len(x))))


def to_16_bits(x: FloatArray) -> npt.NDArray[np.int16]:
    """Return samples as integers of 16 bits."""
    return np.clip(np.rint(x * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


@dataclass(frozen=True)
class Change:
    """A change of a recording."""

    speed: float = 1.0
    delay: float = 0.0  # s, of a copy that is added
    level: float = 0.0  # of the copy, 0 to 1
    overdrive: float = 0.0  # dB; 0: not clipped
    soft: bool = False

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Change:
        """Draw a change, which may be none."""
        speed = float(np.exp(rng.uniform(-_SPEED, _SPEED))) if rng.random() < _SPEED_SHARE else 1.0
        delay = level = overdrive = 0.0
        if rng.random() < _DELAY_SHARE:
            delay = float(np.exp(rng.uniform(*np.log(_DELAYS))))
            # two channels of a recording are mixed at the same level, a reflection is softer
            level = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.3, 1))
        if rng.random() < _CLIPPED_SHARE:
            overdrive = float(rng.uniform(*_OVERDRIVE))
        return cls(speed, delay, level, overdrive, bool(rng.random() < _SOFT_SHARE))

    def __call__(self, x: FloatArray, start: int, count: int) -> FloatArray:
        """Return ``count`` samples of a changed recording from sample ``start`` of it on.

        A recording that is too short is repeated.
        """
        out = fft.next_fast_len(count)
        read = fft.next_fast_len(max(2, round(out * self.speed)))
        piece = x[start : start + read]
        spectrum = fft.rfft(np.resize(piece, read))
        if self.level:
            f = fft.rfftfreq(read, 1 / RATE)
            phase = np.exp(-2j * np.pi * f * self.delay).astype(np.complex64)
            spectrum = spectrum * (1 + np.float32(self.level) * phase)
        if self.overdrive:
            spectrum = self._clipped(spectrum, out, float(np.abs(x).max()))
        y = fft.irfft(spectrum, out) * np.float32(out / read)
        return np.ascontiguousarray(y[:count], np.float32)

    def _clipped(
        self, spectrum: npt.NDArray[np.complexfloating], out: int, peak: float
    ) -> npt.NDArray[np.complexfloating]:
        """Return the spectrum after clipping at twice the sample rate, which avoids aliases."""
        at_twice = fft.irfft(spectrum, 2 * out)
        top = max(peak * len(spectrum) / (out + 1), 1e-6) * 10 ** (-self.overdrive / 20)
        held = np.tanh(at_twice / top) * top if self.soft else np.clip(at_twice, -top, top)
        return np.asarray(fft.rfft(held.astype(np.float32)))[: out // 2 + 1]
