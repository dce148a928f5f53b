"""Replace the head of an ONNX model by a fitted linear head, or its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genretag.atomic import atomic_write
from genretag.errors import ModelError
from genretag.inference.metadata import ModelMetadata, embed_metadata
from genretag.training.head import LinearHead

TOLERANCE = 1e-4  # between the logits of the fitted head and of the file
_NODE = "grafted"  # prefix of the new node's names; earlier versions wrote it too


def attach_head(backbone: Path, head: LinearHead, metadata: ModelMetadata, path: Path) -> float:
    """Write a model file with ``head`` on the embedding of a backbone.

    Embedding, music-or-not, IR version and operator set stay unchanged. The scaler must be part of
    the head (``fold_scaler``).

    Returns:
        The largest difference between the logits of the head and of the file.

    Raises:
        ModelError: the backbone has no embedding of that width, or the logits differ too much.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(backbone))
    graph = model.graph
    if "embedding" not in {o.name for o in graph.output}:
        raise ModelError(f"{backbone}: it has no embedding to attach a head to")
    _remove_output(graph, "logits")
    weight = np.ascontiguousarray(head.weight.astype(np.float32))
    bias = head.bias.astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(weight, f"{_NODE}.weight"))
    graph.initializer.append(numpy_helper.from_array(bias, f"{_NODE}.bias"))
    inputs = ["embedding", f"{_NODE}.weight", f"{_NODE}.bias"]
    graph.node.append(helper.make_node("Gemm", inputs, ["logits"], name=_NODE))
    for output in graph.output:
        if output.name == "logits":
            # The declared width is that of the old head.
            output.type.tensor_type.shape.dim[1].Clear()
            output.type.tensor_type.shape.dim[1].dim_value = len(bias)
    embed_metadata(model, metadata)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelError(f"{backbone}: a head cannot be attached to it: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    return _compare(path, head)


def replace_metadata(source: Path, metadata: ModelMetadata, path: Path) -> None:
    """Write a model with other metadata; ``path`` may be ``source``."""
    import onnx

    model = onnx.load(str(source))
    embed_metadata(model, metadata)
    save_model(model, path)


def save_model(model: Any, path: Path) -> None:
    """Write a model file as a whole or not at all."""
    import onnx

    with atomic_write(path) as part:
        onnx.save(model, str(part))


def _remove_output(graph: Any, output: str) -> None:
    """Remove the nodes and weights that only one output needs; keep its declaration."""
    # ONNX lists nodes in the order of computation, so that one pass from the end finds all.
    needed, nodes = {o.name for o in graph.output} - {output}, []
    for node in reversed(graph.node):
        if set(node.output) & needed:
            needed.update(node.input)
            nodes.append(node)
    nodes.reverse()
    weights = [w for w in graph.initializer if w.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)


def _compare(path: Path, head: LinearHead) -> float:
    """Return the largest difference of the logits, on the file's own embeddings of noise."""
    from genretag.inference.model import Model

    model = Model(path)
    shape = (4, model.metadata.front_end.bands, model.metadata.chunks[-1])
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    scores = model.run(noise)
    if scores.embedding.shape[1] != len(head.weight):
        raise ModelError(
            f"{path}: its embedding has {scores.embedding.shape[1]} dimensions,"
            f" the head expects {len(head.weight)}"
        )
    worst = float(np.abs(head(scores.embedding) - scores.logits).max())
    # Relative to the logits: float32 has about seven digits.
    if worst > TOLERANCE * max(1.0, float(np.abs(scores.logits).max())):
        raise ModelError(f"{path}: its logits differ from those of the fitted head by {worst:.1e}")
    return worst
