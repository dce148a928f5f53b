"""Front ends: windows of samples -> features for a model.

The parameters of a front end travel in the model file. To add a front end: a frozen dataclass of
its parameters and a callable (see ``log_mel``), a row in ``_KINDS``, and a parity test against
numbers from its published definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError, describe_invalid
from genretag.features.log_mel import FrontEnd, LogMel
from genretag.features.mel import EFFICIENT_AT, LIBROSA, MUSICNN, Mel, MelFrontEnd
from genretag.features.native import NATIVE_RATE, NativeLogMel, takes_native_rate
from genretag.features.summary import Summary, SummaryFrontEnd
from genretag.features.waveform import Waveform, WaveformFrontEnd
from genretag.records import WINDOW_SECONDS

__all__ = [
    "EFFICIENT_AT",
    "FEATURE_VERSION",
    "LIBROSA",
    "MUSICNN",
    "NATIVE_RATE",
    "AnyFrontEnd",
    "Collector",
    "Features",
    "FrontEnd",
    "LogMel",
    "Mel",
    "MelFrontEnd",
    "Summary",
    "SummaryFrontEnd",
    "Waveform",
    "WaveformFrontEnd",
    "build_features",
    "collectors_of",
    "parse_front_end",
]

FloatArray = npt.NDArray[np.float32]

#: Raised whenever the same samples give other features; stored with every analysis.
FEATURE_VERSION = 3


class AnyFrontEnd(Protocol):
    """Parameters of a front end."""

    @property
    def kind(self) -> str:
        """Name of the kind in a model's metadata."""

    @property
    def sample_rate(self) -> int:
        """Sample rate of the input, Hz."""

    @property
    def bands(self) -> int:
        """Number of feature rows."""

    def frames(self, samples: int) -> int:
        """Return the number of feature columns for ``samples`` samples."""

    def describe(self) -> str:
        """Describe the front end in a few words."""

    def to_metadata(self) -> dict[str, Any]:
        """Return the parameters as JSON for a model file."""


class Features(Protocol):
    """Callable that turns samples into features."""

    @property
    def front_end(self) -> AnyFrontEnd:
        """Parameters of the front end."""

    def __call__(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the features [bands, frames] of a window of mono samples (full scale = 1)."""


#: Kind -> (class of the parameters, constructor of the callable).
_KINDS: dict[str, tuple[Any, Callable[[Any], Features]]] = {
    "log-mel": (FrontEnd, LogMel.of),
    "mel": (MelFrontEnd, Mel.of),
    "waveform": (WaveformFrontEnd, Waveform),
    "summary": (SummaryFrontEnd, Summary),
}


def parse_front_end(data: dict[str, Any]) -> AnyFrontEnd:
    """Read a front end from a model's metadata.

    Raises:
        ModelError: the kind or a parameter is unknown or out of range.
    """
    kind = data.get("kind")
    if kind not in _KINDS:
        raise ModelError(f"front end {kind!r} is not supported (supported: {', '.join(_KINDS)})")
    try:
        found: AnyFrontEnd = _KINDS[kind][0].from_metadata(data)
    except TypeError as error:
        raise ModelError(f"front end: {describe_invalid(error)}") from error
    return found


def build_features(front_end: AnyFrontEnd) -> Features:
    """Return the callable of a front end."""
    return _KINDS[front_end.kind][1](front_end)


class Collector(Protocol):
    """Takes the samples of a window in parts, and turns them into features."""

    def add(self, samples: FloatArray) -> None:
        """Add mono samples (full scale = 1)."""

    def result(self) -> FloatArray:
        """Return the features [bands, frames] of what was added, and begin the next window."""


class _Buffered:
    """Collector for features that need a window as a whole."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._begin()

    def _begin(self) -> None:
        """Begin a window. The features of the last one may be a view of its samples."""
        size = WINDOW_SECONDS * self._features.front_end.sample_rate
        self._buffer, self._filled = np.empty(size, np.float32), 0

    def add(self, samples: FloatArray) -> None:
        """Add samples; no more than those of a window fit."""
        end = self._filled + len(samples)
        self._buffer[self._filled : end] = samples
        self._filled = end

    def result(self) -> FloatArray:
        """Return the features, and begin the next window."""
        features = self._features(self._buffer[: self._filled])
        self._begin()
        return features


def collectors_of(features: Features) -> dict[int, Callable[[], Collector]]:
    """Return what makes collectors, by the rate in Hz of the samples that they take.

    The first rate is that of the front end, to which all samples can be resampled.
    """
    fe = features.front_end
    makers: dict[int, Callable[[], Collector]] = {fe.sample_rate: lambda: _Buffered(features)}
    if isinstance(fe, FrontEnd) and takes_native_rate(fe):
        makers[NATIVE_RATE] = lambda: NativeLogMel(fe)
    return makers
