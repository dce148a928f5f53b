"""Another's ONNX file, looked over before any of it runs.

onnxruntime folds constants and opens external data while it loads, so a hostile file must be
refused before that: it is parsed here as data alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genretag.errors import ModelError

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}  # what onnxruntime itself brings
_MAX_BYTES = 1 << 30  # of a file
_MAX_ELEMENTS = 1 << 27  # of a tensor: 512 MiB of float32
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
    """An input or output of an ONNX model; 0 stands for a size that is free."""

    name: str
    shape: tuple[int, ...]


def list_ports(path: Path) -> tuple[list[Port], list[Port]]:
    """Return the inputs and outputs of a model that was checked."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {t.name for t in graph.initializer}

    def of(value: Any) -> Port:
        return Port(value.name, tuple(int(d.dim_value) for d in value.type.tensor_type.shape.dim))

    return [of(v) for v in graph.input if v.name not in weights], [of(v) for v in graph.output]


def check_model_file(path: Path) -> None:
    """Raise ``ModelError`` for a file that must not be loaded, and say why."""
    import onnx

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelError(f"{path}: a model of more than 1 GiB is not loaded")
        model = onnx.load(str(path), load_external_data=False)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}") from error
    except Exception as error:
        raise ModelError(f"{path}: it is no ONNX model ({type(error).__name__})") from error
    if not model.graph.node:
        raise ModelError(f"{path}: it is no ONNX model (it has no nodes)")
    for graph in _graphs(model.graph):
        _check_graph(path, graph)
    for function in model.functions:
        _check_nodes(path, function.node)


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and those inside its nodes (If, Loop, Scan)."""
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
            f"{path}: it keeps weights in another file, and only models of one file are loaded"
        )
    if any(d < 0 for d in tensor.dims) or math.prod(tensor.dims) > _MAX_ELEMENTS:
        raise ModelError(f"{path}: a constant of shape {list(tensor.dims)} is not loaded")


def _check_nodes(path: Path, nodes: Any) -> None:
    for node in nodes:
        if node.domain not in _DOMAINS:
            raise ModelError(
                f"{path}: it needs the custom operator {node.domain}::{node.op_type}, and such are not loaded"
            )


def _check_growth(path: Path, graph: Any) -> None:
    """Refuse nodes that would make a huge tensor out of a small constant."""
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
                and constants[name].data_type in (6, 7)
                and math.prod(constants[name].dims) <= 64
            ):
                shapes.append([int(n) for n in numpy_helper.to_array(constants[name]).ravel()])
        if any(math.prod(max(1, abs(n)) for n in shape) > _MAX_ELEMENTS for shape in shapes):
            raise ModelError(f"{path}: {node.op_type} would make a tensor too large to be loaded")
