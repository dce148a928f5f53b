"""Summarised features: what the systems before deep learning heard, as one column of numbers for each stretch of music.

Of each stretch: 13 MFCC, 12 chroma, spectral contrast of 7 bands, centroid, roll-off and zero crossings, each as
mean, deviation and skew over its frames, and the tempo (Tzanetakis and Cook 2002; Jiang et al. 2002). By librosa.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError
from genretag.features.parameters import Parameters

FloatArray = npt.NDArray[np.float32]

_ROWS = 13 + 12 + 7 + 3
NUMBERS = 3 * _ROWS + 1


@dataclass(frozen=True)
class SummaryFrontEnd(Parameters):
    """Parameters of the summary. A "frame" is a stretch."""

    kind: str = "summary"
    sample_rate: int = 22_050  # Hz
    seconds: float = 3.0  # of a stretch; a shorter rest is left out, unless it is all there is

    def check(self) -> None:
        """Raise ``ModelError`` when a parameter is out of its range."""
        if not (
            isinstance(self.sample_rate, int)
            and 8_000 <= self.sample_rate <= 96_000
            and 0.5 <= self.seconds <= 30
        ):
            raise ModelError("front end: sample_rate or seconds is out of range")

    @property
    def bands(self) -> int:
        """Rows of what it makes."""
        return NUMBERS

    def describe(self) -> str:
        """Return what it hears, in words."""
        return (
            f"{NUMBERS} summarised features of {self.seconds:g} s each, at {self.sample_rate:,} Hz"
        )

    def frames(self, samples: int) -> int:
        """Return how many stretches ``samples`` samples give."""
        return max(1, samples // self.stretch) if samples else 0

    @property
    def stretch(self) -> int:
        """Samples of a stretch."""
        return int(self.seconds * self.sample_rate)


@dataclass(frozen=True)
class Summary:
    """Samples -> summarised features."""

    front_end: SummaryFrontEnd

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Return the features of one window, shape [numbers, stretches], float32."""
        fe = self.front_end
        n = fe.frames(len(samples))
        out = np.zeros((NUMBERS, n), np.float32)
        for i in range(n):
            out[:, i] = _of(
                np.asarray(samples[i * fe.stretch : (i + 1) * fe.stretch], np.float32),
                fe.sample_rate,
            )
        return out


def _of(y: FloatArray, rate: int) -> FloatArray:
    """Return the features of one stretch."""
    import librosa
    from librosa.onset import onset_strength

    spectrum = np.abs(librosa.stft(y, n_fft=2048, hop_length=512))
    mel = librosa.feature.melspectrogram(S=spectrum**2, sr=rate)
    rows = np.concatenate(
        [
            librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=13),
            librosa.feature.chroma_stft(S=spectrum**2, sr=rate, tuning=0.0),
            librosa.feature.spectral_contrast(S=spectrum, sr=rate),
            librosa.feature.spectral_centroid(S=spectrum, sr=rate),
            librosa.feature.spectral_rolloff(S=spectrum, sr=rate),
            librosa.feature.zero_crossing_rate(y, frame_length=2048, hop_length=512)[
                :, : spectrum.shape[1]
            ],
        ]
    )
    mean, deviation = rows.mean(axis=1), rows.std(axis=1)
    skew = ((rows - mean[:, None]) ** 3).mean(axis=1) / np.maximum(deviation, 1e-6) ** 3
    onset = onset_strength(S=librosa.power_to_db(mel), sr=rate)
    tempo = float(np.atleast_1d(librosa.feature.tempo(onset_envelope=onset, sr=rate))[0])
    out = np.concatenate([mean, deviation, np.clip(skew, -20, 20), [tempo]])
    return np.nan_to_num(np.asarray(out, np.float32), posinf=0.0, neginf=0.0)
