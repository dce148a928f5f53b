"""The one data path and the one loop of all classics: the same split, the same cuts, the same stop."""

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
from genretag.features import MelFrontEnd
from genretag.inference.model import cut_chunks
from genretag.training import augment
from genretag.training.cache import FeatureCache
from genretag.training.collection import Collection
from genretag.training.split import Part

MAX_CHUNKS = 8  # of a track, when it is judged: spread over it
_SAMPLE = 200  # tracks whose numbers tell the range of the input

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tracks:
    """The tracks of a collection as a system hears them."""

    collection: Collection
    part: npt.NDArray[np.int8]
    cache: FeatureCache[Any]
    frames: int  # of an input

    def rows(self, part: Part) -> npt.NDArray[np.int64]:
        """Return the tracks of a part."""
        return np.flatnonzero(self.part == part)

    def chunks(self, track: int) -> FloatArray:
        """Return a track as inputs [n, bands, frames], cut as a scan cuts it, at most ``MAX_CHUNKS`` of them."""
        windows = self.cache.windows(self.collection.keys[track])
        cut = [c for w in windows for c in cut_chunks(np.asarray(w, np.float32).T, (self.frames,))]
        return np.stack(
            [cut[round(i)] for i in np.linspace(0, len(cut) - 1, min(MAX_CHUNKS, len(cut)))]
        )

    def random_chunk(self, track: int, rng: np.random.Generator) -> FloatArray:
        """Return one input out of a track, from anywhere."""
        windows = self.cache.windows(self.collection.keys[track])
        window = windows[int(rng.integers(len(windows)))]
        if len(window) <= self.frames:
            return cut_chunks(np.asarray(window, np.float32).T, (self.frames,))[0]
        start = int(rng.integers(len(window) - self.frames + 1))
        return np.asarray(window[start : start + self.frames], np.float32).T

    def range(self) -> tuple[float, float]:
        """Return the lowest and highest number that the training part holds: what is scaled to 0..1."""
        rows = self.rows(Part.TRAIN)
        some = rows[:: max(1, len(rows) // _SAMPLE)]
        ends = [(float(c.min()), float(c.max())) for c in map(self.chunks, some)]
        return min(a for a, _ in ends), max(b for _, b in ends)


def augment_input(x: FloatArray, front_end: Any, rng: np.random.Generator) -> FloatArray:
    """Return an input as another room or codec would give it (``--augment``)."""
    if isinstance(front_end, MelFrontEnd) and front_end.log == "db":
        power = 10 ** (x.T / 10)
        power = power * augment.tilt(rng, power.shape[1]) if rng.random() < 0.6 else power
        power = power * augment.low_pass(rng, power.shape[1]) if rng.random() < 0.15 else power
        out = (10 * np.log10(np.maximum(power * 10 ** (rng.normal(0, 2) / 10), 1e-10))).astype(
            np.float32
        )
        if rng.random() < 0.7:
            augment.mask(rng, out, float(out.mean()))
        return out.T
    return (x * np.float32(10 ** (rng.normal(0, 3) / 20))).astype(np.float32)


@dataclass
class TrainedNetwork:
    """What a training came to."""

    net: BaselineNetwork
    epochs: int = 0
    seconds: float = 0.0
    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)


def _optimiser(system: System, net: nn.Module) -> torch.optim.Optimizer:
    if system.optimiser == "rmsprop":
        return torch.optim.RMSprop(net.parameters(), lr=system.rate)
    return torch.optim.Adam(net.parameters(), lr=system.rate)


def initial_network(
    system: System, tracks: Tracks, seed: int, weights: Path | None
) -> BaselineNetwork:
    """Return the network before training."""
    torch.manual_seed(seed)
    low, high = tracks.range()
    bands = tracks.cache.front_end.bands
    net = BaselineNetwork(
        body_builder(system.build)(bands, tracks.frames),
        low,
        high,
        bands,
        tracks.frames,
        len(tracks.collection.labels),
    )
    if weights is not None and isinstance(net.body, MobileNet):
        _load_imagenet(net.body, weights)
    return net


def _load_imagenet(body: MobileNet, path: Path) -> None:
    """Load ImageNet weights in torchvision's layout."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        body.features.load_state_dict(
            {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
        )
    except Exception as error:
        raise RunError(
            f"{path}: these are no weights of MobileNetV2 as torchvision keeps them: {error}"
        ) from error


def train_network(
    system: System,
    tracks: Tracks,
    *,
    epochs: int,
    patience: int,
    seed: int,
    augmented: bool,
    weights: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> TrainedNetwork:
    """Train until the validation part has not been told better for ``patience`` epochs; the best epoch is kept."""
    net = initial_network(system, tracks, seed, weights)
    learned, optimiser, rng = (
        TrainedNetwork(net),
        _optimiser(system, net),
        np.random.default_rng(seed),
    )
    started = time.monotonic()
    best, best_epoch, best_state = -1.0, -1, {k: v.clone() for k, v in net.state_dict().items()}
    rows, y = tracks.rows(Part.TRAIN), tracks.collection.y
    of_label = [rows[y[rows] == c] for c in range(len(tracks.collection.labels))]
    steps = min(
        system.steps,
        max(10, math.ceil(sum(len(tracks.chunks(int(i))) for i in rows) / system.batch)),
    )
    for epoch in range(epochs):
        began, total = time.monotonic(), 0.0
        net.train()
        for _ in range(steps):
            labels = rng.integers(0, len(of_label), system.batch)  # every label as often
            x = [tracks.random_chunk(int(rng.choice(of_label[c])), rng) for c in labels]
            x = [augment_input(one, tracks.cache.front_end, rng) for one in x] if augmented else x
            loss = nn.functional.cross_entropy(
                net(torch.from_numpy(np.stack(x)))[0], torch.from_numpy(labels)
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            total += loss.item()
        seen = accuracy(
            tracks,
            score_tracks(net, tracks, rows[:: max(1, len(rows) // 100)]),
            rows[:: max(1, len(rows) // 100)],
        )[0]
        valid_rows = tracks.rows(Part.VALID)
        valid, recall = accuracy(tracks, score_tracks(net, tracks, valid_rows), valid_rows)
        learned.epochs = epoch + 1
        learned.train.append(seen)
        learned.valid.append(valid)
        if recall > best:
            best, best_epoch, best_state = (
                recall,
                epoch,
                {k: v.clone() for k, v in net.state_dict().items()},
            )
        if say is not None:
            say(
                f"{system.name} {epoch + 1}/{epochs}: loss {total / steps:.3f}, validation {valid:.1%}, {time.monotonic() - began:.0f} s"
            )
        if epoch - best_epoch >= patience:
            break
    net.load_state_dict(best_state)
    net.eval()
    learned.seconds = time.monotonic() - started
    return learned


def score_tracks(
    net: nn.Module, tracks: Tracks, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return mean log-probabilities [tracks, labels] over each track's inputs, as a scan takes them."""
    net.eval()
    out = []
    for i in rows:
        with torch.no_grad():
            logits: Tensor = net(torch.from_numpy(tracks.chunks(int(i))))[0]
        out.append(torch.log_softmax(logits.double(), 1).mean(0).numpy())
    return np.array(out).reshape(len(rows), len(tracks.collection.labels))


def accuracy(
    tracks: Tracks, log_p: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Return (accuracy, macro recall)."""
    if not len(rows):
        return 0.0, 0.0
    y, said = tracks.collection.y[rows], log_p.argmax(1)
    return float((said == y).mean()), float(
        np.mean([(said[y == c] == c).mean() for c in np.unique(y)])
    )


def flatten_inputs(
    tracks: Tracks, rows: npt.NDArray[np.int64]
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return every input of some tracks as rows of numbers [n, numbers], and the track of each: what a shallow system learns from."""
    parts = [tracks.chunks(int(i)) for i in rows]
    return np.concatenate([p.reshape(len(p), -1) for p in parts]), np.repeat(
        rows, [len(p) for p in parts]
    )


def collection_tracks(
    system: System, collection: Collection, part: npt.NDArray[np.int8], cache: FeatureCache[Any]
) -> Tracks:
    """Return a collection as a system hears it."""
    return Tracks(collection, part, cache, input_frames(system))
