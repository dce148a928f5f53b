"""The front end of models that hear samples: nothing is done to them but what ``rms`` says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WaveformFrontEnd:
    """Mono samples, full scale = 1. A "frame" is a sample."""

    kind: str = "waveform"
    sample_rate: int = 16_000  # Hz
    rms: float = 0.0  # level that each window is brought to; 0: as it is

    @classmethod
    def from_metadata(cls, data: dict[str, Any]) -> WaveformFrontEnd:
        """Read a front end from a model's metadata; raise ``ModelError`` for what is not understood."""
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise ModelError(f"front end has settings that are not known here: {', '.join(sorted(unknown))}")
        front_end = cls(**data)
        if not (isinstance(front_end.sample_rate, int) and 4_000 <= front_end.sample_rate <= 192_000 and 0 <= front_end.rms <= 1):
            raise ModelError("front end: sample_rate or rms is out of range")
        return front_end

    def to_metadata(self) -> dict[str, Any]:
        """Return the parameters as they are written into a model file."""
        return asdict(self)

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
            out = out * np.float32(self.front_end.rms / max(float(np.sqrt(np.mean(np.square(out, dtype=np.float64)))), 1e-5))
        return np.ascontiguousarray(out)[None]
