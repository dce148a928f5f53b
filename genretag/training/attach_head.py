"""A fitted linear head -> a copy of the backbone's ONNX file with that head in the place of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genretag.errors import ModelError
from genretag.inference.metadata import ModelMetadata, embed_metadata
from genretag.training.head import LinearHead

TOLERANCE = 1e-4  # between scikit-learn's head and the file's


def attach_head(backbone: Path, head: LinearHead, metadata: ModelMetadata, path: Path) -> float:
    """Write a model file: the backbone's graph with ``head`` on its embedding; return the largest difference found.

    The embedding, music-or-not, IR version and operator set stay as they are. The scaler must be part of the head
    already (``folded``), so that it takes embeddings as the store keeps them.

    Raises:
        ModelError: the backbone has no embedding of that width, or the new file does not say what the head says.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(backbone))
    graph = model.graph
    if "embedding" not in {o.name for o in graph.output}:
        raise ModelError(f"{backbone}: it has no embedding that a new head could be put onto")
    _without(graph, "logits")
    weight, bias = head.weight.astype(np.float32), head.bias.astype(np.float32)
    graph.initializer.append(
        numpy_helper.from_array(np.ascontiguousarray(weight), "grafted.weight")
    )
    graph.initializer.append(numpy_helper.from_array(bias, "grafted.bias"))
    graph.node.append(
        helper.make_node(
            "Gemm", ["embedding", "grafted.weight", "grafted.bias"], ["logits"], name="grafted"
        )
    )
    for output in graph.output:
        if output.name == "logits":
            output.type.tensor_type.shape.dim[1].Clear()
            output.type.tensor_type.shape.dim[1].dim_value = len(bias)
    embed_metadata(model, metadata)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelError(f"{backbone}: no new head can be put onto it: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    return _parity(path, head)


def replace_metadata(source: Path, metadata: ModelMetadata, path: Path) -> None:
    """Write the same model with other metadata; ``path`` may be ``source``."""
    import onnx

    model = onnx.load(str(source))
    embed_metadata(model, metadata)
    save_model(model, path)


def save_model(model: Any, path: Path) -> None:
    """Write a model file through a temporary one, so that a kill leaves the old one or the new one."""
    import onnx

    part = path.with_name(path.name + ".part")
    try:
        onnx.save(model, str(part))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _without(graph: Any, output: str) -> None:
    """Take out the nodes and weights that only make one output."""
    kept_outputs = {o.name for o in graph.output} - {output}
    needed, nodes = set(kept_outputs), []
    for node in reversed(graph.node):
        if set(node.output) & needed:
            needed.update(node.input)
            nodes.append(node)
    nodes.reverse()
    weights = [w for w in graph.initializer if w.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)


def _parity(path: Path, head: LinearHead) -> float:
    """Return how far the file's logits are from the head's on the file's own embeddings."""
    from genretag.inference.model import Model

    model = Model(path)
    bands = model.metadata.front_end.bands
    x = (
        np.random.default_rng(0)
        .normal(size=(4, bands, model.metadata.chunks[-1]))
        .astype(np.float32)
    )
    scores = model.run(x)
    if scores.embedding.shape[1] != len(head.weight):
        raise ModelError(
            f"{path}: an embedding of {scores.embedding.shape[1]} numbers, and a head for {len(head.weight)}"
        )
    worst = float(np.abs(head(scores.embedding) - scores.logits).max())
    if worst > TOLERANCE * max(1.0, float(np.abs(scores.logits).max())):
        raise ModelError(f"{path}: the file says other than what was fitted (by {worst:.1e})")
    return worst
