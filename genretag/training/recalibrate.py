"""A model's calibration fitted anew on labelled tracks that it never learned from: the same file with other metadata."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.decisions.vote import calibrated
from genretag.errors import RunError
from genretag.evaluation.evaluate import match_label
from genretag.evaluation.metrics import calibration_error
from genretag.features import FEATURE_VERSION
from genretag.inference import external
from genretag.inference.documents import sidecar
from genretag.inference.metadata import Calibration, ModelMetadata, metadata_to_json
from genretag.library.walk import DiskCase
from genretag.numeric import log_softmax
from genretag.scan.scanner import absolute
from genretag.storage.cache import Store
from genretag.training.attach_head import replace_metadata
from genretag.training.fit import calibrate
from genretag.training.split import assign_folds, group_tracks

LEAST_TRACKS = 40  # fewer make a temperature that is noise

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recalibration:
    """What was found."""

    tracks: int
    before: Calibration
    after: Calibration
    error_before: float  # expected calibration error as it was ...
    error_after: float  # ... and of tracks that each temperature was not fitted on


def recalibrate(
    store: Store, metadata: ModelMetadata, labelled: list[tuple[Path, str, str]]
) -> Recalibration:
    """Fit a temperature on (path, label, artist) of tracks that were heard; how it depends on the length stays as it is.

    Raises:
        RunError: fewer than ``LEAST_TRACKS`` tracks have one of the model's labels.
    """
    spell = DiskCase()
    log_p, y, artists, lengths = (
        list[FloatArray](),
        list[int](),
        list[tuple[str, ...]](),
        list[float](),
    )
    for path, label, artist in labelled:
        meant, known = (
            match_label(label, metadata.labels),
            store.known(absolute(spell(path)), metadata.id, FEATURE_VERSION),
        )
        if meant is None or known is None:
            continue
        f, heard = known
        log_p.append(log_softmax(heard.logits).mean(axis=0))
        y.append(metadata.labels.index(meant))
        lengths.append(heard.length)
        artists.append(tuple(name for name in (artist or f.tags.album.artist,) if name))
    if len(y) < LEAST_TRACKS or len(set(y)) < 2:
        raise RunError(
            f"{len(y):,} tracks have one of the model's labels, and {LEAST_TRACKS} of two labels are the least to calibrate on"
        )
    truth, scores, groups = np.array(y), np.stack(log_p), group_tracks(artists, [])
    old = np.stack(
        [calibrated(s, n, metadata.calibration) for s, n in zip(scores, lengths, strict=True)]
    )
    level = replace(metadata.calibration, temperature=1.0)
    scores = scores / np.array([[level.at(n)] for n in lengths])
    held, folds = np.zeros_like(scores), assign_folds(truth, groups)
    for fold in np.unique(folds):
        rest = folds != fold
        temperature = calibrate(scores[rest], truth[rest]) if rest.any() else 1.0
        held[~rest] = np.exp(log_softmax(scores[~rest] / temperature))
    after = replace(level, temperature=round(calibrate(scores, truth), 4))
    errors = [calibration_error(p.max(1), p.argmax(1) == truth) for p in (old, held)]
    return Recalibration(len(y), metadata.calibration, after, *errors)


def write_recalibrated(
    model: Path, metadata: ModelMetadata, found: Recalibration, output: Path
) -> None:
    """Write the same model with the new calibration in its metadata; another's, with the JSON that it then needs beside it.

    Its labels are weighed against each other from then on, for that is what was fitted.

    Raises:
        ModelError: a model of two files.
    """
    told = f"on {found.tracks:,} tracks of the user's own; error {found.error_after:.3f}"
    about = {**{k: v for k, v in metadata.about.items() if k != "calibration"}, "calibrated": told}
    new = replace(metadata, calibration=found.after, about=about, activation="softmax")
    wiring = external.exported_wiring(model)
    if wiring is None:
        replace_metadata(model, new, output)
        return
    if output.resolve() != model.resolve():
        shutil.copyfile(model, output)
    sidecar(output).write_text(
        json.dumps({**json.loads(metadata_to_json(new)), "wiring": wiring}, indent=1),
        encoding="utf-8",
    )
