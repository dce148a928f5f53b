"""genretag's own front end: windows of samples -> log-mel, by librosa's definitions.

The definitions are those of ``librosa.feature.melspectrogram``
(Slaney's mel scale and area normalisation, periodic Hann window, frames that are not
centred); the parity test holds this module to librosa.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.features.filters import MelBank, MelFilters
from genretag.features.parameters import Parameters, spectra

FloatArray = npt.NDArray[np.float32]

#: Below this RMS (-100 dBFS) a window is silence, and its gain is not raised any further.
_SILENCE_RMS = 1e-5
_BLOCK = 4096  # samples


@dataclass(frozen=True)
class FrontEnd(Parameters):
    """Parameters of a log-mel front end, as they stand in a model's metadata.

    A window is first brought to a fixed root mean square, so that the level of a
    recording tells nothing: ``y = (ln(rms_gain^2 * mel + floor) - mean) / std``.
    """

    kind: str = "log-mel"
    sample_rate: int = 16_000  # Hz
    n_fft: int = 512  # samples: 32 ms
    hop_length: int = 256  # samples: 16 ms, 62.5 frames a second
    n_mels: int = 80
    fmin: float = 30.0  # Hz
    fmax: float = 7_600.0  # Hz: below 8 kHz, where resampling filters and poor codecs begin to show
    rms: float = 0.1  # target level of a window, full scale = 1
    floor: float = 1e-6  # added to the mel power before the logarithm
    mean: float = -6.5
    std: float = 3.0

    def check(self) -> None:
        """Raise ``ModelError`` when a parameter is out of its range."""
        self.check_numbers({"kind"})
        ranges = {
            "sample_rate": 4_000 <= self.sample_rate <= 192_000,
            "n_fft": 64 <= self.n_fft <= 16_384,
            "hop_length": 16 <= self.hop_length <= self.n_fft,
            "n_mels": 8 <= self.n_mels <= 512,
            "fmin": 0 <= self.fmin < self.fmax,
            "fmax": self.fmax <= self.sample_rate / 2,
            "rms": 0 < self.rms <= 1,
            "floor": 0 < self.floor < 1,
            "std": self.std > 0,
        }
        self.check_ranges(ranges)

    @property
    def bands(self) -> int:
        """Rows of what it makes."""
        return self.n_mels

    def describe(self) -> str:
        """Return what it hears, in words."""
        return f"log-mel, {self.n_mels} bands to {self.fmax:,.0f} Hz at {self.sample_rate:,} Hz"

    def frames(self, samples: int) -> int:
        """Return how many whole frames fit into ``samples`` samples."""
        return max(0, 1 + (samples - self.n_fft) // self.hop_length)


@dataclass(frozen=True)
class LogMel:
    """Samples -> log-mel. Small and picklable, so that decode workers get it ready-made."""

    front_end: FrontEnd
    filters: MelFilters

    @classmethod
    def of(cls, front_end: FrontEnd) -> LogMel:
        """Build the filter bank for a front end."""
        fe = front_end
        return cls(
            fe, MelFilters.of(MelBank(fe.sample_rate, fe.n_fft, fe.n_mels, fe.fmin, fe.fmax))
        )

    def mel_power(self, samples: FloatArray) -> FloatArray:
        """Return the mel power of ``samples`` (mono, full scale = 1), shape [frames, n_mels]."""
        fe = self.front_end
        n = fe.frames(len(samples))
        window = np.hanning(fe.n_fft + 1)[:-1].astype(np.float32)  # periodic Hann, as librosa's
        frames = np.lib.stride_tricks.sliding_window_view(samples, fe.n_fft)[:: fe.hop_length]
        out = np.empty((n, fe.n_mels), dtype=np.float32)
        for rows, power in spectra(frames[:n], window):
            self.filters(power, out[rows])
        return out

    def scale(self, mel: FloatArray, gain: float) -> FloatArray:
        """Return the scaled logarithm of mel power at a gain (an amplitude factor)."""
        fe = self.front_end
        out = mel * np.float32(gain * gain)
        out += np.float32(fe.floor)
        np.log(out, out=out)
        out -= np.float32(fe.mean)
        out /= np.float32(fe.std)
        return out

    def gain(self, samples: FloatArray) -> float:
        """Return the amplitude factor that brings ``samples`` to the front end's RMS."""
        # In blocks, so that single precision suffices however long the window is.
        rest = len(samples) % _BLOCK
        blocks, last = (
            samples[: len(samples) - rest].reshape(-1, _BLOCK),
            samples[len(samples) - rest :],
        )
        power = float(
            np.einsum("ij,ij->i", blocks, blocks).sum(dtype=np.float64) + np.dot(last, last)
        )
        rms = float(np.sqrt(power / len(samples))) if len(samples) else 0.0
        return self.front_end.rms / max(rms, _SILENCE_RMS)

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Return the log-mel of one window, shape [n_mels, frames], float32."""
        mel = self.scale(self.mel_power(samples), self.gain(samples))
        return np.ascontiguousarray(mel.T)
