"""genretag's own front end: log-mel as defined by ``librosa.feature.melspectrogram``.

Slaney's mel scale and area normalisation, periodic Hann window, frames that are not centred. A
parity test compares it with librosa.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.features.filters import MelBank, MelFilters
from genretag.features.parameters import SILENCE_RMS, Parameters, spectra

FloatArray = npt.NDArray[np.float32]

_BLOCK_SAMPLES = 4096


@dataclass(frozen=True)
class FrontEnd(Parameters):
    """Parameters of genretag's log-mel, as stored in a model's metadata.

    Each window is scaled to a fixed root mean square first, so that the level of a recording has
    no influence: ``y = (ln(gain^2 * mel + floor) - mean) / std``.
    """

    kind: str = "log-mel"
    sample_rate: int = 16_000  # Hz
    n_fft: int = 512  # samples: 32 ms
    hop_length: int = 256  # samples: 16 ms, 62.5 frames a second
    n_mels: int = 80
    fmin: float = 30.0  # Hz
    fmax: float = 7_600.0  # Hz; resampling filters and poor codecs show from 8 kHz
    rms: float = 0.1  # target level of a window, full scale = 1
    floor: float = 1e-6  # added to the mel power before the logarithm
    mean: float = -6.5
    std: float = 3.0

    def check(self) -> None:
        """Raise ``ModelError`` if a parameter is out of range."""
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
        """Number of feature rows."""
        return self.n_mels

    def describe(self) -> str:
        """Describe the front end in a few words."""
        return f"log-mel, {self.n_mels} bands to {self.fmax:,.0f} Hz at {self.sample_rate:,} Hz"

    def frames(self, samples: int) -> int:
        """Return the number of whole frames in ``samples`` samples."""
        return max(0, 1 + (samples - self.n_fft) // self.hop_length)


@dataclass(frozen=True)
class LogMel:
    """Callable that turns samples into log-mel; picklable for the workers."""

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
        """Return the mel power [frames, n_mels] of mono samples (full scale = 1)."""
        fe = self.front_end
        n = fe.frames(len(samples))
        window = np.hanning(fe.n_fft + 1)[:-1].astype(np.float32)  # periodic Hann
        frames = np.lib.stride_tricks.sliding_window_view(samples, fe.n_fft)[:: fe.hop_length]
        out = np.empty((n, fe.n_mels), dtype=np.float32)
        for rows, power in spectra(frames[:n], window):
            self.filters(power, out[rows])
        return out

    def scale(self, mel: FloatArray, gain: float) -> FloatArray:
        """Return the scaled logarithm of mel power at a gain (amplitude factor)."""
        fe = self.front_end
        # mel is power, so an amplitude factor counts twice.
        out = mel * np.float32(gain * gain)
        out += np.float32(fe.floor)
        np.log(out, out=out)
        out -= np.float32(fe.mean)
        out /= np.float32(fe.std)
        return out

    def gain(self, samples: FloatArray) -> float:
        """Return the amplitude factor that scales ``samples`` to the RMS of the front end."""
        # Sum in blocks, so that single precision suffices for a window of any length.
        rest = len(samples) % _BLOCK_SAMPLES
        blocks = samples[: len(samples) - rest].reshape(-1, _BLOCK_SAMPLES)
        last = samples[len(samples) - rest :]
        power = float(
            np.einsum("ij,ij->i", blocks, blocks).sum(dtype=np.float64) + np.dot(last, last)
        )
        return self.gain_of(float(np.sqrt(power / len(samples))) if len(samples) else 0.0)

    def gain_of(self, rms: float) -> float:
        """Return the amplitude factor from an RMS to that of the front end."""
        # Silence would be amplified to noise without the limit.
        return self.front_end.rms / max(rms, SILENCE_RMS)

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Return the log-mel [n_mels, frames] of a window, float32."""
        mel = self.scale(self.mel_power(samples), self.gain(samples))
        return np.ascontiguousarray(mel.T)
