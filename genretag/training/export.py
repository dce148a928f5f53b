"""Backbone and heads -> one ONNX file with all that a scan needs in its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genretag.inference.metadata import ModelMetadata, embed_metadata
from genretag.training.head import LinearHead
from genretag.training.network import Backbone, fold, to_layer

OPSET = 17  # onnxruntime 1.20 and newer run it, and so do ones much older
TOLERANCE = 1e-4  # between torch and onnxruntime


class TwoHeadNetwork(nn.Module):
    """The backbone with both heads: log-mel [batch, bands, frames] -> logits, music, embedding."""

    def __init__(self, backbone: Backbone, genre: LinearHead, music: LinearHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.genre = to_layer(genre)
        self.music = to_layer(music)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (logits [batch, labels], music [batch], embedding [batch, dims])."""
        embedding = self.backbone(x)
        return self.genre(embedding), self.music(embedding).squeeze(1), embedding


def round_to_half(ear: TwoHeadNetwork) -> TwoHeadNetwork:
    """Fold batch norms and pooling into convolutions and round all weights to float16, in place.

    Done before the export, so that what is judged in torch is exactly what the file holds.
    """
    ear.eval()
    fold(ear)
    with torch.no_grad():
        for parameter in ear.parameters():
            parameter.copy_(parameter.half().float())
    return ear


def _store_in_half(model: Any) -> None:
    """Keep big weights as float16 with a cast beside them: half the file, the same numbers (they were rounded before)."""
    import onnx
    from onnx import numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size < 256:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), name + ".half"))
        casts.append(
            onnx.helper.make_node("Cast", [name + ".half"], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _edge(g: Any, x: Any, padding: Any, *_: Any) -> Any:
    """Return the one ONNX node that repeats the last band and the last frame; the exporter would reckon the padding in a dozen."""
    left, right, top, bottom = torch.onnx.symbolic_helper._maybe_get_const(padding, "is")
    return g.op(
        "Pad",
        x,
        g.op("Constant", value_t=torch.tensor([0, 0, top, left, 0, 0, bottom, right])),
        mode_s="edge",
    )


def export(ear: TwoHeadNetwork, metadata: ModelMetadata, path: Path) -> float:
    """Write the model file, hold it against torch, and return the largest difference. The ear's weights are rounded.

    Raises:
        ValueError: onnxruntime and torch differ by more than ``TOLERANCE``.
    """
    import onnx
    import onnxruntime

    round_to_half(ear)
    torch.onnx.register_custom_op_symbolic("aten::pad", _edge, OPSET)
    example = torch.randn(2, metadata.front_end.bands, metadata.chunks[0])
    axes = {
        "log_mel": {0: "batch", 2: "frames"},
        "logits": {0: "batch"},
        "music": {0: "batch"},
        "embedding": {0: "batch"},
    }
    torch.onnx.export(
        ear,
        (example,),
        str(path),
        input_names=["log_mel"],
        output_names=["logits", "music", "embedding"],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(path))
    _store_in_half(model)
    embed_metadata(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for frames in metadata.chunks:
        x = torch.randn(3, metadata.front_end.bands, frames)
        with torch.no_grad():
            ours = ear(x)
        theirs = session.run(None, {"log_mel": x.numpy()})
        worst = max(
            worst, *(float(np.abs(a.numpy() - b).max()) for a, b in zip(ours, theirs, strict=True))
        )
    if worst > TOLERANCE:
        raise ValueError(
            f"onnxruntime differs from torch by {worst:.1e}, more than {TOLERANCE:.0e}"
        )
    return worst
