"""Safety check of an external ONNX file before it is loaded.

onnxruntime folds constants and opens external data while it loads, so a hostile file must be
refused before that: here it is only parsed as data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genretag.errors import ModelError

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}  # operators built into onnxruntime
_MAX_BYTES = 1 << 30  # 1 GiB, of a file
_MAX_ELEMENTS = 1 << 27  # of a tensor: 512 MiB of float32
_MAX_RANK = 64  # elements of a constant that is taken for a shape
_INTEGERS = (6, 7)  # TensorProto.INT32 and INT64

# Operators that can make a huge tensor out of a small constant.
_GROWING = {
    "ConstantOfShape",
    "Expand",
    "Tile",
    "RandomNormal",
    "RandomUniform",
    "EyeLike",
    "Range",
    "Pad",
    "Resize",
    "Upsample",
}


@dataclass(frozen=True)
class Port:
    """Input or output of an ONNX model; 0 stands for a variable size."""

    name: str
    shape: tuple[int, ...]


def list_ports(path: Path) -> tuple[list[Port], list[Port]]:
    """Return the inputs and outputs of a checked model."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {t.name for t in graph.initializer}

    def to_port(value: Any) -> Port:
        dims = value.type.tensor_type.shape.dim
        return Port(value.name, tuple(int(d.dim_value) for d in dims))

    inputs = [to_port(v) for v in graph.input if v.name not in weights]
    return inputs, [to_port(v) for v in graph.output]


def check_model_file(path: Path) -> None:
    """Check that an ONNX file is safe to load.

    Raises:
        ModelError: it is not an ONNX model, needs other files or custom operators, or is too large.
    """
    import onnx

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelError(f"{path}: the model is larger than 1 GiB and is not loaded")
        model = onnx.load(str(path), load_external_data=False)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}") from error
    except Exception as error:
        raise ModelError(f"{path}: not an ONNX model (it cannot be parsed)") from error
    if not model.graph.node:
        raise ModelError(f"{path}: not an ONNX model (it has no nodes)")
    for graph in _graphs(model.graph):
        _check_graph(path, graph)
    for function in model.functions:
        _check_nodes(path, function.node)


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and the graphs inside its nodes (If, Loop, Scan)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(
                attribute.graphs
            ):
                yield from _graphs(inner)


def _check_graph(path: Path, graph: Any) -> None:
    tensors = list(graph.initializer) + [s.values for s in graph.sparse_initializer]
    tensors += [a.t for n in graph.node for a in n.attribute if a.HasField("t")]
    for tensor in tensors:
        _check_tensor(path, tensor)
    _check_nodes(path, graph.node)
    _check_growth(path, graph)


def _check_tensor(path: Path, tensor: Any) -> None:
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError(
            f"{path}: it keeps its weights in another file; only single-file models are loaded"
        )
    if any(d < 0 for d in tensor.dims) or math.prod(tensor.dims) > _MAX_ELEMENTS:
        raise ModelError(f"{path}: it has a constant of shape {list(tensor.dims)}, too large")


def _check_nodes(path: Path, nodes: Any) -> None:
    for node in nodes:
        if node.domain not in _DOMAINS:
            raise ModelError(
                f"{path}: it needs the custom operator {node.domain}::{node.op_type};"
                " only standard operators are loaded"
            )


def _check_growth(path: Path, graph: Any) -> None:
    """Refuse nodes that would make a huge tensor."""
    from onnx import numpy_helper

    constants = {t.name: t for t in graph.initializer}
    constants |= {
        n.output[0]: a.t
        for n in graph.node
        if n.op_type == "Constant"
        for a in n.attribute
        if a.HasField("t")
    }
    for node in graph.node:
        if node.op_type not in _GROWING:
            continue
        shapes = [list(a.ints) for a in node.attribute if a.name == "shape"]
        for name in node.input:
            if (
                name in constants
                and constants[name].data_type in _INTEGERS
                and math.prod(constants[name].dims) <= _MAX_RANK
            ):
                shapes.append([int(n) for n in numpy_helper.to_array(constants[name]).ravel()])
        if any(math.prod(max(1, abs(n)) for n in shape) > _MAX_ELEMENTS for shape in shapes):
            raise ModelError(f"{path}: {node.op_type} would create a tensor that is too large")
