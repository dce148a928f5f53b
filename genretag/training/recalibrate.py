"""A model's calibration fitted anew on labelled tracks that it never learned from: the same file with other metadata."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.decisions.vote import calibrated, log_softmax
from genretag.errors import RunError
from genretag.evaluation.evaluate import label_of
from genretag.evaluation.metrics import calibration_error
from genretag.features import FEATURE_VERSION
from genretag.inference import safety
from genretag.inference.metadata import Calibration, Card, card_text
from genretag.library.walk import DiskCase
from genretag.scan.scanner import absolute
from genretag.storage.cache import Store
from genretag.training.attach_head import recard
from genretag.training.fit import calibrate
from genretag.training.split import grouped_fold_numbers, groups_of

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


def recalibrated(store: Store, card: Card, labelled: list[tuple[Path, str, str]]) -> Recalibration:
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
            label_of(label, card.labels),
            store.known(absolute(spell(path)), card.id, FEATURE_VERSION),
        )
        if meant is None or known is None:
            continue
        f, heard = known
        log_p.append(log_softmax(heard.logits).mean(axis=0))
        y.append(card.labels.index(meant))
        lengths.append(heard.length)
        artists.append(tuple(name for name in (artist or f.tags.album.artist,) if name))
    if len(y) < LEAST_TRACKS or len(set(y)) < 2:
        raise RunError(
            f"{len(y):,} tracks have one of the model's labels, and {LEAST_TRACKS} of two labels are the least to calibrate on"
        )
    truth, scores, groups = np.array(y), np.stack(log_p), groups_of(artists, [])
    old = np.stack(
        [calibrated(s, n, card.calibration) for s, n in zip(scores, lengths, strict=True)]
    )
    level = replace(card.calibration, temperature=1.0)
    scores = scores / np.array([[level.at(n)] for n in lengths])
    held, folds = np.zeros_like(scores), grouped_fold_numbers(truth, groups)
    for fold in np.unique(folds):
        rest = folds != fold
        temperature = calibrate(scores[rest], truth[rest]) if rest.any() else 1.0
        held[~rest] = np.exp(log_softmax(scores[~rest] / temperature))
    after = replace(level, temperature=round(calibrate(scores, truth), 4))
    errors = [calibration_error(p.max(1), p.argmax(1) == truth) for p in (old, held)]
    return Recalibration(len(y), card.calibration, after, *errors)


def write_recalibrated(model: Path, card: Card, found: Recalibration, output: Path) -> None:
    """Write the same model with the new calibration in its metadata; another's, with the JSON that it then needs beside it.

    Its labels are weighed against each other from then on, for that is what was fitted.

    Raises:
        ModelError: a model of two files.
    """
    told = f"on {found.tracks:,} tracks of the user's own; error {found.error_after:.3f}"
    about = {**{k: v for k, v in card.about.items() if k != "calibration"}, "calibrated": told}
    new = replace(card, calibration=found.after, about=about, activation="softmax")
    wiring = safety.wiring_of(model)
    if wiring is None:
        recard(model, new, output)
        return
    if output.resolve() != model.resolve():
        shutil.copyfile(model, output)
    safety.sidecar(output).write_text(
        json.dumps({**json.loads(card_text(new)), "wiring": wiring}, indent=1), encoding="utf-8"
    )
