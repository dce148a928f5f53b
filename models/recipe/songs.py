"""The teachers' answers about whole songs without labels: other music for the student.

WORK/songs/<key>.npz holds those of a song's pieces of 30 s, with the student's log-mel and the
samples. Any folder of music will do; no label of it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

from genretag import audio
from genretag.errors import GenretagError
from genretag.features import FrontEnd, LogMel
from models.recipe.answers import (
    SEGMENT_FRAMES,
    Example,
    audioset_rows,
    parse_front_end,
    save,
    towards_their_mean,
)
from models.recipe.recordings import to_16_bits
from models.recipe.teachers import NAMES, RATE, RATE_MN04, Teachers

FloatArray = npt.NDArray[np.float32]

PIECES = 8  # of a song, at most
SECONDS, SEGMENT_SECONDS = 30, 10
FIRST_ID = 1_000_000  # of the pieces of songs, among the numbers of clips
_LEAST_RMS = 1e-3  # a quieter piece is left out


def starts_of(seconds: float) -> list[float]:
    """Return where the pieces of a song of so many seconds start, spread evenly."""
    count = min(PIECES, int(seconds // SECONDS))
    spare = (seconds - count * SECONDS) / max(1, count)
    return [(k + 0.5) * spare + k * SECONDS for k in range(count)]


def pieces_of(path: Path) -> Iterator[FloatArray]:
    """Yield pieces of 30 s of a song, mono at 32 kHz, as a scan decodes them."""
    x = np.concatenate([*audio.decode(path, RATE_MN04, audio.DecodeLog()), np.zeros(0, np.float32)])
    for start in starts_of(len(x) / RATE_MN04):
        piece = x[int(start * RATE_MN04) :][: SECONDS * RATE_MN04]
        if np.sqrt(np.mean(np.square(piece))) >= _LEAST_RMS:
            yield piece


def _answers_of(
    x: FloatArray, teachers: Teachers, log_mel: LogMel, classes: list[int]
) -> dict[str, npt.NDArray[Any]]:
    """Return what the teachers say of each 10 s of a piece; two of them answer to the whole."""
    size = SEGMENT_SECONDS * RATE_MN04
    first = [teachers.ask32(x[k : k + size] + np.float32(1e-7)) for k in range(0, len(x), size)]
    half = signal.resample_poly(x, RATE, RATE_MN04).astype(np.float32)
    others = teachers.ask16(half, [k * SEGMENT_SECONDS + 3.5 for k in range(len(first))])
    mel, energy = parse_front_end(half, log_mel)

    def rows(part: int) -> list[FloatArray]:
        """Return the answers (0) or embeddings (1) of the others, one row for each segment."""
        values = [others[name][part] for name in NAMES[1:]]
        return [np.broadcast_to(v, (len(first), v.shape[1])) for v in values]

    logits = np.stack([z[classes] for z, _ in first])
    embeddings = np.stack([e for _, e in first])
    return {
        "mel": mel.astype(np.float16),
        "energy": energy.astype(np.float32),
        "samples": to_16_bits(half),
        "emb": np.concatenate([embeddings, *rows(1)], axis=1).astype(np.float16),
        "prob": np.concatenate([1 / (1 + np.exp(-logits)), *rows(0)], axis=1).astype(np.float16),
    }


def ask_song(data: Path, path: Path, out: Path) -> None:
    """Ask the teachers about a song and keep the answers; an unreadable one gets none."""
    teachers, log_mel = Teachers(data / "teachers"), LogMel.of(FrontEnd())
    try:
        pieces = list(pieces_of(path))
    except GenretagError:
        pieces = []
    found = [_answers_of(x, teachers, log_mel, audioset_rows(data)) for x in pieces]
    fields = {name: np.stack([f[name] for f in found]) for name in found[0]} if found else {}
    save(out, **fields)


def ask_songs(data: Path, work: Path, folder: Path) -> None:
    """Ask about every file of a folder that has no answers yet, on all cores."""
    out = work / "songs"
    out.mkdir(parents=True, exist_ok=True)
    todo = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        key = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        if not (kept := out / f"{key}.npz").exists():
            todo[path] = kept
    with ProcessPoolExecutor() as pool:
        list(pool.map(ask_song, [data] * len(todo), todo.keys(), todo.values()))


def read_songs(work: Path) -> tuple[list[Example], dict[int, npt.NDArray[np.int16]]]:
    """Return the examples of all songs, and the samples of each piece by its number."""
    examples: list[Example] = []
    recordings: dict[int, npt.NDArray[np.int16]] = {}
    for path in sorted((work / "songs").glob("*.npz")):
        if ".part" in path.name:
            continue
        with np.load(path) as z:
            fields = dict(z)
        for k in range(len(fields.get("samples", ()))):
            number = FIRST_ID + len(recordings)
            recordings[number] = fields["samples"][k]
            examples += _examples_of(number, {name: values[k] for name, values in fields.items()})
    return examples, recordings


def _examples_of(number: int, fields: dict[str, npt.NDArray[Any]]) -> list[Example]:
    out = []
    for k, (emb, prob) in enumerate(zip(fields["emb"], fields["prob"], strict=True)):
        first = k * SEGMENT_FRAMES
        span = slice(first, first + SEGMENT_FRAMES)
        mel, energy = fields["mel"][span], fields["energy"][span]
        answers = emb.astype(np.float32), prob.astype(np.float32)
        out.append(Example(mel, energy, *answers, 1.0, number, first))
    return towards_their_mean(out)
