"""Move messages from the walk to the decode workers, to the model and to the recorder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from genretag import audio
from genretag.decisions.policy import Windows
from genretag.inference.batching import Batcher
from genretag.inference.metadata import ModelMetadata
from genretag.library.walk import Found
from genretag.scan import adaptive
from genretag.scan.options import Options
from genretag.scan.pool import Pool
from genretag.scan.recorder import Recorder
from genretag.scan.source import FileSource
from genretag.scan.track import Track, TrackResult
from genretag.scan.worker import (
    Failed,
    PartDone,
    Restart,
    TagsRead,
    Task,
    TrackDone,
    WindowReady,
    time_limit,
)

# The longest that a window waits for its batch to fill when the decoders are slow.
_FLUSH_SECONDS = 0.25


class Pump:
    """Keeps workers and model busy until the source has no more files."""

    def __init__(
        self,
        pool: Pool,
        batcher: Batcher,
        source: FileSource,
        recorder: Recorder,
        metadata: ModelMetadata,
        options: Options,
    ) -> None:
        self._pool, self._batcher, self._recorder = pool, batcher, recorder
        self._metadata, self._options = metadata, options
        self._lookup = source.lookup
        self._identify = source.lookup.has_analyses()
        self._files: Iterator[tuple[int, Found]] = source.undecoded(recorder)
        self._exhausted = False
        self._tracks: dict[int, Track] = {}  # in flight, by ordinal
        # Tracks that need more windows: ordinal, and the windows; None: all.
        self._further: deque[tuple[int, tuple[int, ...] | None]] = deque()
        self._fed = time.monotonic()  # when the model last got a window

    def run(self) -> None:
        """Run until every file has a row."""
        while not self._step():
            self._recorder.report()

    def _step(self) -> bool:
        """Do one round of work; return whether all is done."""
        self._give_tasks()
        # The workers have their next tracks: now the disk may take its time.
        self._recorder.commit_if_due()
        if self._drained and self._batcher.empty and not self._further:
            return True
        if self._pool.busy and not self._batcher.full:
            for ordinal, message in self._pool.messages(timeout=0.05):
                self._receive(ordinal, message)
        self._score()
        return False

    @property
    def _drained(self) -> bool:
        """Whether no file is left, and no worker has one."""
        return self._exhausted and not self._pool.busy

    def _give_tasks(self) -> None:
        """Give every idle worker a task: first parts of begun tracks, then new files."""
        while self._further and self._pool.idle:
            self._give_further_part()
        while not self._exhausted and self._pool.idle:
            upcoming = next(self._files, None)
            if upcoming is None:
                self._exhausted = True
            else:
                self._give_file(*upcoming)

    def _give_file(self, ordinal: int, found: Found) -> None:
        self._tracks[ordinal] = Track(ordinal, found)
        part = () if self._options.windows is Windows.ADAPTIVE else None
        self._give(ordinal, Task(found.path, self._identify, part))

    def _give_further_part(self) -> None:
        ordinal, part = self._further.popleft()
        track = self._tracks[ordinal]
        track.decoding = True
        if part is None:
            track.restart()
        self._give(ordinal, Task(track.found.path, False, part))

    def _give(self, ordinal: int, task: Task) -> None:
        self._pool.give(ordinal, task, time_limit(self._tracks[ordinal].found.size))

    def _receive(self, ordinal: int, message: object) -> None:
        """Handle one message of a worker."""
        track = self._tracks[ordinal]
        if isinstance(message, WindowReady):
            self._batcher.add(ordinal, track.add_window(message), message.log_mel)
            self._fed = time.monotonic()
        elif isinstance(message, TagsRead):
            track.tags = message.tags
        elif isinstance(message, audio.Identity):
            self._answer_identity(track, message)
        elif isinstance(message, Restart):
            track.restart()
        elif isinstance(message, TrackDone | PartDone):
            self._pool.finished(ordinal)
            track.decoding = False
            if isinstance(message, TrackDone):
                track.done = message
            self._finish_if_scored(track)
        elif isinstance(message, Failed):
            self._pool.finished(ordinal)
            self._finish(self._failure(track, message))

    @staticmethod
    def _failure(track: Track, failed: Failed) -> TrackResult:
        return TrackResult(track.ordinal, track.found, stage=failed.stage, error=failed.error)

    def _answer_identity(self, track: Track, identity: audio.Identity) -> None:
        """Tell a worker whether to decode a file: not if its audio was analysed before."""
        analysis = self._lookup.of_audio(identity)
        self._pool.answer(track.ordinal, analysis is None)
        if analysis is None:
            return
        self._pool.finished(track.ordinal)
        del self._tracks[track.ordinal]
        result = TrackResult(track.ordinal, track.found, track.tags, identity, analysis)
        self._recorder.add_result(result)

    def _score(self) -> None:
        """Run waiting windows through the model, and collect scores."""
        if self._drained or time.monotonic() - self._fed > _FLUSH_SECONDS:
            self._batcher.flush()
            self._fed = time.monotonic()
        wait = self._batcher.full or self._drained
        for ordinal, index, scores in self._batcher.results(wait=wait):
            # A track may have failed after some of its windows were sent.
            if (track := self._tracks.get(ordinal)) is not None:
                track.scores[index] = scores
                self._finish_if_scored(track)

    def _finish_if_scored(self, track: Track) -> None:
        """Record a track whose windows are scored, or decode more if the vote is not settled."""
        if not track.scored or (done := track.done) is None:
            return
        if track.is_settled(done, self._metadata):
            self._finish(track.result(done))
        else:
            part = adaptive.further(done.windows, len(track.starts))
            self._further.append((track.ordinal, part or None))

    def _finish(self, result: TrackResult) -> None:
        del self._tracks[result.ordinal]
        self._recorder.add_decoded(result)
