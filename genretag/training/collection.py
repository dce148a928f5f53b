"""Labelled tracks that were heard: embeddings from the store, labels, groups, and what is wrong with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.errors import RunError
from genretag.features import FEATURE_VERSION
from genretag.inference.model import Model
from genretag.library.walk import DiskCase
from genretag.records import Album
from genretag.scan.scanner import Options, Progress, Scanner, absolute
from genretag.storage.cache import Store
from genretag.training.layouts import Example
from genretag.training.split import count_groups_per_label, find_near_duplicates, group_tracks

IntArray = npt.NDArray[np.int64]

_FEATURING = re.compile(r"\s+(?:feat\.?|ft\.?|featuring)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Unreadable:
    """A labelled file that could not be heard."""

    path: Path
    error: str


@dataclass(frozen=True)
class Duplicate:
    """Two files that are one recording."""

    a: Path
    b: Path
    cosine: float  # of the embeddings; 1.0: the very same packets
    labels: tuple[str, str]

    @property
    def conflicting(self) -> bool:
        """Whether the two are labelled differently."""
        return self.labels[0] != self.labels[1]


@dataclass(frozen=True)
class Collection:
    """Labelled tracks with what was heard in them."""

    examples: list[Example]
    labels: list[str]  # sorted; ``y`` counts in them
    x: npt.NDArray[np.float16]  # [n, dims], as stored
    y: IntArray
    groups: IntArray
    keys: list[str]  # content keys
    seconds: npt.NDArray[np.float64]  # of music
    duplicates: list[Duplicate] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """The files, in order."""
        return [e.path for e in self.examples]


def analyse_tracks(
    store: Store,
    model: Model,
    paths: list[Path],
    jobs: int,
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    """Hear what is not in the store yet; what was scanned before costs a look at its file's size and time."""
    Scanner(store, model, Options(tuple(paths), jobs=jobs), run=0).hear(on_progress)


def load_collection(
    store: Store, model_id: str, examples: list[Example], notes: list[str]
) -> Collection:
    """Return the collection out of the store: what could be heard, without copies whose labels contradict each other.

    Raises:
        RunError: fewer than two labels of two tracks are left.
    """
    spell, unreadable = DiskCase(), list[Unreadable]()
    kept: list[Example] = []
    rows, artists, keys, seconds = [], [], [], []
    for example in examples:
        path = absolute(spell(example.path))
        known, failure = store.known(path, model_id, FEATURE_VERSION), store.failure(path)
        if failure is not None or known is None:
            unreadable.append(
                Unreadable(example.path, failure.error if failure else "could not be heard")
            )
            continue
        f, heard = known
        kept.append(example)
        rows.append(heard.embedding)
        keys.append(f.content_key)
        seconds.append(heard.seconds)
        artists.append(_artists(f.tags.album, example))
    counts = Counter(e.label for e in kept)
    labels = sorted(label for label, n in counts.items() if n >= 2)
    lonely = [
        f"{label}: fewer than two of its tracks could be heard; left out"
        for label, n in counts.items()
        if n < 2
    ]
    if len(labels) < 2:
        raise RunError(
            f"fewer than two labels are left after hearing; {len(unreadable):,} of {len(examples):,} files could not be heard"
        )
    use = [i for i, e in enumerate(kept) if e.label in labels]
    return _assembled(
        [kept[i] for i in use],
        labels,
        np.stack([rows[i] for i in use]),
        [artists[i] for i in use],
        [keys[i] for i in use],
        np.array([seconds[i] for i in use]),
        unreadable,
        [*notes, *lonely],
    )


def _artists(album: Album, example: Example) -> tuple[str, ...]:
    """Return whose track it is: as a table says, else the tags (track and album artist), else the folder below the genre's."""
    if example.artist:
        return (example.artist,)
    tagged = tuple(name for name in (_FEATURING.split(album.artist)[0], album.album_artist) if name)
    return tagged or ((example.folder,) if example.folder else ())


def _assembled(
    examples: list[Example],
    labels: list[str],
    x: npt.NDArray[np.float16],
    artists: list[tuple[str, ...]],
    keys: list[str],
    seconds: npt.NDArray[np.float64],
    unreadable: list[Unreadable],
    notes: list[str],
) -> Collection:
    """Find copies, leave out those whose labels contradict each other, and group the rest."""
    pairs = find_near_duplicates(x, keys)
    duplicates = [
        Duplicate(
            examples[p.a].path,
            examples[p.b].path,
            p.cosine,
            (examples[p.a].label, examples[p.b].label),
        )
        for p in pairs
    ]
    against = {
        i
        for p, d in zip(pairs, duplicates, strict=True)
        if d.conflicting and p.cosine == 1.0
        for i in (p.a, p.b)
    }
    notes = list(notes)
    if against:
        notes.append(
            f"{len(against):,} files are the same recording under different labels, and were left out"
        )
    groups = group_tracks(artists, pairs)
    keep = [i for i in range(len(examples)) if i not in against]
    y = np.array([labels.index(examples[i].label) for i in keep])
    collection = Collection(
        [examples[i] for i in keep],
        labels,
        x[keep],
        y,
        groups[keep],
        [keys[i] for i in keep],
        seconds[keep],
        duplicates,
        unreadable,
        notes,
    )
    notes += _one_artist_notes(collection)
    return collection


def _one_artist_notes(collection: Collection) -> list[str]:
    return [
        f"{collection.labels[label]}: all of its tracks are of one artist (or one recording), so how well it is told cannot be judged"
        for label, n in sorted(count_groups_per_label(collection.y, collection.groups).items())
        if n == 1
    ]
