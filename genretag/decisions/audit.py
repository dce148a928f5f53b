"""How likely the genre in a file's tags is, by the model and by the rest of the album.

    p(tag) = (1 - w) p(tag | track) + w p(tag | album)        w = ALBUM_WEIGHT, or 0 without album

p(tag | track) is the calibrated probability of the labels that the tag means: their sum where
labels exclude each other, else the highest. p(tag | album) is the mean of the same probability over
the other tracks of the album. A finer genre than the model knows (Bebop) is at most as likely as
its parent (Jazz), so it is judged by the parent; a name of two genres (Blues Rock) may mean either.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from genretag.decisions.albums import AlbumTally
from genretag.decisions.sources import genre_keys, listed_keys
from genretag.decisions.tidy import Tidier
from genretag.decisions.vocabulary import (
    PARENT_SEPARATOR,
    Vocabulary,
    built_in_tree,
    normalise_genre,
)
from genretag.tags import meaningful

ALBUM_WEIGHT = 0.5  # of the other tracks of the album, if there are enough of them
MIN_OTHERS = 2  # other tracks of an album; fewer say nothing about the track


@dataclass(frozen=True)
class LabelFinder:
    """Finds the labels of a model that genres in tags mean."""

    labels: tuple[str, ...]
    vocabulary: Vocabulary
    _known: dict[str, frozenset[str]] = field(default_factory=dict, compare=False)

    @cached_property
    def _tidier(self) -> Tidier:
        return Tidier(self.vocabulary, listed_keys())

    def labels_of(self, genres: Sequence[str]) -> frozenset[str] | None:
        """Return the labels of the genres that say something; None if the model cannot judge one.

        Empty if no genre says something.
        """
        out: set[str] = set()
        for genre in meaningful(list(genres), self.vocabulary.generic):
            found = self._labels(genre)
            if not found:
                return None
            out |= found
        return frozenset(out)

    def unknown(self, genres: Sequence[str]) -> list[str]:
        """Return the genres that say something, and that the model cannot judge."""
        words = meaningful(list(genres), self.vocabulary.generic)
        return [genre for genre in words if not self._labels(genre)]

    def _labels(self, genre: str) -> frozenset[str]:
        """Return the labels of one value; empty if the model cannot judge all of its parts."""
        if genre not in self._known:
            parts = [self._part(part) for part in self._tidier.split(genre)]
            whole = frozenset[str]().union(*parts) if all(parts) else frozenset[str]()
            self._known[genre] = whole
        return self._known[genre]

    def _part(self, part: str) -> frozenset[str]:
        """Return the labels of one genre: equal ones, else its nearest parent's and its words'.

        Blues Rock is below Rock in the tree, and may sound like Blues.
        """
        own, keys = normalise_genre(part), genre_keys([part], self.vocabulary)
        # The spelling in the tags counts first: a vocabulary may have no word for a good label.
        for key in (own, *keys):
            if key in self._by_key:
                return self._by_key[key]
        # Rhythm and Blues is another name of R&B, and no kind of Blues.
        words = self._by_words(part) if own in keys else frozenset[str]()
        return self._by_parent(part) | words

    def _by_parent(self, part: str) -> frozenset[str]:
        """Return the labels of the nearest parent in the trees that is one."""
        for tree in (self.vocabulary.tree, built_in_tree()):
            for parent in tree.chain(part)[1:]:
                if (key := normalise_genre(parent)) in self._by_key:
                    return self._by_key[key]
        return frozenset()

    def _by_words(self, part: str) -> frozenset[str]:
        """Return the labels that are a word of a genre, or two that follow each other."""
        single = re.findall(r"[^\W_]+", part)
        pairs = map("".join, pairwise(single))
        keys = (normalise_genre(word) for word in (*single, *pairs))
        return frozenset().union(*(self._by_key.get(key, frozenset()) for key in keys))

    @cached_property
    def _by_key(self) -> Mapping[str, frozenset[str]]:
        """The labels by the key of their own name, and of the words that are written for them."""
        found: dict[str, set[str]] = defaultdict(set)
        for label in self.labels:
            words = [_name(label), *self.vocabulary.words([label])]
            for key in {*map(normalise_genre, words), *genre_keys(words, self.vocabulary)}:
                found[key].add(label)
        # A word that is a label of its own means that label alone.
        own = {normalise_genre(_name(label)): label for label in self.labels}
        return {key: frozenset({own[key]} if key in own else all_) for key, all_ in found.items()}


def _name(label: str) -> str:
    """Return a label without its parent."""
    return label.rpartition(PARENT_SEPARATOR)[2]


@dataclass
class AlbumScores:
    """Sums of the scores of an album's tracks, to compare one track with the others."""

    tally: AlbumTally = field(default_factory=AlbumTally)
    tracks: int = 0
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # label -> sum

    def add(self, scores: Mapping[str, float]) -> None:
        """Add a track's calibrated scores."""
        self.tracks += 1
        for label, score in scores.items():
            self.sums[label] += score

    def mean_of_others(self, own: Mapping[str, float]) -> dict[str, float] | None:
        """Return the mean score of some labels over the other tracks; None if they say nothing.

        ``own`` are the track's scores of these labels.
        """
        others = self.tracks - 1
        if others < MIN_OTHERS or not self.tally.is_one_album:
            return None
        return {label: max(0.0, self.sums[label] - own[label]) / others for label in own}


def joint(scores: Iterable[float], *, exclusive: bool) -> float:
    """Return the probability that one of some labels holds, 0 to 1."""
    return min(1.0, sum(scores)) if exclusive else max(scores, default=0.0)


def combined(track: float, album: float | None) -> float:
    """Return the probability of a tag from those by the track and by its album, 0 to 1."""
    if album is None:
        return track
    return (1 - ALBUM_WEIGHT) * track + ALBUM_WEIGHT * album


@dataclass(frozen=True)
class Finding:
    """A track whose tag is probably wrong; its fields are the keys of ``--json``."""

    path: str
    tags: list[str]  # genres in the file
    labels: list[str]  # of the model, that they mean
    probability: float  # of the tag: by track and album, 0 to 1
    track_probability: float  # by the track alone
    album_probability: float | None  # by the other tracks of the album; None: they say nothing
    album_tracks: int  # other tracks of the album that say something
    album_votes: int  # of these, sure tracks of the model's genre
    genre: str  # the model's
    confidence: float  # in it, 0 to 1
    sure: bool  # the confidence reaches the threshold
    artist: str = ""
    album: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON data, its shares with four digits."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in vars(self).items()}


@dataclass
class Audit:
    """The findings of an audit, and what was left out; all counts are files."""

    findings: list[Finding] = field(default_factory=list)  # the least likely tag first
    judged: int = 0
    unknown: Counter[str] = field(default_factory=Counter)  # tags the model cannot judge -> files
    untagged: int = 0
    nonmusic: int = 0
    protected: int = 0
    answered: int = 0  # in a review
    changed: int = 0  # since their scan
    failed: int = 0  # could not be analysed
    not_scanned: int = 0
