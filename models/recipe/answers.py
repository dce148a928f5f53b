"""The teachers' answers about clips and about changed sounds, kept on disk, and their joint space.

WORK/clips/<n>.npz holds a clip's log-mel and answers, WORK/mixes/<n>.npz those of 24 changed
sounds. The log-mel is ``ln(mel power + 1e-10)`` of the student's own front end [frames, bands].
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

from genretag.features import FrontEnd, LogMel
from models.recipe.corpus import read_clips
from models.recipe.recordings import decoded_clip
from models.recipe.sounds import Mixer
from models.recipe.teachers import DIMS, NAMES, RATE, RATE_MN04, Teachers

FloatArray = npt.NDArray[np.float32]

MIXES_PER_FILE = 24
FLOOR = 1e-10  # of the mel power
_BLOCK_WEIGHTS = (1.5, 1.5, 1.0, 1.0)  # of the teachers' embeddings, in the order of NAMES
_FAR = 6.0  # deviations at which an outlying value is held
JOINT_DIMS = 384


def parse_front_end(x: FloatArray, log_mel: LogMel) -> tuple[FloatArray, FloatArray]:
    """Return (log-mel [frames, bands], mean square of each frame's hop) of samples at 16 kHz."""
    mel = np.log(log_mel.mel_power(x) + FLOOR)
    hop = log_mel.front_end.hop_length
    padded = np.pad(x, (0, 2 * hop))[: len(mel) * hop]
    return mel, (padded.reshape(len(mel), hop) ** 2).mean(1)


def ask_clip(data: Path, out: Path, index: int) -> None:
    """Ask the teachers at 16 kHz about a clip and keep the answers; mn04's come with the data."""
    x, log_mel = decoded_clip(data, read_clips(data)[index]), LogMel.of(FrontEnd())
    with np.load(data / "teacher.npz") as z:
        rows = np.flatnonzero(z["clean_clip"] == index)
        starts = z["clean_start"][rows]
    middles = [max(0.0, min(s + 3.5, len(x) / RATE - 3)) for s in starts]
    outputs = Teachers(data / "teachers").ask16(x, middles)
    mel, energy = parse_front_end(x, log_mel)
    fields: dict[str, Any] = {"seg": rows, "start": starts, "energy": energy}
    for name, (answers, embeddings) in outputs.items():
        fields[f"{name}_p"] = answers.astype(np.float16)
        fields[f"{name}_e"] = embeddings.astype(np.float16)
    save(out / f"{index}.npz", mel=mel.astype(np.float16), **fields)


def ask_clips(data: Path, work: Path) -> None:
    """Ask about every clip that has no answers yet, on all cores."""
    out = work / "clips"
    out.mkdir(parents=True, exist_ok=True)
    todo = [i for i in range(len(read_clips(data))) if not (out / f"{i}.npz").exists()]
    with ProcessPoolExecutor() as pool:
        n = len(todo)
        list(pool.map(ask_clip, [data] * n, [out] * n, todo, chunksize=8))


def ask_mixes(data: Path, work: Path, count: int, seed: int = 1) -> None:
    """Ask all teachers about ``count`` changed sounds, less those that are on disk.

    Several processes may do this at once, each with a seed of its own.
    """
    out = work / "mixes"
    out.mkdir(parents=True, exist_ok=True)
    classes, log_mel = audioset_rows(data), LogMel.of(FrontEnd())
    teachers, clips = Teachers(data / "teachers"), read_clips(data)
    for number in range(-(-count // MIXES_PER_FILE)):
        path = out / f"{seed}_{number}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, number])
        mixer, rows = Mixer(data, clips, rng), []
        for _ in range(MIXES_PER_FILE):
            sources, x = mixer()
            rows.append({"src": np.array(sources), **_answers_of(x, teachers, log_mel, classes)})
        fields = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        save(path, **fields)


def _answers_of(
    x: FloatArray, teachers: Teachers, log_mel: LogMel, classes: list[int]
) -> dict[str, npt.NDArray[Any]]:
    """Return the log-mel of 10 s at 32 kHz, and what all teachers say of it."""
    logits, embedding = teachers.ask32(x + np.float32(1e-7))
    half = signal.resample_poly(x, RATE, RATE_MN04).astype(np.float32)
    outputs = teachers.ask16(half, [1.6, 5.3])
    mel, energy = parse_front_end(half, log_mel)
    parts = [outputs[name] for name in NAMES[1:]]
    return {
        "mel": mel.astype(np.float16),
        "energy": energy.astype(np.float32),
        "emb": np.concatenate([embedding, *(e.mean(0) for _, e in parts)]).astype(np.float16),
        "prob": np.concatenate(
            [1 / (1 + np.exp(-logits[classes])), *(p.mean(0) for p, _ in parts)]
        ).astype(np.float16),
    }


def save(path: Path, **fields: Any) -> None:
    """Write an archive through a temporary file."""
    part = path.with_suffix(".part.npz")
    np.savez(part, **fields)
    os.replace(part, path)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line]


def audioset_rows(data: Path) -> list[int]:
    """Return the outputs of mn04 that the student learns: the music classes of ``classes.txt``."""
    names = _lines(data / "teachers/audioset_classes.txt")
    return [names.index(name) for name in _lines(data / "classes.txt")]


def tag_names(data: Path) -> list[str]:
    """Return the names of the student's tags, the teacher before the colon."""
    jamendo = _lines(data / "teachers/jamendo_tags.txt")
    return [
        *(f"mn04:{t}" for t in _lines(data / "classes.txt")),
        *(f"msd:{t}" for t in _lines(data / "teachers/msd_tags.txt")),
        *(f"jamendo_fcn:{t}" for t in jamendo),
        *(f"jamendo_musicnn:{t}" for t in jamendo),
    ]


@dataclass(frozen=True)
class Joint:
    """The space that the student learns: principal components of all teachers' embeddings.

    Each dimension is standardised, each teacher weighted as a whole; nothing is whitened.
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    vec: npt.NDArray[np.float64]  # [numbers, JOINT_DIMS]
    far: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, x: FloatArray, dims: int = JOINT_DIMS) -> Joint:
        """Find the components of concatenated embeddings [n, numbers]."""
        size = np.repeat(DIMS, DIMS)
        weight = np.repeat(_BLOCK_WEIGHTS, DIMS)
        scale = (x.std(0, dtype=np.float64) + 1e-3) * np.sqrt(size / weight)
        mean, far = x.mean(0, dtype=np.float64), _FAR * np.sqrt(weight / size)
        held = np.clip((x - mean) / scale, -far, far)
        values, vectors = np.linalg.eigh(np.cov(held, rowvar=False))
        chosen = vectors[:, ::-1][:, :dims] / np.sqrt(values[::-1][:dims].mean())
        return cls(mean, scale, chosen, far)

    @classmethod
    def kept(cls, path: Path, x: FloatArray) -> Joint:
        """Return the one in a file, which is fitted to ``x`` where it does not exist."""
        if not path.exists():
            np.savez(path, **vars(cls.fit(x)))
        with np.load(path) as z:
            return cls(z["mean"], z["scale"], z["vec"], z["far"])

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the joint embeddings [n, dims] of concatenated ones."""
        held = np.clip((x - self.mean) / self.scale, -self.far, self.far)
        out: FloatArray = (held @ self.vec).astype(np.float32)
        return out


@dataclass(frozen=True)
class Example:
    """Up to 10 s of sound with the teachers' answers."""

    mel: npt.NDArray[np.float16]  # [frames, bands]
    energy: FloatArray  # mean square of each frame
    embedding: FloatArray  # of all teachers
    probability: FloatArray  # of all tags
    weight: float  # less for short cuts, which the teachers got repeated
    clip: int = -1  # of which it is a segment; -1: a changed sound
    start: int = 0  # its first frame in the clip


#: Share of a clip's mean answers in the targets of its segments: parts of a track have one genre.
CLIP_SHARE = 0.75
SEGMENT_FRAMES, _LEAST_FRAMES = 625, 61


def read_examples(
    data: Path, work: Path, held: npt.NDArray[np.bool_], known: set[Path]
) -> list[Example]:
    """Read the answers of new files that touch no clip marked ``held``; add them to ``known``."""
    out: list[Example] = []
    with np.load(data / "teacher.npz") as z:
        embeddings = z["clean_emb"].astype(np.float32)
        logits = z["clean_logits"].astype(np.float32)
    for path in sorted({*(work / "clips").glob("*.npz"), *(work / "mixes").glob("*.npz")} - known):
        if ".part" in path.name:
            continue
        known.add(path)
        with np.load(path) as z:
            fields = dict(z)
        if path.parent.name == "mixes":
            out += _of_mixes(fields, held)
        elif not held[int(path.stem)]:
            segments = _of_clip(int(path.stem), fields, embeddings, logits)
            out += towards_their_mean(segments)
    return out


def towards_their_mean(segments: list[Example]) -> list[Example]:
    """Return the segments of a clip with targets that are closer to each other."""
    if len(segments) < 2:
        return segments
    embedding = np.mean([e.embedding for e in segments], axis=0)
    probability = np.mean([e.probability for e in segments], axis=0)
    own, shared = np.float32(1 - CLIP_SHARE), np.float32(CLIP_SHARE)
    return [
        replace(
            e,
            embedding=own * e.embedding + shared * embedding,
            probability=own * e.probability + shared * probability,
        )
        for e in segments
    ]


def read_examples_of_clips(data: Path, work: Path) -> Iterator[tuple[int, list[Example]]]:
    """Yield (index, examples) of every clip."""
    with np.load(data / "teacher.npz") as z:
        embeddings = z["clean_emb"].astype(np.float32)
        logits = z["clean_logits"].astype(np.float32)
    for path in (work / "clips").glob("*.npz"):
        with np.load(path) as z:
            yield int(path.stem), _of_clip(int(path.stem), dict(z), embeddings, logits)


def _of_mixes(fields: dict[str, Any], held: npt.NDArray[np.bool_]) -> list[Example]:
    return [
        Example(mel, energy, emb.astype(np.float32), prob.astype(np.float32), 1.0)
        for mel, energy, emb, prob, src in zip(
            *(fields[k] for k in ("mel", "energy", "emb", "prob", "src")), strict=True
        )
        if not held[src[src >= 0]].any()
    ]


def _of_clip(
    clip: int, fields: dict[str, Any], embeddings: FloatArray, logits: FloatArray
) -> list[Example]:
    def answer(name: str, segment: int) -> FloatArray:
        """Return the answer to a segment; two teachers answer to the whole clip."""
        values = fields[name]
        row: FloatArray = values[segment if len(values) > 1 else 0].astype(np.float32)
        return row

    out = []
    for k, (row, start) in enumerate(zip(fields["seg"], fields["start"], strict=True)):
        span = slice(int(start * 62.5), int(start * 62.5) + SEGMENT_FRAMES)
        mel = fields["mel"][span]
        if len(mel) < _LEAST_FRAMES:
            continue
        emb = np.concatenate([embeddings[row], *(answer(f"{n}_e", k) for n in NAMES[1:])])
        first = 1 / (1 + np.exp(-logits[row]))
        prob = np.concatenate([first, *(answer(f"{n}_p", k) for n in NAMES[1:])])
        weight = 1.0 if len(mel) > SEGMENT_FRAMES - 25 else 0.4
        energy = fields["energy"][span]
        out.append(Example(mel, energy, emb, prob, weight, clip, span.start))
    return out


def log_mels(
    work: Path, indices: Iterable[int]
) -> Iterator[tuple[npt.NDArray[np.float16], FloatArray]]:
    """Yield (log-mel [frames, bands], mean square of each frame) of clips."""
    for index in indices:
        with np.load(work / "clips" / f"{index}.npz") as z:
            mel, energy = z["mel"], z["energy"]
        short = max(0, _LEAST_FRAMES - len(mel))
        yield (
            np.pad(mel, ((0, short), (0, 0)), mode="wrap"),
            np.pad(energy, (0, short), mode="wrap"),
        )
