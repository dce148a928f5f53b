"""Train a linear head on the embedding of a model, and write the model with that head."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.inference.metadata import ModelMetadata
from genretag.inference.model import Model
from genretag.training import fit
from genretag.training.attach_head import attach_head
from genretag.training.collection import Collection
from genretag.training.results import (
    LearningCurve,
    Split,
    TrainingResult,
    build_metadata,
    split_collection,
)
from genretag.training.split import Part


def train_head(
    collection: Collection,
    split: Split,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> tuple[TrainingResult, fit.Fitted]:
    """Fit a linear head, evaluate it on the test part, and fit the final head on all tracks."""
    from threadpoolctl import threadpool_limits

    # Matrices of this size are slower on several threads, much slower on a busy machine.
    with threadpool_limits(1):
        return _train_head(collection, split, seed, on_step)


def _train_head(
    collection: Collection, split: Split, seed: int, on_step: Callable[[str], None] | None
) -> tuple[TrainingResult, fit.Fitted]:
    began = time.monotonic()
    x, y = collection.x.astype(np.float32), collection.y
    part = split_collection(collection, split, seed)
    # A split that leaks on purpose searches in the same way: every track is a group.
    groups = collection.groups if split is not Split.RANDOM else np.arange(len(y))
    fitted = fit.fit_calibrated_head(x, y, groups, part, seed, on_step)
    test = part == Part.TEST
    probabilities = np.zeros((0, len(collection.labels)))
    if test.any():
        probabilities = fitted.probabilities(x[test])
    result = TrainingResult(
        how="linear head on the bundled model's embedding",
        collection=collection,
        part=part,
        split=split,
        curve=_learning_curve(collection, x, part, fitted.search.c, seed),
        settings={
            "penalty": fitted.search.c,
            "seed": seed,
            "search": {f"{c:g}": round(a, 4) for c, a in fitted.search.accuracy.items()},
        },
    )
    final = fit.refit(x, y, fitted)
    seconds = time.monotonic() - began
    return result.with_test_metrics(probabilities, final.temperature, seconds), final


def _learning_curve(
    collection: Collection, x: fit.Embeddings, part: npt.NDArray[np.int8], c: float, seed: int
) -> LearningCurve | None:
    points = fit.learning_curve(x, collection.y, collection.groups, part, c, seed)
    if not points:
        return None
    return LearningCurve(
        "training tracks",
        [float(p.tracks) for p in points],
        "accuracy",
        [p.train for p in points],
        [p.valid for p in points],
    )


def write_head_model(
    result: TrainingResult, fitted: fit.Fitted, backbone: Model, path: Path
) -> ModelMetadata:
    """Write the model file: the backbone with the trained head and its metadata."""
    metadata = build_metadata(result, backbone.metadata, path.stem)
    attach_head(backbone.path, fitted.head, metadata, path)
    return metadata
