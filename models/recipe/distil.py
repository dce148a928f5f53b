"""Train the student: fine-tune the last model's network on the teachers' joint space and tags.

The backbone sees no genre label: hard labels of few artists spoil it. The heads are fitted later.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genretag.features import FrontEnd, LogMel
from genretag.training import augment
from genretag.training.network import Backbone, Residual, Shape, Student, load_backbone, shape_of
from genretag.training.prefetch import Prefetch
from models.recipe.answers import JOINT_DIMS, Example, Joint, parse_front_end, read_examples
from models.recipe.corpus import read_clips
from models.recipe.recordings import FULL_SCALE, Change, decoded_clip, to_16_bits
from models.recipe.songs import read_songs

FloatArray = npt.NDArray[np.float32]

#: Lengths of the cuts (s), their shares of the batches, and cuts in a batch of equal cost.
LENGTHS = ((2.0, 0.15, 70), (3.0, 0.2, 48), (5.0, 0.35, 28), (10.0, 0.3, 14))
TAG_LOSS = 5.0  # weight of the tags' cross-entropy beside the embedding's squared error
MIXUP_SHARE = 0.2
CHANGED_SHARE = 0.6  # of the cuts of clips, which are made of a changed recording
WARM_UP = 200  # steps
EMA_DECAY = 0.998
NORM_BATCHES = 60  # from which averaged weights get the statistics of their batch norms
BLOCKS, HIDDEN = 1, 0  # of the student's shape; 2 and 768 were no better
_CHECKPOINT, _REPORT = 500, 50  # steps
_REFRESH = 200  # batches after which new examples are looked for


class Batches:
    """Random batches of (log-mels, joint embeddings, tag probabilities, weights).

    ``more`` returns the examples that were made since it was last called; they are used as they
    come.
    """

    def __init__(
        self,
        examples: list[Example],
        joint: Joint,
        seed: int,
        more: Callable[[], list[Example]] = list,
        recordings: Mapping[int, npt.NDArray[np.int16]] = MappingProxyType({}),
    ) -> None:
        self.joint, self.more, self.log_mel = joint, more, LogMel.of(FrontEnd())
        self.recordings = recordings
        self.examples: list[Example] = []
        self.embedding, self.length = np.zeros((0, JOINT_DIMS), np.float32), np.zeros(0, np.int64)
        self._add(examples)
        self.rng, self._made = np.random.default_rng(seed), 0

    def _add(self, examples: list[Example]) -> None:
        if not examples:
            return
        self.examples = self.examples + examples
        embedding = self.joint(np.stack([e.embedding for e in examples]))
        self.embedding = np.concatenate([self.embedding, embedding])
        self.length = np.concatenate([self.length, [len(e.mel) for e in examples]])

    def _log_mel(self, example: Example, frames: int, plain: bool) -> FloatArray:
        """Return a random cut [bands, frames], augmented unless ``plain``."""
        rng, front_end = self.rng, self.log_mel.front_end
        need = frames if plain else frames + augment.spare_frames(frames)
        start = int(rng.integers(0, max(1, len(example.mel) - need + 1)))
        if not plain and example.clip in self.recordings and rng.random() < CHANGED_SHARE:
            mel, energy = self._changed(example, start, min(need, len(example.mel)))
        else:
            mel = np.exp(example.mel[start : start + need].astype(np.float32))
            whole = not plain and rng.random() < 0.5  # level of the cut, or of all ten seconds
            energy = example.energy if whole else example.energy[start : start + need]
        gain = front_end.rms / max(float(np.sqrt(energy.mean())), 1e-5)
        if not plain:
            gain *= 10 ** (rng.normal(0, 2) / 20)
            mel = augment.augment_mel(rng, mel, frames)
        mel = mel[:frames]
        mel = np.pad(mel, ((0, frames - len(mel)), (0, 0)), mode="wrap")
        out = self.log_mel.scale(mel, gain)
        if not plain and rng.random() < 0.7:
            augment.mask(rng, out, float(out.mean()))
        return out.T

    def _changed(self, example: Example, start: int, frames: int) -> tuple[FloatArray, FloatArray]:
        """Return (mel power [frames, bands], mean square of each frame) of a changed recording."""
        end = self.log_mel.front_end
        recording = self.recordings[example.clip]
        first = (example.start + start) * end.hop_length
        count = (frames - 1) * end.hop_length + end.n_fft
        # a few seconds more than the change can need
        piece = recording[first : first + 2 * count].astype(np.float32) / FULL_SCALE
        x = Change.drawn(self.rng)(piece, 0, count)
        mel, energy = parse_front_end(x, self.log_mel)
        return np.exp(mel[:frames]), energy[:frames]

    def __call__(self, plain: bool = False) -> tuple[FloatArray, ...]:
        """Return a batch of one length: 10 s and unchanged if ``plain``."""
        rng = self.rng
        self._made += 1
        if self._made % _REFRESH == 0:
            self._add(self.more())
        shares = [share for _, share, _ in LENGTHS]
        seconds, _, n = LENGTHS[-1] if plain else LENGTHS[rng.choice(len(LENGTHS), p=shares)]
        frames = self.log_mel.front_end.frames(int(seconds * self.log_mel.front_end.sample_rate))
        rows = rng.choice(np.flatnonzero(self.length >= frames * 0.99), n)
        chosen = [self.examples[r] for r in rows]
        x = np.stack([self._log_mel(e, frames, plain) for e in chosen])
        y, p = self.embedding[rows], np.stack([e.probability for e in chosen])
        if not plain and rng.random() < MIXUP_SHARE:  # mixup: Zhang et al. 2018
            other, b = rng.permutation(n), rng.beta(0.4, 0.4, n)
            share = np.maximum(b, 1 - b).astype(np.float32)[:, None]
            x = augment.mix(x, other, share, self.log_mel.front_end.std)
            y, p = share * y + (1 - share) * y[other], share * p + (1 - share) * p[other]
        weight = np.array([e.weight for e in chosen], np.float32)
        return np.ascontiguousarray(x, np.float32), y, p, weight


def _unfold(new: list[Any], old: list[Any], x: Tensor) -> Tensor:
    """Copy folded convolutions; set each batch norm so that it reproduces them; return the output.

    ``x`` is the input of the layers, whose statistics the norms take.
    """
    k = 0
    while k < len(new):
        layer = new[k]
        if isinstance(layer, nn.Conv2d):
            weight, norm = old[k].weight, new[k + 1]
            if weight.shape != layer.weight.shape:  # pooling was merged into it
                weight = weight.sum((2, 3), keepdim=True)
            layer.weight.copy_(weight)
            x = layer(x)
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(var)
            norm.weight.copy_((var + norm.eps).sqrt())
            norm.bias.copy_(old[k].bias + mean)
            x = x + old[k].bias[None, :, None, None]
            k += 2
        elif isinstance(layer, Residual):
            body = _unfold(list(layer.body), list(old[k].body), x)
            if isinstance(layer.shortcut, nn.Sequential):
                pooled = layer.shortcut[0](x)
                x = _unfold(list(layer.shortcut)[1:], list(old[k].shortcut)[1:], pooled)
            x = torch.relu(body + x)
            k += 1
        else:
            x = layer(x)
            k += 1
    return x


def _ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return (weight, bias) of a ridge regression; the penalty is relative to the variance."""
    mean, target = x.mean(0), y.mean(0)
    a = x - mean
    scale = penalty * float(a.square().mean()) * len(a)
    gram = a.T @ a + scale * torch.eye(a.shape[1], dtype=a.dtype)
    weight = torch.linalg.solve(gram, a.T @ (y - target))
    return weight, target - mean @ weight


def _pooled(backbone: Backbone, x: Tensor) -> Tensor:
    z = backbone.across(backbone.features(x.unsqueeze(1)))
    return nn.functional.hardswish(z).mean((2, 3))


@torch.no_grad()  # type: ignore[untyped-decorator]
def warm_start(model: Path, batches: Batches, tags: int) -> Student:
    """Return a student with a model file's convolutions; its linear layers are fitted by ridge.

    It may have more blocks than the file, and a correction.
    """
    old = load_backbone(model)[0]
    shape = Shape(embedding=batches.embedding.shape[1], classes=tags, blocks=BLOCKS, hidden=HIDDEN)
    student = Student(shape).eval()
    new = student.backbone
    x = torch.from_numpy(np.concatenate([batches(plain=True)[0] for _ in range(8)]))
    known = len(old.features)
    y = _unfold(list(new.features)[:known], list(old.features), x.unsqueeze(1))
    # layers that the model file does not have change nothing at first (Goyal et al. 2017)
    for block in list(new.features)[known:]:
        block.body[-1].weight.zero_()
    if new.correct is not None:
        new.correct[-1].weight.zero_()
        new.correct[-1].bias.zero_()
    _unfold(list(new.across), list(old.across), y)
    drawn = [batches(plain=True) for _ in range(70)]
    h = torch.cat([_pooled(new, torch.from_numpy(b[0])) for b in drawn]).double()
    target = torch.from_numpy(np.concatenate([b[1] for b in drawn])).double()
    p = torch.from_numpy(np.concatenate([b[2] for b in drawn])).double().clamp(0.003, 0.997)
    weight, bias = _ridge(h, target, 0.05)
    new.project.weight.copy_(weight.T)
    new.project.bias.copy_(bias)
    weight, bias = _ridge(h @ weight + bias, torch.logit(p), 0.02)
    student.classes.weight.copy_(weight.T)
    student.classes.bias.copy_(bias)
    return student


@dataclass(frozen=True)
class Plan:
    """The options of a training."""

    data: Path
    work: Path
    start: Path  # the model file to start from
    held: npt.NDArray[np.bool_]  # clips that are left out
    steps: int
    seconds: float = float("inf")  # that it may take, if that ends it before the steps do
    worker: int = 0  # seed of the run
    peak: float = 1e-3  # highest learning rate


def loss_of(student: Student, batch: tuple[FloatArray, ...]) -> Tensor:
    """Return the weighted loss of a batch."""
    x, y, p, weight = map(torch.from_numpy, batch)
    with torch.autocast("cpu", torch.bfloat16):
        embedding, logits = student(x)
    error = (embedding.float() - y).square().mean(1)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits.float(), p, reduction="none")
    return (weight * (error + TAG_LOSS * entropy.mean(1))).mean()


def learning_rate(step: int, done: float, peak: float) -> float:
    """Return the rate at a step: linear warm-up, and half a cosine down to a hundredth.

    ``done`` is the share of the training that is behind, 0 to 1.
    """
    cosine = 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))
    return peak * min(1.0, (step + 1) / WARM_UP) * (0.01 + 0.99 * cosine)


@torch.no_grad()  # type: ignore[untyped-decorator]
def _average(state: dict[str, Tensor], other: dict[str, Tensor], share: float) -> None:
    for name, value in state.items():
        if value.dtype.is_floating_point:
            value.lerp_(other[name], share)
        else:
            value.copy_(other[name])


@dataclass
class _Run:
    """A training under way."""

    student: Student
    optimiser: torch.optim.AdamW
    ema: dict[str, Tensor]
    step: int = 0
    seconds: float = 0.0  # that it has taken, over all starts

    def save(self, path: Path) -> None:
        """Write a checkpoint, through a temporary file."""
        part = path.with_suffix(".part")
        fields = {"state": self.student.state_dict(), "ema": self.ema, "step": self.step}
        fields |= {"optimiser": self.optimiser.state_dict(), "seconds": self.seconds}
        torch.save(fields, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        kept = torch.load(path, weights_only=True)
        self.student.load_state_dict(kept["state"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.ema, self.step, self.seconds = kept["ema"], kept["step"], kept["seconds"]

    def update(self, batch: tuple[FloatArray, ...], rate: float) -> float:
        """Take one step; return the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = loss_of(self.student, batch)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        _average(
            self.ema, self.student.state_dict(), 1 - min(EMA_DECAY, self.step / (self.step + 9))
        )
        return loss.item()


def _begin(plan: Plan, batches: Batches) -> _Run:
    """Return a new training, or the one of a checkpoint."""
    # both processes draw the same weights for layers that the model file does not have
    torch.manual_seed(0)
    student = warm_start(plan.start, batches, len(batches.examples[0].probability))
    student = student.to(memory_format=torch.channels_last).train()
    torch.manual_seed(1 + plan.worker)
    matrices = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.03}, {"params": others, "weight_decay": 0.0}]
    )
    run = _Run(student, optimiser, {k: v.clone() for k, v in student.state_dict().items()})
    checkpoint = plan.work / f"worker{plan.worker}.pt"
    if checkpoint.exists():
        run.load(checkpoint)
        batches.rng = np.random.default_rng([plan.worker, run.step])
    return run


def recordings_of(data: Path, examples: list[Example]) -> dict[int, npt.NDArray[np.int16]]:
    """Return the samples of the clips of which there are examples: 16 kHz, 16 bits."""
    clips, out = read_clips(data), {}
    for index in sorted({e.clip for e in examples if e.clip >= 0}):
        out[index] = to_16_bits(decoded_clip(data, clips[index]))
    return out


def _batches(plan: Plan, seed: int) -> Batches:
    """Return the batches of all clips that are not held, changed sounds and songs."""
    known: set[Path] = set()

    def more() -> list[Example]:
        return read_examples(plan.data, plan.work, plan.held, known)

    examples = more()
    joint = Joint.kept(plan.work / "joint.npz", np.stack([e.embedding for e in examples]))
    recordings = recordings_of(plan.data, examples)
    songs, pieces = read_songs(plan.work)
    return Batches(examples + songs, joint, seed, more, recordings | pieces)


def train(plan: Plan) -> None:
    """Train one of the runs, on one core; continue from its checkpoint.

    It ends after the steps or the seconds of the plan, whichever come first.
    """
    torch.set_num_threads(1)
    batches = _batches(plan, plan.worker)
    run = _begin(plan, batches)
    checkpoint = plan.work / f"worker{plan.worker}.pt"
    total, before = 0.0, time.monotonic()
    for batch in Prefetch(batches, plan.steps - run.step):
        run.seconds += (now := time.monotonic()) - before
        before = now
        done = max(run.step / plan.steps, run.seconds / plan.seconds)
        if done >= 1:
            break
        total += run.update(batch, learning_rate(run.step, done, plan.peak))
        if run.step % _REPORT == 0:
            report = {"step": run.step, "loss": round(total / _REPORT, 4)}
            print(json.dumps({**report, "seconds": round(run.seconds)}), flush=True)
            total = 0.0
        if run.step % _CHECKPOINT == 0:
            run.save(checkpoint)
    run.save(checkpoint)


def merged(plan: Plan, workers: Iterable[int], out: Path) -> None:
    """Write the mean of the weights of the start and of the runs.

    A run learns its clips by heart; the mean with the start is better on unseen music than
    either of them (Wortsman et al. 2022: Robust fine-tuning of zero-shot models).
    """
    batches = _batches(plan, seed=0)
    start = warm_start(plan.start, batches, len(batches.examples[0].probability))
    state = start.state_dict()
    for count, worker in enumerate(workers, 1):
        kept = torch.load(plan.work / f"worker{worker}.pt", weights_only=True)["ema"]
        _average(state, kept, 1 / (count + 1))
    torch.save(_with_new_norms(start, batches).state_dict(), out)


@torch.no_grad()  # type: ignore[untyped-decorator]
def _with_new_norms(student: Student, batches: Batches) -> Student:
    """Measure the statistics of the batch norms again, in place: they are none of the mean."""
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
        elif isinstance(module, nn.Dropout):
            module.p = 0.0
    student.train()
    for _ in range(NORM_BATCHES):
        student(torch.from_numpy(batches()[0]))
    return student.eval()


def load(path: Path) -> Student:
    """Return a trained student in evaluation mode."""
    state = torch.load(path, weights_only=True)
    tags, dims = state["classes.weight"].shape
    backbone = {
        name.removeprefix("backbone."): weight
        for name, weight in state.items()
        if name.startswith("backbone.")
    }
    shape = replace(shape_of(backbone), embedding=dims, classes=tags, dropout=0.0)
    student = Student(shape)
    student.load_state_dict(state)
    return student.eval()
