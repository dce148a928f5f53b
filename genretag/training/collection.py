"""Labelled tracks with their analyses: embeddings, labels, groups and problems."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.decisions.albums import main_artist
from genretag.errors import RunError
from genretag.evaluation.evaluate import find_analysis
from genretag.inference.model import Model
from genretag.library.urls import absolute
from genretag.library.walk import DiskCase
from genretag.records import Album
from genretag.scan.local import LocalEngine
from genretag.scan.options import Options, Progress
from genretag.scan.scanner import Scanner
from genretag.storage.cache import AnalysisCache
from genretag.training.layouts import Example
from genretag.training.split import (
    Pair,
    count_groups_per_label,
    find_near_duplicates,
    group_tracks,
)

IntArray = npt.NDArray[np.int64]

_MIN_TRACKS = 2  # of a label


@dataclass(frozen=True)
class Unreadable:
    """A labelled file that could not be analysed."""

    path: Path
    error: str


@dataclass(frozen=True)
class Duplicate:
    """Two files with the same recording."""

    a: Path
    b: Path
    cosine: float  # of the embeddings; 1.0: identical audio packets
    labels: tuple[str, str]

    @property
    def conflicting(self) -> bool:
        """Whether the two have different labels."""
        return self.labels[0] != self.labels[1]


@dataclass(frozen=True)
class Collection:
    """Labelled tracks that were analysed."""

    examples: list[Example]
    labels: list[str]  # sorted; ``y`` holds indices of them
    x: npt.NDArray[np.float16]  # [n, dims], embeddings as stored
    y: IntArray
    groups: IntArray
    keys: list[str]  # content keys
    seconds: npt.NDArray[np.float64]  # length of the tracks
    duplicates: list[Duplicate] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """Paths of the tracks, in order."""
        return [e.path for e in self.examples]


@dataclass(frozen=True)
class _Track:
    """A labelled track with what the cache holds of it."""

    example: Example
    embedding: npt.NDArray[np.float16]
    key: str
    seconds: float
    artists: tuple[str, ...]


def analyse_tracks(
    store: AnalysisCache,
    model: Model,
    paths: list[Path],
    jobs: int,
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    """Analyse the tracks that are not in the cache yet."""
    # A scan skips a link to a file that it meets anyway, and takes given files for met: follow
    # links to files first.
    real = [Path(os.path.realpath(p)) if p.is_file() else p for p in paths]
    options = Options(tuple(dict.fromkeys(real)), jobs=jobs)
    Scanner(store, LocalEngine(model), options, run=0).analyse(on_progress)


def load_collection(
    store: AnalysisCache, model_id: str, examples: list[Example], notes: list[str]
) -> Collection:
    """Load the analyses of labelled tracks, without copies whose labels contradict each other.

    Raises:
        RunError: fewer than two labels with two tracks remain.
    """
    on_disk_case = DiskCase()
    tracks, unreadable = list[_Track](), list[Unreadable]()
    for example in examples:
        found = find_analysis(store, example.path, model_id, on_disk_case)
        real = absolute(on_disk_case(Path(os.path.realpath(example.path))))
        failure = store.failure(real)
        if failure is not None or found is None:
            error = failure.error if failure else "could not be analysed"
            unreadable.append(Unreadable(example.path, error))
            continue
        file, analysis = found
        artists = _artists(file.tags.album, example)
        tracks.append(
            _Track(example, analysis.embedding, file.content_key, analysis.seconds, artists)
        )
    counts = Counter(t.example.label for t in tracks)
    # A label with one track cannot be in two parts.
    labels = sorted(label for label, n in counts.items() if n >= _MIN_TRACKS)
    if len(labels) < 2:
        raise RunError(
            "training needs two labels with two tracks each;"
            f" {len(unreadable):,} of {len(examples):,} files could not be analysed"
            + (f" ({unreadable[0].path}: {unreadable[0].error})" if unreadable else "")
        )
    small = [
        f"{label}: only one track could be analysed; the label was left out"
        for label, n in counts.items()
        if n < _MIN_TRACKS
    ]
    kept = [t for t in tracks if t.example.label in labels]
    return _assemble(kept, labels, unreadable, [*notes, *small])


def _artists(album: Album, example: Example) -> tuple[str, ...]:
    """Return the artists of a track: of the table, else of the tags, else the artist's folder."""
    if example.artist:
        return (example.artist,)
    tagged = tuple(name for name in (main_artist(album.artist), album.album_artist) if name)
    return tagged or ((example.folder,) if example.folder else ())


def _assemble(
    tracks: list[_Track], labels: list[str], unreadable: list[Unreadable], notes: list[str]
) -> Collection:
    """Find copies, leave out those with contradictory labels, and group the rest."""
    x = np.stack([t.embedding for t in tracks])
    pairs = find_near_duplicates(x, [t.key for t in tracks])
    duplicates = [_duplicate(tracks, p) for p in pairs]
    contradictory = {
        i
        for p, d in zip(pairs, duplicates, strict=True)
        if d.conflicting and p.cosine == 1.0
        for i in (p.a, p.b)
    }
    if contradictory:
        notes.append(
            f"{len(contradictory):,} files are the same recording under different labels,"
            " and were left out"
        )
    groups = group_tracks([t.artists for t in tracks], pairs)
    kept = [i for i in range(len(tracks)) if i not in contradictory]
    collection = Collection(
        examples=[tracks[i].example for i in kept],
        labels=labels,
        x=x[kept],
        y=np.array([labels.index(tracks[i].example.label) for i in kept]),
        groups=groups[kept],
        keys=[tracks[i].key for i in kept],
        seconds=np.array([tracks[i].seconds for i in kept]),
        duplicates=duplicates,
        unreadable=unreadable,
        notes=notes,
    )
    notes += _single_artist_notes(collection)
    return collection


def _duplicate(tracks: list[_Track], pair: Pair) -> Duplicate:
    a, b = tracks[pair.a].example, tracks[pair.b].example
    return Duplicate(a.path, b.path, pair.cosine, (a.label, b.label))


def _single_artist_notes(collection: Collection) -> list[str]:
    return [
        f"{collection.labels[label]}: all tracks are by one artist (or of one recording),"
        " so the label cannot be evaluated"
        for label, n in sorted(count_groups_per_label(collection.y, collection.groups).items())
        if n == 1
    ]
