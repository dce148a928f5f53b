"""The ONNX model: chunks of features -> genre logits, music-or-not logit, embedding."""

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

from genretag.errors import ModelError, describe_error
from genretag.inference import external, safety
from genretag.inference.documents import sidecar
from genretag.inference.metadata import METADATA_KEY, ModelMetadata, read_metadata
from genretag.inference.wiring import Wiring

FloatArray = npt.NDArray[np.float32]

BUNDLED = "genretag.onnx"

#: Rows of a batch on a CPU. Larger batches are no faster there and need 5 MB a row, which exceeds
#: the caches. Shapes never change: an incomplete batch is filled with zeros.
BATCH_ROWS = 1
_MIN_DEVICE_BATCH = 12  # rows; the search for a GPU's batch size begins here
_MAX_ROWS = 384  # 77 MB of log-mel; a few batches wait at once
_WORTHWHILE = 0.9  # a batch is doubled if a row then takes at most this share of the time
_WORKERS_PER_THREAD = 6  # the bundled network takes a sixth of the time of a decode worker

#: Wiring of genretag's own model files.
_OWN_WIRING = Wiring("", "NBT", "logits", "music", "embedding")

_ALWAYS_MUSIC = 20.0  # music logit for models that cannot detect music
_MIN_PROBABILITY = 1e-7  # probabilities are clipped to it before they become logits

# Some builds of onnxruntime report usage to their makers. genretag reports nothing to anybody.
onnxruntime.disable_telemetry_events()


@dataclass(frozen=True)
class Scores:
    """Outputs of the network, one row per chunk."""

    logits: FloatArray  # [n, labels]
    music: FloatArray  # [n], logit of "this is music"
    embedding: FloatArray  # [n, dims]


def bundled_model() -> Path:
    """Return the path of the bundled model."""
    path = Path(str(resources.files("genretag.models").joinpath(BUNDLED)))
    if not path.exists():
        raise ModelError(f"{path}: the bundled model is missing; install genretag again")
    return path


def model_threads(workers: int, path: Path | None) -> int:
    """Return the number of threads for a model (None: the bundled one) beside decode workers.

    The bundled network needs few threads, and idle ones slow it down by a fifth. An external model
    may be much larger, so it gets a thread per worker.
    """
    return -(-workers // _WORKERS_PER_THREAD) if path in (None, bundled_model()) else workers


def find_batch_rows(seconds: Callable[[int], float]) -> int:
    """Return the best batch size for a device, where ``seconds(rows)`` times one batch.

    The size is doubled as long as a row gets a tenth cheaper and the device has enough memory.
    """
    rows, per_row = _MIN_DEVICE_BATCH, seconds(_MIN_DEVICE_BATCH) / _MIN_DEVICE_BATCH
    while rows < _MAX_ROWS:
        # onnxruntime's errors have no common class; what fails here is a lack of memory.
        try:
            doubled = seconds(2 * rows) / (2 * rows)
        except Exception:
            break
        if doubled > _WORTHWHILE * per_row:
            break
        rows, per_row = 2 * rows, doubled
    return rows


class Model:
    """A loaded model with a checked execution provider and an explicit number of threads.

    A model without genretag's metadata is used as the JSON beside it describes (``external``).
    """

    def __init__(self, path: Path | None = None, device: str = "cpu", threads: int = 1) -> None:
        self.path = path or bundled_model()
        # The bundled file is trusted, which saves importing onnx.
        if path is not None:
            safety.check_model_file(path)
        data = _read_bytes(self.path)
        self._session = _load_session(self.path, data, device, threads)
        self._embedder: onnxruntime.InferenceSession | None = None  # first of two stages
        self.stages: tuple[Path, ...] = ()  # further files of the model
        self.provider = self._session.get_providers()[0]
        # onnxruntime falls back silently; somebody who asked for a GPU wants to know.
        if device == "cuda" and self.provider != "CUDAExecutionProvider":
            raise ModelError(
                "--device cuda: onnxruntime fell back to the CPU; check the GPU, its driver and the"
                " CUDA runtime with cuDNN 9 (pip install 'onnxruntime-gpu[cuda,cudnn]')"
            )
        self.metadata, self._wiring, self._embedder_wiring = self._read_metadata(
            data, device, threads
        )
        self.rows = self._wiring.batch or BATCH_ROWS
        # Before the search for a batch size, which takes any error for a lack of memory.
        self._check()
        if self.provider == "CUDAExecutionProvider" and not self._wiring.batch:
            self.rows = find_batch_rows(self.seconds)

    def _read_metadata(
        self, data: bytes, device: str, threads: int
    ) -> tuple[ModelMetadata, Wiring, Wiring]:
        """Return the metadata, the wiring, and the wiring of the first stage if there are two."""
        try:
            text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        except (UnicodeDecodeError, RuntimeError) as error:
            raise ModelError(
                f"{self.path}: its metadata cannot be read: {describe_error(error)}"
            ) from error
        digest = hashlib.sha256(data)
        if text is not None:
            # A file of our own may have been edited: check before the first window is decoded.
            names = {o.name for o in self._session.get_outputs()}
            if missing := {"logits", "music", "embedding"} - names:
                raise ModelError(
                    f"{self.path}: it lacks the output(s) {', '.join(sorted(missing))}"
                )
            metadata = read_metadata(self.path, digest.hexdigest()[:16], text)
            return metadata, _OWN_WIRING, _OWN_WIRING
        beside = sidecar(self.path)
        # The JSON decides what the scores mean, so it is part of the model's id.
        digest.update(beside.read_bytes() if beside.is_file() else b"")
        found = external.read_external_model(
            self.path, digest.hexdigest()[:16], *safety.list_ports(self.path)
        )
        if found.embedder is None:
            return found.metadata, found.wiring, _OWN_WIRING
        first, wiring = found.embedder
        self._embedder = _load_session(first, _read_bytes(first), device, threads)
        self.stages = (first,)
        return found.metadata, found.wiring, wiring

    def _check(self) -> None:
        """Run silence through the model, so that wrong shapes are refused before a scan begins."""
        bands, labels = self.metadata.front_end.bands, len(self.metadata.labels)
        try:
            scores = self.run(np.zeros((1, bands, self.metadata.chunks[-1]), np.float32))
        except Exception as error:
            features = "log-mel" if bands > 1 else "samples"
            raise ModelError(
                f"{self.path}: it does not take {features} [batch, {bands}, frames]: {error}"
            ) from error
        expected = (1, labels), (1,), 2
        if (scores.logits.shape, scores.music.shape, scores.embedding.ndim) != expected:
            found = (
                f"{scores.logits.shape[-1]} scores and {labels} labels"
                if scores.logits.ndim == 2
                else f"{scores.logits.ndim} axes"
            )
            raise ModelError(f"{self.path}: its outputs do not match its metadata ({found})")

    def seconds(self, rows: int) -> float:
        """Set the batch size and return the time of a batch of the longest chunks, in s.

        The batch is run twice and the second run is timed: the first one allocates memory.
        """
        shape = (rows, self.metadata.front_end.bands, self.metadata.chunks[0])
        batch = np.zeros(shape, np.float32)
        self.rows = rows
        self.run(batch)
        began = time.perf_counter()
        self.run(batch)
        return time.perf_counter() - began

    @property
    def device(self) -> str:
        """Short name of the execution provider in use."""
        return str(self.provider).removesuffix("ExecutionProvider")

    @property
    def detects_music(self) -> bool:
        """Whether the model distinguishes music from other sound."""
        return self._wiring.music is not None

    def run(self, chunks: FloatArray) -> Scores:
        """Score chunks [n, bands, frames] of one length, ``rows`` at a time."""
        if self._embedder is None:
            return _score(self._session, self._wiring, chunks, self.rows)
        wiring = self._embedder_wiring
        outputs = _run_batches(self._embedder, wiring, chunks, wiring.batch or self.rows)
        embedding = outputs[wiring.logits].reshape(len(chunks), -1)
        scores = _score(self._session, self._wiring, embedding[:, None], self.rows)
        return Scores(scores.logits, scores.music, embedding)


# --- onnxruntime --------------------------------------------------------------------------------


def _providers(device: str) -> list[str]:
    """Return the execution providers for ``--device``.

    Raises:
        ModelError: CUDA is requested and this onnxruntime does not support it.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        _load_cuda_libraries()
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if device == "cuda":
        raise ModelError(
            "--device cuda: this onnxruntime does not support CUDA; run `pip uninstall onnxruntime`"
            " and `pip install 'onnxruntime-gpu[cuda,cudnn]'`, or use --device cpu"
        )
    return ["CPUExecutionProvider"]


def _load_cuda_libraries() -> None:
    """Load the CUDA libraries of ``onnxruntime-gpu[cuda,cudnn]``; without them, the system's."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints every missing library
            onnxruntime.preload_dlls()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}") from error


def _load_session(
    path: Path, data: bytes, device: str, threads: int
) -> onnxruntime.InferenceSession:
    """Load a model with an explicit number of threads."""
    # Unless CUDA is requested, its absence is not an error: hide onnxruntime's alarming messages.
    onnxruntime.set_default_logger_severity(3 if device == "cuda" else 4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    providers = _providers(device)
    # A pattern would hold memory for the activations of each shape beside the arena's: 3 MB.
    options.enable_mem_pattern = len(providers) > 1
    options.log_severity_level = 3
    # Spinning threads would take time from the decode workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from error


def run_session(
    model: bytes, inputs: dict[str, FloatArray], outputs: list[str] | None = None
) -> list[FloatArray]:
    """Run an ONNX model once on one CPU thread, without metadata; for comparisons after an export.

    ``outputs`` are the names of the outputs; None: all of them.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results: list[FloatArray] = session.run(outputs, inputs)
    return results


def _arrange(chunks: FloatArray, layout: str) -> FloatArray:
    """Return chunks [n, bands, frames] in the layout of a network (see ``Wiring``)."""
    axes = layout.replace("1", "")
    # The axes of size one are put in by the reshape below.
    order = ["NBT".index(axis) for axis in axes]
    moved = chunks[:, 0] if axes == "NT" else chunks.transpose(order)
    return moved.reshape([1 if axis == "1" else moved.shape[axes.index(axis)] for axis in layout])


def _run_batches(
    session: onnxruntime.InferenceSession, wiring: Wiring, chunks: FloatArray, rows: int
) -> dict[str, FloatArray]:
    """Run chunks in batches of one shape; return the outputs by name, one row per chunk."""
    wanted = (wiring.logits, wiring.music, wiring.embedding)
    names = list(dict.fromkeys(name for name in wanted if name is not None))
    input_name = wiring.input or session.get_inputs()[0].name
    parts = []
    for start in range(0, len(chunks), rows):
        batch = some = chunks[start : start + rows]
        # A new shape would make onnxruntime plan its memory again, and GPUs choose other kernels.
        if len(some) < rows:
            batch = np.zeros((rows, *chunks.shape[1:]), np.float32)
            batch[: len(some)] = some
        outputs = session.run(names, {input_name: _arrange(batch, wiring.layout)})
        parts.append([output[: len(some)] for output in outputs])
    joined = [np.concatenate(of_output) for of_output in zip(*parts, strict=True)]
    return dict(zip(names, joined, strict=True))


def _score(
    session: onnxruntime.InferenceSession, wiring: Wiring, chunks: FloatArray, rows: int
) -> Scores:
    """Score chunks; convert probabilities to logits and fill in missing outputs."""
    n, outputs = len(chunks), _run_batches(session, wiring, chunks, rows)
    logits = outputs[wiring.logits].reshape(n, -1)
    if wiring.gives != "logits":
        # Votes and calibration work on logits; a probability of exactly 0 or 1 has none.
        p = np.clip(logits, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        logits = np.log(p) if wiring.gives == "softmax" else np.log(p) - np.log1p(-p)
    music, embedding = np.full(n, _ALWAYS_MUSIC, np.float32), np.zeros((n, 1), np.float32)
    if wiring.music:
        music = outputs[wiring.music].reshape(n, -1)[:, 0]
    if wiring.embedding:
        embedding = outputs[wiring.embedding].reshape(n, -1)
    return Scores(*(np.asarray(x, np.float32) for x in (logits, music, embedding)))


# --- chunks -------------------------------------------------------------------------------------


def chunk_starts(frames: int, chunk: int) -> list[int]:
    """Return the starts of chunks that cover ``frames`` frames evenly.

    A hundredth of a chunk may remain uncovered: a window of 30 s has one frame more than three
    chunks of 10 s, and a fourth chunk would cost a third more for 16 ms.
    """
    # Rounded up: the chunks overlap rather than leave something out.
    count = -(-(frames - chunk // 100) // chunk)
    if count <= 1:
        return [0]
    return [round(i * (frames - chunk) / (count - 1)) for i in range(count)]


def chunk_length(frames: int, chunks: tuple[int, ...]) -> int:
    """Return the longest of ``chunks`` (longest first) that fits in ``frames`` frames."""
    return next((c for c in chunks if c <= frames), chunks[-1])


def cut_chunks(log_mel: FloatArray, chunks: tuple[int, ...]) -> list[FloatArray]:
    """Cut a window's features [bands, frames] into chunks of the longest length that fits.

    Nothing is padded. A window shorter than the shortest chunk is repeated.
    """
    frames = log_mel.shape[1]
    length = chunk_length(frames, chunks)
    if frames < length:
        return [np.take(log_mel, np.arange(length) % max(1, frames), axis=1)]
    return [log_mel[:, s : s + length] for s in chunk_starts(frames, length)]
