"""What all front ends have in common: parameters that travel in a model's metadata, and are checked when they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError

FloatArray = npt.NDArray[np.float32]

#: Frames transformed at once: 256 frames x 512 samples x 4 bytes = 512 KiB, which stays in L2.
_BLOCK_FRAMES = 256


@dataclass(frozen=True)
class Parameters:
    """The base of a front end's frozen dataclass."""

    @classmethod
    def from_metadata(cls, data: dict[str, Any]) -> Self:
        """Read a front end from a model's metadata; raise ``ModelError`` for what is not understood."""
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise ModelError(
                f"front end has settings that are not known here: {', '.join(sorted(unknown))}"
            )
        front_end = cls(**data)
        front_end.check()
        return front_end

    def check(self) -> None:
        """Raise ``ModelError`` when a parameter is out of its range."""
        raise NotImplementedError

    def to_metadata(self) -> dict[str, Any]:
        """Return the parameters as they are written into a model file."""
        return asdict(self)

    def check_numbers(self, words: Iterable[str]) -> None:
        """Raise ``ModelError`` where a parameter other than ``words`` is no finite number."""
        numbers = [v for k, v in asdict(self).items() if k not in words]
        if not all(isinstance(v, int | float) and np.isfinite(v) for v in numbers):
            raise ModelError("front end has a setting that is not a finite number")

    def check_ranges(self, ranges: Mapping[str, bool]) -> None:
        """Raise ``ModelError`` for the first parameter that is not in its range."""
        for name, fine in ranges.items():
            if not fine:
                raise ModelError(f"front end: {name} = {getattr(self, name)} is out of range")


def spectra(frames: FloatArray, window: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Yield (rows, power spectra [rows, n_fft // 2 + 1]) of frames [n, n_fft], a block at a time."""
    from ducc0 import (
        fft,
    )  # what scipy's FFT became; it is imported in no time, and only where it is used

    for start in range(0, len(frames), _BLOCK_FRAMES):
        rows = slice(start, min(start + _BLOCK_FRAMES, len(frames)))
        spectrum = fft.r2c(frames[rows] * window, axes=(1,))
        yield rows, np.square(spectrum.real) + np.square(spectrum.imag)
