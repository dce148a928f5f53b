"""Embeddings of whole clips and of pieces of them, as a scan makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import signal

from genretag.features import FrontEnd, LogMel
from genretag.inference.model import cut_chunks
from genretag.training import augment
from genretag.training.network import Backbone, fold
from models.recipe.answers import log_mels, parse_front_end
from models.recipe.corpus import Clip
from models.recipe.recordings import Change, decoded_clip
from models.recipe.teachers import FRAMES_PER_SECOND, RATE, RATE_MN04

FloatArray = npt.NDArray[np.float32]

CHUNKS = (624, 312, 187, 124, 61)  # frames: 10, 5, 3, 2 and 1 s
CUTS = (2, 3, 5, 10)  # s; every clip gives each length that it has
WINDOW = 1873  # frames of 30 s
WINDOW_SAMPLES = 30 * RATE
_LEAST_SAMPLES = int(1.1 * RATE)  # the shortest chunk, and a little more
WHOLE = 0  # the "seconds" of a whole clip
CHANGED = -1  # and of a changed recording of one
COPIES = 3  # changed recordings of each clip that heads are fitted to
_AT_ONCE = 24  # chunks


class Embedder:
    """Log-mels [bands, frames] -> embeddings; each is the mean over its chunks."""

    def __init__(self, backbone: Backbone) -> None:
        fold(backbone.eval())
        self.backbone = backbone.to(memory_format=torch.channels_last)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def __call__(self, mels: list[FloatArray]) -> FloatArray:
        """Return embeddings [n, dims]."""
        sums = np.zeros((len(mels), self.backbone.project.out_features), np.float32)
        counts = np.zeros((len(mels), 1), np.float32)
        chunks = [(i, chunk) for i, mel in enumerate(mels) for chunk in cut_chunks(mel, CHUNKS)]
        for length in CHUNKS:
            some = [(i, chunk) for i, chunk in chunks if chunk.shape[1] == length]
            for k in range(0, len(some), _AT_ONCE):
                rows = [i for i, _ in some[k : k + _AT_ONCE]]
                x = torch.from_numpy(np.stack([chunk for _, chunk in some[k : k + _AT_ONCE]]))
                np.add.at(sums, rows, self.backbone(x).numpy())
                np.add.at(counts, rows, 1)
        return np.divide(sums, counts, dtype=np.float32)


@dataclass(frozen=True)
class Pieces:
    """Embeddings [n, dims], each with the index of its clip and its length.

    That is in seconds, or ``WHOLE`` or ``CHANGED``.
    """

    x: FloatArray
    clip: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.int64]

    def whole(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        """Return the embeddings of whole clips."""
        at = {int(c): i for i, c in enumerate(self.clip) if self.seconds[i] == WHOLE}
        return self.x[[at[int(r)] for r in rows]]


def scaled(
    log_mel: LogMel,
    mel: npt.NDArray[np.floating],
    energy: FloatArray,
    tilt: FloatArray | None = None,
) -> FloatArray:
    """Return the network's input [bands, frames] of log mel power [frames, bands]."""
    gain = log_mel.front_end.rms / max(float(np.sqrt(energy.mean())), 1e-5)
    power = np.exp(mel.astype(np.float32)) * (np.float32(1) if tilt is None else tilt)
    return np.ascontiguousarray(log_mel.scale(power, gain).T)


def pieces_of(work: Path, clips: list[Clip], embedder: Embedder, seed: int = 0) -> Pieces:
    """Return each clip as a whole and a cut of each length, half of the cuts filtered."""
    rng, log_mel = np.random.default_rng(seed), LogMel.of(FrontEnd())
    mels: list[FloatArray] = []
    out: list[FloatArray] = []
    clip: list[int] = []
    lengths: list[int] = []
    for index, (mel, energy) in enumerate(log_mels(work, range(len(clips)))):
        mels.append(scaled(log_mel, mel[:WINDOW], energy[:WINDOW]))
        clip.append(index)
        lengths.append(WHOLE)
        for seconds in CUTS:
            frames = int(seconds * FRAMES_PER_SECOND) - 1
            if len(mel) < frames:
                continue
            start = int(rng.integers(0, len(mel) - frames + 1))
            span = slice(start, start + frames)
            tilt = augment.tilt(rng, mel.shape[1]) if rng.random() < 0.5 else None
            mels.append(scaled(log_mel, mel[span], energy[span], tilt))
            clip.append(index)
            lengths.append(seconds)
        if len(mels) > 4 * _AT_ONCE or index + 1 == len(clips):
            out.append(embedder(mels))
            mels = []
    return Pieces(np.concatenate(out), np.array(clip), np.array(lengths))


def changed_pieces(data: Path, clips: list[Clip], embedder: Embedder, seed: int = 0) -> Pieces:
    """Return changed recordings, whole, of the clips with genres and of those that are no music."""
    log_mel = LogMel.of(FrontEnd())
    mels: list[FloatArray] = []
    out: list[FloatArray] = []
    rows = [i for i, c in enumerate(clips) if c.choices is not None or c.role == "nonmusic"]
    for k, index in enumerate(rows):
        x, rng = decoded_clip(data, clips[index]), np.random.default_rng([seed, index])
        for _ in range(COPIES):
            count = min(max(len(x), _LEAST_SAMPLES), WINDOW_SAMPLES)
            changed = Change.drawn(rng)(x, 0, count)
            mel, energy = parse_front_end(changed, log_mel)
            mels.append(scaled(log_mel, mel[:WINDOW], energy[:WINDOW]))
        if len(mels) > 4 * _AT_ONCE or k + 1 == len(rows):
            out.append(embedder(mels))
            mels = []
    clip = np.repeat(rows, COPIES)
    return Pieces(np.concatenate(out), clip, np.full(len(clip), CHANGED))


def joined(first: Pieces, second: Pieces) -> Pieces:
    """Return the pieces of both."""
    return Pieces(
        np.concatenate([first.x, second.x]),
        np.concatenate([first.clip, second.clip]),
        np.concatenate([first.seconds, second.seconds]),
    )


def synthetic_pieces(
    embedder: Embedder, make: Callable[[np.random.Generator], FloatArray], count: int, seed: int
) -> FloatArray:
    """Return embeddings of synthetic sounds of 1 to 10 s."""
    rng, log_mel, mels = np.random.default_rng(seed), LogMel.of(FrontEnd()), []
    for _ in range(count):
        x = signal.resample_poly(make(rng), RATE, RATE_MN04).astype(np.float32)
        mel, energy = parse_front_end(x[: int(RATE * rng.choice([1.1, 2, 3, 5, 10]))], log_mel)
        mels.append(scaled(log_mel, mel, energy))
    return embedder(mels)
