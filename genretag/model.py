"""The ONNX model: log-mel chunks -> logits, music-or-not, embedding. The only room that knows onnxruntime."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from genretag import foreign
from genretag.card import METADATA_KEY, read_card
from genretag.errors import ModelError

FloatArray = npt.NDArray[np.float32]

BUNDLED = "genretag.onnx"

#: Rows of a batch. Shapes never change: a batch that is not full is filled up with zeros.
BATCH_ROWS = 12


@dataclass(frozen=True)
class Scores:
    """What the network says of chunks: one row each."""

    logits: FloatArray  # [n, labels]
    music: FloatArray  # [n], logit of "this is music"
    embedding: FloatArray  # [n, dims]


def bundled_model() -> Path:
    """Return the path of the model that comes with genretag."""
    path = Path(str(resources.files("genretag.models").joinpath(BUNDLED)))
    if not path.exists():
        raise ModelError(f"{path}: the bundled model is missing; install genretag again")
    return path


def _providers(device: str) -> list[str]:
    """Return the execution providers to ask for; raise where cuda was asked for and is not there."""
    available = onnxruntime.get_available_providers()
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in available:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if device == "cuda":
        raise ModelError(
            "--device cuda: this onnxruntime has no CUDA provider; in this environment run"
            " `pip uninstall onnxruntime` and `pip install onnxruntime-gpu`, or use --device cpu"
        )
    return ["CPUExecutionProvider"]


class Model:
    """One loaded model: a callable with explicit threads and a checked provider."""

    def __init__(self, path: Path | None = None, device: str = "cpu", threads: int = 1) -> None:
        self.path = path or bundled_model()
        if path is not None:
            foreign.check(path)
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ModelError(f"{self.path}: the model cannot be read: {error.strerror}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=_providers(device))
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{self.path}: onnxruntime cannot load it: {error}") from error
        self.provider = self._session.get_providers()[0]
        if device == "cuda" and self.provider != "CUDAExecutionProvider":
            raise ModelError("--device cuda: onnxruntime fell back to the CPU; is the CUDA runtime (cuDNN 9) installed?")
        try:
            metadata = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        except (UnicodeDecodeError, RuntimeError) as error:
            raise ModelError(f"{self.path}: its metadata cannot be read: {error}") from error
        self.card = read_card(self.path, hashlib.sha256(data).hexdigest()[:16], metadata)
        self._check()

    def _check(self) -> None:
        """Run silence through the model once: a model whose shapes lie is refused before a scan begins."""
        bands, labels = self.card.front_end.n_mels, len(self.card.labels)
        names = {o.name for o in self._session.get_outputs()}
        if missing := {"logits", "music", "embedding"} - names:
            raise ModelError(f"{self.path}: it lacks the output(s) {', '.join(sorted(missing))}")
        try:
            scores = self.run(np.zeros((1, bands, self.card.chunks[-1]), np.float32))
        except Exception as error:
            raise ModelError(f"{self.path}: it does not take log-mel [batch, {bands}, frames]: {error}") from error
        if scores.logits.shape != (1, labels) or scores.music.shape != (1,) or scores.embedding.ndim != 2:
            raise ModelError(f"{self.path}: its outputs do not have the shapes that its metadata promise")

    @property
    def device(self) -> str:
        """The provider in use, as a person says it."""
        return str(self.provider).removesuffix("ExecutionProvider")

    def run(self, chunks: FloatArray) -> Scores:
        """Score up to ``BATCH_ROWS`` chunks [n, bands, frames] of one length."""
        n = len(chunks)
        batch = np.zeros((BATCH_ROWS, *chunks.shape[1:]), np.float32)
        batch[:n] = chunks
        name = self._session.get_inputs()[0].name
        logits, music, embedding = self._session.run(["logits", "music", "embedding"], {name: batch})
        return Scores(logits[:n], music[:n].reshape(n, -1)[:, 0], embedding[:n])


def chunk_starts(frames: int, chunk: int) -> list[int]:
    """Return where chunks of ``chunk`` frames begin so that they cover ``frames`` frames evenly."""
    count = -(-frames // chunk)
    if count <= 1:
        return [0]
    return [round(i * (frames - chunk) / (count - 1)) for i in range(count)]


def chunk_length(frames: int, chunks: tuple[int, ...]) -> int:
    """Return the longest chunk that fits into a window of ``frames`` frames (``chunks``: the longest first)."""
    return next((c for c in chunks if c <= frames), chunks[-1])


def cut_chunks(log_mel: FloatArray, chunks: tuple[int, ...]) -> list[FloatArray]:
    """Cut a window's log-mel [bands, frames] into chunks of the longest length that fits; nothing is padded."""
    frames = log_mel.shape[1]
    length = chunk_length(frames, chunks)
    return [log_mel[:, s : s + length] for s in chunk_starts(frames, length)]
