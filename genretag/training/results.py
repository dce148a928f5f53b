"""Labelled tracks -> an honest split -> a calibrated head -> figures on tracks never met -> a model file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.errors import RunError
from genretag.evaluation import metrics
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.inference.model import Model
from genretag.training import fit
from genretag.training.attach_head import attach_head
from genretag.training.collection import Collection
from genretag.training.split import Part, official_split, split_at_random, split_by_group

CONFIDENCE_THRESHOLD = 0.7  # below it a track is "unsure", as with the bundled model


class Split(StrEnum):
    """How tracks are parted for learning and judging."""

    ARTIST = "artist"  # no artist and no recording on both sides
    RANDOM = "random"  # leaks; for comparison with papers that do so
    OFFICIAL = "official"  # as the collection's own table says (FMA)


@dataclass(frozen=True)
class LearningCurve:
    """A line of a learning curve: what is on the x axis, and accuracy (or loss) on what was learned and on the rest."""

    x_name: str
    x: list[float]
    y_name: str
    train: list[float]
    valid: list[float]


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to: everything that its report shows."""

    how: str  # "linear head" or the system's name
    collection: Collection
    part: npt.NDArray[np.int8]
    split: Split
    judged: metrics.ClassifierMetrics | None  # None: no track could be kept apart
    probabilities: npt.NDArray[np.float64]  # [tests, labels], calibrated
    y_test: npt.NDArray[np.int64]
    temperature: float
    seconds: float  # of fitting; hearing not counted
    curve: LearningCurve | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, Any]:
        """Return the figures as JSON takes them: the keys of ``train --json``."""
        c, counts = self.collection, Counter(self.part.tolist())
        return {
            "how": self.how,
            "tracks": len(c.y),
            "labels": {label: int((c.y == i).sum()) for i, label in enumerate(c.labels)},
            "groups": len(np.unique(c.groups)),
            "split": str(self.split),
            "parts": {p.name.lower(): counts[p.value] for p in Part},
            "test": self.judged.to_dict() if self.judged else None,
            "temperature": round(self.temperature, 3),
            "seconds": round(self.seconds, 1),
            "settings": self.settings,
            "duplicates": [
                {
                    "a": str(d.a),
                    "b": str(d.b),
                    "cosine": round(d.cosine, 4),
                    "labels": list(d.labels),
                }
                for d in c.duplicates
            ],
            "unreadable": [{"path": str(u.path), "error": u.error} for u in c.unreadable],
            "notes": c.notes,
        }


def split_collection(collection: Collection, split: Split, seed: int) -> npt.NDArray[np.int8]:
    """Return which part each track is for; raise ``RunError`` where a label has nothing to learn from."""
    if split is Split.RANDOM:
        part = split_at_random(collection.y, seed)
    elif split is Split.OFFICIAL:
        if not any(e.part for e in collection.examples):
            raise RunError("--split official: this collection has no split of its own")
        part = official_split([e.part for e in collection.examples])
    else:
        part = split_by_group(collection.y, collection.groups, seed)
    lacking = [
        label
        for i, label in enumerate(collection.labels)
        if not ((collection.y == i) & (part == Part.TRAIN)).any()
    ]
    if lacking:
        raise RunError(
            f"no track to learn from is left for {', '.join(lacking)}; add tracks, or leave the label out with --classes"
        )
    return part


def evaluate_test_part(
    collection: Collection, part: npt.NDArray[np.int8], probabilities: npt.NDArray[np.float64]
) -> metrics.ClassifierMetrics | None:
    """Return the figures of probabilities [tests, labels]; None where the test part is empty."""
    test = part == Part.TEST
    if not test.any():
        return None
    y, groups = collection.y, collection.groups
    return metrics.compute_metrics(
        probabilities,
        y[test],
        groups[test],
        collection.labels,
        y[part == Part.TRAIN],
        CONFIDENCE_THRESHOLD,
    )


def train_head(
    collection: Collection,
    split: Split,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> tuple[TrainingResult, fit.Fitted]:
    """Fit a linear head, judge it on the test part, and fit it anew on everything: that one is for use."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(
        1
    ):  # matrices this small are slower on several threads, by far so on a busy machine
        return _teach_head(collection, split, seed, on_step)


def _teach_head(
    collection: Collection, split: Split, seed: int, on_step: Callable[[str], None] | None
) -> tuple[TrainingResult, fit.Fitted]:
    began = time.monotonic()
    x, y, groups = collection.x.astype(np.float32), collection.y, collection.groups
    part = split_collection(collection, split, seed)
    # Where the split leaks on purpose, so does the search: every track is its own group.
    own = groups if split is not Split.RANDOM else np.arange(len(y))
    fitted = fit.fit_calibrated_head(x, y, own, part, seed, on_step)
    test = part == Part.TEST
    probabilities = (
        fitted.probabilities(x[test]) if test.any() else np.zeros((0, len(collection.labels)))
    )
    points = fit.learning_curve(x, y, groups, part, fitted.search.c, seed)
    curve = LearningCurve(
        "tracks to learn from",
        [float(p.tracks) for p in points],
        "accuracy",
        [p.train for p in points],
        [p.valid for p in points],
    )
    whole = fit.refit(x, y, fitted)
    result = TrainingResult(
        "linear head on the bundled model's embedding",
        collection,
        part,
        split,
        evaluate_test_part(collection, part, probabilities),
        probabilities,
        y[test],
        whole.temperature,
        time.monotonic() - began,
        curve if points else None,
        {
            "penalty": fitted.search.c,
            "seed": seed,
            "search": {f"{c:g}": round(a, 4) for c, a in fitted.search.accuracy.items()},
        },
    )
    return result, whole


def with_test_metrics(
    draft: TrainingResult,
    probabilities: npt.NDArray[np.float64],
    temperature: float,
    seconds: float,
) -> TrainingResult:
    """Return a lesson with its figures: probabilities [tests, labels] are calibrated already."""
    test = draft.part == Part.TEST
    return replace(
        draft,
        judged=evaluate_test_part(draft.collection, draft.part, probabilities),
        probabilities=probabilities,
        y_test=draft.collection.y[test],
        temperature=temperature,
        seconds=seconds,
    )


def write_head_model(
    result: TrainingResult, fitted: fit.Fitted, backbone: Model, path: Path
) -> ModelMetadata:
    """Write the model file: the backbone with the new head, and all that a scan needs in its metadata."""
    metadata = build_metadata(result, backbone.metadata, path.stem)
    attach_head(backbone.path, fitted.head, metadata, path)
    return metadata


def build_metadata(result: TrainingResult, backbone: ModelMetadata, name: str) -> ModelMetadata:
    """Return the metadata of a model that was taught."""
    figures = result.figures
    about = {
        "data": f"{len(result.collection.y):,} tracks of the user's own, {len(result.collection.labels)} labels",
        "how": result.how,
        "backbone": {"name": backbone.name, "version": backbone.version, "id": backbone.id},
        "split": str(result.split),
        "figures": _headline(result),
        "settings": result.settings,
        "licence": backbone.about.get("licence", "that of the backbone"),
        "made": time.strftime("%Y-%m-%d"),
        "labels": figures["labels"],
    }
    return replace(
        backbone,
        id="",
        name=name,
        version="1",
        labels=tuple(result.collection.labels),
        confidence_threshold=CONFIDENCE_THRESHOLD,
        calibration=Calibration(result.temperature),
        about=about,
    )


def _headline(result: TrainingResult) -> dict[str, Any]:
    j, leaky = result.judged, result.split is Split.RANDOM
    if j is None:
        return {"note": "no track could be kept apart to judge on"}
    return {
        "tested on": f"{j.tracks} tracks of {j.groups} artists"
        + (" that it may know" if leaky else " that it never met"),
        "accuracy": str(j.accuracy),
        "macro recall": str(j.macro_recall),
        "majority baseline": f"{j.majority:.1%}",
        "calibration error": f"{j.ece:.3f}",
    }
