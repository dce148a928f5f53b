"""The ear against labels: of labelled folders, or of the genres that are in the tags already. Reads the store; writes nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from genretag.decisions.plan import Row, judge
from genretag.decisions.policy import Existing, HardLinks, Policy
from genretag.decisions.vote import Status, Verdict, vote
from genretag.errors import RunError
from genretag.evaluation import metrics
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata
from genretag.library.walk import DiskCase
from genretag.records import FileRow
from genretag.scan.scanner import absolute
from genretag.storage.cache import Store
from genretag.tags import meaningful

_SURE = 0.9  # an ear as sure as this ...
_RULED_OUT = 0.03  # ... that gives the tag's genre no more than this, doubts the tag


def normalise_label(word: str) -> str:
    """Return letters and digits alone, without case: Hip-Hop, hip hop and HipHop are one."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", word).casefold())


def match_label(word: str, labels: Iterable[str]) -> str | None:
    """Return the label that a genre word means: the label itself, or one that the word ends in ("Bebop Jazz": Jazz)."""
    wanted = normalise_label(word)
    by_name = {normalise_label(label): label for label in labels}
    if wanted in by_name:
        return by_name[wanted]
    last = normalise_label(re.split(r"[\s/\-]+", word.strip())[-1]) if word.strip() else ""
    return by_name.get(last)


@dataclass(frozen=True)
class AnalysedTrack:
    """One track that was heard."""

    path: Path
    file: FileRow
    row: Row
    verdict: Verdict


def analysed_tracks(
    store: Store, metadata: ModelMetadata, paths: Iterable[Path], policy: Policy
) -> Iterator[AnalysedTrack | Path]:
    """Yield what the store knows of files; the path alone where a file could not be heard."""
    spell = DiskCase()
    for path in paths:
        found = store.known(absolute(spell(path)), metadata.id, FEATURE_VERSION)
        if found is None:
            yield path
        else:
            f, heard = found
            yield AnalysedTrack(
                path,
                f,
                judge(path, f, heard, metadata, policy),
                vote(heard, metadata, policy.vote, policy.min_confidence),
            )


# --- labelled folders --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evaluation:
    """How a model does on labelled tracks."""

    judged: metrics.ClassifierMetrics
    labels: list[str]  # of the model
    unsure: int  # below the threshold
    nonmusic: int
    unknown: dict[str, int] = field(
        default_factory=dict
    )  # labels that the model does not know -> tracks
    unheard: list[Path] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """Return the figures as JSON takes them."""
        return {
            **self.judged.to_dict(),
            "labels": self.labels,
            "unsure": self.unsure,
            "nonmusic": self.nonmusic,
            "unknown_labels": self.unknown,
            "unheard": [str(p) for p in self.unheard],
        }


def evaluate_labels(
    store: Store,
    metadata: ModelMetadata,
    labelled: list[tuple[Path, str]],
    artists: dict[Path, str],
) -> Evaluation:
    """Hold the ear against labels; raise ``RunError`` where no label is one of the model's.

    ``artists`` are whose tracks the files are, where tags do not say: intervals are over artists.
    """
    truth = {path: match_label(label, metadata.labels) for path, label in labelled}
    unknown = Counter(label for path, label in labelled if truth[path] is None)
    if len(unknown) and not any(truth.values()):
        raise RunError(
            f"none of the labels ({', '.join(list(unknown)[:8])}) is one of the model's ({', '.join(metadata.labels)})"
        )
    p, y, groups, unheard = list[list[float]](), list[int](), list[str](), list[Path]()
    status: Counter[str] = Counter()
    for one in analysed_tracks(
        store, metadata, [path for path, _ in labelled if truth[path]], Policy()
    ):
        if isinstance(one, Path):
            unheard.append(one)
            continue
        p.append([one.verdict.scores[label] for label in metadata.labels])
        y.append(metadata.labels.index(truth[one.path] or ""))
        groups.append(
            one.file.tags.album.artist.casefold() or artists.get(one.path) or str(one.path)
        )
        status[one.verdict.status] += 1
    if not y:
        raise RunError("none of the labelled files could be heard")
    number = np.unique(groups, return_inverse=True)[1]
    truths = np.array(y)
    judged = metrics.compute_metrics(
        np.array(p),
        truths,
        number,
        list(metadata.labels),
        np.zeros(0, np.int64),
        metadata.confidence_threshold,
    )
    return Evaluation(
        judged,
        list(metadata.labels),
        status[Status.UNSURE],
        status[Status.NONMUSIC],
        dict(unknown),
        unheard,
    )


# --- tags --------------------------------------------------------------------------------------------------------


class Suspect(StrEnum):
    """Which of the two looks wrong."""

    TAG = "tag"
    EAR = "ear"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Disagreement:
    """A track whose tag and whose sound say different genres."""

    row: Row
    tag: str  # the genre in the tag ...
    label: str  # ... and the label it means
    said: str
    confidence: float
    tag_score: float  # what the ear gives the tag's label
    suspect: Suspect
    why: str


@dataclass(frozen=True)
class TagComparison:
    """The ear against the tags of a library."""

    compared: int
    agreeing: int
    disagreements: list[Disagreement]  # the most confident first
    incomparable: dict[str, int]  # genres in tags that are none of the model's labels -> tracks
    untagged: int
    unsure: int  # the ear says nothing
    unheard: list[Path]


def compare_with_tags(
    store: Store,
    metadata: ModelMetadata,
    paths: Iterable[Path],
    min_confidence: float | None = None,
) -> TagComparison:
    """Hold the ear against the genres in the tags."""
    policy = Policy(
        min_confidence=min_confidence, existing=Existing.REPLACE, hardlinks=HardLinks.SKIP
    )
    tracks, unheard = list[AnalysedTrack](), list[Path]()
    for one in analysed_tracks(store, metadata, paths, policy):
        if isinstance(one, Path):
            unheard.append(one)
        else:
            tracks.append(one)
    incomparable: Counter[str] = Counter()
    untagged = unsure = agreeing = 0
    differing: list[tuple[AnalysedTrack, str, str]] = []
    album_votes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in tracks:
        if one.verdict.status is Status.OK:
            album_votes[_album(one)][one.verdict.genre] += 1
        genres = meaningful(one.file.tags.genres)
        meant = [
            (g, label) for g in genres if (label := match_label(g, metadata.labels)) is not None
        ]
        if not genres:
            untagged += 1
        elif not meant:
            incomparable[genres[0]] += 1
        elif one.verdict.status is not Status.OK:
            unsure += 1
        elif any(label == one.verdict.genre for _, label in meant):
            agreeing += 1
        else:
            differing.append((one, *meant[0]))
    found = [
        _disagreement(one, tag, label, album_votes[_album(one)]) for one, tag, label in differing
    ]
    found.sort(key=lambda d: (-d.confidence, d.tag_score, d.row.path))
    return TagComparison(
        agreeing + len(found),
        agreeing,
        found,
        dict(incomparable.most_common()),
        untagged,
        unsure,
        unheard,
    )


def _album(one: AnalysedTrack) -> tuple[str, str]:
    """Return what tells the track's album: its tags, else its folder."""
    album = one.file.tags.album
    if album.album:
        return (album.album_artist or album.artist).casefold(), album.album.casefold()
    return "", str(one.file.path.parent)


def _disagreement(one: AnalysedTrack, tag: str, label: str, album: Counter[str]) -> Disagreement:
    """Say which of tag and ear looks wrong: by how sure the ear is, and by what it says of the rest of the album."""
    said, score = one.verdict.genre, one.verdict.scores.get(label, 0.0)
    rest = album.copy()
    rest[said] -= 1
    suspect, why = Suspect.UNCLEAR, f"the ear gives {label} {score:.2f}"
    if rest[label] >= 2 and rest[label] > rest[said]:
        suspect, why = Suspect.EAR, f"{rest[label]} other tracks of the album sound like {label}"
    elif one.verdict.confidence >= _SURE and score <= _RULED_OUT:
        others = f", and so do {rest[said]} other tracks of the album" if rest[said] else ""
        suspect, why = (
            Suspect.TAG,
            f"it sounds like {said} throughout ({one.verdict.agreement:.0%} of its windows){others}",
        )
    return Disagreement(one.row, tag, label, said, one.verdict.confidence, score, suspect, why)
