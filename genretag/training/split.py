"""Honest parts: tracks of one artist, one recording or one sound are never on both sides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

#: Cosine of two tracks' embeddings (each dimension standardised over the collection) from which they count as
#: one recording. Measured with the bundled model: 60 clips of 30 s encoded anew (MP3 96 kb/s; Opus 48 kb/s at half
#: the level) are at 0.988 to 1.0 from themselves. Some songs of one artist are as near: they are one group anyway.
NEAR = 0.985

_NO_ARTIST = {
    "",
    "various",
    "various artists",
    "va",
    "v.a.",
    "unknown",
    "unknown artist",
    "<unknown>",
    "n/a",
}

IntArray = npt.NDArray[np.int64]


class Part(IntEnum):
    """What a track is for."""

    TRAIN = 0  # 64 %
    VALID = 1  # 16 %: calibration, early stopping
    TEST = 2  # 20 %: figures


@dataclass(frozen=True)
class Pair:
    """Two tracks that are one recording: same packets (cosine 1) or nearly the same sound."""

    a: int
    b: int
    cosine: float


class _Union:
    """Sets that grow together (union-find)."""

    def __init__(self, n: int) -> None:
        self.up = list(range(n))

    def root(self, i: int) -> int:
        while self.up[i] != i:
            self.up[i] = self.up[self.up[i]]
            i = self.up[i]
        return i

    def join(self, a: int, b: int) -> None:
        self.up[self.root(a)] = self.root(b)


def find_near_duplicates(
    x: npt.NDArray[np.floating], keys: Sequence[str], least: float = NEAR
) -> list[Pair]:
    """Return pairs of tracks that are one recording, by content key and by the embeddings [n, dims]."""
    of_key: dict[str, int] = {}
    pairs = []
    for i, key in enumerate(keys):
        if key in of_key:
            pairs.append(Pair(of_key[key], i, 1.0))
        else:
            of_key[key] = i
    z = standardise(x)
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
    for start in range(0, len(z), 1024):
        block = z[start : start + 1024] @ z.T
        for i, j in np.argwhere(block >= least):
            if start + i < j and keys[start + i] != keys[j]:
                pairs.append(Pair(int(start + i), int(j), float(block[i, j])))
    return pairs


def standardise(x: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return embeddings with mean 0 and deviation 1 in each dimension."""
    x = np.asarray(x, np.float32)
    out: npt.NDArray[np.float32] = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    return out


def group_tracks(artists: Sequence[Sequence[str]], pairs: Iterable[Pair]) -> IntArray:
    """Return a group number a track: the tracks of an artist, and the copies of a recording, are one group.

    ``artists`` are the names that each track bears. One without a name is a group of its own, with its copies.
    """
    union, first = _Union(len(artists)), dict[str, int]()
    for i, names in enumerate(artists):
        for key in {name.strip().casefold() for name in names} - _NO_ARTIST:
            union.join(i, first.setdefault(key, i))
    for pair in pairs:
        union.join(pair.a, pair.b)
    roots = [union.root(i) for i in range(len(artists))]
    number = {root: k for k, root in enumerate(dict.fromkeys(roots))}
    return np.array([number[r] for r in roots])


def count_groups_per_label(y: IntArray, groups: IntArray) -> dict[int, int]:
    """Return how many groups each label has."""
    seen = defaultdict(set)
    for label, group in zip(y.tolist(), groups.tolist(), strict=True):
        seen[label].add(group)
    return {label: len(s) for label, s in seen.items()}


def split_by_group(y: IntArray, groups: IntArray, seed: int = 0) -> npt.NDArray[np.int8]:
    """Return a part a track: 64 % train, 16 % validation, 20 % test, whole groups, labels spread alike.

    What belongs to a label of a single group is for training alone: such a label cannot be judged.
    """
    part = np.full(len(y), Part.TRAIN, np.int8)
    counts = count_groups_per_label(y, groups)
    single = {label for label, n in counts.items() if n == 1}
    tied = {g for g, label in zip(groups.tolist(), y.tolist(), strict=True) if label in single}
    free = np.array([g not in tied for g in groups.tolist()])
    if not free.any():
        return part
    test = free & _fold(y, groups, free, seed)
    part[test] = Part.TEST
    rest = free & ~test
    part[rest & _fold(y, groups, rest, seed + 1)] = Part.VALID
    return part


def _fold(
    y: IntArray, groups: IntArray, among: npt.NDArray[np.bool_], seed: int
) -> npt.NDArray[np.bool_]:
    """Return one fifth of the tracks marked, whole groups, each label's share as near to a fifth as it can be."""
    rng = np.random.default_rng(seed)
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(among):
        members[int(groups[i])].append(int(i))
    total = Counter(y[among].tolist())
    want = {label: n / 5 for label, n in total.items()}
    have: Counter[int] = Counter()
    left = {
        label: n - 1 for label, n in count_groups_per_label(y[among], groups[among]).items()
    }  # one group at least stays
    out = np.zeros(len(y), bool)
    order = list(rng.permutation(sorted(members)))
    order.sort(key=lambda g: min(total[int(y[i])] for i in members[g]))  # rare labels choose first
    for group in order:
        counts = Counter(int(y[i]) for i in members[group])
        before = sum((have[c] - want[c]) ** 2 / want[c] for c in counts)
        after = sum((have[c] + k - want[c]) ** 2 / want[c] for c, k in counts.items())
        # A label that has nothing yet takes a group even if that overshoots, within reason.
        missing = (
            any(have[c] == 0 for c in counts)
            and counts.total() <= 2 * max(want[c] for c in counts) + 1
        )
        if all(left[c] > 0 for c in counts) and (after < before or missing):
            have.update(counts)
            for c in counts:
                left[c] -= 1
            out[members[group]] = True
    return out


def assign_folds(y: IntArray, groups: IntArray, folds: int = 5, seed: int = 0) -> IntArray:
    """Return a fold a track, whole groups, labels spread alike; fewer folds where groups, or the tracks of every label, are fewer."""
    from sklearn.model_selection import StratifiedGroupKFold

    out = np.zeros(len(y), np.int64)
    n = min(folds, len(np.unique(groups)), int(np.unique(y, return_counts=True)[1].max(initial=0)))
    if n < 2:
        return out
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label with fewer groups than folds is expected here
        splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(np.zeros((len(y), 1)), y, groups)):
            out[test] = fold
    return out


def split_at_random(y: IntArray, seed: int = 0) -> npt.NDArray[np.int8]:
    """Return parts by track alone (``--split random``): artists leak, and the figures compare with nothing."""
    part = np.full(len(y), Part.TRAIN, np.int8)
    rng = np.random.default_rng(seed)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        test = max(1, round(len(rows) * 0.2))
        part[rows[:test]] = Part.TEST
        part[rows[test : test + max(1, round(len(rows) * 0.16))]] = Part.VALID
    return part


def official_split(parts: Sequence[str | None]) -> npt.NDArray[np.int8]:
    """Return the parts that the collection's own split says."""
    known = {
        "training": Part.TRAIN,
        "train": Part.TRAIN,
        "validation": Part.VALID,
        "valid": Part.VALID,
        "test": Part.TEST,
    }
    return np.array([known.get((p or "").casefold(), Part.TRAIN) for p in parts], np.int8)
