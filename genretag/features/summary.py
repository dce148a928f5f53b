"""Summarised features of the systems before deep learning, one column per segment of music.

For each segment: 13 MFCC, 12 chroma, spectral contrast of 7 bands, centroid, roll-off and zero
crossings, each as mean, deviation and skew over the frames, and the tempo (Tzanetakis and Cook
2002; Jiang et al. 2002). Computed by librosa.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genretag.errors import ModelError
from genretag.features.parameters import Parameters

FloatArray = npt.NDArray[np.float32]

_FRAME_FEATURES = 13 + 12 + 7 + 3  # MFCC, chroma, contrast, and three single ones
N_FEATURES = 3 * _FRAME_FEATURES + 1  # mean, deviation and skew, and the tempo
_MAX_SKEW = 20  # limit for near-constant rows


@dataclass(frozen=True)
class SummaryFrontEnd(Parameters):
    """Parameters of the summary. A "frame" is a segment."""

    kind: str = "summary"
    sample_rate: int = 22_050  # Hz
    seconds: float = 3.0  # of a segment; a shorter rest is left out, unless there is nothing else

    def check(self) -> None:
        """Raise ``ModelError`` if a parameter is out of range."""
        if not (
            isinstance(self.sample_rate, int)
            and 8_000 <= self.sample_rate <= 96_000
            and 0.5 <= self.seconds <= 30
        ):
            raise ModelError("front end: sample_rate or seconds is out of range")

    @property
    def bands(self) -> int:
        """Number of feature rows."""
        return N_FEATURES

    def describe(self) -> str:
        """Describe the front end in a few words."""
        return f"{N_FEATURES} summarised features per {self.seconds:g} s at {self.sample_rate:,} Hz"

    def frames(self, samples: int) -> int:
        """Return the number of segments in ``samples`` samples."""
        return max(1, samples // self.segment_samples) if samples else 0

    @property
    def segment_samples(self) -> int:
        """Samples per segment."""
        return int(self.seconds * self.sample_rate)


@dataclass(frozen=True)
class Summary:
    """Callable that turns samples into summarised features."""

    front_end: SummaryFrontEnd

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Return the features [features, segments] of a window, float32."""
        fe = self.front_end
        n = fe.frames(len(samples))
        out = np.zeros((N_FEATURES, n), np.float32)
        for i in range(n):
            segment = samples[i * fe.segment_samples : (i + 1) * fe.segment_samples]
            out[:, i] = _summarise(np.asarray(segment, np.float32), fe.sample_rate)
        return out


def _summarise(y: FloatArray, rate: int) -> FloatArray:
    """Return the features of one segment."""
    import librosa  # only here: it takes a second to import
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
    out = np.concatenate([mean, deviation, np.clip(skew, -_MAX_SKEW, _MAX_SKEW), [tempo]])
    return np.nan_to_num(np.asarray(out, np.float32), posinf=0.0, neginf=0.0)
