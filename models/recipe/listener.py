"""Clips -> embeddings by a backbone, as a scan makes them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.recipe.corpus import Sound
from genretag.features import FrontEnd, LogMel
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.inference.model import Model, cut_chunks
from genretag.training import augment
from genretag.training.export import TwoHeadNetwork, export
from genretag.training.head import LinearHead
from genretag.training.network import Backbone

CHUNKS = (624, 312, 187, 124, 61)  # frames: 10, 5, 3, 2 and 1 s


class Listener:
    """Hears clips with a backbone as a scan does: through its exported file, before its heads are known."""

    def __init__(self, backbone: Backbone, sound: Sound, front_end: FrontEnd) -> None:
        self.backbone, self.sound, self.log_mel = backbone.eval(), sound, LogMel.of(front_end)
        dims = backbone.project.out_features
        genre, music = LinearHead(np.zeros((dims, 2)), np.zeros(2)), LinearHead(np.zeros((dims, 1)), np.zeros(1))
        metadata = ModelMetadata(
            id="", name="", version="", labels=("one", "other"), front_end=front_end, chunks=CHUNKS,
            music_threshold=0.5, confidence_threshold=0.7, calibration=Calibration(1.0), about={},
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            export(TwoHeadNetwork(backbone, genre, music), metadata, Path(folder, "m.onnx"))
            self._model = Model(Path(folder, "m.onnx"), threads=torch.get_num_threads())

    def embed(self, log_mels: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Return the embedding of each log-mel: the mean over its chunks."""
        chunks = [(i, chunk) for i, log_mel in enumerate(log_mels) for chunk in cut_chunks(log_mel, CHUNKS)]
        sums, counts = np.zeros((len(log_mels), self.backbone.project.out_features), np.float32), np.zeros((len(log_mels), 1), np.float32)
        for length in CHUNKS:
            some = [(i, chunk) for i, chunk in chunks if chunk.shape[1] == length]
            if some:
                rows = [i for i, _ in some]
                np.add.at(sums, rows, self._model.run(np.stack([chunk for _, chunk in some])).embedding)
                np.add.at(counts, rows, 1)
        return np.divide(sums, counts, dtype=np.float32)

    def whole(self, clip: int) -> npt.NDArray[np.float32]:
        """Return the embedding of a whole clip as one window."""
        return self.embed([self.log_mel(self.sound.clip(clip)[: 30 * self.log_mel.front_end.sample_rate])])[0]

    def cut(self, clip: int, seconds: float, rng: np.random.Generator, alter: bool = False) -> npt.NDArray[np.float32] | None:
        """Return the log-mel of a random cut of a clip, or None where the clip is shorter."""
        samples = self.sound.clip(clip)
        need = int(seconds * self.log_mel.front_end.sample_rate)
        if len(samples) < need - 1600:
            return None
        start = int(rng.integers(0, max(1, len(samples) - need)))
        piece = samples[start : start + need]
        mel = self.log_mel.mel_power(piece)
        if alter:
            mel = mel * augment.tilt(rng, mel.shape[1])
        return np.ascontiguousarray(self.log_mel.scale(mel, self.log_mel.gain(piece)).T)
