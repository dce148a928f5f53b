"""The ONNX model: chunks of features -> logits, music-or-not, embedding. The only room that knows onnxruntime."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from genretag.errors import ModelError
from genretag.inference import external, safety
from genretag.inference.external import Wiring
from genretag.inference.metadata import METADATA_KEY, ModelMetadata, read_metadata

FloatArray = npt.NDArray[np.float32]

BUNDLED = "genretag.onnx"

#: Rows of a batch on a CPU: a window of 30 s. More bring nothing there but a need of memory, 5 MB a row, which no cache holds. Shapes
#: never change: a batch that is not full is filled up with zeros.
BATCH_ROWS = 3
_MIN_DEVICE_BATCH = 12  # rows, with which the search for a GPU's batch begins
_WORKERS_A_THREAD = 6
_MAX_ROWS = 384  # 77 MB of log-mel; a few batches wait at once
_WORTH = 0.9  # of the time a row took before: less is worth a batch that is twice as big

#: How genretag's own files are fed.
_OURS = Wiring("", "NBT", "logits", "music", "embedding")

#: What a model that does not tell music from noise says: "this is music", as a logit.
_SURELY_MUSIC = 20.0

#: Probabilities become log-odds no further out than this.
_LEAST = 1e-7


@dataclass(frozen=True)
class Scores:
    """What the network says of chunks: one row each."""

    logits: FloatArray  # [n, labels]
    music: FloatArray  # [n], logit of "this is music"
    embedding: FloatArray  # [n, dims]


def find_batch_rows(seconds: Callable[[int], float]) -> int:
    """Return how many rows a batch should have on a device, where ``seconds(rows)`` runs one.

    It is doubled for as long as a row gets a tenth cheaper by it, and the device's memory lasts.
    """
    rows, each = _MIN_DEVICE_BATCH, seconds(_MIN_DEVICE_BATCH) / _MIN_DEVICE_BATCH
    while rows < _MAX_ROWS:
        try:
            doubled = seconds(2 * rows) / (2 * rows)
        except (
            Exception
        ):  # onnxruntime's own errors have no common class; what fails here is memory
            break
        if doubled > _WORTH * each:
            break
        rows, each = 2 * rows, doubled
    return rows


def model_threads(workers: int, path: Path | None) -> int:
    """Return how many threads a model (None: the bundled one) should have beside decode workers, so that both keep the same cores busy.

    The bundled network takes a sixth of a worker's time, and threads that it does not need cost it a fifth by waiting for each other.
    Another may be as heavy as can be.
    """
    return -(-workers // _WORKERS_A_THREAD) if path in (None, bundled_model()) else workers


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
        _find_cuda()
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if device == "cuda":
        raise ModelError(
            "--device cuda: this onnxruntime has no CUDA provider; in this environment run"
            " `pip uninstall onnxruntime` and `pip install 'onnxruntime-gpu[cuda,cudnn]'`, or use --device cpu"
        )
    return ["CPUExecutionProvider"]


def _find_cuda() -> None:
    """Load the CUDA libraries that ``onnxruntime-gpu[cuda,cudnn]`` brings, where they are installed; else the system's are found."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what is not there
            onnxruntime.preload_dlls()


# Some builds of onnxruntime tell their makers how they are used. genretag calls nobody.
onnxruntime.disable_telemetry_events()


class Model:
    """One loaded model: a callable with explicit threads and a checked provider.

    Another's model, that carries none of genretag's metadata, is fed as the JSON beside it says (``adopted``).
    """

    def __init__(self, path: Path | None = None, device: str = "cpu", threads: int = 1) -> None:
        self.path = path or bundled_model()
        if path is not None:
            safety.check_model_file(path)
        data = _bytes(self.path)
        self._session = _session(self.path, data, device, threads)
        self._first: onnxruntime.InferenceSession | None = None
        self.stages: tuple[Path, ...] = ()  # other files that it is made of
        self.provider = self._session.get_providers()[0]
        if device == "cuda" and self.provider != "CUDAExecutionProvider":
            raise ModelError(
                "--device cuda: onnxruntime fell back to the CPU; is there a GPU, with a driver and the CUDA runtime (cuDNN 9)?"
                " `pip install 'onnxruntime-gpu[cuda,cudnn]'` brings the runtime"
            )
        self.metadata, self._wiring, self._first_wiring = self._described(data, device, threads)
        self.rows = self._wiring.batch or BATCH_ROWS
        self._check()
        if self.provider == "CUDAExecutionProvider" and not self._wiring.batch:
            self.rows = find_batch_rows(self.seconds)

    def _described(
        self, data: bytes, device: str, threads: int
    ) -> tuple[ModelMetadata, Wiring, Wiring]:
        """Return the card, how the model is fed, and how its first stage is, where it has two."""
        try:
            metadata = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        except (UnicodeDecodeError, RuntimeError) as error:
            raise ModelError(f"{self.path}: its metadata cannot be read: {error}") from error
        own = hashlib.sha256(data)
        if metadata is not None:
            names = {o.name for o in self._session.get_outputs()}
            if missing := {"logits", "music", "embedding"} - names:
                raise ModelError(
                    f"{self.path}: it lacks the output(s) {', '.join(sorted(missing))}"
                )
            return read_metadata(self.path, own.hexdigest()[:16], metadata), _OURS, _OURS
        beside = external.sidecar(self.path)
        own.update(beside.read_bytes() if beside.is_file() else b"")
        found = external.read_external_model(
            self.path, own.hexdigest()[:16], *safety.list_ports(self.path)
        )
        if found.embedder is None:
            return found.metadata, found.wiring, _OURS
        first, wiring = found.embedder
        self._first = _session(first, _bytes(first), device, threads)
        self.stages = (first,)
        return found.metadata, found.wiring, wiring

    def _check(self) -> None:
        """Run silence through the model once: a model whose shapes lie is refused before a scan begins."""
        bands, labels = self.metadata.front_end.bands, len(self.metadata.labels)
        try:
            scores = self.run(np.zeros((1, bands, self.metadata.chunks[-1]), np.float32))
        except Exception as error:
            what = "log-mel" if bands > 1 else "samples"
            raise ModelError(
                f"{self.path}: it does not take {what} [batch, {bands}, frames]: {error}"
            ) from error
        if (
            scores.logits.shape != (1, labels)
            or scores.music.shape != (1,)
            or scores.embedding.ndim != 2
        ):
            told = (
                f"{scores.logits.shape[-1]} scores and {labels} labels"
                if scores.logits.ndim == 2
                else f"{scores.logits.ndim} axes"
            )
            raise ModelError(
                f"{self.path}: its outputs do not have the shapes that its metadata promise ({told})"
            )

    def seconds(self, rows: int) -> float:
        """Return how long a batch of so many of the longest chunks takes (s), and leave the batch at that size.

        It is run twice, and the second time counts: the first one makes room for it.
        """
        batch = np.zeros((rows, self.metadata.front_end.bands, self.metadata.chunks[0]), np.float32)
        self.rows = rows
        self.run(batch)
        began = time.perf_counter()
        self.run(batch)
        return time.perf_counter() - began

    @property
    def device(self) -> str:
        """The provider in use, as a person says it."""
        return str(self.provider).removesuffix("ExecutionProvider")

    @property
    def detects_music(self) -> bool:
        """Whether it tells music from what is none."""
        return self._wiring.music is not None

    def run(self, chunks: FloatArray) -> Scores:
        """Score chunks [n, bands, frames] of one length, ``rows`` at a time."""
        if self._first is None:
            return _scores(self._session, self._wiring, chunks, self.rows)
        between = _answers(
            self._first, self._first_wiring, chunks, self._first_wiring.batch or self.rows
        )[self._first_wiring.logits]
        found = _scores(self._session, self._wiring, between.reshape(len(chunks), 1, -1), self.rows)
        return Scores(found.logits, found.music, between.reshape(len(chunks), -1))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}") from error


def _session(path: Path, data: bytes, device: str, threads: int) -> onnxruntime.InferenceSession:
    """Load a model with explicit threads."""
    # Where no GPU was asked for by name, a CUDA that is not there is no error, and onnxruntime's own words would be alarming.
    onnxruntime.set_default_logger_severity(3 if device == "cuda" else 4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=_providers(device))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from error


def _laid_out(chunks: FloatArray, layout: str) -> FloatArray:
    """Return chunks [n, bands, frames] with their axes as a network wants them; N, B, T, and 1 for an axis of one."""
    plain = layout.replace("1", "")
    moved = (
        chunks[:, 0]
        if plain == "NT"
        else chunks.transpose([{"N": 0, "B": 1, "T": 2}[axis] for axis in plain])
    )
    return moved.reshape([1 if axis == "1" else moved.shape[plain.index(axis)] for axis in layout])


def _answers(
    session: onnxruntime.InferenceSession, wiring: Wiring, chunks: FloatArray, rows: int
) -> dict[str, FloatArray]:
    """Run chunks in batches of one shape, and return what the outputs say, a row a chunk."""
    names = list(
        dict.fromkeys(n for n in (wiring.logits, wiring.music, wiring.embedding) if n is not None)
    )
    feed, lots = wiring.input or session.get_inputs()[0].name, []
    for start in range(0, len(chunks), rows):
        batch = lot = chunks[start : start + rows]
        if len(lot) < rows:
            batch = np.zeros((rows, *chunks.shape[1:]), np.float32)
            batch[: len(lot)] = lot
        lots.append(
            [a[: len(lot)] for a in session.run(names, {feed: _laid_out(batch, wiring.layout)})]
        )
    return {
        name: np.concatenate(parts)
        for name, parts in zip(names, zip(*lots, strict=True), strict=True)
    }


def _scores(
    session: onnxruntime.InferenceSession, wiring: Wiring, chunks: FloatArray, rows: int
) -> Scores:
    """Return what a network says of chunks; probabilities become logits, and what it does not say is said for it."""
    n, said = len(chunks), _answers(session, wiring, chunks, rows)
    logits = said[wiring.logits].reshape(n, -1)
    if wiring.gives != "logits":
        p = np.clip(logits, _LEAST, 1 - _LEAST)
        logits = np.log(p) if wiring.gives == "softmax" else np.log(p) - np.log1p(-p)
    music = (
        said[wiring.music].reshape(n, -1)[:, 0]
        if wiring.music
        else np.full(n, _SURELY_MUSIC, np.float32)
    )
    embedding = (
        said[wiring.embedding].reshape(n, -1) if wiring.embedding else np.zeros((n, 1), np.float32)
    )
    return Scores(
        np.asarray(logits, np.float32),
        np.asarray(music, np.float32),
        np.asarray(embedding, np.float32),
    )


def chunk_starts(frames: int, chunk: int) -> list[int]:
    """Return where chunks of ``chunk`` frames begin so that they cover ``frames`` frames evenly, but for a hundredth of a chunk.

    A window of 30 s has a frame more than three chunks of 10 s: a fourth would cost a third more, to hear 16 ms.
    """
    count = -(-(frames - chunk // 100) // chunk)
    if count <= 1:
        return [0]
    return [round(i * (frames - chunk) / (count - 1)) for i in range(count)]


def chunk_length(frames: int, chunks: tuple[int, ...]) -> int:
    """Return the longest chunk that fits into a window of ``frames`` frames (``chunks``: the longest first)."""
    return next((c for c in chunks if c <= frames), chunks[-1])


def cut_chunks(log_mel: FloatArray, chunks: tuple[int, ...]) -> list[FloatArray]:
    """Cut a window's features [bands, frames] into chunks of the longest length that fits; nothing is padded.

    A window that is shorter than a network can hear is repeated: genretag's own hears from a second up.
    """
    frames = log_mel.shape[1]
    length = chunk_length(frames, chunks)
    if frames < length:
        return [np.take(log_mel, np.arange(length) % max(1, frames), axis=1)]
    return [log_mel[:, s : s + length] for s in chunk_starts(frames, length)]
