"""Refit the calibration of a model on labelled tracks that it was not trained on."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.decisions.vote import calibrated
from genretag.errors import RunError
from genretag.evaluation.evaluate import find_analysis, match_label
from genretag.evaluation.metrics import calibration_error
from genretag.inference import external
from genretag.inference.documents import sidecar
from genretag.inference.metadata import Calibration, ModelMetadata, metadata_to_json
from genretag.library.walk import DiskCase
from genretag.numeric import log_softmax
from genretag.storage.cache import AnalysisCache
from genretag.training.attach_head import replace_metadata
from genretag.training.fit import calibrate
from genretag.training.provenance import training_overlap
from genretag.training.split import assign_folds, group_tracks

MIN_TRACKS = 40  # a temperature fitted on fewer is mostly noise

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recalibration:
    """A new calibration, with the expected calibration error before and after."""

    tracks: int
    before: Calibration
    after: Calibration
    error_before: float
    error_after: float  # cross-validated
    overlap: float  # share of the tracks that the model was trained on


def recalibrate(
    store: AnalysisCache, metadata: ModelMetadata, labelled: list[tuple[Path, str, str]]
) -> Recalibration:
    """Fit a temperature on analysed tracks (path, label, artist); keep the slope over the length.

    Raises:
        RunError: fewer than ``MIN_TRACKS`` tracks have one of the model's labels.
    """
    on_disk_case = DiskCase()
    log_p, y, artists = list[FloatArray](), list[int](), list[tuple[str, ...]]()
    lengths, keys = list[float](), list[str]()
    for path, name, artist in labelled:
        label = match_label(name, metadata.labels)
        found = find_analysis(store, path, metadata.id, on_disk_case)
        if label is None or found is None:
            continue
        file, analysis = found
        log_p.append(log_softmax(analysis.logits).mean(axis=0))
        y.append(metadata.labels.index(label))
        lengths.append(analysis.length)
        keys.append(file.content_key)
        artists.append(tuple(a for a in (artist or file.tags.album.artist,) if a))
    if len(y) < MIN_TRACKS or len(set(y)) < 2:
        raise RunError(
            f"calibration needs at least {MIN_TRACKS} tracks of two of the model's labels;"
            f" found {len(y):,}"
        )
    truth, scores = np.array(y), np.stack(log_p)
    old = metadata.calibration
    before = np.stack([calibrated(s, n, old) for s, n in zip(scores, lengths, strict=True)])
    level = old.with_temperature(1.0)
    scores = scores / np.array([[level.at(n)] for n in lengths])
    after = _cross_validate(scores, truth, assign_folds(truth, group_tracks(artists, [])))
    error_before, error_after = (
        calibration_error(p.max(1), p.argmax(1) == truth) for p in (before, after)
    )
    return Recalibration(
        tracks=len(y),
        before=old,
        after=level.with_temperature(round(calibrate(scores, truth), 4)),
        error_before=error_before,
        error_after=error_after,
        overlap=training_overlap(metadata, keys),
    )


def _cross_validate(
    scores: FloatArray, y: npt.NDArray[np.int64], folds: npt.NDArray[np.int64]
) -> FloatArray:
    """Return probabilities [n, labels], each with a temperature fitted on the other folds."""
    out = np.zeros_like(scores)
    for fold in np.unique(folds):
        rest = folds != fold
        temperature = calibrate(scores[rest], y[rest]) if rest.any() else 1.0
        out[~rest] = np.exp(log_softmax(scores[~rest] / temperature))
    return out


def write_recalibrated(
    model: Path, metadata: ModelMetadata, found: Recalibration, output: Path
) -> None:
    """Write the model with the new calibration in its metadata.

    An external model is copied, with genretag's metadata in the JSON beside it. Its labels exclude
    each other from then on, because the temperature was fitted so.

    Raises:
        ModelError: the model has two stages.
    """
    note = f"on {found.tracks:,} tracks of the user's own; error {found.error_after:.3f}"
    about = {**{k: v for k, v in metadata.about.items() if k != "calibration"}, "calibrated": note}
    new = replace(metadata, calibration=found.after, about=about, activation="softmax")
    wiring = external.exported_wiring(model)
    if wiring is None:
        replace_metadata(model, new, output)
        return
    if output.resolve() != model.resolve():
        shutil.copyfile(model, output)
    document = {**json.loads(metadata_to_json(new)), "wiring": wiring}
    sidecar(output).write_text(json.dumps(document, indent=1), encoding="utf-8")
