"""Compare a model with labels: of labelled folders, or of the genres in the tags of a library.

The analyses are read from the cache; nothing is written.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.decisions.albums import Key, key_of
from genretag.decisions.plan import judge
from genretag.decisions.policy import Existing, HardLinks, Policy
from genretag.decisions.rows import Row
from genretag.decisions.vocabulary import normalise_genre
from genretag.decisions.vote import Status, Verdict, vote
from genretag.errors import RunError
from genretag.evaluation.metrics import ClassifierMetrics, compute_metrics
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import absolute
from genretag.library.walk import DiskCase
from genretag.records import Analysis, FileRow
from genretag.storage.cache import AnalysisCache
from genretag.tags import meaningful

# A tag is suspect if the model is at least this confident ...
_CONFIDENT = 0.9
# ... and gives the tag's genre at most this score.
_RULED_OUT = 0.03
_MIN_ALBUM_VOTES = 2  # other tracks of the album that outweigh the model


def match_label(genre: str, labels: Iterable[str]) -> str | None:
    """Return the label that a genre means: an equal one, or its last word ("Bebop Jazz": Jazz)."""
    by_name = {normalise_genre(label): label for label in labels}
    words = re.split(r"[\s/\-]+", genre.strip())
    # The whole name first: "Hip-Hop" is not the label "Hop".
    return by_name.get(normalise_genre(genre)) or by_name.get(normalise_genre(words[-1]))


@dataclass(frozen=True)
class AnalysedTrack:
    """A track with its analysis decided by a policy."""

    path: Path
    file: FileRow
    row: Row
    verdict: Verdict


def find_analysis(
    store: AnalysisCache, path: Path, model_id: str, on_disk_case: DiskCase
) -> tuple[FileRow, Analysis] | None:
    """Return the file and analysis of a path, or of the file that it links to; None without one."""
    for place in dict.fromkeys((path, Path(os.path.realpath(path)))):
        found = store.known(absolute(on_disk_case(place)), model_id, FEATURE_VERSION)
        if found is not None:
            return found
    return None


def analysed_tracks(
    store: AnalysisCache, metadata: ModelMetadata, paths: Iterable[Path], policy: Policy
) -> Iterator[AnalysedTrack | Path]:
    """Yield the analysed tracks of the cache; only the path of a file that was not analysed."""
    on_disk_case = DiskCase()
    for path in paths:
        found = find_analysis(store, path, metadata.id, on_disk_case)
        if found is None:
            yield path
            continue
        file, analysis = found
        row = judge(path, file, analysis, metadata, policy)
        verdict = vote(analysis, metadata, policy.vote, policy.min_confidence)
        yield AnalysedTrack(path, file, row, verdict)


# --- labelled folders ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Evaluation:
    """Result of a model on labelled tracks."""

    metrics: ClassifierMetrics
    labels: list[str]  # of the model
    unsure: int  # tracks below the threshold
    nonmusic: int
    unknown: dict[str, int] = field(default_factory=dict)  # labels the model lacks -> tracks
    not_analysed: list[Path] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """Return the evaluation as JSON."""
        return {
            **self.metrics.to_dict(),
            "labels": self.labels,
            "unsure": self.unsure,
            "nonmusic": self.nonmusic,
            "unknown_labels": self.unknown,
            "unheard": [str(p) for p in self.not_analysed],
        }


def evaluate_labels(
    store: AnalysisCache,
    metadata: ModelMetadata,
    labelled: list[tuple[Path, str]],
    artists: dict[Path, str],
) -> Evaluation:
    """Evaluate a model against labels.

    Args:
        store: cache with the analyses.
        metadata: of the model.
        labelled: (path, label) of the tracks.
        artists: artists of the tracks whose tags name none; intervals are over artists.

    Raises:
        RunError: no label is one of the model's, or no track was analysed.
    """
    truth = {path: match_label(label, metadata.labels) for path, label in labelled}
    unknown = Counter(label for path, label in labelled if truth[path] is None)
    if unknown and not any(truth.values()):
        raise RunError(
            f"none of the labels ({', '.join(list(unknown)[:8])}) is one of the model's"
            f" ({', '.join(metadata.labels)})"
        )
    tracks, not_analysed = list[AnalysedTrack](), list[Path]()
    paths = [path for path, _ in labelled if truth[path]]
    for track in analysed_tracks(store, metadata, paths, Policy()):
        if isinstance(track, Path):
            not_analysed.append(track)
        else:
            tracks.append(track)
    if not tracks:
        raise RunError("none of the labelled files could be analysed")
    statuses = Counter(track.verdict.status for track in tracks)
    y = [metadata.labels.index(truth[track.path] or "") for track in tracks]
    return Evaluation(
        _metrics(tracks, np.array(y), metadata, artists),
        list(metadata.labels),
        statuses[Status.UNSURE],
        statuses[Status.NONMUSIC],
        dict(unknown),
        not_analysed,
    )


def _metrics(
    tracks: list[AnalysedTrack],
    y: npt.NDArray[np.int64],
    metadata: ModelMetadata,
    artists: dict[Path, str],
) -> ClassifierMetrics:
    """Return the metrics of analysed tracks with the labels ``y``."""
    p = [[track.verdict.scores[label] for label in metadata.labels] for track in tracks]
    # Intervals are over artists: tracks of one artist are right or wrong together.
    groups = [
        track.file.tags.album.artist.casefold() or artists.get(track.path) or str(track.path)
        for track in tracks
    ]
    return compute_metrics(
        np.array(p),
        y,
        np.unique(groups, return_inverse=True)[1],
        list(metadata.labels),
        np.zeros(0, np.int64),
        metadata.confidence_threshold,
    )


# --- tags ---------------------------------------------------------------------------------------


class Suspect(StrEnum):
    """Which of the two genres looks wrong."""

    TAG = "tag"
    MODEL = "ear"  # the value of earlier versions, which scripts read
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Disagreement:
    """A track whose tag and analysis have different genres."""

    row: Row
    tag: str  # genre in the tag
    label: str  # label that the tag means
    said: str  # genre of the model
    confidence: float
    tag_score: float  # score of the tag's label
    suspect: Suspect
    why: str


@dataclass(frozen=True)
class TagComparison:
    """Result of comparing a model with the tags of a library, in tracks."""

    compared: int
    agreeing: int
    disagreements: list[Disagreement]  # most confident first
    incomparable: dict[str, int]  # genres in tags that match no label -> tracks
    untagged: int
    unsure: int
    not_analysed: list[Path]


def compare_with_tags(
    store: AnalysisCache,
    metadata: ModelMetadata,
    paths: Iterable[Path],
    min_confidence: float | None = None,
) -> TagComparison:
    """Compare the verdicts of a model with the genres in the tags."""
    policy = Policy(
        min_confidence=min_confidence, existing=Existing.REPLACE, hardlinks=HardLinks.SKIP
    )
    tracks, not_analysed = list[AnalysedTrack](), list[Path]()
    for track in analysed_tracks(store, metadata, paths, policy):
        if isinstance(track, Path):
            not_analysed.append(track)
        else:
            tracks.append(track)
    incomparable: Counter[str] = Counter()
    untagged = unsure = agreeing = 0
    differing: list[tuple[AnalysedTrack, str, str]] = []
    for track in tracks:
        genres = meaningful(track.file.tags.genres)
        matches = [(g, label) for g in genres if (label := match_label(g, metadata.labels))]
        if not genres:
            untagged += 1
        # A genre that no label means says nothing about the model.
        elif not matches:
            incomparable[genres[0]] += 1
        elif track.verdict.status is not Status.OK:
            unsure += 1
        elif any(label == track.verdict.genre for _, label in matches):
            agreeing += 1
        else:
            differing.append((track, *matches[0]))
    albums = _album_votes(tracks)
    disagreements = [
        _disagreement(track, tag, label, albums[_album_key(track)])
        for track, tag, label in differing
    ]
    disagreements.sort(key=lambda d: (-d.confidence, d.tag_score, d.row.path))
    return TagComparison(
        agreeing + len(disagreements),
        agreeing,
        disagreements,
        dict(incomparable.most_common()),
        untagged,
        unsure,
        not_analysed,
    )


def _album_key(track: AnalysedTrack) -> Key:
    return key_of(track.row.to_dict())


def _album_votes(tracks: list[AnalysedTrack]) -> dict[Key, Counter[str]]:
    """Return the genres of the sure tracks of each album."""
    votes: dict[Key, Counter[str]] = defaultdict(Counter)
    for track in tracks:
        if track.verdict.status is Status.OK:
            votes[_album_key(track)][track.verdict.genre] += 1
    return votes


def _disagreement(track: AnalysedTrack, tag: str, label: str, album: Counter[str]) -> Disagreement:
    """Decide which of tag and model looks wrong, by the confidence and the rest of the album."""
    genre, score = track.verdict.genre, track.verdict.scores.get(label, 0.0)
    others = album.copy()
    # The track itself must not confirm its own verdict.
    others[genre] -= 1
    suspect, why = Suspect.UNCLEAR, f"the model gives {label} a score of {score:.2f}"
    if others[label] >= _MIN_ALBUM_VOTES and others[label] > others[genre]:
        suspect = Suspect.MODEL
        why = f"{others[label]} other tracks of the album sound like {label}"
    elif track.verdict.confidence >= _CONFIDENT and score <= _RULED_OUT:
        suspect = Suspect.TAG
        why = f"{track.verdict.agreement:.0%} of its windows sound like {genre}"
        if others[genre]:
            why += f", and so do {others[genre]} other tracks of the album"
    return Disagreement(track.row, tag, label, genre, track.verdict.confidence, score, suspect, why)
