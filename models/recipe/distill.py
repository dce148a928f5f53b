"""Distil the teachers into the bundled CNN: regress their joint embedding and their class logits.

The backbone never sees a genre label: hard labels of few artists spoil it. The genre head is
fitted afterwards (``genretag.training.head``). Consistent teaching with long schedules: Beyer et
al. 2022; the teachers: EfficientAT mn04, Schmid, Koutini and Widmer 2023, and MusiCNN, Pons and Serra 2019.

    python -m models.recipe.distill DATA CACHE OUT --steps 24000 --hold-out 0
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.recipe.corpus import SEGMENT_SECONDS, Lessons, Sound
from models.recipe.tutor import taught
from genretag.features import FrontEnd, LogMel
from genretag.training import augment
from genretag.training.network import Shape, Student
from genretag.training.prefetch import Prefetch

#: Lengths the student hears (s), how often, and how many of them make a batch of equal cost.
DIET = ((2.0, 0.15, 70), (3.0, 0.25, 48), (5.0, 0.35, 28), (10.0, 0.25, 14))

CLASS_LOSS = 5.0  # weight of the classes' cross-entropy beside the embedding's squared error
CUT_WEIGHT = 0.25  # trust in the teacher where it heard a short cut padded with silence
EMA_DECAY = 0.999
MIXUP_SHARE = 0.2  # of the batches
WEIGHT_DECAY = 0.05

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Log-mels [n, bands, frames] and what the teacher said."""

    x: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]


class Kitchen:
    """Makes batches: cut, mix, log-mel, augment. The same seed makes the same batches."""

    def __init__(self, sound: Sound, lessons: Lessons, front_end: FrontEnd, seed: int) -> None:
        self.sound, self.lessons, self.log_mel = sound, lessons, LogMel.of(front_end)
        self.rng = np.random.default_rng(seed)
        rate = front_end.sample_rate
        starts = np.round(lessons.start_a * rate).astype(np.int64)
        length = np.minimum(np.diff(sound.offsets)[lessons.clip_a] - starts, SEGMENT_SECONDS * rate)
        mixed = lessons.clip_b >= 0  # a mix is as long as the shorter of the two
        starts_b = np.round(lessons.start_b * rate).astype(np.int64)
        length_b = np.diff(sound.offsets)[lessons.clip_b] - starts_b
        self.length = np.where(mixed, np.minimum(length, length_b), length)  # samples

    def dish(self, row: int, frames: int) -> tuple[npt.NDArray[np.float32], float]:
        """Return one augmented log-mel [bands, frames] out of a segment, and where in it (s) it begins."""
        rng, fe = self.rng, self.log_mel.front_end
        x = self.sound.segment(self.lessons, row, fe.sample_rate)
        spare = augment.spare_frames(frames)
        need = (frames + spare - 1) * fe.hop_length + fe.n_fft
        start = int(rng.integers(0, len(x) - need)) if len(x) > need else 0
        x = x[start : start + need]
        mel = self.log_mel.mel_power(np.ascontiguousarray(x))
        # Half of the time the level is the piece's own, else that of the ten seconds around it.
        gain = self.log_mel.gain(x) if rng.random() < 0.5 else 1.0
        gain *= 10 ** (rng.normal(0, 2) / 20)
        mel = augment.augment_mel(rng, mel, frames)
        out = self.log_mel.scale(mel, gain)
        if rng.random() < 0.7:
            augment.mask(rng, out, float(out.mean()))
        return out.T, start / fe.sample_rate

    def batch(self) -> Batch:
        """Return one batch of one length."""
        seconds, _, size = DIET[self.rng.choice(len(DIET), p=[d[1] for d in DIET])]
        frames = self.log_mel.front_end.frames(int(seconds * self.log_mel.front_end.sample_rate))
        need = (frames - 1) * self.log_mel.front_end.hop_length + self.log_mel.front_end.n_fft
        rows = self.rng.choice(np.flatnonzero(self.length >= need), size)
        dishes = [self.dish(int(r), frames) for r in rows]
        x = np.stack([mel for mel, _ in dishes])
        embedding, logits = self.lessons.answers(rows, np.array([start for _, start in dishes]), seconds)
        if self.rng.random() < MIXUP_SHARE:
            x, embedding, logits = self.mixed(x, embedding, logits)
        full = self.length[rows] >= (SEGMENT_SECONDS - 0.1) * self.log_mel.front_end.sample_rate
        weight = np.where(full, 1.0, CUT_WEIGHT).astype(np.float32)
        return Batch(x, embedding, logits, weight)

    def mixed(self, x: FloatArray, embedding: FloatArray, logits: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mix each log-mel with another of the batch, and the answers likewise (mixup, Zhang et al. 2018)."""
        other = self.rng.permutation(len(x))
        w = np.maximum(b := self.rng.beta(0.4, 0.4, len(x)), 1 - b).astype(np.float32)[:, None]
        return (
            augment.mix(x, other, w, self.log_mel.front_end.std),
            w * embedding + (1 - w) * embedding[other],
            w * logits + (1 - w) * logits[other],
        )


def loss_of(student: Student, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return (loss, embedding error, class cross-entropy) of a batch."""
    x = torch.from_numpy(batch.x)
    with torch.autocast("cpu", torch.bfloat16):
        embedding, logits = student(x)
    weight = torch.from_numpy(batch.weight)
    error = (embedding.float() - torch.from_numpy(batch.embedding)).square().mean(1)
    target = torch.sigmoid(torch.from_numpy(batch.logits))
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none").mean(1)
    a, b = (weight * error).mean(), (weight * entropy).mean()
    return a + CLASS_LOSS * b, a, b


def learning_rate(step: int, steps: int, peak: float, warm_up: int = 500) -> float:
    """Return the rate at a step: linear warm-up, then half a cosine down to a hundredth."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    x = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * x))))


def save(path: Path, student: Student, ema: dict[str, Tensor], step: int, extra: dict[str, object]) -> None:
    """Write a checkpoint through a temporary file, so that a kill leaves the last one whole."""
    part = path.with_suffix(".part")
    torch.save({"shape": asdict(student.shape), "state": student.state_dict(), "ema": ema, "step": step, **extra}, part)
    part.replace(path)


def load(path: Path) -> Student:
    """Read a checkpoint's averaged weights into a student in evaluation mode."""
    data = torch.load(path, weights_only=True)
    shape = data["shape"]
    student = Student(Shape(**{**shape, "widths": tuple(shape["widths"])}))
    student.load_state_dict(data["ema"])
    return student.eval()


def begin_with(student: Student, other: Student) -> None:
    """Give a student another's weights; a layer for other numbers of classes begins anew."""
    mine = student.state_dict()
    student.load_state_dict({k: v if v.shape == mine[k].shape else mine[k] for k, v in other.state_dict().items()})


@dataclass(frozen=True)
class Plan:
    """What a distillation is asked for."""

    data: Path
    cache: Path
    out: Path
    steps: int
    hold_out: int | None = None
    seed: int = 0
    peak: float = 3e-3
    begin: Path | None = None
    first_alone: bool = False  # leave the second teacher out


def distil(plan: Plan) -> None:
    """Train a student, with a checkpoint every 1,000 steps that a second call goes on from."""
    torch.manual_seed(plan.seed)
    lessons, sound = taught(plan.data, plan.cache, plan.hold_out, first_alone=plan.first_alone), Sound.open(plan.cache)
    kitchen = Kitchen(sound, lessons, FrontEnd(), plan.seed)
    student = Student(Shape(embedding=lessons.embedding.shape[2], classes=lessons.logits.shape[2]))
    if plan.begin is not None:
        begin_with(student, load(plan.begin))
    student = student.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(student.parameters(), lr=plan.peak, weight_decay=WEIGHT_DECAY)
    ema = {k: v.detach().clone() for k, v in student.state_dict().items()}
    first = 0
    if plan.out.exists():
        data = torch.load(plan.out, weights_only=True)
        student.load_state_dict(data["state"])
        optimiser.load_state_dict(data["optimiser"])
        ema, first = data["ema"], data["step"]
        kitchen.rng = np.random.default_rng([plan.seed, first])
    print(json.dumps({"lessons": len(lessons.clip_a), "parameters": sum(p.numel() for p in student.parameters())}))
    began, sums = time.time(), np.zeros(3)
    student.train()
    for step, batch in enumerate(Prefetch(kitchen.batch, plan.steps - first), first):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, plan.steps, plan.peak)
        loss, error, entropy = loss_of(student, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimiser.step()
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        with torch.no_grad():
            for k, v in student.state_dict().items():
                if v.dtype.is_floating_point:
                    ema[k].lerp_(v, 1 - decay)
                else:
                    ema[k].copy_(v)
        sums += [loss.item(), error.item(), entropy.item()]
        if (step + 1) % 250 == 0:
            a, b, c = (sums / 250).round(4)
            print(json.dumps({"step": step + 1, "loss": a, "embedding": b, "classes": c, "s": round(time.time() - began)}), flush=True)
            sums[:] = 0
        if (step + 1) % 1000 == 0 or step + 1 == plan.steps:
            save(plan.out, student, ema, step + 1, {"optimiser": optimiser.state_dict()})


def main() -> None:
    """Command line of the distillation."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("cache", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--steps", type=int, default=24_000)
    p.add_argument("--hold-out", type=int, default=None, help="grouped fold that is left out (0 to 4)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--peak", type=float, default=3e-3, help="highest learning rate")
    p.add_argument("--begin", type=Path, default=None, help="checkpoint whose weights to begin with")
    p.add_argument("--first-alone", action="store_true", help="leave the second teacher out")
    a = p.parse_args()
    distil(Plan(a.data, a.cache, a.out, a.steps, a.hold_out, a.seed, a.peak, a.begin, a.first_alone))


if __name__ == "__main__":
    main()
