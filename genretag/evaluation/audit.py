"""Find the tags that are most likely wrong, from stored scores: no audio is decoded.

The files are those on disk now; one without stored scores, or that changed since, is counted.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genretag.decisions.albums import Key, key_of
from genretag.decisions.audit import AlbumScores, Audit, Finding, LabelFinder, combined, joint
from genretag.decisions.history import WriteHistory
from genretag.decisions.policy import Policy
from genretag.decisions.vote import Status, Verdict, vote
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import absolute
from genretag.library.walk import Found, walk
from genretag.records import Analysis, FileRow
from genretag.scan.unchanged import stat_fields
from genretag.storage.cache import AnalysisCache

DEFAULT_BELOW = 0.1  # tags less likely than this are listed

OnFile = Callable[[], None]


class _Candidate(NamedTuple):
    """A judged track, as small as it can be: a library has a million of them."""

    path: Path
    album: Key
    labels: frozenset[str]
    scores: tuple[float, ...]  # of the labels, in their order
    genre: str
    confidence: float
    sure: bool


@dataclass
class _Survey:
    """What the first pass over the files collects."""

    audit: Audit = field(default_factory=Audit)
    candidates: list[_Candidate] = field(default_factory=list)
    albums: dict[Key, AlbumScores] = field(default_factory=lambda: defaultdict(AlbumScores))


def audit_tags(
    store: AnalysisCache,
    metadata: ModelMetadata,
    policy: Policy,
    tops: Sequence[Path],
    past: WriteHistory,
    *,
    below: float = DEFAULT_BELOW,
    again: bool = False,
    on_file: OnFile = lambda: None,
) -> Audit:
    """Return the tags below some paths that are less likely than ``below``.

    Args:
        store: the analysis cache.
        metadata: the model's.
        policy: the rules of the plan: vote, threshold, vocabulary, protected files.
        tops: folders and files.
        past: the answers of reviews; answered tracks are left out.
        below: the highest probability that is listed, 0 to 1, exclusive.
        again: list answered tracks, too.
        on_file: called for each file.
    """
    survey, finder = _Survey(), LabelFinder(metadata.labels, policy.vocabulary)
    for path, known in _known_files(store, metadata, tops, survey.audit):
        on_file()
        if known is not None:
            file, analysis = known
            verdict = vote(analysis, metadata, policy.vote, policy.min_confidence)
            answered = not again and past.answered(file.content_key, file.audio_key) is not None
            _judge(survey, finder, path, file, verdict, policy, answered=answered)
    exclusive = metadata.activation != "sigmoid"
    for candidate in survey.candidates:
        finding = _finding(store, survey, candidate, below, exclusive=exclusive)
        if finding is not None:
            survey.audit.findings.append(finding)
    survey.audit.findings.sort(key=lambda f: (f.probability, -f.confidence, f.path))
    return survey.audit


def _known_files(
    store: AnalysisCache, metadata: ModelMetadata, tops: Sequence[Path], audit: Audit
) -> Iterator[tuple[Path, tuple[FileRow, Analysis] | None]]:
    """Yield each music file once, with what is stored; count those without it."""
    met: set[str] = set()
    for found in walk(tops):
        if not isinstance(found, Found):
            continue
        place = os.path.realpath(found.place) if found.link else os.path.abspath(found.place)
        if place in met:
            continue
        met.add(place)
        path = absolute(Path(place))
        if found.link and not _is_stored(store, path):
            # A scan stores a file that lies elsewhere under the name of the link.
            path = absolute(found.path)
        file = store.file(path)
        if file is None:
            failure = store.failure(path)
            if failure is None:
                audit.not_scanned += 1
            elif found.link or (failure.size, failure.mtime_ns) == (found.size, found.mtime_ns):
                audit.failed += 1
            else:
                audit.changed += 1
            yield path, None
        elif not found.link and stat_fields(file) != stat_fields(found):
            audit.changed += 1
            yield path, None
        else:
            analysis = _analysis(store, metadata, file)
            if analysis is None or not np.isfinite(analysis.logits).all():
                audit.not_scanned += 1
                analysis = None
            yield path, None if analysis is None else (file, analysis)


def _is_stored(store: AnalysisCache, path: Path) -> bool:
    return store.file(path) is not None or store.failure(path) is not None


def _analysis(store: AnalysisCache, metadata: ModelMetadata, file: FileRow) -> Analysis | None:
    """Return a file's stored analysis by the model."""
    key, audio_key = file.content_key, file.audio_key
    return store.analysis(key, metadata.id, FEATURE_VERSION, audio_key=audio_key)


def _judge(
    survey: _Survey,
    finder: LabelFinder,
    path: Path,
    file: FileRow,
    verdict: Verdict,
    policy: Policy,
    *,
    answered: bool,
) -> None:
    """Add a track to its album and, if its tag can be judged, to the candidates."""
    audit, genres, tags = survey.audit, file.tags.genres, file.tags.album
    if verdict.status is Status.NONMUSIC:
        audit.nonmusic += 1
        return
    key = _add_to_album(survey, path, file, verdict)
    labels = finder.labels_of(genres)
    if labels is None:
        audit.unknown.update(finder.unknown(genres)[:1])
    elif not labels:
        audit.untagged += 1
    elif policy.protect.reason(str(path), (tags.artist, tags.album_artist), genres) is not None:
        audit.protected += 1
    elif answered:
        audit.answered += 1
    else:
        audit.judged += 1
        scores = tuple(verdict.scores[label] for label in labels)
        sure = verdict.status is Status.OK
        survey.candidates.append(
            _Candidate(path, key, labels, scores, verdict.genre, verdict.confidence, sure)
        )


def _add_to_album(survey: _Survey, path: Path, file: FileRow, verdict: Verdict) -> Key:
    """Add a track's scores and vote to its album, and return the album's key."""
    tags = file.tags.album
    row = {
        "path": str(path),
        "album": tags.album,
        "album_artist": tags.album_artist,
        "artist": tags.artist,
        "compilation": tags.compilation,
        "status": verdict.status,
        "genre": verdict.genre,
    }
    key = key_of(row)
    album = survey.albums[key]
    album.tally.add(row)
    album.add(verdict.scores)
    return key


def _finding(
    store: AnalysisCache, survey: _Survey, candidate: _Candidate, below: float, *, exclusive: bool
) -> Finding | None:
    """Return what is known of a candidate; None if its tag is likely, or the model names it."""
    if candidate.genre in candidate.labels:
        return None
    own = dict(zip(candidate.labels, candidate.scores, strict=True))
    album = survey.albums[candidate.album]
    others = album.mean_of_others(own)
    track = joint(own.values(), exclusive=exclusive)
    of_album = None if others is None else joint(others.values(), exclusive=exclusive)
    probability = combined(track, of_album)
    # The rows of all candidates would not fit in memory: those that are listed are read again.
    file = store.file(candidate.path) if probability < below else None
    if file is None:
        return None
    votes = album.tally.votes[candidate.genre] - candidate.sure
    return Finding(
        path=str(candidate.path),
        tags=file.tags.genres,
        labels=sorted(candidate.labels),
        probability=probability,
        track_probability=track,
        album_probability=of_album,
        album_tracks=0 if others is None else album.tracks - 1,
        album_votes=0 if others is None else votes,
        genre=candidate.genre,
        confidence=candidate.confidence,
        sure=candidate.sure,
        artist=file.tags.album.artist,
        album=file.tags.album.album,
    )
