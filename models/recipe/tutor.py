"""Ask the second teacher about every lesson of the first (clean segments, then mixes), and join what both say.

    python -m models.recipe.tutor DATA WORK [--share 0/2]

Three patches of 3 s of each segment are played to it: the first, the middle and the last of the ten seconds; a cut of 2 s over and
over. What it says lands in ``WORK/second.npy`` at once, so that it can be stopped, called again, and run by several processes, each
with its share. On one core it takes about half an hour.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.recipe.corpus import Lessons, Sound, grouped_folds, read_clips, read_lessons
from models.recipe.musicnn import (
    ANSWER,
    PATCH,
    PENULTIMATE,
    POOL,
    SECONDS_A_FRAME,
    TAGS,
    LogMelOfMusicnn,
    Musicnn,
    weights,
)
from genretag.features import FrontEnd

PATCHES = 3
STARTS = (0, 219, 438)  # frames of 16 ms
DIMS = 384  # of the joint embedding
_AT_ONCE = 8  # segments

FloatArray = npt.NDArray[np.float32]


def patches(log_mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return PATCHES patches [PATCHES, PATCH, bands] of a segment's log-mel; a short one comes over and over."""
    if len(log_mel) < STARTS[-1] + PATCH:
        log_mel = np.concatenate([log_mel] * -(-PATCH // len(log_mel)))
        last = len(log_mel) - PATCH
        return np.stack([log_mel[s : s + PATCH] for s in (0, last // 2, last)])
    return np.stack([log_mel[s : s + PATCH] for s in STARTS])


def book(work: Path, rows: int) -> np.memmap[tuple[int, int, int], np.dtype[np.float16]]:
    """Open the answers [rows, PATCHES, ANSWER]; what is not asked yet is NaN."""
    path = work / "second.npy"
    if not path.exists():
        fresh = path.with_suffix(".part")
        made = np.lib.format.open_memmap(fresh, "w+", np.float16, (rows, PATCHES, ANSWER))
        made[:] = np.nan
        made.flush()
        fresh.replace(path)
    return np.lib.format.open_memmap(path, "r+")


def ask(data: Path, work: Path, share: int, shares: int) -> None:
    """Ask about the rows of a share that have no answer yet, in an order that is the same each time."""
    if shares > 1:
        torch.set_num_threads(1)  # the shares are the parallelism
    lessons, sound, rate = read_lessons(data), Sound.open(work), FrontEnd().sample_rate
    answers = book(work, len(lessons.clip_a))
    clean, mixes = np.flatnonzero(lessons.clean), np.random.default_rng(0).permutation(np.flatnonzero(~lessons.clean))
    rows = [r for r in np.concatenate([clean, mixes])[share::shares] if np.isnan(answers[r, 0, 0])]
    if not rows:
        return
    teacher, log_mel, began = Musicnn(weights()), LogMelOfMusicnn(), time.monotonic()
    for at in range(0, len(rows), _AT_ONCE):
        some = rows[at : at + _AT_ONCE]
        x = np.concatenate([patches(log_mel(sound.segment(lessons, r, rate))) for r in some])
        answers[some] = teacher(x).reshape(len(some), PATCHES, ANSWER)
        if at % (50 * _AT_ONCE) == 0:
            print(f"{at} of {len(rows)}, {time.monotonic() - began:.0f} s", flush=True)
    answers.flush()


@dataclass(frozen=True)
class Joint:
    """The embedding that the student learns: what both teachers' numbers have in common.

    The first principal components of four blocks that weigh the same, each dimension standardised before: the second teacher's pooled
    features, penultimate layer and logits, and the first one's embedding. They are not whitened: an error costs what it would
    cost in the teachers' own numbers.
    """

    mean: FloatArray  # of each number
    scale: FloatArray  # what each is divided by: its deviation, times the root of its block's size
    vectors: FloatArray  # [numbers, dims]

    @classmethod
    def fit(cls, blocks: list[FloatArray], dims: int) -> Joint:
        """Find the components of blocks [n, numbers]."""
        mean = np.concatenate([b.mean(0, dtype=np.float64) for b in blocks])
        scale = np.concatenate([(b.std(0, dtype=np.float64) + 1e-3) * np.sqrt(b.shape[1]) for b in blocks])
        plain = cls(mean.astype(np.float32), scale.astype(np.float32), np.eye(len(mean), dtype=np.float32))
        values, vectors = np.linalg.eigh(np.cov(plain(blocks), rowvar=False))
        chosen = vectors[:, ::-1][:, :dims] / np.sqrt(values[::-1][:dims].mean())
        return replace(plain, vectors=chosen.astype(np.float32))

    @classmethod
    def kept(cls, path: Path, blocks: list[FloatArray], dims: int) -> Joint:
        """Return the one in a file; fit it and keep it where there is none, for a student and its heads have to share one."""
        if not path.exists():
            np.savez(path, **vars(cls.fit(blocks, dims)))
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> Joint:
        """Return the one in a file."""
        with np.load(path) as z:
            return cls(z["mean"], z["scale"], z["vectors"])

    def from_other(self, other: Joint, z: FloatArray) -> FloatArray:
        """Return embeddings [n, dims] of another joint embedding as this one's, by way of the teachers' numbers that they stand for."""
        numbers = (z @ np.linalg.pinv(other.vectors)) * other.scale + other.mean
        out: FloatArray = ((numbers - self.mean) / self.scale @ self.vectors).astype(np.float32)
        return out

    def __call__(self, blocks: list[FloatArray]) -> FloatArray:
        """Return the embedding [n, dims] of blocks; what is far out is held at eight deviations."""
        x = (np.concatenate(blocks, axis=1) - self.mean) / self.scale
        far = np.repeat([8 / np.sqrt(b.shape[1]) for b in blocks], [b.shape[1] for b in blocks]).astype(np.float32)
        out: FloatArray = np.clip(x, -far, far) @ self.vectors
        return out


def joint_path(work: Path, hold_out: int | None) -> Path:
    """Return where the joint embedding is kept that leaves a fold out."""
    return work / f"joint{'' if hold_out is None else hold_out}.npz"


def taught(data: Path, work: Path, hold_out: int | None = None, *, first_alone: bool = False) -> Lessons:
    """Return what the teachers said of all that does not touch a fold; nothing of that fold is in it.

    The embedding is ``Joint`` where the second teacher was asked, else (and with ``first_alone``) the first one's.
    """
    clips, lessons = read_clips(data), read_lessons(data)
    held = grouped_folds(clips) == hold_out if hold_out is not None else np.zeros(len(clips), bool)
    keep = ~held[lessons.clip_a] & ~(~lessons.clean & held[lessons.clip_b])
    if first_alone or not (work / "second.npy").exists():
        return lessons.where(keep)
    answers = np.load(work / "second.npy", mmap_mode="r")
    keep &= ~np.isnan(answers[:, 0, 0])
    lessons, said = lessons.where(keep), answers[keep].astype(np.float32)
    n = len(said)
    first = np.repeat(lessons.embedding, PATCHES, axis=1)
    blocks = [b.reshape(n * PATCHES, -1) for b in [*np.split(said, np.cumsum([POOL, PENULTIMATE]), axis=2), first]]
    joint = Joint.kept(joint_path(work, hold_out), blocks, DIMS)
    return replace(
        lessons,
        embedding=joint(blocks).reshape(n, PATCHES, DIMS),
        logits=np.concatenate([np.repeat(lessons.logits, PATCHES, axis=1), said[:, :, -TAGS:]], axis=2),
        spans=np.array([[s, s + PATCH] for s in STARTS]) * SECONDS_A_FRAME,
    )


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("--share", default="0/1", help="which share of how many")
    a = p.parse_args()
    share, shares = map(int, a.share.split("/"))
    ask(a.data, a.work, share, shares)


if __name__ == "__main__":
    main()
