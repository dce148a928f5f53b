"""``train --deep``: the bundled CNN trained further on labelled tracks, or from scratch. Needs PyTorch (extra ``train``).

Fine-tuning begins with the fitted linear head, so that the first steps do not spoil the embedding that
the head was fitted on (linear probing, then fine-tuning: Kumar et al. 2022).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genretag.decisions.vote import calibrated
from genretag.errors import RunError
from genretag.features import FrontEnd, LogMel
from genretag.features.filters import MelFilters
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.inference.model import Model, cut_chunks
from genretag.numeric import log_softmax
from genretag.training import augment, fit, results
from genretag.training.attach_head import replace_metadata
from genretag.training.cache import FeatureCache
from genretag.training.collection import Collection
from genretag.training.export import TwoHeadNetwork, export
from genretag.training.head import LinearHead
from genretag.training.network import Backbone, Shape, load_backbone, to_layer
from genretag.training.prefetch import Prefetch
from genretag.training.split import Part

CHUNK_FRAMES = 312  # 5 s
BATCH = 28
MIXUP_SHARE = 0.5
SMOOTHING = 0.1  # of labels
WEIGHT_DECAY = 0.02
MUSIC_LOSS = 0.02  # keeps music-or-not where it was while the embedding moves
NO_MUSIC_HEAD = 10.0  # logit: a network from scratch never learned what is no music, and takes everything for music

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DeepOptions:
    """What a deep training is asked for."""

    from_scratch: bool = False
    epochs: int = 30
    patience: int = 6  # epochs without a better validation before it stops
    peak: float | None = (
        None  # highest learning rate; None: 1.5e-4 for fine-tuning, 1e-3 from scratch
    )
    device: str = "auto"
    seed: int = 0
    tensorboard: Path | None = None

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return self.peak or (1e-3 if self.from_scratch else 1.5e-4)


@dataclass(frozen=True)
class Batch:
    """Log-mels [n, bands, frames], soft labels [n, labels]."""

    x: FloatArray
    y: FloatArray


class BatchSampler:
    """Makes batches out of the cache: every label as often, cut at random, varied, some mixed. The same seed, the same batches."""

    def __init__(
        self,
        cache: FeatureCache[FrontEnd],
        keys: list[str],
        y: npt.NDArray[np.int64],
        labels: int,
        seed: int,
    ) -> None:
        self.cache, self.keys, self.y, self.labels = cache, keys, y, labels
        self.log_mel = LogMel(cache.front_end, MelFilters(()))  # it scales only
        self.of_label = [np.flatnonzero(y == c) for c in range(labels)]
        self.rng = np.random.default_rng(seed)

    def random_excerpt(self, window: npt.NDArray[np.float16], frames: int) -> FloatArray:
        """Return one varied log-mel [bands, frames] out of a window [frames or more, bands]."""
        rng, fe = self.rng, self.cache.front_end
        need = frames + augment.spare_frames(frames)
        start = int(rng.integers(0, max(1, len(window) - need + 1)))
        x = np.asarray(window[start : start + need], np.float32)
        power = np.exp(x * np.float32(fe.std) + np.float32(fe.mean))
        varied = augment.augment_mel(rng, power, frames)
        out = self.log_mel.scale(varied, float(10 ** (rng.normal(0, 2) / 20)))
        if rng.random() < 0.7:
            augment.mask(rng, out, float(out.mean()))
        return out.T

    def batch(self) -> Batch:
        """Return one batch, all of it as long as its shortest window: nothing is padded or looped.

        A network that hears which tracks were padded learns that, and not the music.
        """
        labels = self.rng.integers(0, self.labels, BATCH)
        windows = [self.window(int(self.rng.choice(self.of_label[c]))) for c in labels]
        frames = min(CHUNK_FRAMES, *map(len, windows))
        x = np.stack([self.random_excerpt(w, frames) for w in windows])
        y = np.full((BATCH, self.labels), SMOOTHING / self.labels, np.float32)
        y[np.arange(BATCH), labels] += 1 - SMOOTHING
        if self.rng.random() < MIXUP_SHARE:
            other = self.rng.permutation(BATCH)
            share = np.maximum(b := self.rng.beta(0.4, 0.4, BATCH), 1 - b).astype(np.float32)[
                :, None
            ]
            x, y = (
                augment.mix(x, other, share, self.cache.front_end.std),
                share * y + (1 - share) * y[other],
            )
        return Batch(x, y)

    def window(self, track: int) -> npt.NDArray[np.float16]:
        """Return one of a track's windows."""
        windows = self.cache.windows(self.keys[track])
        return windows[int(self.rng.integers(len(windows)))]


class Net(nn.Module):
    """The backbone with the genre head and the frozen music head."""

    def __init__(self, backbone: Backbone, genre: LinearHead, music: LinearHead | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.genre = to_layer(genre)
        self.music = None if music is None else to_layer(music)
        if self.music is not None:
            self.music.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return (logits [batch, labels], music logits [batch])."""
        embedding = self.backbone(x)
        return self.genre(embedding), None if self.music is None else self.music(embedding).squeeze(
            1
        )


def _linear(layer: nn.Linear) -> LinearHead:
    return LinearHead(
        layer.weight.detach().cpu().numpy().T.astype(np.float64),
        layer.bias.detach().cpu().numpy().astype(np.float64),
    )


@dataclass
class History:
    """What each epoch came to."""

    loss: list[float]
    train: list[float]  # accuracy on the training part, as it is heard by a scan
    valid: list[float]
    best: float = -1.0  # macro recall on the validation part
    best_epoch: int = -1
    waited: float = 0.0  # share of the time that training waited for data


def select_device(name: str) -> torch.device:
    """Return where to train; raise ``RunError`` where CUDA was asked for and is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError(
            "--device cuda: this PyTorch sees no CUDA device; install a CUDA build of torch, or use --device cpu"
        )
    return torch.device(
        "cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu"
    )


class DeepTraining:
    """One training with a checkpoint an epoch: a second call with the same plan goes on where the first was stopped."""

    def __init__(
        self,
        collection: Collection,
        part: npt.NDArray[np.int8],
        cache: FeatureCache[FrontEnd],
        net: Net,
        plan: DeepOptions,
        checkpoint: Path,
    ) -> None:
        self.collection, self.part, self.cache, self.net, self.plan = (
            collection,
            part,
            cache,
            net,
            plan,
        )
        self.checkpoint, self.device = checkpoint, select_device(plan.device)
        self.net.to(self.device, memory_format=torch.channels_last)
        parameters = [
            {"params": self.net.backbone.parameters(), "scale": 1.0},
            {"params": self.net.genre.parameters(), "scale": 3.0 if not plan.from_scratch else 1.0},
        ]
        self.optimiser = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=WEIGHT_DECAY)
        self.history = History([], [], [])
        self.best_state = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.train_rows = np.flatnonzero(part == Part.TRAIN)
        self.steps = max(20, math.ceil(2 * len(self.train_rows) / BATCH))  # an epoch
        # bfloat16 only where the processor multiplies it in hardware: elsewhere it is slower than float32.
        amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
        self.autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.device.type == "cuda" or bool(amx)
        )

    # --- checkpoints --------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """What a checkpoint must have been made with to be gone on from."""
        told = [
            asdict(self.plan) | {"tensorboard": None, "device": None},
            self.collection.labels,
            self.collection.keys,
            self.part.tolist(),
        ]
        return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()

    def _save(self) -> None:
        part = self.checkpoint.with_name(self.checkpoint.name + ".part")
        state = {
            "fingerprint": self.fingerprint,
            "net": self.net.state_dict(),
            "best": self.best_state,
            "optimiser": self.optimiser.state_dict(),
            "history": vars(self.history),
        }
        torch.save(state, part)
        part.replace(self.checkpoint)

    def resume(self) -> int:
        """Load the checkpoint of the same plan, and return how many epochs are done."""
        if not self.checkpoint.exists():
            return 0
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        except Exception:  # a damaged checkpoint is begun anew
            return 0
        if state.get("fingerprint") != self.fingerprint:
            return 0
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best_state, self.history = state["best"], History(**state["history"])
        return len(self.history.loss)

    # --- the loop -----------------------------------------------------------------------------------------------

    def run(self, on_epoch: Callable[[str], None] | None = None) -> None:
        """Train until the validation part has not been told better for ``patience`` epochs; keep the best."""
        first = self.resume()
        if first and on_epoch:
            on_epoch(f"going on after epoch {first}")
        writer = _writer(self.plan.tensorboard)
        for epoch in range(first, self.plan.epochs):
            if (
                epoch - self.history.best_epoch > self.plan.patience
                and self.history.best_epoch >= 0
            ):
                break
            began = time.monotonic()
            loss = self._epoch(epoch)
            train, _ = self._accuracy(self.train_rows[:: max(1, len(self.train_rows) // 200)])
            valid, recall = self._accuracy(np.flatnonzero(self.part == Part.VALID))
            self.history.loss.append(loss)
            self.history.train.append(train)
            self.history.valid.append(valid)
            if recall > self.history.best:
                self.history.best, self.history.best_epoch = recall, epoch
                self.best_state = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
            self._save()
            for name, value in (
                ("loss", loss),
                ("accuracy/train", train),
                ("accuracy/valid", valid),
            ):
                if writer is not None:
                    writer.add_scalar(name, value, epoch)
            if on_epoch:
                on_epoch(
                    f"epoch {epoch + 1}/{self.plan.epochs}: loss {loss:.3f}, validation {valid:.1%} (macro recall {recall:.1%}),"
                    f" {time.monotonic() - began:.0f} s, waited for data {self.history.waited:.1%}"
                )
        if writer is not None:
            writer.close()
        self.net.load_state_dict(self.best_state)

    def _epoch(self, epoch: int) -> float:
        """Train one epoch; return its mean loss."""
        rows, labels = self.train_rows, len(self.collection.labels)
        keys = [self.collection.keys[i] for i in rows]
        kitchen = BatchSampler(
            self.cache,
            keys,
            self.collection.y[rows],
            labels,
            hash((self.plan.seed, epoch)) % (1 << 32),
        )
        batches = Prefetch(kitchen.batch, self.steps)
        self.net.train()
        total = 0.0
        for step, batch in enumerate(batches):
            rate = self._rate(epoch * self.steps + step)
            for group in self.optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            with self.autocast:
                logits, music = self.net(torch.from_numpy(batch.x).to(self.device))
            loss = nn.functional.cross_entropy(
                logits.float(), torch.from_numpy(batch.y).to(self.device)
            )
            if music is not None:  # all of this is music, and stays so
                loss = loss + MUSIC_LOSS * nn.functional.softplus(-music.float()).mean()
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            self.optimiser.step()
            total += loss.item()
        self.history.waited = batches.share_waited
        return total / self.steps

    def _rate(self, step: int) -> float:
        """Return the learning rate: linear warm-up over an epoch, then half a cosine."""
        whole = self.plan.epochs * self.steps
        if step < self.steps:
            return self.plan.rate * (step + 1) / self.steps
        return self.plan.rate * (
            0.01
            + 0.99
            * 0.5
            * (1 + math.cos(math.pi * (step - self.steps) / max(1, whole - self.steps)))
        )

    def _accuracy(self, rows: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Return (accuracy, macro recall) of tracks, heard in at most four chunks each."""
        if not len(rows):
            return 0.0, 0.0
        self.net.eval()
        said = []
        for i in rows:
            windows = self.cache.windows(self.collection.keys[int(i)])
            chunks = [
                c
                for w in windows
                for c in cut_chunks(np.asarray(w, np.float32).T, (CHUNK_FRAMES, 61))
            ]
            chunks = [c for c in chunks if c.shape == chunks[0].shape]
            chunks = [
                chunks[round(j)] for j in np.linspace(0, len(chunks) - 1, min(4, len(chunks)))
            ]
            with torch.no_grad(), self.autocast:
                logits, _ = self.net(torch.from_numpy(np.stack(chunks)).to(self.device))
            said.append(int(torch.log_softmax(logits.float(), 1).mean(0).argmax()))
        y, told = self.collection.y[rows], np.array(said)
        return float((told == y).mean()), float(
            np.mean([(told[y == c] == c).mean() for c in np.unique(y)])
        )


def check_tensorboard(folder: Path | None) -> None:
    """Raise ``RunError`` where curves for TensorBoard were asked for and it is not installed."""
    _writer(folder, open_it=False)


def _writer(folder: Path | None, *, open_it: bool = True) -> Any:
    """Return a TensorBoard writer where one was asked for."""
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError(
            "--tensorboard: the package tensorboard is not installed (pip install tensorboard)"
        ) from error
    return SummaryWriter(str(folder)) if open_it else None  # type: ignore[no-untyped-call]


# --- from a collection to a model file ---------------------------------------------------------------------------


def initial_network(
    collection: Collection, part: npt.NDArray[np.int8], backbone: Model, plan: DeepOptions
) -> Net:
    """Return the network to train: the bundled one with a fitted head, or a new one."""
    torch.manual_seed(plan.seed)
    labels = len(collection.labels)
    if plan.from_scratch:
        shape = Shape(n_mels=backbone.metadata.front_end.bands)
        rng = np.random.default_rng(plan.seed)
        return Net(
            Backbone(shape),
            LinearHead(rng.normal(0, 0.02, (shape.embedding, labels)), np.zeros(labels)),
            None,
        )
    network, _, music = load_backbone(backbone.path)
    train = part == Part.TRAIN
    head = fit.fit_head(collection.x[train].astype(np.float32), collection.y[train], 0.003)
    return Net(network, head, music)


def write(training: DeepTraining, metadata: ModelMetadata, path: Path) -> float:
    """Export the trained network with a card; return the largest difference to torch."""
    net = training.net.cpu().eval()
    genre = _linear(net.genre)
    music = (
        _linear(net.music)
        if net.music is not None
        else LinearHead(np.zeros((len(genre.weight), 1)), np.array([NO_MUSIC_HEAD]))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    worst = export(TwoHeadNetwork(net.backbone, genre, music), metadata, part)
    part.replace(path)
    return worst


def score_tracks(
    model: Model, cache: FeatureCache[FrontEnd], keys: list[str]
) -> npt.NDArray[np.float64]:
    """Return each track's mean log-probabilities [n, labels] over its cached windows, by an exported file."""
    out = []
    for key in keys:
        votes = []
        for window in cache.windows(key):
            chunks = cut_chunks(
                np.ascontiguousarray(np.asarray(window, np.float32).T), model.metadata.chunks
            )
            votes.append(
                np.concatenate(
                    [
                        model.run(np.stack(chunks[i : i + 12])).logits
                        for i in range(0, len(chunks), 12)
                    ]
                ).mean(0)
            )
        out.append(log_softmax(np.stack(votes)).mean(0))
    return np.stack(out)


def train_deep(
    collection: Collection,
    split: results.Split,
    backbone: Model,
    cache: FeatureCache[FrontEnd],
    plan: DeepOptions,
    path: Path,
    on_step: Callable[[str], None] | None = None,
) -> tuple[results.TrainingResult, ModelMetadata]:
    """Train, export, and judge the exported file on the test part: the figures are those of the very file."""
    began = time.monotonic()
    part = results.split_collection(collection, split, plan.seed)
    if not (part == Part.VALID).any():
        raise RunError(
            "--deep needs tracks to validate with, and every label here has one artist or one recording"
        )
    training = DeepTraining(
        collection,
        part,
        cache,
        initial_network(collection, part, backbone, plan),
        plan,
        path.with_name(path.name + ".checkpoint"),
    )
    training.run(on_step)
    h = training.history
    curve = results.LearningCurve(
        "epoch", [float(i + 1) for i in range(len(h.loss))], "accuracy", h.train, h.valid
    )
    settings = {
        "epochs": len(h.loss),
        "best epoch": h.best_epoch + 1,
        "learning rate": plan.rate,
        "seed": plan.seed,
        "from scratch": plan.from_scratch,
        "device": str(training.device),
        "waited for data": round(h.waited, 4),
    }
    how = (
        "the bundled CNN's network, trained from scratch"
        if plan.from_scratch
        else "the bundled CNN, trained further"
    )
    empty = np.zeros((0, len(collection.labels)))
    draft = results.TrainingResult(
        how, collection, part, split, None, empty, np.zeros(0, np.int64), 1.0, 0.0, curve, settings
    )
    write(training, results.build_metadata(draft, backbone.metadata, path.stem), path)
    result = evaluate_file(draft, path, cache, time.monotonic() - began)
    metadata = replace(
        results.build_metadata(result, backbone.metadata, path.stem), styles=None
    )  # they are of the embedding that was
    replace_metadata(path, metadata, path)
    training.checkpoint.unlink(missing_ok=True)
    return result, metadata


def evaluate_file(
    draft: results.TrainingResult, path: Path, cache: FeatureCache[FrontEnd], seconds: float
) -> results.TrainingResult:
    """Calibrate an exported file on the validation part and judge it on the test part."""
    model, c = Model(path, threads=2), draft.collection
    valid, test = draft.part == Part.VALID, draft.part == Part.TEST
    temperature = fit.calibrate(
        score_tracks(model, cache, [c.keys[i] for i in np.flatnonzero(valid)]), c.y[valid]
    )
    if not test.any():
        return results.with_test_metrics(draft, draft.probabilities, temperature, seconds)
    log_p = score_tracks(model, cache, [c.keys[i] for i in np.flatnonzero(test)])
    return results.with_test_metrics(
        draft, calibrated(log_p, 1, Calibration(temperature)), temperature, seconds
    )
