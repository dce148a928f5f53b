"""Code shared by the front ends: parameters that are checked when read, and spectra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError

FloatArray = npt.NDArray[np.float32]

#: A window below this RMS (-100 dBFS) is silence: its gain is limited, or noise would be amplified.
SILENCE_RMS = 1e-5

# Frames transformed at once: 256 frames x 512 samples x 4 bytes = 512 KiB, which fits in L2.
_BLOCK_FRAMES = 256


@dataclass(frozen=True)
class Parameters:
    """Base of the frozen dataclass of a front end."""

    @classmethod
    def from_metadata(cls, data: dict[str, Any]) -> Self:
        """Read a front end from a model's metadata.

        Raises:
            ModelError: a parameter is unknown or out of range.
        """
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise ModelError(f"the front end has unknown settings: {', '.join(sorted(unknown))}")
        front_end = cls(**data)
        front_end.check()
        return front_end

    def check(self) -> None:
        """Raise ``ModelError`` if a parameter is out of range."""
        raise NotImplementedError

    def to_metadata(self) -> dict[str, Any]:
        """Return the parameters as JSON for a model file."""
        return asdict(self)

    def check_numbers(self, words: Iterable[str]) -> None:
        """Raise ``ModelError`` if a parameter other than ``words`` is not a finite number."""
        numbers = [v for k, v in asdict(self).items() if k not in words]
        if not all(isinstance(v, int | float) and np.isfinite(v) for v in numbers):
            raise ModelError("the front end has a setting that is not a finite number")

    def check_ranges(self, ranges: Mapping[str, bool]) -> None:
        """Raise ``ModelError`` for the first parameter that is out of range."""
        for name, valid in ranges.items():
            if not valid:
                raise ModelError(f"front end: {name} = {getattr(self, name)} is out of range")


def spectra(frames: FloatArray, window: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Yield (rows, power spectra [rows, n_fft // 2 + 1]) of frames [n, n_fft] in blocks."""
    # The FFT that scipy uses too (Reinecke), without the import time of scipy.
    from ducc0 import fft

    for start in range(0, len(frames), _BLOCK_FRAMES):
        rows = slice(start, min(start + _BLOCK_FRAMES, len(frames)))
        spectrum = fft.r2c(frames[rows] * window, axes=(1,))
        yield rows, np.square(spectrum.real) + np.square(spectrum.imag)
