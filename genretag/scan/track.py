"""A track in the pipeline, and the analysis made from the scores of its windows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from genretag.audio import Identity
from genretag.features import thumbnail
from genretag.inference.batching import WindowScores
from genretag.inference.metadata import ModelMetadata
from genretag.library.walk import Found
from genretag.records import Analysis, Tags
from genretag.scan import sparse
from genretag.scan.worker import TrackDone, WindowReady


@dataclass(frozen=True)
class TrackResult:
    """The result for one track: an analysis, or the stage and error of its failure.

    Both are None where only the identity was requested.
    """

    ordinal: int  # position in the walk
    found: Found
    tags: Tags | None = None
    identity: Identity | None = None
    analysis: Analysis | None = None
    stage: str = ""
    error: str | None = None


@dataclass
class Track:
    """A track in the pipeline: windows that were decoded, and scores that have arrived."""

    ordinal: int
    found: Found
    tags: Tags | None = None
    starts: dict[int, float] = field(default_factory=dict)  # s, by number of arrival
    scores: dict[int, WindowScores] = field(default_factory=dict)  # by number of arrival
    pictures: dict[float, npt.NDArray[np.float32]] = field(default_factory=dict)  # by start
    done: TrackDone | None = None  # the worker's report on the track
    decoding: bool = True  # whether a worker has it
    has_further: bool = False  # whether the further pieces were requested
    arrived: int = 0  # windows, dropped ones too

    def add_window(self, window: WindowReady) -> int:
        """Add a decoded window; return its number."""
        number = self.arrived
        self.arrived += 1
        self.starts[number] = window.start
        if (picture := thumbnail.pool_window(window.log_mel)) is not None:
            self.pictures[window.start] = picture
        return number

    def restart(self) -> None:
        """Drop all windows, because the track is decoded from its start."""
        self.starts, self.scores, self.pictures = {}, {}, {}

    def add_scores(self, number: int, scores: WindowScores) -> None:
        """Add the scores of a window, unless it was dropped."""
        if number in self.starts:
            self.scores[number] = scores

    @property
    def scored(self) -> bool:
        """Whether every requested window has scores."""
        return self.done is not None and not self.decoding and len(self.scores) == len(self.starts)

    def is_settled(
        self, done: TrackDone, metadata: ModelMetadata, min_confidence: float | None
    ) -> bool:
        """Return whether no further pieces are needed."""
        if not done.piece or self.has_further:
            return True
        numbers = sorted(self.starts, key=self.starts.__getitem__)
        return are_settled([self.scores[n] for n in numbers], done, metadata, min_confidence)

    def result(self, done: TrackDone) -> TrackResult:
        """Return the result of a track whose windows are all scored."""
        pictures = [self.pictures[start] for start in sorted(self.pictures)]
        numbers = sorted(self.starts)
        analysis = make_analysis(
            done,
            [self.starts[n] for n in numbers],
            {i: self.scores[n] for i, n in enumerate(numbers)},
            thumbnail.pack(pictures),
        )
        return TrackResult(self.ordinal, self.found, self.tags, done.identity, analysis)


def are_settled(
    scores: list[WindowScores],
    done: TrackDone,
    metadata: ModelMetadata,
    min_confidence: float | None,
) -> bool:
    """Return whether the first pieces of a track, in its order, settle its decision."""
    logits = np.stack([s.logits for s in scores])
    music = np.array([s.music for s in scores], np.float32)
    return sparse.settled(logits, music, done.seconds, metadata, min_confidence)


def make_analysis(
    done: TrackDone, starts: list[float], scores: dict[int, WindowScores], picture: bytes
) -> Analysis:
    """Return the analysis of a track from its windows, in the precision of the analysis cache.

    ``scores`` are by index into ``starts``; they may be those of some windows only.
    """
    of = sparse.pieces_in(done.seconds) if done.piece else 0
    # Windows may come in any order; the stored analysis must not depend on it.
    ordered = [scores[int(i)] for i in np.argsort(starts)]
    return Analysis(
        content_key=done.identity.key,
        second_key=done.identity.second_key,
        seconds=done.seconds,
        share=done.share,
        starts=np.sort(np.array(starts, np.float32)),
        logits=np.stack([s.logits for s in ordered]).astype(np.float16),
        music=np.array([s.music for s in ordered], np.float16),
        embedding=np.mean([s.embedding for s in ordered], axis=0).astype(np.float16),
        picture=picture,
        of=of if of > len(starts) else 0,
        audio_key=done.identity.audio_key,
        piece=done.piece,
    )
