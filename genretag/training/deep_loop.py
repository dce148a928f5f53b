"""Training loop of ``train --deep``, with a checkpoint after each epoch."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genretag.atomic import atomic_write
from genretag.errors import RunError
from genretag.evaluation.metrics import macro_recall
from genretag.features import FrontEnd
from genretag.inference.model import cut_chunks
from genretag.training.cache import FeatureCache
from genretag.training.collection import Collection
from genretag.training.head import LinearHead
from genretag.training.network import Backbone, to_layer
from genretag.training.prefetch import Prefetch
from genretag.training.sampling import BATCH_ROWS, CHUNK_FRAMES, Batch, BatchSampler
from genretag.training.schedule import warmup_cosine
from genretag.training.split import Part

WEIGHT_DECAY = 0.02
_MUSIC_LOSS = 0.02  # weight; keeps music-or-not unchanged while the embedding moves
_HEAD_RATE = 3.0  # times the rate of the backbone, for fine-tuning
_MAX_GRADIENT = 5.0  # norm
_MIN_STEPS = 20  # of an epoch
_MIN_CHUNK_FRAMES = 61  # 1 s
_MAX_TRACK_CHUNKS = 4  # scored per track, spread over it
_MAX_SCORED_TRACKS = 200  # of the training part, after each epoch


@dataclass(frozen=True)
class DeepOptions:
    """Options of a deep training."""

    from_scratch: bool = False
    epochs: int = 30
    patience: int = 6  # epochs without improvement before the training stops
    peak: float | None = None  # learning rate; None: 1.5e-4 for fine-tuning, 1e-3 from scratch
    device: str = "auto"
    seed: int = 0
    tensorboard: Path | None = None

    @property
    def rate(self) -> float:
        """Peak of the learning rate."""
        return self.peak or (1e-3 if self.from_scratch else 1.5e-4)


class Net(nn.Module):
    """The backbone with a genre head and a frozen music head."""

    def __init__(self, backbone: Backbone, genre: LinearHead, music: LinearHead | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.genre = to_layer(genre)
        self.music = None if music is None else to_layer(music)
        if self.music is not None:
            # The collection has no sounds other than music to train it on.
            self.music.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return (logits [batch, labels], music logits [batch])."""
        embedding = self.backbone(x)
        music = None if self.music is None else self.music(embedding).squeeze(1)
        return self.genre(embedding), music


@dataclass
class History:
    """Figures of each epoch, and the best epoch."""

    loss: list[float]
    train: list[float]  # accuracy on the training part
    valid: list[float]  # accuracy on the validation part
    best: float = -1.0  # macro recall on the validation part
    best_epoch: int = -1
    waited: float = 0.0  # share of the time that training waited for data


def select_device(name: str) -> torch.device:
    """Return the device to train on.

    Raises:
        RunError: CUDA is requested and not available.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise RunError(
            "--device cuda: this PyTorch finds no CUDA device;"
            " install a CUDA build of torch, or use --device cpu"
        )
    return torch.device("cuda" if available and name in ("auto", "cuda") else "cpu")


def check_tensorboard(folder: Path | None) -> None:
    """Raise ``RunError`` if TensorBoard is requested and not installed."""
    if folder is not None:
        _import_tensorboard()


def _import_tensorboard() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError(
            "--tensorboard needs the package tensorboard: pip install tensorboard"
        ) from error
    return SummaryWriter


class DeepTraining:
    """A deep training; a second one with the same options resumes from the checkpoint."""

    def __init__(
        self,
        collection: Collection,
        part: npt.NDArray[np.int8],
        cache: FeatureCache[FrontEnd],
        net: Net,
        options: DeepOptions,
        checkpoint: Path,
    ) -> None:
        self.collection, self.part, self.cache = collection, part, cache
        self.net, self.options, self.checkpoint = net, options, checkpoint
        self.device = select_device(options.device)
        self.net.to(self.device, memory_format=torch.channels_last)
        head_scale = 1.0 if options.from_scratch else _HEAD_RATE
        parameters = [
            {"params": net.backbone.parameters(), "scale": 1.0},
            {"params": net.genre.parameters(), "scale": head_scale},
        ]
        self.optimiser = torch.optim.AdamW(parameters, lr=options.rate, weight_decay=WEIGHT_DECAY)
        self.history = History([], [], [])
        self.best_state = _copy_state(net)
        self.train_rows = np.flatnonzero(part == Part.TRAIN)
        self.valid_rows = np.flatnonzero(part == Part.VALID)
        # An epoch sees each track twice on average.
        self.steps = max(_MIN_STEPS, math.ceil(2 * len(self.train_rows) / BATCH_ROWS))
        # bfloat16 only where the processor multiplies it in hardware: elsewhere it is slower.
        amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
        self.autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.device.type == "cuda" or bool(amx)
        )

    # --- checkpoints ----------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """Hash of everything that a checkpoint must have in common to be resumed."""
        parts = [
            asdict(self.options) | {"tensorboard": None, "device": None},
            self.collection.labels,
            self.collection.keys,
            self.part.tolist(),
        ]
        return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()

    def _save(self) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "net": self.net.state_dict(),
            "best": self.best_state,
            "optimiser": self.optimiser.state_dict(),
            "history": vars(self.history),
        }
        with atomic_write(self.checkpoint) as part:
            torch.save(state, part)

    def resume(self) -> int:
        """Load the checkpoint of the same training; return the number of finished epochs."""
        if not self.checkpoint.exists():
            return 0
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        except Exception:  # a damaged checkpoint: begin again
            return 0
        if state.get("fingerprint") != self.fingerprint:
            return 0
        # weights_only above: a checkpoint in a shared folder must not run code when it is loaded.
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best_state, self.history = state["best"], History(**state["history"])
        return len(self.history.loss)

    # --- epochs ---------------------------------------------------------------------------------

    def run(self, on_epoch: Callable[[str], None] | None = None) -> None:
        """Train until the validation part stops improving for ``patience`` epochs.

        The weights of the best epoch are kept.
        """
        first = self.resume()
        history = self.history
        if first and on_epoch:
            on_epoch(f"resuming after epoch {first}")
        folder = self.options.tensorboard
        writer = None if folder is None else _import_tensorboard()(str(folder))
        for epoch in range(first, self.options.epochs):
            if 0 <= history.best_epoch < epoch - self.options.patience:
                break
            began = time.monotonic()
            recall = self._run_epoch(epoch)
            self._save()
            if writer is not None:
                writer.add_scalar("loss", history.loss[-1], epoch)
                writer.add_scalar("accuracy/train", history.train[-1], epoch)
                writer.add_scalar("accuracy/valid", history.valid[-1], epoch)
            if on_epoch:
                on_epoch(
                    f"epoch {epoch + 1}/{self.options.epochs}: loss {history.loss[-1]:.3f},"
                    f" validation {history.valid[-1]:.1%} (macro recall {recall:.1%}),"
                    f" {time.monotonic() - began:.0f} s, waited for data {history.waited:.1%}"
                )
        if writer is not None:
            writer.close()
        self.net.load_state_dict(self.best_state)

    def _run_epoch(self, epoch: int) -> float:
        """Train and score one epoch; return the macro recall on the validation part."""
        history = self.history
        history.loss.append(self._train_epoch(epoch))
        some = self.train_rows[:: max(1, len(self.train_rows) // _MAX_SCORED_TRACKS)]
        history.train.append(self._score(some)[0])
        valid, recall = self._score(self.valid_rows)
        history.valid.append(valid)
        if recall > history.best:
            history.best, history.best_epoch = recall, epoch
            self.best_state = _copy_state(self.net)
        return recall

    def _train_epoch(self, epoch: int) -> float:
        """Train one epoch; return its mean loss."""
        sampler = BatchSampler(
            self.cache,
            [self.collection.keys[i] for i in self.train_rows],
            self.collection.y[self.train_rows],
            len(self.collection.labels),
            # A seed for each epoch, so that a resumed training sees the same batches.
            seed=hash((self.options.seed, epoch)) % (1 << 32),
        )
        batches = Prefetch(sampler.batch, self.steps)
        self.net.train()
        total = 0.0
        for step, batch in enumerate(batches):
            total += self._train_step(batch, epoch * self.steps + step)
        self.history.waited = batches.share_waited
        return total / self.steps

    def _train_step(self, batch: Batch, step: int) -> float:
        """Train on one batch; return its loss."""
        whole = self.options.epochs * self.steps
        rate = warmup_cosine(step, whole, warmup=self.steps, peak=self.options.rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        with self.autocast:
            logits, music = self.net(torch.from_numpy(batch.x).to(self.device))
        target = torch.from_numpy(batch.y).to(self.device)
        loss = nn.functional.cross_entropy(logits.float(), target)
        if music is not None:  # every training track is music, and must stay so
            loss = loss + _MUSIC_LOSS * nn.functional.softplus(-music.float()).mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), _MAX_GRADIENT)
        self.optimiser.step()
        return float(loss.item())

    def _score(self, rows: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Return (accuracy, macro recall) on tracks."""
        if not len(rows):
            return 0.0, 0.0
        self.net.eval()
        predicted = np.array([self._predict(self.collection.keys[int(i)]) for i in rows])
        y = self.collection.y[rows]
        return float((predicted == y).mean()), macro_recall(predicted, y)

    def _predict(self, key: str) -> int:
        """Return the label of a track, from at most ``_MAX_TRACK_CHUNKS`` of its chunks."""
        chunks = [
            chunk
            for window in self.cache.windows(key)
            for chunk in cut_chunks(
                np.asarray(window, np.float32).T, (CHUNK_FRAMES, _MIN_CHUNK_FRAMES)
            )
        ]
        # The last chunk of a window may be shorter, and a batch has one shape.
        chunks = [c for c in chunks if c.shape == chunks[0].shape]
        spread = np.linspace(0, len(chunks) - 1, min(_MAX_TRACK_CHUNKS, len(chunks)))
        batch = np.stack([chunks[round(i)] for i in spread])
        with torch.no_grad(), self.autocast:
            logits, _ = self.net(torch.from_numpy(batch).to(self.device))
        return int(torch.log_softmax(logits.float(), 1).mean(0).argmax())


def _copy_state(net: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in net.state_dict().items()}
