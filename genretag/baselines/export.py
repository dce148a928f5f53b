"""Any classic -> one ONNX file with genretag's metadata, held against what it was made from."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genretag.errors import RunError
from genretag.inference.metadata import ModelMetadata, embed_metadata
from genretag.training.attach_head import save_model
from genretag.training.export import OPSET

TOLERANCE = 1e-4
SURELY_MUSIC = 10.0  # logit: no classic learns what is no music, and takes everything for music

FloatArray = npt.NDArray[np.float32]


class _Outputs(nn.Module):
    """A network with the outputs that a scan asks for."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (logits, music, embedding)."""
        logits, embedding = self.net(x)
        return logits, logits[:, :1] * 0 + SURELY_MUSIC, embedding


def export_network(net: nn.Module, metadata: ModelMetadata, path: Path, x: FloatArray) -> float:
    """Write a network, and return the largest difference between onnxruntime and torch on inputs ``x``.

    Raises:
        RunError: they differ by more than ``TOLERANCE``.
    """
    import onnx

    whole, raw = (
        _Outputs(net).eval(),
        io.BytesIO(),
    )  # the whole of it: exporting gives back the mode that it found
    axes = {name: {0: "batch"} for name in ("log_mel", "logits", "music", "embedding")}
    torch.onnx.export(
        whole,
        (torch.from_numpy(x[:2].copy()),),
        raw,
        input_names=["log_mel"],
        output_names=["logits", "music", "embedding"],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load_model_from_string(raw.getvalue())
    embed_metadata(model, metadata)
    with torch.no_grad():
        want = whole(torch.from_numpy(x))[0].numpy()
    return _saved(model, path, x, want)


def export_shallow(
    pipeline: Any, metadata: ModelMetadata, path: Path, x: FloatArray, *, ties: bool = False
) -> float:
    """Write a scikit-learn pipeline, and return the largest difference of probabilities on inputs ``x`` [n, numbers].

    ``ties``: one input in ten may be told otherwise, as neighbours are that lie equally far in single precision.

    Raises:
        RunError: the two differ by more than ``TOLERANCE``.
    """
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import to_onnx

    model = to_onnx(
        pipeline, x[:1], options={"zipmap": False}, target_opset={"": OPSET, "ai.onnx.ml": 3}
    )
    graph = model.graph
    inside, probabilities = graph.input[0].name, graph.output[1].name
    numbers = np.array([-1, x.shape[1]], np.int64)
    constants = {
        "numbers": numbers,
        "least": np.float32(1e-9),
        "most": np.float32(1.0),
        "nought": np.float32(0),
        "surely": np.float32(SURELY_MUSIC),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "columns": np.array([1], np.int64),
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), f"genretag.{k}") for k, v in constants.items()
    )
    before = helper.make_node("Reshape", ["log_mel", "genretag.numbers"], [inside])
    after = [
        helper.make_node(
            "Clip", [probabilities, "genretag.least", "genretag.most"], ["genretag.p"]
        ),
        helper.make_node("Log", ["genretag.p"], ["logits"]),
        helper.make_node(
            "Slice",
            ["genretag.p", "genretag.first", "genretag.second", "genretag.columns"],
            ["genretag.one"],
        ),
        helper.make_node("Mul", ["genretag.one", "genretag.nought"], ["genretag.none"]),
        helper.make_node("Add", ["genretag.none", "genretag.surely"], ["music"]),
        helper.make_node("Identity", [inside], ["embedding"]),
    ]
    nodes = [before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(
        helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, ["batch", x.shape[1], 1])
    )
    graph.output.extend(
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", None])
        for n in ("logits", "music", "embedding")
    )
    embed_metadata(model, metadata)
    want = np.log(np.clip(pipeline.predict_proba(x), 1e-9, 1))
    return _saved(model, path, x[:, :, None], want, probabilities=True, leave=0.1 if ties else 0.0)


def _saved(
    model: Any,
    path: Path,
    x: FloatArray,
    want: npt.NDArray[np.floating],
    *,
    probabilities: bool = False,
    leave: float = 0.0,
) -> float:
    """Write a model that says what it was made from, and return the largest difference, the ``leave`` worst inputs left out.

    It is written last: what does not hold, or is interrupted, leaves the file that was there.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    got = session.run(["logits"], {"log_mel": x})[0]
    each = (
        np.abs(np.exp(got) - np.exp(want)).max(1)
        if probabilities
        else np.abs(got - want).max(1) / max(1.0, float(np.abs(want).max()))
    )
    worst = float(np.sort(each)[max(0, int(len(each) * (1 - leave)) - 1)])
    if worst > TOLERANCE:
        raise RunError(f"{path}: onnxruntime differs from what it was made from by {worst:.1e}")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    return worst
