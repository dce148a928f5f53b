"""Clips with their labels, and the folds that keep artists apart.

The data folder has ``clips.csv`` (id, source, role, genre, artist, seconds, genres, quadrant ...),
``clips/<id>.opus``, ``teacher.npz``, ``classes.txt`` and ``teachers/``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDS = 5

#: Genre words of GTZAN and Emotify -> labels of the model.
WORDS = {
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

#: Genre words of AllMusic -> the labels of which each may be any.
ALLMUSIC = {
    "Pop/Rock": ("Pop", "Rock", "Metal"),
    "Rap": ("Hip-Hop",),
    "R&B": ("R&B",),
    "Latin": ("Latin",),
    "Country": ("Country",),
    "Blues": ("Blues",),
    "Jazz": ("Jazz",),
    "Reggae": ("Reggae",),
    "Electronic": ("Electronic",),
    "Classical": ("Classical",),
}

#: Words of AllMusic without a label -> other kinds of music that the genre head tells apart.
OTHER_KINDS = {
    "R&B": "R&B",
    "Folk": "Folk",
    "International": "World",
    "New Age": "New Age",
    "Stage & Screen": "New Age",
}
ANY_OTHER = "Other"  # kind of the clips that have none of these words
KINDS = (*sorted(set(OTHER_KINDS.values())), ANY_OTHER)

QUADRANTS = {"Q1": "Happy", "Q2": "Tense", "Q3": "Sad", "Q4": "Calm"}


@dataclass(frozen=True)
class Clip:
    """One row of ``clips.csv``."""

    id: str
    source: str
    role: str  # labelled, multi, weak, generated, unlabelled or nonmusic
    genre: str
    artist: str
    seconds: float
    genres: tuple[str, ...]
    quadrant: str  # Q1 to Q4, or empty

    @property
    def allmusic(self) -> bool:
        """Whether it is an AllMusic preview (Panda, Malheiro and Paiva 2018)."""
        return self.source == "taffc"

    @property
    def labelled(self) -> bool:
        """Whether it has one trusted genre of GTZAN or Emotify."""
        return self.role == "labelled" and not self.allmusic

    @property
    def group(self) -> str:
        """What stays on one side of a split: the artist, else source and genre."""
        artist = self.artist.strip().casefold()
        return artist or f"{self.source}/{self.genre}/unknown artist"

    def choices_among(self, labels: list[str]) -> list[tuple[str, ...]] | None:
        """Return, for each genre word, the labels that it allows, of labels and other kinds.

        A clip without any has the kind ``ANY_OTHER``. None: its genres are unknown.
        """
        if self.labelled:
            return [(WORDS[self.genre],)]
        if not self.allmusic:
            return None
        found = []
        for word in self.genres:
            known = tuple(x for x in ALLMUSIC.get(word, ()) if x in labels)
            if known:
                found.append(known)
            elif word in OTHER_KINDS:
                found.append((OTHER_KINDS[word],))
        return found or [(ANY_OTHER,)]

    @property
    def choices(self) -> list[tuple[str, ...]] | None:
        """For each genre word, the labels that it allows; empty: unsupported; None: unknown."""
        if self.labelled:
            return [(WORDS[self.genre],)]
        if self.allmusic:
            return [ALLMUSIC[word] for word in self.genres if word in ALLMUSIC]
        return None


def read_clips(data: Path) -> list[Clip]:
    """Read ``clips.csv``."""
    with (data / "clips.csv").open(newline="", encoding="utf-8") as handle:
        return [
            Clip(
                row["id"],
                row["source"],
                row["role"],
                row["genre"],
                row["artist"],
                float(row["seconds"]),
                tuple(word for word in row["genres"].split("|") if word),
                row["quadrant"],
            )
            for row in csv.DictReader(handle)
        ]


def path_of(data: Path, clip: Clip) -> Path:
    """Return the file of a clip."""
    return data / "clips" / f"{clip.id}.opus"


def grouped_folds(clips: list[Clip], seed: int = 0) -> npt.NDArray[np.int64]:
    """Return the fold of each clip, 0 to 4 (-1: always training), with artists apart.

    GTZAN, Emotify's labelled clips and AllMusic are stratified by source and genre. A clip of
    another source goes with its artist. Clips that are not music are dealt out one by one.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rows = [i for i, c in enumerate(clips) if c.labelled or c.allmusic]
    strata = [
        f"t:{clips[i].genres[0]}" if clips[i].allmusic else clips[i].source + clips[i].genre
        for i in rows
    ]
    groups = [clips[i].group for i in rows]
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    of: dict[str, int] = {}
    for fold, (_, test) in enumerate(split.split(rows, strata, groups)):
        of.update({groups[i]: fold for i in test})
    out = np.array([of.get(c.group, -1) if c.role != "nonmusic" else -1 for c in clips])
    other = np.array([c.role == "nonmusic" for c in clips])
    out[other] = np.arange(other.sum()) % FOLDS
    return out
