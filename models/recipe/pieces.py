"""Embeddings of pieces of clips, which the heads learn from: by a student of its own lessons, or by students that never heard the clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.recipe.corpus import FOLDS, Clip, Sound, grouped_folds
from models.recipe.distill import load
from models.recipe.listener import Listener
from models.recipe.tutor import Joint, joint_path
from genretag.features import FrontEnd

CUT_SECONDS = (2.0, 3.0, 5.0, 10.0)  # every clip gives each length that it has

_CLIPS_AT_ONCE = 32


@dataclass(frozen=True)
class Pieces:
    """Embeddings of pieces of clips."""

    x: npt.NDArray[np.float32]  # [n, dims]
    clip: npt.NDArray[np.int64]

    def where(self, keep: npt.NDArray[np.bool_]) -> Pieces:
        """Return the pieces that ``keep`` marks."""
        return Pieces(self.x[keep], self.clip[keep])


def of_seed(seed: int) -> str:
    """Return what the names of files have at their end that go with a seed other than 0."""
    return f"-seed{seed}" if seed else ""


def joined(parts: list[Pieces]) -> Pieces:
    """Return the pieces of all parts, one part after another."""
    return Pieces(np.concatenate([p.x for p in parts]), np.concatenate([p.clip for p in parts]))


def pieces_of(listener: Listener, clips: list[int], seed: int) -> Pieces:
    """Return pieces of clips, all genres cut alike: each length twice, once as it is and once filtered."""
    rng = np.random.default_rng(seed)
    x, index = [], []
    for first in range(0, len(clips), _CLIPS_AT_ONCE):
        cuts = [
            (clip, cut)
            for clip in clips[first : first + _CLIPS_AT_ONCE]
            for seconds in CUT_SECONDS
            for alter in (False, True)
            if (cut := listener.cut(clip, seconds, rng, alter)) is not None
        ]
        x.append(listener.embed([cut for _, cut in cuts]))
        index += [clip for clip, _ in cuts]
    return Pieces(np.concatenate(x), np.array(index))


def unheard(work: Path, clips: list[Clip], hold_out: int | None, seed: int = 0) -> Pieces:
    """Return pieces of the labelled clips outside a fold, each as the student heard it that learned without its clip.

    What a student says of music that it learned from is nearer to its teachers than what it will say of anybody else's: a head
    that is fitted on the former trusts numbers that will not hold (so stacking takes what is predicted out of fold: Wolpert 1992). No
    label of the fold that is held out is seen. Each student's embedding is brought into the basis of the model that the head is for.
    """
    parts = []
    for fold in (f for f in range(FOLDS) if f != hold_out):
        theirs = _kept(work, clips, fold, seed)
        parts.append(Pieces(_moved(theirs.x, joint_path(work, fold), joint_path(work, hold_out)), theirs.clip))
    return joined(parts)


def _moved(x: npt.NDArray[np.float32], theirs: Path, ours: Path) -> npt.NDArray[np.float32]:
    """Return embeddings in another basis; without a second teacher there is but one."""
    if not theirs.exists():
        return x
    return Joint.read(ours).from_other(Joint.read(theirs), x)


def _kept(work: Path, clips: list[Clip], fold: int, seed: int) -> Pieces:
    """Return the pieces of a fold's labelled clips by its own student, kept beside its checkpoint."""
    checkpoint, kept = work / f"fold{fold}.pt", work / f"pieces{fold}{of_seed(seed)}.npz"
    if not kept.exists() or kept.stat().st_mtime < checkpoint.stat().st_mtime:
        labelled = np.array([c.role == "labelled" for c in clips])
        listener = Listener(load(checkpoint).backbone, Sound.open(work), FrontEnd())
        made = pieces_of(listener, np.flatnonzero(labelled & (grouped_folds(clips, FOLDS) == fold)).tolist(), fold + FOLDS * seed)
        np.savez(kept, x=made.x, clip=made.clip)
    with np.load(kept) as z:
        return Pieces(z["x"], z["clip"])
