"""Metadata of a model: labels, front end, chunk lengths, thresholds, calibration and description.

The metadata are one JSON document inside the ONNX file. Unknown or invalid metadata are refused.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from genretag.errors import ModelError, describe_invalid
from genretag.features import AnyFrontEnd, parse_front_end
from genretag.inference.styles import Moods, Styles
from genretag.numeric import logit, sigmoid

METADATA_KEY = "genretag"
SCHEMA = 1
ACTIVATIONS = ("softmax", "sigmoid")
MAX_FRAMES = 100_000  # of a chunk; times 100 for a waveform, where a frame is a sample
_MAX_SLOPE = 2.0  # of a calibration; beyond it the temperature of a long track over- or underflows
_MOST_PIECES = 12  # the most that a track of a few minutes is judged by
_MIN_LENGTH = 1 / 30  # windows of 30 s: one second, the shortest audio that is analysed


@dataclass(frozen=True)
class PieceCalibration:
    """Calibration of a track that is judged by short pieces spread over it.

    ``softmax(mean log-probability of the pieces / (temperature * pieces ** slope))``. A piece is
    levelled by itself.
    """

    seconds: float  # of a piece
    temperature: float  # of one piece
    slope: float = 0.0

    def at(self, pieces: int) -> float:
        """Return the temperature for a number of pieces; from twelve on it stays."""
        return float(self.temperature * min(max(pieces, 1), _MOST_PIECES) ** self.slope)


@dataclass(frozen=True)
class FurtherCalibration:
    """Probability that a genre behind the best one is right, too (Platt 1999).

    ``sigmoid(weight * logit(score) + bias)``. The scores of exclusive labels sum to one, so they
    say how likely a genre is the best one, and not how likely a track has two.
    """

    weight: float
    bias: float

    def probability(self, score: float) -> float:
        """Return the probability, 0 to 1, for a score of 0 to 1."""
        return float(sigmoid(self.weight * logit(score) + self.bias))


@dataclass(frozen=True)
class Calibration:
    """Calibration: ``softmax(mean log-probability / (temperature * length ** slope))``."""

    temperature: float = 1.0  # of one window of 30 s
    slope: float = 0.0
    pieces: PieceCalibration | None = None  # None: none was fitted
    further: FurtherCalibration | None = None  # None: none was fitted

    def at(self, length: float) -> float:
        """Return the temperature for ``length`` analysed windows of 30 s."""
        return float(self.temperature * max(length, _MIN_LENGTH) ** self.slope)

    def with_temperature(self, temperature: float) -> Calibration:
        """Return the calibration with another temperature; that of pieces changes in proportion."""
        pieces = self.pieces
        if pieces is not None:
            ratio = temperature / self.temperature
            pieces = replace(pieces, temperature=pieces.temperature * ratio)
        return replace(self, temperature=temperature, pieces=pieces)

    @classmethod
    def from_metadata(cls, data: dict[str, Any]) -> Calibration:
        """Read the calibration of a model's metadata.

        Raises:
            ModelError: it has other fields.
        """
        whole = _fields_of(cls, data, "calibration")
        pieces, further = whole.pop("pieces", None), whole.pop("further", None)
        if pieces is not None:
            pieces = PieceCalibration(**_fields_of(PieceCalibration, pieces, "pieces"))
        if further is not None:
            further = FurtherCalibration(**_fields_of(FurtherCalibration, further, "further"))
        return cls(**whole, pieces=pieces, further=further)

    def to_metadata(self) -> dict[str, Any]:
        """Return the data that ``from_metadata`` reads."""
        return {k: v for k, v in asdict(self).items() if v is not None}


@dataclass(frozen=True)
class ModelMetadata:
    """Metadata of a model."""

    id: str  # of the file: the first 16 hex digits of its SHA-256
    name: str
    version: str
    labels: tuple[str, ...]
    front_end: AnyFrontEnd
    chunks: tuple[int, ...]  # lengths of the network's inputs in frames, longest first
    music_threshold: float
    confidence_threshold: float
    calibration: Calibration
    about: dict[str, Any] = field(default_factory=dict)  # training data, figures, licence
    activation: str = "softmax"  # labels exclude each other; sigmoid: they are independent
    styles: Styles | None = None  # reported beside the genre
    moods: Moods | None = None


def read_metadata(path: Path, model_id: str, text: str | None) -> ModelMetadata:
    """Read the metadata of a model from its JSON text.

    Raises:
        ModelError: there are none, or they are invalid; the message names the problem.
    """
    if not text:
        raise ModelError(
            f"{path}: no genretag metadata in the file, so its labels and front end are unknown"
        )
    try:
        return parse_metadata(json.loads(text), model_id)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{path}: invalid metadata: {describe_invalid(error)}") from error


def parse_metadata(data: Any, model_id: str) -> ModelMetadata:
    """Read metadata from parsed JSON.

    Raises:
        ModelError: they are invalid; the message names the problem.
    """
    try:
        if data.get("schema") != SCHEMA:
            raise ModelError(
                f"metadata schema {data.get('schema')!r} is not supported (supported: {SCHEMA})"
            )
        metadata = ModelMetadata(
            id=model_id,
            name=str(data["name"]),
            version=str(data["version"]),
            labels=tuple(str(x) for x in data["labels"]),
            front_end=parse_front_end(data["front_end"]),
            chunks=tuple(sorted((int(n) for n in data["chunks"]), reverse=True)),
            music_threshold=float(data["thresholds"]["music"]),
            confidence_threshold=float(data["thresholds"]["confidence"]),
            calibration=Calibration.from_metadata(data["calibration"]),
            about=dict(data.get("about", {})),
            activation=str(data.get("activation", "softmax")),
            styles=Styles.from_metadata(data["styles"]) if "styles" in data else None,
            moods=Moods.from_metadata(data["moods"]) if "moods" in data else None,
        )
    except ModelError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ModelError(f"invalid metadata: {describe_invalid(error)}") from error
    _check(metadata)
    return metadata


def _fields_of(kind: type[Any], data: Any, name: str) -> dict[str, Any]:
    """Return a copy of JSON data that has the fields of a dataclass.

    Raises:
        ModelError: it is no object, lacks a field, or has one that is not known.
    """
    if not isinstance(data, dict):
        raise ModelError(f"invalid metadata: {name} is not an object")
    if unknown := sorted(data.keys() - {f.name for f in fields(kind)}):
        raise ModelError(f"invalid metadata: {name} has {', '.join(unknown)}, which is not known")
    if missing := [f.name for f in fields(kind) if f.default is MISSING and f.name not in data]:
        raise ModelError(f"invalid metadata: {name} has no {', '.join(missing)}")
    return dict(data)


def _check(metadata: ModelMetadata) -> None:
    """Raise ``ModelError`` for values out of range."""
    if len(metadata.labels) < 2 or len(set(metadata.labels)) != len(metadata.labels):
        raise ModelError("its labels must be at least two, all different")
    max_frames = MAX_FRAMES * (1 if metadata.front_end.bands > 1 else 100)
    if not metadata.chunks or min(metadata.chunks) < 1 or max(metadata.chunks) > max_frames:
        raise ModelError(f"its chunk lengths {list(metadata.chunks)} are out of range")
    if metadata.activation not in ACTIVATIONS:
        raise ModelError(
            f"its activation {metadata.activation!r} is not supported"
            f" (supported: {', '.join(ACTIVATIONS)})"
        )
    thresholds = (metadata.music_threshold, metadata.confidence_threshold)
    calibration, pieces = metadata.calibration, metadata.calibration.pieces
    fitted = [(calibration.temperature, calibration.slope)]
    if pieces is not None:
        fitted += [(pieces.temperature, pieces.slope), (pieces.seconds, 0.0)]
    if (further := calibration.further) is not None and not (
        _is_finite(further.weight) and _is_finite(further.bias) and further.weight > 0
    ):
        raise ModelError("its calibration of further genres is out of range")
    finite = all(_is_finite(n) for n in (*thresholds, *(n for pair in fitted for n in pair)))
    if not finite or any(t <= 0 or abs(slope) > _MAX_SLOPE for t, slope in fitted):
        raise ModelError("its thresholds or calibration are out of range")


def _is_finite(number: object) -> bool:
    try:
        return isinstance(number, int | float) and math.isfinite(number)
    except OverflowError:  # JSON has integers of any length
        return False


def embed_metadata(model: Any, metadata: ModelMetadata) -> None:
    """Store metadata in an ONNX model (of the package ``onnx``), replacing any that it has."""
    kept = [p for p in model.metadata_props if p.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata_to_json(metadata)


def metadata_to_json(metadata: ModelMetadata) -> str:
    """Return metadata as the JSON document of a model file."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "name": metadata.name,
            "version": metadata.version,
            "labels": list(metadata.labels),
            "front_end": metadata.front_end.to_metadata(),
            "chunks": list(metadata.chunks),
            "thresholds": {
                "music": metadata.music_threshold,
                "confidence": metadata.confidence_threshold,
            },
            "calibration": metadata.calibration.to_metadata(),
            "about": metadata.about,
            **({"activation": metadata.activation} if metadata.activation != "softmax" else {}),
            **({"styles": metadata.styles.to_metadata()} if metadata.styles is not None else {}),
            **({"moods": metadata.moods.to_metadata()} if metadata.moods is not None else {}),
        },
        indent=1,
    )
