"""The front end of models that hear samples: nothing is done to them but what ``rms`` says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError
from genretag.features.parameters import Parameters

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WaveformFrontEnd(Parameters):
    """Mono samples, full scale = 1. A "frame" is a sample."""

    kind: str = "waveform"
    sample_rate: int = 16_000  # Hz
    rms: float = 0.0  # level that each window is brought to; 0: as it is

    def check(self) -> None:
        """Raise ``ModelError`` when a parameter is out of its range."""
        if not (
            isinstance(self.sample_rate, int)
            and 4_000 <= self.sample_rate <= 192_000
            and 0 <= self.rms <= 1
        ):
            raise ModelError("front end: sample_rate or rms is out of range")

    @property
    def bands(self) -> int:
        """Rows of what it makes."""
        return 1

    def describe(self) -> str:
        """Return what it hears, in words."""
        return f"the waveform at {self.sample_rate:,} Hz"

    def frames(self, samples: int) -> int:
        """Return how many frames ``samples`` samples give: as many."""
        return samples


@dataclass(frozen=True)
class Waveform:
    """Samples -> samples, as one row."""

    front_end: WaveformFrontEnd

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Return the samples of one window, shape [1, samples], float32."""
        out = np.asarray(samples, np.float32)
        if self.front_end.rms and len(out):
            out = out * np.float32(
                self.front_end.rms
                / max(float(np.sqrt(np.mean(np.square(out, dtype=np.float64)))), 1e-5)
            )
        return np.ascontiguousarray(out)[None]
