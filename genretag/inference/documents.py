"""The JSON document beside an external model, and the result of reading it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genretag.errors import ModelError, describe_error
from genretag.inference.metadata import ModelMetadata
from genretag.inference.wiring import Wiring


@dataclass(frozen=True)
class ExternalModel:
    """Metadata and wiring of an external model; ``embedder``: its first stage, if it has two."""

    metadata: ModelMetadata
    wiring: Wiring
    embedder: tuple[Path, Wiring] | None = None


def sidecar(path: Path) -> Path:
    """Return the path of the JSON document beside a model."""
    return path.with_suffix(".json")


def possible_ids(path: Path) -> tuple[str, str]:
    """Return the ids that a model file has with and without metadata of its own.

    Both are hashes, which takes a hundredth of the time of loading the model.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        digest = hashlib.sha256(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}") from error
    own = digest.hexdigest()[:16]
    beside = sidecar(path)
    digest.update(beside.read_bytes() if beside.is_file() else b"")
    return own, digest.hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: the file cannot be read, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: it cannot be read as JSON: {describe_error(error)}") from error
    if not isinstance(data, dict):
        raise ModelError(f"{path}: not a JSON object")
    return data
