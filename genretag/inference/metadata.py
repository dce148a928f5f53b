"""A model's metadata: its labels, its front end, its chunks, its calibration, and what is told about it.

One JSON document travels inside the ONNX file; a scan refuses what it does not understand.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genretag.errors import ModelError
from genretag.features import AnyFrontEnd, parse_front_end
from genretag.inference.styles import Styles

METADATA_KEY = "genretag"
SCHEMA = 1
ACTIVATIONS = ("softmax", "sigmoid")
MAX_FRAMES = 100_000  # of a chunk; a hundred times as many where a frame is a sample
_STEEPEST = 2.0  # slope of a calibration; with more, a long track's temperature is nothing or beyond all numbers
_SHORTEST = 1 / 30  # windows: a second, which is the least that is heard


@dataclass(frozen=True)
class Calibration:
    """How scores become a confidence: ``softmax(mean log-probability / (temperature * length ** slope))``."""

    temperature: float = 1.0  # of one window of 30 s
    slope: float = 0.0

    def at(self, length: float) -> float:
        """Return the temperature for a track of which so much was heard, in windows of 30 s."""
        return float(self.temperature * max(length, _SHORTEST) ** self.slope)


@dataclass(frozen=True)
class ModelMetadata:
    """What a model's metadata says."""

    id: str  # of the file: the first 16 hex digits of its SHA-256
    name: str
    version: str
    labels: tuple[str, ...]
    front_end: AnyFrontEnd
    chunks: tuple[int, ...]  # frames of the chunks that the network hears, the longest first
    music_threshold: float
    confidence_threshold: float
    calibration: Calibration
    about: dict[str, Any] = field(default_factory=dict)  # training data, figures, licence
    activation: str = "softmax"  # one label excludes the others; sigmoid: each is judged for itself
    styles: Styles | None = None  # what is told beside the genre


def read_metadata(path: Path, model_id: str, text: str | None) -> ModelMetadata:
    """Read a model's metadata; raise ``ModelError`` with what is missing."""
    if not text:
        raise ModelError(
            f"{path}: it carries no genretag metadata, so its labels and its front end are unknown"
        )
    try:
        return parse_metadata(json.loads(text), model_id)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except ValueError as error:
        raise ModelError(
            f"{path}: its metadata cannot be used: {type(error).__name__}: {error}"
        ) from error


def parse_metadata(data: Any, model_id: str) -> ModelMetadata:
    """Read metadata that were parsed; raise ``ModelError`` with what is missing."""
    try:
        if data.get("schema") != SCHEMA:
            raise ModelError(
                f"metadata schema {data.get('schema')!r} is not known here (known: {SCHEMA})"
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
            calibration=Calibration(**data["calibration"]),
            about=dict(data.get("about", {})),
            activation=str(data.get("activation", "softmax")),
            styles=Styles.from_metadata(data["styles"]) if "styles" in data else None,
        )
    except ModelError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"its metadata cannot be used: {type(error).__name__}: {error}") from error
    _check(metadata)
    return metadata


def _check(metadata: ModelMetadata) -> None:
    """Raise ``ModelError`` for a card that cannot be meant."""
    if len(metadata.labels) < 2 or len(set(metadata.labels)) != len(metadata.labels):
        raise ModelError("its labels must be two or more, and differ")
    if (
        not metadata.chunks
        or min(metadata.chunks) < 1
        or max(metadata.chunks) > MAX_FRAMES * (1 if metadata.front_end.bands > 1 else 100)
    ):
        raise ModelError(f"its chunk lengths {list(metadata.chunks)} are out of range")
    if metadata.activation not in ACTIVATIONS:
        raise ModelError(
            f"its activation {metadata.activation!r} is not known here (known: {', '.join(ACTIVATIONS)})"
        )
    numbers = (
        metadata.music_threshold,
        metadata.confidence_threshold,
        metadata.calibration.temperature,
        metadata.calibration.slope,
    )
    sane = all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
    if (
        not sane
        or metadata.calibration.temperature <= 0
        or abs(metadata.calibration.slope) > _STEEPEST
    ):
        raise ModelError("its thresholds or its calibration are out of range")


def embed_metadata(model: Any, metadata: ModelMetadata) -> None:
    """Put a card into an ONNX model (as the package ``onnx`` loads it), in the place of the one that it has."""
    kept = [p for p in model.metadata_props if p.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata_to_json(metadata)


def metadata_to_json(metadata: ModelMetadata) -> str:
    """Return a card as the JSON document that a model file carries."""
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
            "calibration": asdict(metadata.calibration),
            "about": metadata.about,
            **({"activation": metadata.activation} if metadata.activation != "softmax" else {}),
            **({"styles": metadata.styles.to_metadata()} if metadata.styles is not None else {}),
        },
        indent=1,
    )
