"""Further music: any folder of it becomes more lessons, which the second teacher alone answers.

    python -m genretag.ear.listen DATA WORK --further FOLDER

The corpus is small, and a student that has heard few artists errs on those that it has not. What a folder of other music holds is
cut into segments, and these are mixed with each other and with the corpus's. What the first teacher would have said is inferred from what
the second one says (``genretag.ear.tutor``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag import audio
from genretag.ear.corpus import SEGMENT_SECONDS, Lessons, Sound, read_clips, read_lessons
from genretag.errors import TrackError
from genretag.features import FrontEnd
from genretag.walk import Found, walk

LONGEST_SECONDS = 240  # heard of a track: long pieces must not drown short ones
MIXES = 8_000
LEAST_LEVEL = 1e-3  # RMS of a segment; what is softer is a pause

_SEED = 5


def music_in(folder: Path) -> list[Path]:
    """Return the music files of a folder, in the order of their names."""
    return sorted(found.path for found in walk([folder]) if isinstance(found, Found))


def samples_of(path: Path, rate: int) -> npt.NDArray[np.int16]:
    """Return a track's first minutes, mono at ``rate`` Hz, in 16 bits; nothing of a file that does not decode."""
    try:
        x = np.concatenate(list(_beginning(audio.decode(path, rate, audio.Listening()), LONGEST_SECONDS * rate)))
    except (TrackError, ValueError) as error:
        print(f"left out: {path.name}: {error}", file=sys.stderr)
        return np.zeros(0, np.int16)
    return np.clip(np.round(x * 32767), -32768, 32767).astype(np.int16)


def _beginning(blocks: Iterable[npt.NDArray[np.float32]], samples: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks until they hold ``samples``; what follows is not decoded."""
    for block in blocks:
        yield block[:samples]
        samples -= len(block)
        if samples <= 0:
            return


def lessons_of(data: Path, work: Path) -> Lessons:
    """Return the corpus's lessons, and after them those of further music where WORK holds some: nothing (NaN) is said of these yet."""
    lessons, sound, known = read_lessons(data), Sound.open(work), len(read_clips(data))
    if len(sound.offsets) - 1 == known:
        return lessons
    clean = list(_segments(sound, known))
    clip, start = np.array([c for c, _ in clean]), np.array([s for _, s in clean], np.float64)
    music = lessons.clean & np.array([c.role != "nonmusic" for c in read_clips(data)])[lessons.clip_a]
    clips, starts = np.concatenate([clip, lessons.clip_a[music]]), np.concatenate([start, lessons.start_a[music]])
    rng = np.random.default_rng(_SEED)
    a, b = rng.integers(0, len(clips), (2, MIXES))
    n = len(clip) + MIXES
    return lessons.followed_by(
        Lessons(
            clip_a=np.concatenate([clip, clips[a]]),
            start_a=np.concatenate([start, starts[a]]),
            clip_b=np.concatenate([np.full(len(clip), -1), clips[b]]),
            start_b=np.concatenate([np.zeros(len(clip)), starts[b]]),
            weight=np.concatenate([np.ones(len(clip)), rng.uniform(0.5, 0.95, MIXES)]).astype(np.float32),
            logits=np.full((n, *lessons.logits.shape[1:]), np.nan, np.float32),
            embedding=np.full((n, *lessons.embedding.shape[1:]), np.nan, np.float32),
        )
    )


def _segments(sound: Sound, known: int) -> Iterator[tuple[int, float]]:
    """Yield (number, start in s) of each whole segment of the clips from ``known`` on, but for pauses."""
    length = SEGMENT_SECONDS * FrontEnd().sample_rate
    for clip in range(known, len(sound.offsets) - 1):
        for start in range(0, int(sound.offsets[clip + 1] - sound.offsets[clip]) - length + 1, length):
            x = sound.cut(clip, start, length)
            if np.sqrt(np.mean(x * x)) >= LEAST_LEVEL:
                yield clip, start / FrontEnd().sample_rate
