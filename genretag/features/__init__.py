"""Windows of samples -> what a model hears. A front end is data that travels with the model; this room turns it into numbers.

To add one: a frozen dataclass of its parameters and a callable of it (``log_mel`` is the example), a row
in ``_KINDS``, and a parity test on numbers that come from its published definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError
from genretag.features.log_mel import FrontEnd, LogMel
from genretag.features.mel import EFFICIENT_AT, LIBROSA, MUSICNN, Mel, MelFrontEnd
from genretag.features.summary import Summary, SummaryFrontEnd
from genretag.features.waveform import Waveform, WaveformFrontEnd

__all__ = [
    "EFFICIENT_AT",
    "FEATURE_VERSION",
    "LIBROSA",
    "MUSICNN",
    "AnyFrontEnd",
    "Features",
    "FrontEnd",
    "LogMel",
    "Mel",
    "MelFrontEnd",
    "Summary",
    "SummaryFrontEnd",
    "Waveform",
    "WaveformFrontEnd",
    "features_of",
    "front_end_of",
]

#: Bumped whenever the same samples would give other numbers; stored with every row.
FEATURE_VERSION = 2


class AnyFrontEnd(Protocol):
    """What every front end tells of itself."""

    @property
    def kind(self) -> str:
        """Its name in a model's metadata."""

    @property
    def sample_rate(self) -> int:
        """Rate of the samples that it takes, Hz."""

    @property
    def bands(self) -> int:
        """Rows of what it makes."""

    def frames(self, samples: int) -> int:
        """Return how many columns ``samples`` samples give."""

    def describe(self) -> str:
        """Return what it hears, in words."""

    def to_metadata(self) -> dict[str, Any]:
        """Return its parameters as they are written into a model file."""


class Features(Protocol):
    """Samples -> what a model hears."""

    @property
    def front_end(self) -> AnyFrontEnd:
        """The parameters."""

    def __call__(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the features of one window of mono samples (full scale = 1), shape [bands, frames]."""


#: Kind -> (the parameters' class, what makes the features).
_KINDS: dict[str, tuple[Any, Callable[[Any], Features]]] = {
    "log-mel": (FrontEnd, LogMel.of),
    "mel": (MelFrontEnd, Mel.of),
    "waveform": (WaveformFrontEnd, Waveform),
    "summary": (SummaryFrontEnd, Summary),
}


def parse_front_end(data: dict[str, Any]) -> AnyFrontEnd:
    """Read a front end from a model's metadata; raise ``ModelError`` for what is not understood."""
    kind = data.get("kind")
    if kind not in _KINDS:
        raise ModelError(f"front end {kind!r} is not known here (known: {', '.join(_KINDS)})")
    try:
        found: AnyFrontEnd = _KINDS[kind][0].from_metadata(data)
    except TypeError as error:
        raise ModelError(f"front end: {error}") from error
    return found


def build_features(front_end: AnyFrontEnd) -> Features:
    """Return what makes the features of a front end."""
    return _KINDS[front_end.kind][1](front_end)
