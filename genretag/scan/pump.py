"""Move messages from the walk to the decode workers, to the model and to the recorder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from genretag import audio
from genretag.inference.batching import Batcher
from genretag.inference.metadata import ModelMetadata
from genretag.library.walk import Found
from genretag.scan.copies import CopyFinder
from genretag.scan.options import Options
from genretag.scan.pool import Pool
from genretag.scan.recorder import Recorder
from genretag.scan.source import FileSource
from genretag.scan.track import Track, TrackResult
from genretag.scan.worker import (
    Failed,
    Part,
    PartDone,
    Reply,
    Restart,
    Sketch,
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
        self._copies = CopyFinder()
        # Further tasks of tracks in flight: the further pieces, or a copy whose first file is done.
        self._further: deque[tuple[int, Task]] = deque()
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
        """Give every idle worker a task: those of tracks in flight, then new files."""
        while self._further and self._pool.idle:
            self._give_further_task()
        while not self._exhausted and self._pool.idle:
            upcoming = next(self._files, None)
            if upcoming is None:
                self._exhausted = True
            else:
                self._give_file(*upcoming)

    def _give_file(self, ordinal: int, found: Found) -> None:
        self._tracks[ordinal] = Track(ordinal, found)
        self._give(ordinal, Task(found.path, self._identify, self._first_part, sketch=True))

    @property
    def _first_part(self) -> Part:
        return Part.FIRST if self._options.windows.are_sparse else Part.WHOLE

    def _give_further_task(self) -> None:
        ordinal, task = self._further.popleft()
        track = self._tracks[ordinal]
        track.decoding, track.has_further = True, task.part is Part.FURTHER
        self._give(ordinal, task)

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
        elif isinstance(message, Sketch):
            self._answer_sketch(track, message)
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

    def _answer_sketch(self, track: Track, sketch: Sketch) -> None:
        """Tell a worker to go on, or to leave a probable copy until the first file is done."""
        reply = self._copies.decide(track.ordinal, sketch.text)
        self._pool.answer(track.ordinal, reply)
        if reply is Reply.STOP:
            self._pool.finished(track.ordinal)
            track.decoding = False

    def _answer_identity(self, track: Track, identity: audio.Identity) -> None:
        """Tell a worker whether to decode a file: not if its audio was analysed before."""
        self._recorder.commit_if_due()  # the analysis may be one of this moment
        analysis = self._lookup.of_audio(identity)
        self._pool.answer(track.ordinal, analysis is None)
        if analysis is None:
            return
        self._pool.finished(track.ordinal)
        result = TrackResult(track.ordinal, track.found, track.tags, identity, analysis)
        self._recorder.add_result(result)
        self._release(track.ordinal)

    def _score(self) -> None:
        """Run waiting windows through the model, and collect scores."""
        if self._drained or time.monotonic() - self._fed > _FLUSH_SECONDS:
            self._batcher.flush()
            self._fed = time.monotonic()
        wait = self._batcher.full or self._drained
        for ordinal, index, scores in self._batcher.results(wait=wait):
            # A track may have failed after some of its windows were sent.
            if (track := self._tracks.get(ordinal)) is not None:
                track.add_scores(index, scores)
                self._finish_if_scored(track)

    def _finish_if_scored(self, track: Track) -> None:
        """Record a track whose windows are scored, or decode more if it is not settled."""
        if not track.scored or (done := track.done) is None:
            return
        if track.is_settled(done, self._metadata, self._options.policy.min_confidence):
            self._finish(track.result(done))
        else:
            task = Task(track.found.path, False, Part.FURTHER)
            self._further.append((track.ordinal, task))

    def _finish(self, result: TrackResult) -> None:
        """Record the result of a track that was decoded, or failed."""
        if result.analysis is not None:
            self._lookup.add_decoded(result.analysis)
        self._recorder.add_decoded(result)
        self._release(result.ordinal)

    def _release(self, ordinal: int) -> None:
        """Forget a finished track, and go on with the copies that waited for it."""
        del self._tracks[ordinal]
        for copy in self._copies.finish(ordinal):
            # It is identified first: decoded only if the finished track failed, or has other audio.
            task = Task(self._tracks[copy].found.path, True, self._first_part)
            self._further.append((copy, task))
