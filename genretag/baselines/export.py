"""Export baselines to ONNX files with genretag's metadata, and compare them with the original."""

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
from genretag.inference.model import run_session
from genretag.training.attach_head import save_model
from genretag.training.export import OPSET

TOLERANCE = 1e-4  # largest difference of the exported model
_MAX_TIES = 0.1  # share of inputs of k-NN with a tie in single precision
_MIN_PROBABILITY = 1e-9  # probabilities are clipped to it before the logarithm
ALWAYS_MUSIC = 10.0  # music logit: no baseline detects music

FloatArray = npt.NDArray[np.float32]


class _Outputs(nn.Module):
    """A network with the outputs of a genretag model."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (logits, music, embedding)."""
        logits, embedding = self.net(x)
        return logits, logits[:, :1] * 0 + ALWAYS_MUSIC, embedding


def export_network(net: nn.Module, metadata: ModelMetadata, path: Path, x: FloatArray) -> float:
    """Write a network; return the largest difference from PyTorch on inputs ``x``.

    Raises:
        RunError: the outputs differ by more than ``TOLERANCE``.
    """
    import onnx

    # The exporter restores the mode that it found, so the whole network is set to eval.
    whole, raw = _Outputs(net).eval(), io.BytesIO()
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
    return _save(model, path, x, want)


def export_shallow(
    pipeline: Any, metadata: ModelMetadata, path: Path, x: FloatArray, *, ties: bool = False
) -> float:
    """Write a scikit-learn pipeline; return the largest difference of its probabilities.

    Args:
        pipeline: the fitted pipeline.
        metadata: of the model.
        path: the model file.
        x: inputs [n, numbers] to compare on.
        ties: tolerate some inputs with other results, as of neighbours at equal distance.

    Raises:
        RunError: the probabilities differ by more than ``TOLERANCE``.
    """
    from skl2onnx import to_onnx

    model = to_onnx(
        pipeline, x[:1], options={"zipmap": False}, target_opset={"": OPSET, "ai.onnx.ml": 3}
    )
    _adapt_graph(model.graph, x.shape[1])
    embed_metadata(model, metadata)
    want = np.log(np.clip(pipeline.predict_proba(x), _MIN_PROBABILITY, 1))
    return _save(
        model, path, x[:, :, None], want, probabilities=True, ignored=_MAX_TIES if ties else 0.0
    )


def _adapt_graph(graph: Any, numbers: int) -> None:
    """Give a scikit-learn graph the input [n, numbers, 1] and the outputs of a genretag model.

    Logits are the logarithm of the probabilities, and the embedding is the input.
    """
    from onnx import TensorProto, helper, numpy_helper

    inside, probabilities = graph.input[0].name, graph.output[1].name
    constants = {
        "numbers": np.array([-1, numbers], np.int64),
        "min": np.float32(_MIN_PROBABILITY),
        "max": np.float32(1.0),
        "zero": np.float32(0),
        "music": np.float32(ALWAYS_MUSIC),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "columns": np.array([1], np.int64),
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), f"genretag.{k}") for k, v in constants.items()
    )
    # The music logit is p * 0 + constant: a plain constant would have no batch axis.
    before = helper.make_node("Reshape", ["log_mel", "genretag.numbers"], [inside])
    after = [
        helper.make_node("Clip", [probabilities, "genretag.min", "genretag.max"], ["genretag.p"]),
        helper.make_node("Log", ["genretag.p"], ["logits"]),
        helper.make_node(
            "Slice",
            ["genretag.p", "genretag.first", "genretag.second", "genretag.columns"],
            ["genretag.one"],
        ),
        helper.make_node("Mul", ["genretag.one", "genretag.zero"], ["genretag.none"]),
        helper.make_node("Add", ["genretag.none", "genretag.music"], ["music"]),
        helper.make_node("Identity", [inside], ["embedding"]),
    ]
    nodes = [before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(
        helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, ["batch", numbers, 1])
    )
    graph.output.extend(
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", None])
        for n in ("logits", "music", "embedding")
    )


def _save(
    model: Any,
    path: Path,
    x: FloatArray,
    want: npt.NDArray[np.floating],
    *,
    probabilities: bool = False,
    ignored: float = 0.0,
) -> float:
    """Write a model; return its largest difference from ``want``, without the ``ignored`` worst.

    It is written after the comparison, so that a failure leaves an older file as it was.
    """
    got = run_session(model.SerializeToString(), {"log_mel": x}, ["logits"])[0]
    each = (
        np.abs(np.exp(got) - np.exp(want)).max(1)
        if probabilities
        else np.abs(got - want).max(1) / max(1.0, float(np.abs(want).max()))
    )
    worst = float(np.sort(each)[max(0, int(len(each) * (1 - ignored)) - 1)])
    if worst > TOLERANCE:
        raise RunError(f"{path}: onnxruntime differs from the trained system by {worst:.1e}")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    return worst
