"""Make the convolutions of a model file multiply bytes: less than half the time, a fifth smaller.

Weights become 7 bits with a scale for each output channel, activations 8 bits with ranges that are
read off clips (Jacob et al. 2018). Seven, because the multiply-and-add of processors without VNNI
saturates with eight. The first convolution stays in floating point: its input spans the whole range
of loudness, it errs most, and costs next to nothing. The heads stay too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.features import FrontEnd, LogMel
from genretag.inference.metadata import METADATA_KEY
from genretag.inference.model import Model
from genretag.training.export import store_in_half
from models.recipe.answers import log_mels
from models.recipe.pieces import CHUNKS, scaled

CALIBRATION_CLIPS = 120  # ranges hardly move with more
_AT_ONCE = 12  # chunks

FloatArray = npt.NDArray[np.float32]


def chunks_of(work: Path, indices: Iterable[int]) -> FloatArray:
    """Return the first 10 s [n, bands, frames] of random clips."""
    log_mel, longest = LogMel.of(FrontEnd()), CHUNKS[0]
    usable = [(m, e) for m, e in log_mels(work, indices) if len(m) >= longest]
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(usable), min(CALIBRATION_CLIPS, len(usable)), replace=False)
    return np.stack([scaled(log_mel, *(part[:longest] for part in usable[i])) for i in chosen])


def _reader(chunks: FloatArray, name: str) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[FloatArray] = (
                chunks[i : i + _AT_ONCE] for i in range(0, len(chunks), _AT_ONCE)
            )

        def get_next(self) -> dict[str, FloatArray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {name: batch}

    return Reader()


def _widened(model: Any) -> None:
    """Make float weights of halves, in place: the quantiser looks for weights, not for casts."""
    from onnx import TensorProto, numpy_helper

    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            weights = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name.removesuffix(".half")))
    nodes = [n for n in model.graph.node if n.op_type != "Cast" or not n.input[0].endswith(".half")]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def quantise(source: Path, out: Path, chunks: FloatArray) -> float:
    """Write the model quantised; return the error of its embeddings as a share of their deviation.

    ``chunks`` [n, bands, frames] give the ranges of the activations.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model = onnx.load(str(source))
    _widened(model)
    first = next(n.name for n in model.graph.node if n.op_type == "Conv")
    with tempfile.TemporaryDirectory() as folder:
        wide, made = Path(folder) / "wide.onnx", Path(folder) / "made.onnx"
        onnx.save(model, str(wide))
        quantize_static(
            wide,
            made,
            _reader(chunks, model.graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Pad", "Relu"],
            nodes_to_exclude=[first],
            extra_options={"CalibMovingAverage": True},
        )
        quantised = onnx.load(str(made))
    store_in_half(quantised)
    _as_plain(quantised, model)
    onnx.checker.check_model(quantised)
    was = Model(source).run(chunks).embedding
    onnx.save(quantised, str(out))  # it may be the source
    now = Model(out).run(chunks).embedding
    return float(np.sqrt(np.mean(np.square(now - was)) / was.var()))


def _as_plain(quantised: Any, model: Any) -> None:
    """Give the quantised model the metadata, and ask for no more operators than it needs."""
    del quantised.opset_import[:], quantised.metadata_props[:]
    quantised.opset_import.extend(model.opset_import)
    quantised.metadata_props.extend(p for p in model.metadata_props if p.key == METADATA_KEY)
    quantised.producer_name, quantised.producer_version = (
        model.producer_name,
        model.producer_version,
    )
