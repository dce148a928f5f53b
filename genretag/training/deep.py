"""``train --deep``: train the bundled network further, or from scratch. Needs PyTorch.

Fine-tuning starts from a fitted linear head, so that the first steps do not damage the embedding
(linear probing, then fine-tuning: Kumar et al. 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from genretag.atomic import atomic_write
from genretag.decisions.vote import calibrated
from genretag.errors import RunError
from genretag.features import FrontEnd
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.inference.model import Model, cut_chunks
from genretag.numeric import log_softmax
from genretag.training import fit
from genretag.training.attach_head import replace_metadata
from genretag.training.cache import FeatureCache
from genretag.training.collection import Collection
from genretag.training.deep_loop import DeepOptions, DeepTraining, Net
from genretag.training.export import TwoHeadNetwork, export
from genretag.training.head import LinearHead
from genretag.training.network import Backbone, Shape, load_backbone
from genretag.training.results import (
    LearningCurve,
    Split,
    TrainingResult,
    build_metadata,
    split_collection,
)
from genretag.training.split import Part

_START_PENALTY = 0.003  # inverse strength, of the head that fine-tuning starts from
_INITIAL_STD = 0.02  # of the weights of a random head
_ALWAYS_MUSIC = 10.0  # music logit: a network from scratch cannot detect music
_SCORED_ROWS = 12  # chunks scored at once


def train_deep(
    collection: Collection,
    split: Split,
    backbone: Model,
    cache: FeatureCache[FrontEnd],
    options: DeepOptions,
    path: Path,
    on_step: Callable[[str], None] | None = None,
) -> tuple[TrainingResult, ModelMetadata]:
    """Train the network, export it, and evaluate the exported file on the test part.

    Raises:
        RunError: there is no validation part.
    """
    began = time.monotonic()
    part = split_collection(collection, split, options.seed)
    if not (part == Part.VALID).any():
        raise RunError(
            "--deep needs validation tracks, but every label has only one artist or recording"
        )
    net = initial_network(collection, part, backbone, options)
    checkpoint = path.with_name(path.name + ".checkpoint")
    training = DeepTraining(collection, part, cache, net, options, checkpoint)
    training.run(on_step)
    draft = _draft_result(training, split)
    export_network(net, build_metadata(draft, backbone.metadata, path.stem), path)
    result = evaluate_file(draft, path, cache, time.monotonic() - began)
    # The styles and moods belong to the embedding before the training.
    # Written twice: the metrics in the metadata are measured on the exported file itself.
    metadata = build_metadata(result, backbone.metadata, path.stem)
    metadata = replace(metadata, styles=None, moods=None)
    replace_metadata(path, metadata, path)
    training.checkpoint.unlink(missing_ok=True)
    return result, metadata


def initial_network(
    collection: Collection, part: npt.NDArray[np.int8], backbone: Model, options: DeepOptions
) -> Net:
    """Return the network to train: the bundled one with a fitted head, or a random one."""
    torch.manual_seed(options.seed)
    labels = len(collection.labels)
    if options.from_scratch:
        shape = Shape(n_mels=backbone.metadata.front_end.bands)
        rng = np.random.default_rng(options.seed)
        weight = rng.normal(0, _INITIAL_STD, (shape.embedding, labels))
        return Net(Backbone(shape), LinearHead(weight, np.zeros(labels)), None)
    # A random head would send large gradients into the backbone and spoil its embedding.
    network, _, music = load_backbone(backbone.path)
    train = part == Part.TRAIN
    x, y = collection.x[train].astype(np.float32), collection.y[train]
    return Net(network, fit.fit_head(x, y, _START_PENALTY), music)


def _draft_result(training: DeepTraining, split: Split) -> TrainingResult:
    """Return the result without metrics."""
    history, options = training.history, training.options
    epochs = [float(i + 1) for i in range(len(history.loss))]
    return TrainingResult(
        how="the bundled network, trained from scratch"
        if options.from_scratch
        else "the bundled network, fine-tuned",
        collection=training.collection,
        part=training.part,
        split=split,
        curve=LearningCurve("epoch", epochs, "accuracy", history.train, history.valid),
        settings={
            "epochs": len(history.loss),
            "best epoch": history.best_epoch + 1,
            "learning rate": options.rate,
            "seed": options.seed,
            "from scratch": options.from_scratch,
            "device": str(training.device),
            "waited for data": round(history.waited, 4),
        },
        probabilities=np.zeros((0, len(training.collection.labels))),
    )


# --- the exported file --------------------------------------------------------------------------


def export_network(net: Net, metadata: ModelMetadata, path: Path) -> float:
    """Export a trained network; return the largest difference from PyTorch."""
    net = net.cpu().eval()
    genre = _to_head(net.genre)
    if net.music is not None:
        music = _to_head(net.music)
    else:
        music = LinearHead(np.zeros((len(genre.weight), 1)), np.array([_ALWAYS_MUSIC]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        return export(TwoHeadNetwork(net.backbone, genre, music), metadata, part)


def _to_head(layer: nn.Linear) -> LinearHead:
    weight, bias = (p.detach().cpu().numpy().astype(np.float64) for p in layer.parameters())
    return LinearHead(weight.T, bias)


def evaluate_file(
    draft: TrainingResult, path: Path, cache: FeatureCache[FrontEnd], seconds: float
) -> TrainingResult:
    """Calibrate an exported file on the validation part and evaluate it on the test part."""
    model, c = Model(path, threads=2), draft.collection
    valid, test = draft.part == Part.VALID, draft.part == Part.TEST
    log_p = score_tracks(model, cache, [c.keys[i] for i in np.flatnonzero(valid)])
    temperature = fit.calibrate(log_p, c.y[valid])
    if not test.any():
        return draft.with_test_metrics(draft.probabilities, temperature, seconds)
    log_p = score_tracks(model, cache, [c.keys[i] for i in np.flatnonzero(test)])
    probabilities = calibrated(log_p, 1, Calibration(temperature))
    return draft.with_test_metrics(probabilities, temperature, seconds)


def score_tracks(
    model: Model, cache: FeatureCache[FrontEnd], keys: list[str]
) -> npt.NDArray[np.float64]:
    """Return mean log-probabilities [n, labels] over the cached windows of each track."""
    return np.stack(
        [
            log_softmax(np.stack([_score_window(model, w) for w in cache.windows(key)])).mean(0)
            for key in keys
        ]
    )


def _score_window(model: Model, window: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    """Return the mean logits [labels] of a window [frames, bands]."""
    log_mel = np.ascontiguousarray(np.asarray(window, np.float32).T)
    chunks = cut_chunks(log_mel, model.metadata.chunks)
    logits = [
        model.run(np.stack(chunks[i : i + _SCORED_ROWS])).logits
        for i in range(0, len(chunks), _SCORED_ROWS)
    ]
    mean: npt.NDArray[np.float32] = np.concatenate(logits).mean(0)
    return mean
