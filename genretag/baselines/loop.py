"""Data and training loop shared by all baselines: one split, one way to cut, one stopping rule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genretag.baselines import System, input_frames
from genretag.baselines.networks import BaselineNetwork, MobileNet, body_builder
from genretag.errors import RunError
from genretag.evaluation.metrics import macro_recall
from genretag.features import MelFrontEnd
from genretag.inference.model import cut_chunks
from genretag.training import augment
from genretag.training.cache import FeatureCache
from genretag.training.collection import Collection
from genretag.training.sampling import BalancedSampler, random_window
from genretag.training.split import Part

MAX_CHUNKS = 8  # scored per track, spread over it
_RANGE_TRACKS = 200  # whose values define the range of the input
_MAX_SCORED_TRACKS = 100  # of the training part, after each epoch
_MIN_STEPS = 10  # of an epoch
_MAX_GRADIENT = 5.0  # norm

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tracks:
    """Tracks of a collection as inputs of a system."""

    collection: Collection
    part: npt.NDArray[np.int8]
    cache: FeatureCache[Any]
    frames: int  # of an input

    def rows(self, part: Part) -> IntArray:
        """Return the tracks of a part."""
        return np.flatnonzero(self.part == part)

    def chunks(self, track: int) -> FloatArray:
        """Return at most ``MAX_CHUNKS`` inputs [n, bands, frames] of a track, cut as in a scan."""
        windows = self.cache.windows(self.collection.keys[track])
        cut = [c for w in windows for c in cut_chunks(np.asarray(w, np.float32).T, (self.frames,))]
        spread = np.linspace(0, len(cut) - 1, min(MAX_CHUNKS, len(cut)))
        return np.stack([cut[round(i)] for i in spread])

    def random_chunk(self, track: int, rng: np.random.Generator) -> FloatArray:
        """Return an input [bands, frames] from a random place in a track."""
        window = random_window(self.cache.windows(self.collection.keys[track]), rng)
        if len(window) <= self.frames:
            return cut_chunks(np.asarray(window, np.float32).T, (self.frames,))[0]
        start = int(rng.integers(len(window) - self.frames + 1))
        return np.asarray(window[start : start + self.frames], np.float32).T

    def range(self) -> tuple[float, float]:
        """Return minimum and maximum of the training part, which are scaled to 0 and 1."""
        rows = self.rows(Part.TRAIN)
        some = rows[:: max(1, len(rows) // _RANGE_TRACKS)]
        ends = [(float(c.min()), float(c.max())) for c in map(self.chunks, some)]
        return min(a for a, _ in ends), max(b for _, b in ends)


def collection_tracks(
    system: System, collection: Collection, part: npt.NDArray[np.int8], cache: FeatureCache[Any]
) -> Tracks:
    """Return the tracks of a collection as inputs of a system."""
    return Tracks(collection, part, cache, input_frames(system))


def flatten_inputs(tracks: Tracks, rows: IntArray) -> tuple[FloatArray, IntArray]:
    """Return all inputs of some tracks as vectors [n, numbers], and the track of each."""
    parts = [tracks.chunks(int(i)) for i in rows]
    inputs = np.concatenate([p.reshape(len(p), -1) for p in parts])
    return inputs, np.repeat(rows, [len(p) for p in parts])


def augment_input(x: FloatArray, front_end: Any, rng: np.random.Generator) -> FloatArray:
    """Return an input [bands, frames] with random changes of filter and level (``--augment``)."""
    if isinstance(front_end, MelFrontEnd) and front_end.log == "db":
        power = 10 ** (x.T / 10)
        power = power * augment.tilt(rng, power.shape[1]) if rng.random() < 0.6 else power
        power = power * augment.low_pass(rng, power.shape[1]) if rng.random() < 0.15 else power
        power = np.maximum(power * 10 ** (rng.normal(0, 2) / 10), 1e-10)
        out = (10 * np.log10(power)).astype(np.float32)
        if rng.random() < 0.7:
            augment.mask(rng, out, float(out.mean()))
        return out.T
    return (x * np.float32(10 ** (rng.normal(0, 3) / 20))).astype(np.float32)


# --- training -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LoopOptions:
    """Options of the training of a network."""

    epochs: int
    patience: int  # epochs without improvement before the training stops
    seed: int
    augmented: bool = False
    weights: Path | None = None  # ImageNet weights of MobileNetV2


@dataclass
class TrainedNetwork:
    """A trained network with the accuracy after each epoch."""

    net: BaselineNetwork
    epochs: int = 0
    seconds: float = 0.0
    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)


def train_network(
    system: System,
    tracks: Tracks,
    options: LoopOptions,
    report: Callable[[str], None] | None = None,
) -> TrainedNetwork:
    """Train until the validation part stops improving for ``patience`` epochs; keep the best."""
    net = initial_network(system, tracks, options.seed, options.weights)
    trained, optimiser = TrainedNetwork(net), _optimiser(system, net)
    rng, started = np.random.default_rng(options.seed), time.monotonic()
    rows, valid_rows = tracks.rows(Part.TRAIN), tracks.rows(Part.VALID)
    labels = len(tracks.collection.labels)
    sampler = BalancedSampler(rows, tracks.collection.y[rows], labels, rng)
    some = rows[:: max(1, len(rows) // _MAX_SCORED_TRACKS)]
    inputs = sum(len(tracks.chunks(int(i))) for i in rows)
    steps = min(system.steps, max(_MIN_STEPS, math.ceil(inputs / system.batch)))
    best, best_epoch, best_state = -1.0, -1, _copy_state(net)
    for epoch in range(options.epochs):
        began, total = time.monotonic(), 0.0
        net.train()
        for _ in range(steps):
            total += _train_step(system, tracks, sampler, optimiser, net, options.augmented)
        train = accuracy(tracks, score_tracks(net, tracks, some), some)[0]
        valid, recall = accuracy(tracks, score_tracks(net, tracks, valid_rows), valid_rows)
        trained.epochs = epoch + 1
        trained.train.append(train)
        trained.valid.append(valid)
        if recall > best:
            best, best_epoch, best_state = recall, epoch, _copy_state(net)
        if report is not None:
            report(
                f"{system.name} {epoch + 1}/{options.epochs}: loss {total / steps:.3f},"
                f" validation {valid:.1%}, {time.monotonic() - began:.0f} s"
            )
        if epoch - best_epoch >= options.patience:
            break
    net.load_state_dict(best_state)
    net.eval()
    trained.seconds = time.monotonic() - started
    return trained


def _train_step(
    system: System,
    tracks: Tracks,
    sampler: BalancedSampler,
    optimiser: torch.optim.Optimizer,
    net: nn.Module,
    augmented: bool,
) -> float:
    """Train on one batch; return its loss."""
    rows, labels = sampler.draw(system.batch)
    x = [tracks.random_chunk(int(i), sampler.rng) for i in rows]
    if augmented:
        x = [augment_input(one, tracks.cache.front_end, sampler.rng) for one in x]
    logits = net(torch.from_numpy(np.stack(x)))[0]
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), _MAX_GRADIENT)
    optimiser.step()
    return float(loss.item())


def initial_network(
    system: System, tracks: Tracks, seed: int, weights: Path | None
) -> BaselineNetwork:
    """Return the network before training."""
    torch.manual_seed(seed)
    low, high = tracks.range()
    bands, labels = tracks.cache.front_end.bands, len(tracks.collection.labels)
    body = body_builder(system.build)(bands, tracks.frames)
    net = BaselineNetwork(body, low, high, bands, tracks.frames, labels)
    if weights is not None and isinstance(net.body, MobileNet):
        load_imagenet_weights(net.body, weights)
    return net


def load_imagenet_weights(body: MobileNet, path: Path) -> None:
    """Load ImageNet weights in torchvision's layout.

    Raises:
        RunError: the file contains something else.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        features = {
            k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")
        }
        body.features.load_state_dict(features)
    except Exception as error:
        raise RunError(
            f"{path}: not weights of MobileNetV2 in torchvision's layout: {error}"
        ) from error


def _optimiser(system: System, net: nn.Module) -> torch.optim.Optimizer:
    if system.optimiser == "rmsprop":
        return torch.optim.RMSprop(net.parameters(), lr=system.rate)
    return torch.optim.Adam(net.parameters(), lr=system.rate)


def _copy_state(net: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items()}


# --- scores -------------------------------------------------------------------------------------


def score_tracks(net: nn.Module, tracks: Tracks, rows: IntArray) -> npt.NDArray[np.float64]:
    """Return mean log-probabilities [tracks, labels] over the inputs of each track."""
    net.eval()
    out = []
    for i in rows:
        with torch.no_grad():
            logits: Tensor = net(torch.from_numpy(tracks.chunks(int(i))))[0]
        out.append(torch.log_softmax(logits.double(), 1).mean(0).numpy())
    return np.array(out).reshape(len(rows), len(tracks.collection.labels))


def accuracy(tracks: Tracks, log_p: npt.NDArray[np.float64], rows: IntArray) -> tuple[float, float]:
    """Return (accuracy, macro recall) of log-probabilities [rows, labels]."""
    if not len(rows):
        return 0.0, 0.0
    y, predicted = tracks.collection.y[rows], log_p.argmax(1)
    return float((predicted == y).mean()), macro_recall(predicted, y)
