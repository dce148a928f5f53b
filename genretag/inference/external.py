"""External models: ONNX files without genretag's metadata, described by a JSON file beside them.

Two kinds of JSON are read: that of Essentia's model zoo, and genretag's own metadata with a
``wiring`` for inputs and outputs of other names. Every missing key is an error: a model with the
wrong input would still answer, only wrongly.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from genretag.errors import ModelError
from genretag.features import EFFICIENT_AT, LIBROSA, MUSICNN, AnyFrontEnd
from genretag.inference.documents import ExternalModel, read_json, sidecar
from genretag.inference.essentia import is_essentia, read_essentia_model
from genretag.inference.metadata import METADATA_KEY, parse_metadata
from genretag.inference.safety import Port, list_ports
from genretag.inference.wiring import read_wiring

#: Front ends that a JSON may name instead of listing all parameters.
_FRONT_ENDS: dict[str, AnyFrontEnd] = {
    "librosa": LIBROSA,
    "musicnn": MUSICNN,
    "efficientat": EFFICIENT_AT,
}


def read_external_model(
    path: Path, model_id: str, inputs: list[Port], outputs: list[Port]
) -> ExternalModel:
    """Read the JSON beside a model without metadata of its own.

    Raises:
        ModelError: there is no JSON, or it does not describe the model completely.
    """
    beside = sidecar(path)
    if not beside.exists():
        raise ModelError(
            f"{path}: no genretag metadata in the file and no {beside.name} beside it,"
            " so its labels and front end are unknown"
        )
    data = read_json(beside)
    try:
        if is_essentia(data):
            return read_essentia_model(path, data, model_id, inputs, outputs)
        if isinstance(data.get("front_end"), str):
            data["front_end"] = _named_front_end(data["front_end"]).to_metadata()
        metadata = parse_metadata(data, model_id)
        wiring = read_wiring(data.get("wiring", {}), metadata, inputs, outputs)
        return ExternalModel(metadata, wiring)
    except ModelError as error:
        raise ModelError(f"{beside}: {error}") from error


def _named_front_end(name: str) -> AnyFrontEnd:
    if name.casefold() not in _FRONT_ENDS:
        raise ModelError(f"front_end = {name!r}; one of {', '.join(_FRONT_ENDS)}, or parameters")
    return _FRONT_ENDS[name.casefold()]


def exported_wiring(path: Path) -> dict[str, Any] | None:
    """Return the wiring of an external model as JSON; None for a model with genretag's metadata.

    Raises:
        ModelError: the model has two stages.
    """
    import onnx

    properties = onnx.load(str(path), load_external_data=False).metadata_props
    if any(p.key == METADATA_KEY for p in properties):
        return None
    found = read_external_model(path, "", *list_ports(path))
    if found.embedder is not None:
        raise ModelError(
            f"{path}: it needs an embedding model; only models of one file can be calibrated"
        )
    return {k: v for k, v in asdict(found.wiring).items() if v is not None and k != "batch"}
