"""Another's model: what the JSON beside its ONNX file says, turned into a card and a wiring.

Two kinds of JSON are read: that of Essentia's model zoo (``classes``, ``schema``, ``inference``; Alonso-Jimenez
et al. 2020), and genretag's own metadata, with a ``wiring`` where inputs or outputs have other names.
What is missing is said, key by key: a model that is fed wrongly answers nonetheless.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genretag.errors import ModelError
from genretag.features import EFFICIENT_AT, LIBROSA, MUSICNN, AnyFrontEnd
from genretag.inference.metadata import (
    ACTIVATIONS,
    METADATA_KEY,
    Calibration,
    ModelMetadata,
    parse_metadata,
)
from genretag.inference.safety import Port, check_model_file, list_ports

UNCALIBRATED = (
    "not calibrated: genretag models calibrate FILE FOLDER fits its confidence on labelled music"
)


@dataclass(frozen=True)
class Wiring:
    """How features go into a network, and what comes out of it.

    ``layout`` spells the input's axes: N the batch, B the bands, T the time, 1 an axis of one. An output that
    is None is not there.
    """

    input: str
    layout: str
    logits: str
    music: str | None = None
    embedding: str | None = None
    gives: str = "logits"  # what the output already is: logits, softmax or sigmoid
    batch: int = 0  # rows that it must be fed; 0: any number


@dataclass(frozen=True)
class ExternalModel:
    """Another's model, ready to be fed. ``embedder``: the first stage of a model of two, and how that is fed."""

    metadata: ModelMetadata
    wiring: Wiring
    embedder: tuple[Path, Wiring] | None = None


@dataclass(frozen=True)
class _Algorithm:
    """How one of Essentia's algorithms feeds a network."""

    front_end: AnyFrontEnd
    frames: int  # of a patch


#: Essentia's algorithm -> its front end; TensorflowPredict2D takes an embedding.
_ALGORITHMS = {
    "TensorflowPredictMusiCNN": _Algorithm(MUSICNN, 187),
    "TensorflowPredictEffnetDiscogs": _Algorithm(MUSICNN, 128),
}
_TWO_STAGES = "TensorflowPredict2D"

#: Front ends that a JSON may name instead of telling all their numbers.
_NAMED: dict[str, AnyFrontEnd] = {
    "librosa": LIBROSA,
    "musicnn": MUSICNN,
    "efficientat": EFFICIENT_AT,
}


def sidecar(path: Path) -> Path:
    """Return where the JSON of a model lies."""
    return path.with_suffix(".json")


def read_external_model(
    path: Path, model_id: str, inputs: list[Port], outputs: list[Port]
) -> ExternalModel:
    """Read the JSON beside a model without metadata of its own.

    Raises:
        ModelError: there is none, or it does not say all that it takes to feed the model.
    """
    beside = sidecar(path)
    if not beside.exists():
        raise ModelError(
            f"{path}: it carries no genretag metadata, and there is no {beside.name} beside it: its labels and its front end are unknown"
        )
    data = _document(beside)
    try:
        if "inference" in data or "classes" in data:
            return _of_essentia(path, data, model_id, inputs, outputs)
        if isinstance(data.get("front_end"), str):
            if data["front_end"].casefold() not in _NAMED:
                raise ModelError(
                    f"front_end = {data['front_end']!r}; one of {', '.join(_NAMED)}, or its numbers"
                )
            data["front_end"] = _NAMED[data["front_end"].casefold()].to_metadata()
        metadata = parse_metadata(data, model_id)
        return ExternalModel(
            metadata, _wiring_of(data.get("wiring", {}), metadata, inputs, outputs)
        )
    except ModelError as error:
        raise ModelError(f"{beside}: {error}") from error


def exported_wiring(path: Path) -> dict[str, Any] | None:
    """Return how another's model is fed, as its JSON may say it; None for a model with genretag's own metadata.

    Raises:
        ModelError: it is one of two stages.
    """
    import onnx

    if any(
        p.key == METADATA_KEY for p in onnx.load(str(path), load_external_data=False).metadata_props
    ):
        return None
    found = read_external_model(path, "", *list_ports(path))
    if found.embedder is not None:
        raise ModelError(
            f"{path}: it hears through another file, and only models of one file can be calibrated"
        )
    return {k: v for k, v in asdict(found.wiring).items() if v is not None and k != "batch"}


def _document(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: it cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise ModelError(f"{path}: it is no JSON object")
    return data


def _need(data: dict[str, Any], *keys: str) -> Any:
    """Return what stands under nested keys; name the first that is missing."""
    at: Any = data
    for i, key in enumerate(keys):
        if not isinstance(at, dict) or key not in at:
            raise ModelError(f"it lacks {'.'.join(keys[: i + 1])!r}")
        at = at[key]
    return at


# --- genretag's own metadata, beside the file ------------------------------------------------------------------------


def _wiring_of(
    told: dict[str, Any], metadata: ModelMetadata, inputs: list[Port], outputs: list[Port]
) -> Wiring:
    names = [p.name for p in outputs]
    known = {"input", "layout", "logits", "music", "embedding", "gives"}
    if unknown := set(told) - known:
        raise ModelError(
            f"wiring has keys that are not known here: {', '.join(sorted(unknown))} (known: {', '.join(sorted(known))})"
        )
    into = _port(inputs, told.get("input"), "input")
    wiring = Wiring(
        input=into.name,
        layout=str(
            told.get("layout") or _layout(into, metadata.front_end.bands, set(metadata.chunks))
        ),
        logits=_port(
            outputs, told.get("logits", "logits" if "logits" in names else None), "output"
        ).name,
        music=_optional(outputs, told.get("music", "music" if "music" in names else None)),
        embedding=_optional(
            outputs, told.get("embedding", "embedding" if "embedding" in names else None)
        ),
        gives=str(told.get("gives", "logits")),
        batch=_rows(into),
    )
    return _checked(wiring)


def _checked(wiring: Wiring) -> Wiring:
    if wiring.gives not in ("logits", *ACTIVATIONS):
        raise ModelError(
            f"wiring.gives = {wiring.gives!r}; one of logits, {', '.join(ACTIVATIONS)}"
        )
    if sorted(wiring.layout.replace("1", "")) not in (["B", "N", "T"], ["N", "T"]):
        raise ModelError(
            f"wiring.layout = {wiring.layout!r}; N, T and B (and 1 for an axis of one) in the order of the input's axes"
        )
    return wiring


def _port(list_ports: list[Port], name: str | None, what: str) -> Port:
    if name is None and len(list_ports) == 1:
        return list_ports[0]
    found = next((p for p in list_ports if p.name == name), None)
    if found is None:
        have = ", ".join(p.name for p in list_ports)
        raise ModelError(
            f"the model has no {what} {name!r} (it has {have})"
            if name
            else f"which {what} is meant? the model has {have}"
        )
    return found


def _optional(list_ports: list[Port], name: str | None) -> str | None:
    return _port(list_ports, name, "output").name if name is not None else None


def _layout(port: Port, bands: int, frames: set[int]) -> str:
    """Return the order of an input's axes, told by their sizes."""
    rank, sizes = len(port.shape), port.shape[1:]
    if bands == 1 and rank in (2, 3):
        return "NT" if rank == 2 else "N1T" if sizes[0] == 1 else "NT1"
    where = [i for i, n in enumerate(sizes) if n == bands]
    if rank not in (3, 4) or not where:
        raise ModelError(
            f"its input {port.name} has the shape {list(port.shape)}, and none of its axes has {bands} bands (wiring.layout)"
        )
    others = [(i, n) for i, n in enumerate(sizes) if i not in where]
    times = [i for i, n in others if n in frames] or [i for i, n in others if n != 1]
    if len(where) > 1 or len(times) != 1:
        raise ModelError(
            f"its input {port.name} has the shape {list(port.shape)}: which axis is time? (wiring.layout)"
        )
    return "N" + "".join(
        "B" if i == where[0] else "T" if i == times[0] else "1" for i in range(rank - 1)
    )


# --- Essentia's model zoo ----------------------------------------------------------------------------------------------


def _of_essentia(
    path: Path, data: dict[str, Any], model_id: str, inputs: list[Port], outputs: list[Port]
) -> ExternalModel:
    algorithm = _need(data, "inference", "algorithm")
    if algorithm == _TWO_STAGES:
        first = path.with_name(f"{_need(data, 'inference', 'embedding_model', 'model_name')}.onnx")
        if not first.exists():
            raise ModelError(
                f"it hears through the embedding of another model, {first.name}, and that does not lie beside it"
            )
        below = (
            _document(sidecar(first))
            if sidecar(first).exists()
            else {"inference": data["inference"]["embedding_model"]}
        )
        feeder = _algorithm(below)
        metadata = _card(data, model_id, feeder)
        taken = _port(inputs, _told(data, "inputs", inputs), "input")
        wiring = Wiring(
            taken.name, "NT", _same(_prediction(data).get("name"), outputs), batch=_rows(taken)
        )
        into, out = _embedding_ports(first, below)
        embed = Wiring(
            into.name,
            _layout(into, feeder.front_end.bands, {feeder.frames}),
            out,
            embedding=out,
            batch=_rows(into),
        )
        return ExternalModel(metadata, _purposes(data, outputs, wiring), (first, embed))
    feeder = _algorithm(data)
    into = _port(inputs, _told(data, "inputs", inputs), "input")
    shape = (
        tuple(int(n) if isinstance(n, int) else 0 for n in _shape(data, into))
        if not any(into.shape[1:])
        else into.shape
    )
    layout = _layout(replace(into, shape=shape), feeder.front_end.bands, {feeder.frames})
    wiring = Wiring(
        into.name, layout, _same(_prediction(data).get("name"), outputs), batch=_rows(into)
    )
    return ExternalModel(_card(data, model_id, feeder), _purposes(data, outputs, wiring))


def _rows(port: Port) -> int:
    """Return how many rows an input must be fed at once; 0: any number."""
    return port.shape[0] if port.shape else 0


def _embedding_ports(first: Path, below: dict[str, Any]) -> tuple[Port, str]:
    """Return the input of a first stage, and the name of its output that is the embedding."""
    check_model_file(first)
    inputs, outputs = list_ports(first)
    told = _embedding_told(below)
    name = (
        _same(told["name"], outputs) if told else (outputs[-1].name if len(outputs) <= 2 else None)
    )
    return _port(inputs, None, "input"), _port(outputs, name, "output").name


def _algorithm(data: dict[str, Any]) -> _Algorithm:
    name, rate = _need(data, "inference", "algorithm"), data["inference"].get("sample_rate")
    if name not in _ALGORITHMS:
        known = ", ".join([*_ALGORITHMS, _TWO_STAGES])
        raise ModelError(
            f"its front end, inference.algorithm = {name!r}, is not known here (known: {known})"
        )
    found = _ALGORITHMS[name]
    if rate is not None and rate != found.front_end.sample_rate:
        raise ModelError(
            f"inference.sample_rate = {rate}, but {name} hears {found.front_end.sample_rate}"
        )
    return found


def _card(data: dict[str, Any], model_id: str, algorithm: _Algorithm) -> ModelMetadata:
    labels = _need(data, "classes")
    if not isinstance(labels, list) or len(labels) < 2 or len(set(map(str, labels))) != len(labels):
        raise ModelError("its classes must be two or more, and differ")
    about = {
        k: data[k]
        for k in ("description", "author", "link", "license", "citation")
        if isinstance(data.get(k), str)
    }
    if isinstance(data.get("dataset"), dict):
        about["data"] = str(data["dataset"].get("name", ""))
    return ModelMetadata(
        id=model_id,
        name=str(data.get("name", "another's model")),
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


def _outputs(data: dict[str, Any]) -> list[dict[str, Any]]:
    told = data.get("schema", {}).get("outputs", [])
    return [o for o in told if isinstance(o, dict)] if isinstance(told, list) else []


def _embedding_told(data: dict[str, Any]) -> dict[str, Any] | None:
    """Return the output that is said to hold the embedding."""
    return next((o for o in _outputs(data) if o.get("output_purpose") == "embeddings"), None)


def _prediction(data: dict[str, Any]) -> dict[str, Any]:
    """Return the output that holds the predictions."""
    told = _outputs(data)
    found = [o for o in told if o.get("output_purpose") == "predictions"] or [
        o for o in told if o.get("op") in ("Sigmoid", "Softmax")
    ]
    if not found:
        raise ModelError(
            "it lacks an output in 'schema.outputs' that holds predictions (output_purpose, or op: Sigmoid or Softmax)"
        )
    return found[0]


def _activation(data: dict[str, Any]) -> str:
    op = str(_prediction(data).get("op", "")).casefold()
    if op not in ACTIVATIONS:
        raise ModelError(
            f"its output's op is {op or 'not told'!r}, and Sigmoid and Softmax are known here"
        )
    return op


def _purposes(data: dict[str, Any], outputs: list[Port], wiring: Wiring) -> Wiring:
    told = _embedding_told(data)
    embedding = _same(told.get("name"), outputs) if told is not None else None
    return replace(
        wiring, embedding=embedding if embedding != wiring.logits else None, gives=_activation(data)
    )


def _told(data: dict[str, Any], key: str, list_ports: list[Port]) -> str | None:
    told = data.get("schema", {}).get(key, [])
    return _same(told[0].get("name"), list_ports) if told and isinstance(told[0], dict) else None


def _shape(data: dict[str, Any], port: Port) -> list[Any]:
    told = data.get("schema", {}).get("inputs", [{}])
    shape = told[0].get("shape") if told and isinstance(told[0], dict) else None
    return shape if isinstance(shape, list) and len(shape) == len(port.shape) else list(port.shape)


def _same(name: Any, list_ports: list[Port]) -> str:
    """Return the port that a JSON means: TensorFlow's names lose their ``:0`` or their path on the way to ONNX."""
    text = str(name)
    for alike in (text, text.partition(":")[0], text.replace(":", "_"), text.rpartition("/")[2]):
        if any(p.name == alike for p in list_ports):
            return alike
    if len(list_ports) == 1:
        return list_ports[0].name
    raise ModelError(f"the model has no {text!r} (it has {', '.join(p.name for p in list_ports)})")
