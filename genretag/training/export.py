"""Export a backbone with its heads to an ONNX file with metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genretag.inference.metadata import ModelMetadata, embed_metadata
from genretag.inference.model import run_session
from genretag.training.head import LinearHead
from genretag.training.network import Backbone, fold, to_layer

OPSET = 17  # supported by onnxruntime 1.12 and newer
TOLERANCE = 1e-4  # between the outputs of PyTorch and onnxruntime
_MIN_HALF_WEIGHTS = 256  # smaller tensors stay in single precision


class TwoHeadNetwork(nn.Module):
    """Backbone with both heads: log-mel [batch, bands, frames] -> logits, music, embedding.

    The last ``kinds`` outputs of the genre head are kinds of music without a label. Their
    probability is spread over all labels, so that no label is sure of such music. A label of
    ``at_most`` has no more than that probability; what is above it is spread over the others.
    """

    def __init__(
        self,
        backbone: Backbone,
        genre: LinearHead,
        music: LinearHead,
        kinds: int = 0,
        at_most: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.genre = to_layer(genre)
        self.music = to_layer(music)
        self.kinds = kinds
        highest = torch.ones(len(genre.bias) - kinds)
        for label, value in (at_most or {}).items():
            highest[label] = value
        self.register_buffer("highest", highest)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (logits [batch, labels], music [batch], embedding [batch, dims])."""
        embedding = self.backbone(x)
        logits = self.genre(embedding)
        if self.kinds:
            p = torch.softmax(logits, dim=1)
            known, other = p[:, : -self.kinds], p[:, -self.kinds :]
            p = known + other.sum(dim=1, keepdim=True) / known.shape[1]
            kept = torch.minimum(p, self.highest)
            room = (self.highest >= 1).to(p.dtype)
            p = kept + room * (p - kept).sum(dim=1, keepdim=True) / room.sum()
            logits = p.clamp_min(1e-12).log()
        return logits, self.music(embedding).squeeze(1), embedding


def round_to_half(network: TwoHeadNetwork) -> TwoHeadNetwork:
    """Fold batch norms and pooling, and round all weights to float16, in place.

    Before the export, so that the network in PyTorch is exactly that of the file.
    """
    network.eval()
    fold(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())
    return network


def store_in_half(model: Any) -> None:
    """Store large weights as float16 with a cast, which halves the file.

    They were rounded before, so the numbers stay the same. Scales of quantised weights stay.
    """
    import onnx
    from onnx import numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size < _MIN_HALF_WEIGHTS:
            continue
        if tensor.name.endswith("_scale"):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), name + ".half"))
        casts.append(
            onnx.helper.make_node("Cast", [name + ".half"], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _edge_padding(g: Any, x: Any, padding: Any, *_: Any) -> Any:
    """Return one ONNX node for the edge padding; PyTorch's exporter would make a dozen."""
    left, right, top, bottom = torch.onnx.symbolic_helper._maybe_get_const(padding, "is")
    return g.op(
        "Pad",
        x,
        g.op("Constant", value_t=torch.tensor([0, 0, top, left, 0, 0, bottom, right])),
        mode_s="edge",
    )


def export(network: TwoHeadNetwork, metadata: ModelMetadata, path: Path) -> float:
    """Write the model file and return the largest difference from PyTorch.

    The weights of ``network`` are rounded to float16 in place.

    Raises:
        ValueError: the outputs differ by more than ``TOLERANCE``.
    """
    import onnx

    round_to_half(network)
    torch.onnx.register_custom_op_symbolic("aten::pad", _edge_padding, OPSET)
    example = torch.randn(2, metadata.front_end.bands, metadata.chunks[0])
    axes = {
        "log_mel": {0: "batch", 2: "frames"},
        "logits": {0: "batch"},
        "music": {0: "batch"},
        "embedding": {0: "batch"},
    }
    torch.onnx.export(
        network,
        (example,),
        str(path),
        input_names=["log_mel"],
        output_names=["logits", "music", "embedding"],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(path))
    store_in_half(model)
    embed_metadata(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    worst = _compare(network, metadata, path)
    if worst > TOLERANCE:
        raise ValueError(
            f"onnxruntime differs from PyTorch by {worst:.1e}, more than {TOLERANCE:.0e}"
        )
    return worst


def _compare(network: TwoHeadNetwork, metadata: ModelMetadata, path: Path) -> float:
    """Return the largest difference between a file and the network, over all chunk lengths."""
    model, worst = path.read_bytes(), 0.0
    for frames in metadata.chunks:
        x = torch.randn(3, metadata.front_end.bands, frames)
        with torch.no_grad():
            ours = network(x)
        theirs = run_session(model, {"log_mel": x.numpy()})
        differences = [
            float(np.abs(a.numpy() - b).max()) for a, b in zip(ours, theirs, strict=True)
        ]
        worst = max(worst, *differences)
    return worst
