"""Four published taggers as teachers: sound -> probabilities and embeddings.

EfficientAT mn04 (Schmid, Koutini and Widmer 2023) knows AudioSet's classes; three networks of Won,
Ferraro, Bogdanov and Serra (2020) know 50 tags each of the Million Song Dataset or of MTG-Jamendo.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

NAMES = ("mn04", "msd_fcn", "jamendo_fcn", "jamendo_musicnn")
DIMS = (384, 64, 64, 200)  # of the embeddings
RATE, RATE_MN04 = 16_000, 32_000  # Hz
FRAMES_FCN, FRAMES_MUSICNN = 1_813, 188  # 29 s and 3 s
FRAMES_PER_SECOND = 62.5  # of the mel spectrogram at 16 kHz


def _frames(x: FloatArray, n_fft: int, hop: int) -> FloatArray:
    return np.lib.stride_tricks.sliding_window_view(x, n_fft)[::hop]


def _power(x: FloatArray, window: FloatArray, hop: int) -> FloatArray:
    """Return the power spectra [frames, bins] of samples."""
    from scipy import fft

    z = fft.rfft(_frames(x, len(window), hop) * window, axis=1)
    power: FloatArray = z.real**2 + z.imag**2
    return power


def _kaldi_bank() -> FloatArray:
    """Return Kaldi's mel filters [513, 128] from 0 to 15 kHz at 32 kHz."""

    def mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(1127 * np.log1p(np.asarray(hertz) / 700))

    at = mel(np.arange(512) * RATE_MN04 / 1024)[:, None]
    p = np.linspace(mel(0.0), mel(15_000.0), 130)
    rising, falling = (at - p[:-2]) / (p[1:-1] - p[:-2]), (p[2:] - at) / (p[2:] - p[1:-1])
    bank = np.maximum(0, np.minimum(rising, falling))
    return np.vstack([bank, np.zeros((1, 128))]).astype(np.float32)


def repeated(mel: FloatArray, frames: int) -> FloatArray:
    """Return the first ``frames`` of a spectrogram [bands, n], repeated where it is short."""
    if mel.shape[1] < frames:
        mel = np.tile(mel, (1, -(-frames // mel.shape[1])))
    return mel[:, :frames]


@dataclass
class Teachers:
    """The teachers of a data folder; each network is opened when it is first used."""

    folder: Path
    _open: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._bank16 = np.load(self.folder / "sota_mel.npy").astype(np.float32)
        self._window16 = np.hanning(513)[:-1].astype(np.float32)
        self._bank32 = _kaldi_bank()
        self._window32 = np.zeros(1024, np.float32)
        self._window32[112:912] = np.hanning(800)

    def run(self, name: str, mels: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (answers, embeddings) of a batch [n, 1, bands, frames]."""
        import onnxruntime

        if name not in self._open:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._open[name] = onnxruntime.InferenceSession(
                str(self.folder / f"{name}.onnx"), options
            )
        session = self._open[name]
        answers, embeddings = session.run(None, {session.get_inputs()[0].name: mels})
        return answers, embeddings

    def mel16(self, x: FloatArray) -> FloatArray:
        """Return the mel power in dB [96, frames] of samples at 16 kHz (Won et al. 2020)."""
        power = _power(np.pad(x, 256, mode="reflect"), self._window16, 256)
        return (10 * np.log10(np.maximum(power @ self._bank16, 1e-10))).T.astype(np.float32)

    def mel32(self, x: FloatArray) -> FloatArray:
        """Return mn04's log-mel [128, 1000] of 10 s at 32 kHz, at RMS 0.1."""
        x = x * np.float32(0.1 / max(1e-9, float(np.sqrt(np.mean(x * x)))))
        x = np.pad(x[1:] - np.float32(0.97) * x[:-1], 512, mode="reflect")
        power = _power(x, self._window32, 320)
        return ((np.log(power @ self._bank32 + 1e-5) + 4.5) / 5).T[:, :1000].astype(np.float32)

    def ask16(self, x: FloatArray, starts: list[float]) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Ask the three teachers at 16 kHz: two about 29 s at once, one about 3 s at ``starts``."""
        mel = self.mel16(x)
        whole = repeated(mel, FRAMES_FCN)[None, None]
        pieces = [repeated(mel[:, int(s * FRAMES_PER_SECOND) :], FRAMES_MUSICNN) for s in starts]
        return {
            "msd_fcn": self.run("msd_fcn", whole),
            "jamendo_fcn": self.run("jamendo_fcn", whole),
            "jamendo_musicnn": self.run("jamendo_musicnn", np.stack(pieces)[:, None]),
        }

    def ask32(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mn04's (527 logits, embedding) of 10 s at 32 kHz."""
        logits, embedding = self.run("mn04", self.mel32(x)[None, None])
        return logits[0], embedding[0]
