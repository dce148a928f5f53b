"""The corpus the bundled model learns from: clips with labels, and a teacher's answers to segments of them.

Layout of the folder: ``clips.csv`` (id, source, role, genre, artist, kind, seconds ...),
``clips/<id>.*`` and ``teacher.npz`` (logits and embeddings of 10 s segments and of mixes of two).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

SEGMENT_SECONDS = 10  # what the teacher heard at once

#: Genre words of the corpus -> labels of the model.
LABELS = {
    "blues": "Blues",
    "classical": "Classical",
    "country": "Country",
    "disco": "Disco",
    "electronic": "Electronic",
    "hiphop": "Hip-Hop",
    "jazz": "Jazz",
    "metal": "Metal",
    "pop": "Pop",
    "reggae": "Reggae",
    "rock": "Rock",
}


@dataclass(frozen=True)
class Clip:
    """One row of ``clips.csv``."""

    id: str
    source: str
    role: str  # labelled | weak | unlabelled | nonmusic
    genre: str
    artist: str
    kind: str  # clip30 | clip30_16k | cut
    seconds: float

    @property
    def group(self) -> str:
        """What must not be split between training and test: the artist, else source and genre."""
        return self.artist.strip().casefold() or f"{self.source}/{self.genre}/unknown artist"


def path_of(folder: Path, clip: Clip) -> Path:
    """Return the file of a clip."""
    return next((folder / "clips").glob(f"{clip.id}.*"))


def read_clips(folder: Path) -> list[Clip]:
    """Read ``clips.csv``."""
    with (folder / "clips.csv").open(newline="", encoding="utf-8") as handle:
        return [
            Clip(r["id"], r["source"], r["role"], r["genre"], r["artist"], r["kind"], float(r["seconds"])) for r in csv.DictReader(handle)
        ]


FOLDS = 5


def grouped_folds(clips: list[Clip], folds: int = FOLDS, seed: int = 0, *, nonmusic: bool = False) -> npt.NDArray[np.int64]:
    """Return a fold for each clip (-1: always training), artists apart, genres as even as they can be.

    A clip that is not labelled but whose artist is labelled goes with that artist. With ``nonmusic`` the
    clips that are no music are dealt out to the folds too, one by one.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labelled = [i for i, c in enumerate(clips) if c.role == "labelled"]
    genres = [clips[i].genre for i in labelled]
    groups = [clips[i].group for i in labelled]
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_of: dict[str, int] = {}
    for fold, (_, test) in enumerate(splitter.split(labelled, genres, groups)):
        fold_of.update({groups[i]: fold for i in test})
    out = np.array([fold_of.get(c.group, -1) if c.role != "nonmusic" else -1 for c in clips])
    if nonmusic:
        rows = np.array([c.role == "nonmusic" for c in clips])
        out[rows] = np.arange(rows.sum()) % folds
    return out


@dataclass(frozen=True)
class Lessons:
    """The teachers' answers: what was played to them, and what they said of parts of it. All arrays have n rows."""

    clip_a: npt.NDArray[np.int64]
    start_a: npt.NDArray[np.float64]  # s
    clip_b: npt.NDArray[np.int64]  # -1: no second clip
    start_b: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float32]  # of a; 1 - weight is that of b
    logits: npt.NDArray[np.float32]  # [n, parts, classes]
    embedding: npt.NDArray[np.float32]  # [n, parts, dims], of variance 1 on average
    spans: npt.NDArray[np.float64] = field(default_factory=lambda: np.array([[0.0, SEGMENT_SECONDS]]))  # s, of each part

    def where(self, keep: npt.NDArray[np.bool_]) -> Lessons:
        """Return the rows that ``keep`` marks."""
        rows = {f: getattr(self, f)[keep] for f in ("clip_a", "start_a", "clip_b", "start_b", "weight", "logits", "embedding")}
        return Lessons(spans=self.spans, **rows)

    @property
    def clean(self) -> npt.NDArray[np.bool_]:
        """The rows that are of one clip alone, unmixed."""
        return self.clip_b < 0

    def answers(
        self, rows: npt.NDArray[np.int64], start: npt.NDArray[np.float64], seconds: float
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the embeddings and logits of pieces of segments: the means over the parts that each overlaps, weighted by how far."""
        a, b = self.spans.T
        overlap = np.clip(np.minimum(start[:, None] + seconds, b) - np.maximum(start[:, None], a), 1e-3, None)
        share = (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)[:, :, None]
        return (share * self.embedding[rows]).sum(1), (share * self.logits[rows]).sum(1)


def read_lessons(folder: Path) -> Lessons:
    """Read ``teacher.npz``: clean segments first, then mixes. Each dimension of the embedding is standardised."""
    with np.load(folder / "teacher.npz") as z:
        n = len(z["clean_clip"])
        embedding = np.concatenate([z["clean_emb"], z["mix_emb"]]).astype(np.float32)
        mean, std = embedding.mean(0), embedding.std(0) + 1e-3
        return Lessons(
            clip_a=np.concatenate([z["clean_clip"], z["mix_a"]]).astype(np.int64),
            start_a=np.concatenate([z["clean_start"], z["mix_start_a"]]).astype(np.float64),
            clip_b=np.concatenate([np.full(n, -1), z["mix_b"]]).astype(np.int64),
            start_b=np.concatenate([np.zeros(n), z["mix_start_b"]]).astype(np.float64),
            weight=np.concatenate([np.ones(n), z["mix_weight"]]).astype(np.float32),
            logits=np.concatenate([z["clean_logits"], z["mix_logits"]]).astype(np.float32)[:, None],
            embedding=((embedding - mean) / std)[:, None],
        )


@dataclass(frozen=True)
class Sound:
    """All clips' samples in one memory-mapped int16 array, mono, at the front end's rate."""

    samples: npt.NDArray[np.int16]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def open(cls, cache: Path) -> Sound:
        """Open a cache made by ``models.recipe.listen``."""
        return cls(np.load(cache / "audio.npy", mmap_mode="r"), np.load(cache / "off.npy"))

    def clip(self, index: int) -> npt.NDArray[np.float32]:
        """Return a whole clip, full scale = 1."""
        a, b = self.offsets[index], self.offsets[index + 1]
        return self.samples[a:b].astype(np.float32) / np.float32(32767)

    def cut(self, index: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Return ``length`` samples of a clip from ``start`` on; fewer where the clip ends."""
        a = self.offsets[index] + start
        b = min(a + length, self.offsets[index + 1])
        return self.samples[a:b].astype(np.float32) / np.float32(32767)

    def segment(self, lessons: Lessons, row: int, rate: int) -> npt.NDArray[np.float32]:
        """Return what the teachers heard, at our own rate: RMS 0.1; of two pieces, each brought to one level and mixed by weight."""
        n = SEGMENT_SECONDS * rate
        a = self.cut(int(lessons.clip_a[row]), round(float(lessons.start_a[row]) * rate), n)
        a = a / max(float(np.sqrt(np.mean(a * a))), 1e-5)
        if lessons.clip_b[row] < 0:
            return a * np.float32(0.1)
        b = self.cut(int(lessons.clip_b[row]), round(float(lessons.start_b[row]) * rate), n)
        b = b / max(float(np.sqrt(np.mean(b * b))), 1e-5)
        m, w = min(len(a), len(b)), lessons.weight[row]
        return np.float32(0.1) * (w * a[:m] + (1 - w) * b[:m])
