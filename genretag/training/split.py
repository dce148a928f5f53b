"""Split tracks for training: those of one artist or recording are never in two parts."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from genretag.decisions.albums import VARIOUS_ARTISTS

#: Cosine of two embeddings (standardised over the collection) from which two tracks count as one
#: recording. With the bundled model, 60 clips of 30 s and their re-encodings (MP3 at 96 kb/s, Opus
#: at 48 kb/s and half the level) have 0.988 to 1.0. A few pairs of songs of one artist do too; an
#: artist is one group anyway.
DUPLICATE_COSINE = 0.985

#: Names that do not identify an artist.
_NO_ARTIST = VARIOUS_ARTISTS | {"", "unknown", "unknown artist", "<unknown>", "n/a"}

_BLOCK_TRACKS = 1024  # tracks compared with all others at once
_MAX_OVERSHOOT = 2  # times the wanted tracks, for a label that has none in the fold yet

IntArray = npt.NDArray[np.int64]


class Part(IntEnum):
    """Purpose of a track."""

    TRAIN = 0  # 64 %
    VALID = 1  # 16 %: calibration, early stopping
    TEST = 2  # 20 %: metrics


@dataclass(frozen=True)
class Pair:
    """Two tracks that are the same recording; cosine 1 for identical audio packets."""

    a: int
    b: int
    cosine: float


# --- groups -------------------------------------------------------------------------------------


class _UnionFind:
    """Disjoint sets of the numbers below n."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]  # halve the path
            i = self.parent[i]
        return i

    def join(self, a: int, b: int) -> None:
        self.parent[self.root(a)] = self.root(b)


def find_near_duplicates(
    x: npt.NDArray[np.floating], keys: Sequence[str], min_cosine: float = DUPLICATE_COSINE
) -> list[Pair]:
    """Find pairs that are the same recording, by content key and by embeddings [n, dims]."""
    first: dict[str, int] = {}
    pairs = []
    for i, key in enumerate(keys):
        if key in first:
            pairs.append(Pair(first[key], i, 1.0))
        else:
            first[key] = i
    z = standardise(x)
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
    for start in range(0, len(z), _BLOCK_TRACKS):
        cosines = z[start : start + _BLOCK_TRACKS] @ z.T
        for i, j in np.argwhere(cosines >= min_cosine):
            if start + i < j and keys[start + i] != keys[j]:
                pairs.append(Pair(int(start + i), int(j), float(cosines[i, j])))
    return pairs


def standardise(x: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return embeddings [n, dims] with mean 0 and deviation 1 in each dimension."""
    x = np.asarray(x, np.float32)
    out: npt.NDArray[np.float32] = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    return out


def group_tracks(artists: Sequence[Sequence[str]], pairs: Iterable[Pair]) -> IntArray:
    """Return a group number for each track: one group per artist, with all copies of a recording.

    ``artists`` are the names of each track; a track without a name is a group of its own.
    """
    sets, first = _UnionFind(len(artists)), dict[str, int]()
    for i, names in enumerate(artists):
        for key in {name.strip().casefold() for name in names} - _NO_ARTIST:
            sets.join(i, first.setdefault(key, i))
    for pair in pairs:
        sets.join(pair.a, pair.b)
    # Number the groups in order of appearance: the same collection gives the same split.
    roots = [sets.root(i) for i in range(len(artists))]
    number = {root: k for k, root in enumerate(dict.fromkeys(roots))}
    return np.array([number[r] for r in roots])


def count_groups_per_label(y: IntArray, groups: IntArray) -> dict[int, int]:
    """Return the number of groups of each label."""
    seen = defaultdict(set)
    for label, group in zip(y.tolist(), groups.tolist(), strict=True):
        seen[label].add(group)
    return {label: len(s) for label, s in seen.items()}


# --- parts --------------------------------------------------------------------------------------


def split_by_group(y: IntArray, groups: IntArray, seed: int = 0) -> npt.NDArray[np.int8]:
    """Split tracks into 64 % training, 16 % validation and 20 % test, by whole groups.

    Each label is split alike. Groups with a label that has no other group are for training only:
    such a label cannot be evaluated.
    """
    part = np.full(len(y), Part.TRAIN, np.int8)
    counts = count_groups_per_label(y, groups)
    single = {label for label, n in counts.items() if n == 1}
    tied = {g for g, label in zip(groups.tolist(), y.tolist(), strict=True) if label in single}
    free = np.array([g not in tied for g in groups.tolist()])
    if not free.any():
        return part
    test = free & _draw_fifth(y, groups, free, seed)
    part[test] = Part.TEST
    rest = free & ~test
    part[rest & _draw_fifth(y, groups, rest, seed + 1)] = Part.VALID
    return part


def _draw_fifth(
    y: IntArray, groups: IntArray, among: npt.NDArray[np.bool_], seed: int
) -> npt.NDArray[np.bool_]:
    """Return a mask of whole groups with about a fifth of the tracks of each label.

    Greedy: a group is taken if it brings its labels nearer to a fifth. Every label keeps a group
    that is not taken.
    """
    rng = np.random.default_rng(seed)
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(among):
        members[int(groups[i])].append(int(i))
    total = Counter(y[among].tolist())
    want = {label: n / 5 for label, n in total.items()}
    have: Counter[int] = Counter()
    groups_left = count_groups_per_label(y[among], groups[among])
    out = np.zeros(len(y), bool)
    order = list(rng.permutation(sorted(members)))
    # Groups with rare labels choose first: they have the fewest alternatives.
    order.sort(key=lambda g: min(total[int(y[i])] for i in members[g]))
    for group in order:
        counts = Counter(int(y[i]) for i in members[group])
        before = sum((have[c] - want[c]) ** 2 / want[c] for c in counts)
        after = sum((have[c] + k - want[c]) ** 2 / want[c] for c, k in counts.items())
        # A label without any track in the fold may overshoot, within limits.
        missing = any(have[c] == 0 for c in counts)
        limit = _MAX_OVERSHOOT * max(want[c] for c in counts) + 1
        # Squared distances relative to the wish: small labels count as much as large ones.
        helps = after < before or (missing and counts.total() <= limit)
        if helps and all(groups_left[c] > 1 for c in counts):
            have.update(counts)
            for c in counts:
                groups_left[c] -= 1
            out[members[group]] = True
    return out


def assign_folds(y: IntArray, groups: IntArray, folds: int = 5, seed: int = 0) -> IntArray:
    """Return a fold for each track, by whole groups and with similar labels in each fold.

    There are fewer folds if there are fewer groups, or fewer tracks of every label.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    out = np.zeros(len(y), np.int64)
    most_tracks = int(np.unique(y, return_counts=True)[1].max(initial=0))
    n = min(folds, len(np.unique(groups)), most_tracks)
    if n < 2:
        return out
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label with fewer groups than folds is expected here
        splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(np.zeros((len(y), 1)), y, groups)):
            out[test] = fold
    return out


def split_at_random(y: IntArray, seed: int = 0) -> npt.NDArray[np.int8]:
    """Split tracks without regard to artists (``--split random``); the metrics are too high."""
    part = np.full(len(y), Part.TRAIN, np.int8)
    rng = np.random.default_rng(seed)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        test = max(1, round(len(rows) * 0.2))
        part[rows[:test]] = Part.TEST
        part[rows[test : test + max(1, round(len(rows) * 0.16))]] = Part.VALID
    return part


def official_split(parts: Sequence[str | None]) -> npt.NDArray[np.int8]:
    """Return the parts of a collection's own split; training where it names none."""
    known = {
        "training": Part.TRAIN,
        "train": Part.TRAIN,
        "validation": Part.VALID,
        "valid": Part.VALID,
        "test": Part.TEST,
    }
    return np.array([known.get((p or "").casefold(), Part.TRAIN) for p in parts], np.int8)
