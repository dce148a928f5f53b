"""Front end of models that take samples: unchanged, or scaled to a fixed RMS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError
from genretag.features.parameters import SILENCE_RMS, Parameters

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WaveformFrontEnd(Parameters):
    """Mono samples, full scale = 1. A "frame" is a sample."""

    kind: str = "waveform"
    sample_rate: int = 16_000  # Hz
    rms: float = 0.0  # level that each window is scaled to; 0: unchanged

    def check(self) -> None:
        """Raise ``ModelError`` if a parameter is out of range."""
        if not (
            isinstance(self.sample_rate, int)
            and 4_000 <= self.sample_rate <= 192_000
            and 0 <= self.rms <= 1
        ):
            raise ModelError("front end: sample_rate or rms is out of range")

    @property
    def bands(self) -> int:
        """Number of feature rows."""
        return 1

    def describe(self) -> str:
        """Describe the front end in a few words."""
        return f"the waveform at {self.sample_rate:,} Hz"

    def frames(self, samples: int) -> int:
        """Return ``samples``: one frame per sample."""
        return samples


@dataclass(frozen=True)
class Waveform:
    """Callable that returns samples as one row."""

    front_end: WaveformFrontEnd

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Return the samples [1, samples] of a window, float32."""
        out = np.asarray(samples, np.float32)
        if self.front_end.rms and len(out):
            rms = float(np.sqrt(np.mean(np.square(out, dtype=np.float64))))
            out = out * np.float32(self.front_end.rms / max(rms, SILENCE_RMS))
        return np.ascontiguousarray(out)[None]
