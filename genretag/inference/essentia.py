"""Models of Essentia's model zoo: the JSON beside an ONNX file -> metadata and wiring.

The zoo is described by Alonso-Jimenez et al. (2020). Its JSON has ``classes``, ``schema`` and
``inference``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genretag.errors import ModelError
from genretag.features import MUSICNN, AnyFrontEnd
from genretag.inference.documents import ExternalModel, read_json, sidecar
from genretag.inference.metadata import ACTIVATIONS, Calibration, ModelMetadata
from genretag.inference.safety import Port, check_model_file, list_ports
from genretag.inference.wiring import Wiring, find_port, fixed_rows, infer_layout

UNCALIBRATED = (
    "not calibrated: genretag models calibrate FILE FOLDER fits its confidence on labelled music"
)


@dataclass(frozen=True)
class _Algorithm:
    """Input of the networks of an Essentia algorithm."""

    front_end: AnyFrontEnd
    frames: int  # of a patch


_ALGORITHMS = {
    "TensorflowPredictMusiCNN": _Algorithm(MUSICNN, 187),
    "TensorflowPredictEffnetDiscogs": _Algorithm(MUSICNN, 128),
}
#: A classifier on the embedding of another model.
_TWO_STAGES = "TensorflowPredict2D"


def is_essentia(data: dict[str, Any]) -> bool:
    """Return whether a JSON document has the form of Essentia's."""
    return "inference" in data or "classes" in data


def read_essentia_model(
    path: Path, data: dict[str, Any], model_id: str, inputs: list[Port], outputs: list[Port]
) -> ExternalModel:
    """Read a model of Essentia's zoo.

    Raises:
        ModelError: the JSON lacks a part, or does not fit the model.
    """
    if _require(data, "inference", "algorithm") == _TWO_STAGES:
        return _read_two_stages(path, data, model_id, inputs, outputs)
    algorithm = _algorithm(data)
    port = find_port(inputs, _described_input(data, inputs), "input")
    if not any(port.shape[1:]):  # the sizes are only in the JSON
        port = replace(port, shape=_described_shape(data, port))
    layout = infer_layout(port, algorithm.front_end.bands, {algorithm.frames})
    logits = match_name(_prediction(data).get("name"), outputs)
    wiring = Wiring(port.name, layout, logits, batch=fixed_rows(port))
    return ExternalModel(
        _metadata(data, model_id, algorithm), _with_embedding(data, outputs, wiring)
    )


def _read_two_stages(
    path: Path, data: dict[str, Any], model_id: str, inputs: list[Port], outputs: list[Port]
) -> ExternalModel:
    """Read a classifier whose input is the embedding of another model beside it."""
    first = path.with_name(f"{_require(data, 'inference', 'embedding_model', 'model_name')}.onnx")
    if not first.exists():
        raise ModelError(
            f"it needs the embedding model {first.name}, which is not in the same folder"
        )
    first_data = (
        read_json(sidecar(first))
        if sidecar(first).exists()
        else {"inference": data["inference"]["embedding_model"]}
    )
    algorithm = _algorithm(first_data)
    port = find_port(inputs, _described_input(data, inputs), "input")
    logits = match_name(_prediction(data).get("name"), outputs)
    wiring = Wiring(port.name, "NT", logits, batch=fixed_rows(port))
    first_wiring = _embedder_wiring(first, first_data, algorithm)
    return ExternalModel(
        _metadata(data, model_id, algorithm),
        _with_embedding(data, outputs, wiring),
        (first, first_wiring),
    )


def _embedder_wiring(first: Path, data: dict[str, Any], algorithm: _Algorithm) -> Wiring:
    """Return the wiring of the first stage."""
    check_model_file(first)
    inputs, outputs = list_ports(first)
    described = _described_embedding(data)
    name = None
    if described:
        name = match_name(described["name"], outputs)
    elif len(outputs) <= 2:  # predictions and embedding, in this order
        name = outputs[-1].name
    port, out = find_port(inputs, None, "input"), find_port(outputs, name, "output").name
    layout = infer_layout(port, algorithm.front_end.bands, {algorithm.frames})
    return Wiring(port.name, layout, out, embedding=out, batch=fixed_rows(port))


def _require(data: dict[str, Any], *keys: str) -> Any:
    """Return the value under nested keys; raise ``ModelError`` with the first missing key."""
    at: Any = data
    for i, key in enumerate(keys):
        if not isinstance(at, dict) or key not in at:
            raise ModelError(f"it lacks {'.'.join(keys[: i + 1])!r}")
        at = at[key]
    return at


def _algorithm(data: dict[str, Any]) -> _Algorithm:
    name, rate = _require(data, "inference", "algorithm"), data["inference"].get("sample_rate")
    if name not in _ALGORITHMS:
        supported = ", ".join([*_ALGORITHMS, _TWO_STAGES])
        raise ModelError(
            f"its front end, inference.algorithm = {name!r}, is not supported"
            f" (supported: {supported})"
        )
    found = _ALGORITHMS[name]
    if rate is not None and rate != found.front_end.sample_rate:
        raise ModelError(
            f"inference.sample_rate = {rate}, but {name} takes {found.front_end.sample_rate}"
        )
    return found


def _metadata(data: dict[str, Any], model_id: str, algorithm: _Algorithm) -> ModelMetadata:
    labels = _require(data, "classes")
    if not isinstance(labels, list) or len(labels) < 2 or len(set(map(str, labels))) != len(labels):
        raise ModelError("its classes must be at least two, all different")
    keys = ("description", "author", "link", "license", "citation")
    about = {k: data[k] for k in keys if isinstance(data.get(k), str)}
    if isinstance(data.get("dataset"), dict):
        about["data"] = str(data["dataset"].get("name", ""))
    return ModelMetadata(
        id=model_id,
        name=str(data.get("name", "external model")),
        version=str(data.get("version", "")),
        labels=tuple(map(str, labels)),
        front_end=algorithm.front_end,
        chunks=(algorithm.frames,),
        music_threshold=0.0,
        confidence_threshold=0.5,
        calibration=Calibration(),
        about={**about, "calibration": UNCALIBRATED},
        activation=_activation(data),
    )


# --- schema -------------------------------------------------------------------------------------


def _described_outputs(data: dict[str, Any]) -> list[dict[str, Any]]:
    outputs = data.get("schema", {}).get("outputs", [])
    return [o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else []


def _described_embedding(data: dict[str, Any]) -> dict[str, Any] | None:
    """Return the output described as the embedding."""
    outputs = _described_outputs(data)
    return next((o for o in outputs if o.get("output_purpose") == "embeddings"), None)


def _prediction(data: dict[str, Any]) -> dict[str, Any]:
    """Return the output described as the predictions."""
    outputs = _described_outputs(data)
    found = [o for o in outputs if o.get("output_purpose") == "predictions"]
    found = found or [o for o in outputs if o.get("op") in ("Sigmoid", "Softmax")]
    if not found:
        raise ModelError(
            "it lacks an output in 'schema.outputs' that holds predictions"
            " (output_purpose, or op: Sigmoid or Softmax)"
        )
    return found[0]


def _activation(data: dict[str, Any]) -> str:
    op = str(_prediction(data).get("op", "")).casefold()
    if op not in ACTIVATIONS:
        raise ModelError(
            f"its output's op is {op or 'missing'!r}; Sigmoid and Softmax are supported"
        )
    return op


def _with_embedding(data: dict[str, Any], outputs: list[Port], wiring: Wiring) -> Wiring:
    """Return the wiring with the output of the embedding and the scale of the predictions."""
    described = _described_embedding(data)
    embedding = match_name(described.get("name"), outputs) if described is not None else None
    if embedding == wiring.logits:
        embedding = None
    return replace(wiring, embedding=embedding, gives=_activation(data))


def _described_input(data: dict[str, Any], ports: list[Port]) -> str | None:
    inputs = data.get("schema", {}).get("inputs", [])
    first = inputs[0] if inputs else None
    return match_name(first.get("name"), ports) if isinstance(first, dict) else None


def _described_shape(data: dict[str, Any], port: Port) -> tuple[int, ...]:
    """Return the shape of the input in the JSON, if it has as many axes; 0 for a variable size."""
    inputs = data.get("schema", {}).get("inputs", [{}])
    shape = inputs[0].get("shape") if inputs and isinstance(inputs[0], dict) else None
    if not isinstance(shape, list) or len(shape) != len(port.shape):
        return port.shape
    return tuple(int(n) if isinstance(n, int) else 0 for n in shape)


def match_name(name: Any, ports: list[Port]) -> str:
    """Return the port of a name in the JSON.

    TensorFlow's names lose their ``:0`` or their path in the conversion to ONNX.
    """
    text = str(name)
    variants = (text, text.partition(":")[0], text.replace(":", "_"), text.rpartition("/")[2])
    for variant in variants:
        if any(p.name == variant for p in ports):
            return variant
    if len(ports) == 1:
        return ports[0].name
    raise ModelError(f"the model has no {text!r} (it has {', '.join(p.name for p in ports)})")
