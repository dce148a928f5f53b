"""Make one channel of decoded frames: restore clipped peaks, choose channels, take their mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.audio.declip import Declipper
from genretag.audio.downmix import Downmix
from genretag.audio.looks import Channels

FloatArray = npt.NDArray[np.float32]

_MAX_AMPLITUDE = 64.0  # +36 dBFS; float files may hold anything

#: FFmpeg's sample formats as numpy types, and their full scale.
_DTYPES = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}
_FULL_SCALE = {
    "u8": 128.0,
    "s16": 32768.0,
    "s32": 2147483648.0,
    "s64": 9223372036854775808.0,
    "flt": 1.0,
    "dbl": 1.0,
}


class MonoMixer:
    """Mixes the frames of one track down, and remembers what it found out about the track."""

    def __init__(self) -> None:
        self._declipper, self._downmix = Declipper(), Downmix()

    def mono(self, frame: Any) -> FloatArray:
        """Return the mean of a frame's channels [samples] as float32, full scale = 1."""
        name, rate = frame.format.name.removesuffix("p"), frame.sample_rate
        full_scale = _FULL_SCALE[name]
        # First, since the mean of clipped channels has no plateaus.
        views = self._declipper.restore(_channels(frame), rate, full_scale)
        views = self._downmix.select(views, rate, full_scale)
        mono = _mean(views, full_scale)
        if name == "u8":
            mono -= np.float32(1)  # silence is 128
        elif name in ("flt", "dbl"):
            mono = _clip(mono)
        return mono


def _mean(views: Channels, full_scale: float) -> FloatArray:
    """Return the mean of channels [samples] as float32, full scale = 1."""
    # Float files may hold infinities, NaN and numbers that float32 cannot hold.
    with np.errstate(invalid="ignore", over="ignore"):
        if len(views) == 1:
            mono: FloatArray = views[0].astype(np.float32)
        else:
            mono = np.add(views[0], views[1], dtype=np.float32)
        for view in views[2:]:
            mono += view
        mono *= np.float32(1 / (len(views) * full_scale))
    return mono


def _channels(frame: Any) -> list[npt.NDArray[Any]]:
    """Return a view [samples] of each channel of a frame; nothing is copied."""
    from av.audio.plane import AudioPlane

    dtype = _DTYPES[frame.format.name.removesuffix("p")]
    samples, channels = frame.samples, frame.layout.nb_channels
    if frame.format.is_planar:
        # From 8 channels on, ``frame.planes`` has one plane too many, or raises ValueError.
        planes: list[Any] = [AudioPlane(frame, channel) for channel in range(channels)]
        return [np.frombuffer(plane, dtype, samples) for plane in planes]
    interleaved = np.frombuffer(frame.planes[0], dtype, samples * channels)
    return list(interleaved.reshape(samples, channels).T)


def _clip(mono: FloatArray) -> FloatArray:
    """Clip samples to the amplitude limit; NaN becomes 0."""
    if mono.min() >= -_MAX_AMPLITUDE and mono.max() <= _MAX_AMPLITUDE:  # false for NaN
        return mono
    finite = np.nan_to_num(mono, copy=False, posinf=0.0, neginf=0.0)
    return np.clip(finite, -_MAX_AMPLITUDE, _MAX_AMPLITUDE)
