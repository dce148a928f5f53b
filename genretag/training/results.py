"""Result of a training: split, metrics on unseen tracks, metadata of the model."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.errors import RunError
from genretag.evaluation.metrics import ClassifierMetrics, compute_metrics
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.training.collection import Collection
from genretag.training.provenance import sketch_of
from genretag.training.split import Part, official_split, split_at_random, split_by_group

CONFIDENCE_THRESHOLD = 0.7  # below it a track is unsure, as with the bundled model

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Split(StrEnum):
    """How tracks are split into parts for training and testing."""

    ARTIST = "artist"  # no artist and no recording in two parts
    RANDOM = "random"  # leaks artists; for comparison with papers that do so
    OFFICIAL = "official"  # of the collection's table (FMA)


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy or loss on the training part and on the rest, over tracks or epochs."""

    x_name: str
    x: list[float]
    y_name: str
    train: list[float]
    valid: list[float]


@dataclass(frozen=True)
class TrainingResult:
    """Everything that the report of a training shows."""

    how: str  # description of the model
    collection: Collection
    part: npt.NDArray[np.int8]
    split: Split
    curve: LearningCurve | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: ClassifierMetrics | None = None  # None: there is no test part
    probabilities: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))  # [tests, labels]
    temperature: float = 1.0
    seconds: float = 0.0  # of the training, without the analysis

    @property
    def y_test(self) -> IntArray:
        """True labels of the test part."""
        return self.collection.y[self.part == Part.TEST]

    def with_test_metrics(
        self, probabilities: FloatArray, temperature: float, seconds: float
    ) -> TrainingResult:
        """Return the result with the metrics of calibrated probabilities [tests, labels]."""
        return replace(
            self,
            metrics=evaluate_test_part(self.collection, self.part, probabilities),
            probabilities=probabilities,
            temperature=temperature,
            seconds=seconds,
        )

    @property
    def advice(self) -> str | None:
        """Advice against a model that is not shown to be better than guessing."""
        m = self.metrics
        if m is None or m.beats_guessing:
            return None
        return (
            f"not shown to be better than guessing: accuracy {m.accuracy.value:.1%}, always"
            f" guessing the most frequent label {m.majority:.1%}, chance up to {m.chance.high:.1%}"
            f" with {m.tracks:,} test tracks of {m.groups:,} artists. Do not rely on this model;"
            " add tracks by more artists, or merge similar labels"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON, the output of ``train --json``."""
        c, counts = self.collection, Counter(self.part.tolist())
        duplicates = [
            {"a": str(d.a), "b": str(d.b), "cosine": round(d.cosine, 4), "labels": list(d.labels)}
            for d in c.duplicates
        ]
        return {
            "how": self.how,
            "tracks": len(c.y),
            "labels": {label: int((c.y == i).sum()) for i, label in enumerate(c.labels)},
            "groups": len(np.unique(c.groups)),
            "split": str(self.split),
            "parts": {p.name.lower(): counts[p.value] for p in Part},
            "test": self.metrics.to_dict() if self.metrics else None,
            "advice": self.advice,
            "temperature": round(self.temperature, 3),
            "seconds": round(self.seconds, 1),
            "settings": self.settings,
            "duplicates": duplicates,
            "unreadable": [{"path": str(u.path), "error": u.error} for u in c.unreadable],
            "notes": c.notes,
        }


def split_collection(collection: Collection, split: Split, seed: int) -> npt.NDArray[np.int8]:
    """Return the part of each track.

    Raises:
        RunError: a label has no track in the training part, or there is no official split.
    """
    if split is Split.RANDOM:
        part = split_at_random(collection.y, seed)
    elif split is Split.OFFICIAL:
        if not any(e.part for e in collection.examples):
            raise RunError("--split official: this collection has no official split")
        part = official_split([e.part for e in collection.examples])
    else:
        part = split_by_group(collection.y, collection.groups, seed)
    train = part == Part.TRAIN
    missing = [
        label
        for i, label in enumerate(collection.labels)
        if not (train & (collection.y == i)).any()
    ]
    if missing:
        raise RunError(
            f"no track is left to train {', '.join(missing)};"
            " add tracks, or leave the label out with --classes"
        )
    return part


def evaluate_test_part(
    collection: Collection, part: npt.NDArray[np.int8], probabilities: FloatArray
) -> ClassifierMetrics | None:
    """Return the metrics of probabilities [tests, labels]; None for an empty test part."""
    test = part == Part.TEST
    if not test.any():
        return None
    y, groups = collection.y, collection.groups
    return compute_metrics(
        probabilities,
        y[test],
        groups[test],
        collection.labels,
        y[part == Part.TRAIN],
        CONFIDENCE_THRESHOLD,
    )


def build_metadata(result: TrainingResult, backbone: ModelMetadata, name: str) -> ModelMetadata:
    """Return the metadata of a trained model."""
    collection = result.collection
    about = {
        "data": f"{len(collection.y):,} tracks of the user's own, {len(collection.labels)} labels",
        "how": result.how,
        "backbone": {"name": backbone.name, "version": backbone.version, "id": backbone.id},
        "split": str(result.split),
        "figures": _headline_figures(result),
        "settings": result.settings,
        "licence": backbone.about.get("licence", "that of the backbone"),
        "made": time.strftime("%Y-%m-%d"),
        "labels": result.to_dict()["labels"],
        **sketch_of(collection.keys),
    }
    return replace(
        backbone,
        id="",
        name=name,
        version="1",
        labels=tuple(collection.labels),
        confidence_threshold=CONFIDENCE_THRESHOLD,
        calibration=Calibration(result.temperature),
        about=about,
    )


def _headline_figures(result: TrainingResult) -> dict[str, Any]:
    m = result.metrics
    if m is None:
        return {"note": "not evaluated: there are no test tracks"}
    leak = "that may be in the training part" if result.split is Split.RANDOM else "not trained on"
    figures = {
        "tested on": f"{m.tracks} tracks of {m.groups} artists {leak}",
        "accuracy": str(m.accuracy),
        "macro recall": str(m.macro_recall),
        "majority baseline": f"{m.majority:.1%}",
        "chance": f"up to {m.chance.high:.1%}",
        "calibration error": f"{m.ece:.3f}",
    }
    return {**figures, "advice": result.advice} if result.advice else figures
