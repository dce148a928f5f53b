"""Log-mel front ends of external models, defined by their parameters.

Three published ones are predefined: librosa's (``power_to_db`` of ``melspectrogram``), MusiCNN's
as computed by Essentia, and the kaldi-like one of EfficientAT and PaSST.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError
from genretag.features.filters import MelBank, MelFilters
from genretag.features.parameters import Parameters, spectra

FloatArray = npt.NDArray[np.float32]

_CHOICES = {
    "window": ("hann", "hann-symmetric"),
    "center": ("no", "zeros", "reflect"),
    "scale": ("slaney", "htk", "kaldi"),
    "log": ("log10", "ln", "db"),
}


@dataclass(frozen=True)
class MelFrontEnd(Parameters):
    """Parameters of an external log-mel, as stored in a model's metadata.

    The samples are filtered (``x[t] - preemphasis * x[t - 1]``), cut into frames of ``win_length``
    centred in ``n_fft``, windowed, and the magnitude of their spectrum to the ``power`` passes the
    mel filters. Then ``y = (log(add + multiply * mel) - mean) / std``. With ``log = "db"`` the
    logarithm is ``10 log10(max(mel, add))``, limited to ``top_db`` below the maximum of the window
    (0: no limit).
    """

    kind: str = "mel"
    sample_rate: int = 22_050  # Hz
    n_fft: int = 2_048  # samples
    win_length: int = 2_048  # samples
    hop_length: int = 512  # samples
    n_mels: int = 128
    fmin: float = 0.0  # Hz
    fmax: float = 11_025.0  # Hz
    window: str = "hann"
    center: str = "zeros"  # padding of the ends for centred frames; "no": whole frames only
    power: float = 2.0
    scale: str = "slaney"
    norm: bool = True
    preemphasis: float = 0.0
    log: str = "db"
    multiply: float = 1.0
    add: float = 1e-10
    top_db: float = 80.0
    mean: float = 0.0
    std: float = 1.0

    def check(self) -> None:
        """Raise ``ModelError`` if a parameter is out of range."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ModelError(
                    f"front end: {name} = {getattr(self, name)!r}; one of {', '.join(choices)}"
                )
        self.check_numbers({"kind", "norm", *_CHOICES})
        ranges = {
            "sample_rate": 4_000 <= self.sample_rate <= 192_000,
            "n_fft": 64 <= self.n_fft <= 16_384,
            "win_length": 16 <= self.win_length <= self.n_fft,
            "hop_length": 16 <= self.hop_length <= self.n_fft,
            "n_mels": 8 <= self.n_mels <= 512,
            "fmin": 0 <= self.fmin < self.fmax,
            "fmax": self.fmax <= self.sample_rate / 2,
            "power": self.power in (1, 2),
            "preemphasis": 0 <= self.preemphasis < 1,
            "add": 0 < self.add <= 1,
            "multiply": self.multiply > 0,
            "top_db": self.top_db >= 0,
            "std": self.std > 0,
        }
        self.check_ranges(ranges)

    @property
    def bands(self) -> int:
        """Number of feature rows."""
        return self.n_mels

    def describe(self) -> str:
        """Describe the front end in a few words."""
        return (
            f"log-mel ({self.scale}, {self.log}), {self.n_mels} bands to {self.fmax:,.0f} Hz"
            f" at {self.sample_rate:,} Hz"
        )

    def frames(self, samples: int) -> int:
        """Return the number of frames for ``samples`` samples."""
        filtered = samples - (1 if self.preemphasis else 0)  # the filter needs a sample before
        if self.center != "no":
            return 1 + filtered // self.hop_length if filtered > self.n_fft // 2 else 0
        return max(0, 1 + (filtered - self.n_fft) // self.hop_length)


#: librosa: ``power_to_db(melspectrogram(y))`` with the defaults.
LIBROSA = MelFrontEnd()

#: MusiCNN (Pons and Serra 2019) as computed by Essentia (Alonso-Jimenez et al. 2020).
MUSICNN = MelFrontEnd(
    sample_rate=16_000,
    n_fft=512,
    win_length=512,
    hop_length=256,
    n_mels=96,
    fmax=8_000.0,
    window="hann-symmetric",
    log="log10",
    multiply=10_000.0,
    add=1.0,
    top_db=0.0,
)

#: PaSST (Koutini et al. 2022) and EfficientAT (Schmid, Koutini and Widmer 2023) at inference.
EFFICIENT_AT = MelFrontEnd(
    sample_rate=32_000,
    n_fft=1_024,
    win_length=800,
    hop_length=320,
    n_mels=128,
    fmax=15_000.0,
    window="hann-symmetric",
    center="reflect",
    scale="kaldi",
    norm=False,
    preemphasis=0.97,
    log="ln",
    add=1e-5,
    top_db=0.0,
    mean=-4.5,
    std=5.0,
)


@dataclass(frozen=True)
class Mel:
    """Callable that turns samples into an external log-mel; picklable for the workers."""

    front_end: MelFrontEnd
    filters: MelFilters

    @classmethod
    def of(cls, front_end: MelFrontEnd) -> Mel:
        """Build the filter bank for a front end."""
        fe = front_end
        return cls(
            fe,
            MelFilters.of(
                MelBank(fe.sample_rate, fe.n_fft, fe.n_mels, fe.fmin, fe.fmax, fe.scale, fe.norm)
            ),
        )

    def _frames(self, samples: FloatArray) -> FloatArray:
        """Return a view of the frames [frames, n_fft]."""
        fe = self.front_end
        x = samples[1:] - np.float32(fe.preemphasis) * samples[:-1] if fe.preemphasis else samples
        if fe.center != "no":
            x = np.pad(x, fe.n_fft // 2, mode="constant" if fe.center == "zeros" else "reflect")
        return np.lib.stride_tricks.sliding_window_view(x, fe.n_fft)[:: fe.hop_length]

    def _window(self) -> FloatArray:
        """Return the analysis window, centred in ``n_fft`` samples."""
        fe = self.front_end
        # Programs disagree about the last sample: symmetric windows repeat the first one.
        window = (
            np.hanning(fe.win_length)
            if fe.window == "hann-symmetric"
            else np.hanning(fe.win_length + 1)[:-1]
        )
        left = (fe.n_fft - fe.win_length) // 2
        return np.pad(window, (left, fe.n_fft - fe.win_length - left)).astype(np.float32)

    def mel_power(self, samples: FloatArray) -> FloatArray:
        """Return the mel spectrogram [frames, n_mels] before the logarithm."""
        fe, window, n = self.front_end, self._window(), self.front_end.frames(len(samples))
        out = np.empty((n, fe.n_mels), np.float32)
        if n == 0:
            return out
        for rows, power in spectra(self._frames(samples)[:n], window):
            self.filters(power if fe.power == 2 else np.sqrt(power), out[rows])
        return out

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Return the log-mel [n_mels, frames] of a window, float32."""
        fe, mel = self.front_end, self.mel_power(samples)
        if fe.log == "db":
            y = 10.0 * np.log10(np.maximum(mel, np.float32(fe.add)))
            # Relative to the loudest value of the window, as librosa does it.
            if fe.top_db and y.size:
                y = np.maximum(y, y.max() - fe.top_db)
        else:
            y = (np.log10 if fe.log == "log10" else np.log)(
                np.float32(fe.add) + np.float32(fe.multiply) * mel
            )
        return np.ascontiguousarray(((y - fe.mean) / fe.std).T, dtype=np.float32)
