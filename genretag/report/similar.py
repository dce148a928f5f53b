"""Find the tracks that sound most like one, by the stored embeddings; nothing is decoded."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genretag.decisions.similarity import SAMPLE, Nearest, Space
from genretag.errors import RunError
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import is_url
from genretag.records import Analysis, FileRow
from genretag.storage.analyses import EmbeddingRow
from genretag.storage.cache import AnalysisCache
from genretag.text import count

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]

_KEPT = 1000  # nearest tracks to look up; files of some of them may be gone


@dataclass(frozen=True)
class SimilarTrack:
    """A track of the database that sounds like another."""

    absolute: Path
    similarity: float  # -1 to 1
    genres: list[str]  # in its tags
    artist: str
    album: str
    seconds: float
    copies: tuple[Path, ...] = ()  # other files with the same audio


@dataclass(frozen=True)
class Neighbours:
    """The tracks that sound most like one, the most similar first."""

    tracks: list[SimilarTrack]
    compared: int  # tracks, each audio once
    damaged: int  # stored embeddings that cannot be used


def find_similar(
    store: AnalysisCache, metadata: ModelMetadata, track: Analysis, wanted: int
) -> Neighbours:
    """Return the ``wanted`` tracks that sound most like one, by embeddings of the same model.

    Files with the same audio as the track are left out; those with the same audio as a result are
    its copies. Files that do not exist any more are left out. Memory does not grow with the
    database.

    Raises:
        RunError: the track's embedding is damaged, or no other track was analysed by this model.
    """
    embedding = track.embedding.astype(np.float32)
    if not embedding.size:
        raise RunError(f"the model {metadata.name} gives no embeddings, which similar needs")
    if not _usable(embedding[None])[0]:
        raise RunError(
            "the stored embedding of this track is damaged;"
            " genretag scan FILE --rescan --dry-run makes it again"
        )
    search = _Search(store, metadata.id, track)
    nearest = search.nearest(embedding, max(_KEPT, 4 * wanted))
    if not search.compared:
        raise RunError(_nothing_to_compare(store, metadata, search.damaged))
    tracks = list(_resolve(store, metadata.id, nearest.ranked, wanted))
    return Neighbours(tracks, search.compared, search.damaged)


class _Search:
    """One pass over the stored embeddings."""

    def __init__(self, store: AnalysisCache, model: str, track: Analysis) -> None:
        self._store, self._model, self._track = store, model, track
        self.compared = self.damaged = 0

    def nearest(self, embedding: FloatArray, keep: int) -> Nearest:
        """Return the tracks that are nearest to an embedding."""
        found: Nearest | None = None
        for rows in self._store.embeddings(self._model, FEATURE_VERSION, SAMPLE):
            keys, embeddings = self._decode(rows, embedding.size)
            if not keys:
                continue
            if found is None:
                # Rows are in the order of their keys. Those are hashes, so that the first lot is
                # a random sample of the tracks, and one pass is enough.
                found = Nearest(embedding, Space.fit(embeddings), keep)
            found.add(keys, embeddings)
            self.compared += len(keys)
        return found or Nearest(embedding, Space.fit(embedding[None]), keep)

    def _decode(self, rows: list[EmbeddingRow], dims: int) -> tuple[list[str], FloatArray]:
        """Return keys and embeddings of other audio than the track's; damaged ones are counted."""
        track = self._track
        same = {track.second_key} - {None}
        whole = [r for r in rows if len(r[2]) == 2 * dims]
        self.damaged += len(rows) - len(whole)
        raw = np.frombuffer(b"".join([r[2] for r in whole]), np.float16)
        embeddings = raw.reshape(-1, dims).astype(np.float32)
        usable = _usable(embeddings)
        self.damaged += int(np.count_nonzero(~usable))
        for i, (key, second, _) in enumerate(whole):
            if key == track.content_key or second in same:
                usable[i] = False
        keys = [row[0] for row, use in zip(whole, usable, strict=True) if use]
        return keys, embeddings[usable]


def _usable(embeddings: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which embeddings [tracks, dims] are finite and not all zero."""
    # A sum is finite only if all of its terms are: half the work of isfinite and all.
    sums = np.abs(embeddings).sum(axis=1)
    usable: npt.NDArray[np.bool_] = np.isfinite(sums) & (sums > 0)
    return usable


def _resolve(
    store: AnalysisCache, model: str, ranked: list[tuple[str, float]], wanted: int
) -> Iterator[SimilarTrack]:
    """Yield the first ``wanted`` tracks that have a file.

    The nearest are looked up first: most of them have one, and each lookup reads all files' rows.
    """
    seen: set[str] = set()
    for lot in (ranked[: 4 * wanted], ranked[4 * wanted :]):
        for track in _resolve_lot(store, model, lot, seen):
            yield track
            wanted -= 1
            if not wanted:
                return


def _resolve_lot(
    store: AnalysisCache, model: str, ranked: list[tuple[str, float]], seen: set[str]
) -> Iterator[SimilarTrack]:
    """Yield the tracks that have a file, with the copies of each; ``seen``: audio that had one."""
    keys = [key for key, _ in ranked]
    files: dict[str, list[FileRow]] = defaultdict(list)
    for row in store.files_of(keys):
        files[row.content_key].append(row)
    known = store.lengths_of(keys, model, FEATURE_VERSION)
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        groups[known[key][0] or key].append(key)
    for key, similarity in ranked:
        audio = known[key][0] or key
        rows = [row for k in groups[audio] for row in files[k] if _exists(row.path)]
        if not rows or audio in seen:
            continue
        seen.add(audio)
        first, *others = rows
        tags, copies = first.tags, tuple(row.path for row in others)
        yield SimilarTrack(
            *(first.path, similarity, tags.genres, tags.album.artist, tags.album.album),
            *(known[key][1], copies),
        )


def _exists(path: Path) -> bool:
    return is_url(path) or os.path.exists(path)


def _nothing_to_compare(store: AnalysisCache, metadata: ModelMetadata, damaged: int) -> str:
    """Return why there is no track to compare with, and what to do."""
    name = f"{metadata.name} {metadata.version}".strip()
    others = {
        _name_of(store, model): tracks
        for model, tracks in store.analyses_by_model().items()
        if model != metadata.id
    }
    if damaged:
        return (
            f"{count(damaged, 'stored embedding')} of the model {name} cannot be used;"
            " genretag scan FOLDER --rescan --dry-run makes them again"
        )
    if others:
        listed = ", ".join(f"{who} ({count(n, 'track')})" for who, n in sorted(others.items()))
        return (
            f"no other track was analysed with the model {name}, and embeddings of different"
            f" models cannot be compared; there are analyses of {listed}."
            " genretag scan FOLDER --dry-run analyses the folder with this model,"
            " --model FILE chooses another"
        )
    return (
        "there is no other analysed track to compare with; genretag scan FOLDER --dry-run"
        " analyses a folder"
    )


def _name_of(store: AnalysisCache, model: str) -> str:
    """Return name and version of a model, or its id if they are not known any more."""
    text = store.model_metadata(model)
    data = json.loads(text) if text else {}
    return f"{data.get('name', '')} {data.get('version', '')}".strip() or model
