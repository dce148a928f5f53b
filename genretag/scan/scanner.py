"""The pipeline: walk -> decode -> log-mel -> model -> vote -> store -> plan. It opens no music file
for writing.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag import audio, tags
from genretag.decisions.plan import Row, WriteHistory, failed_row, judge, linked_row
from genretag.decisions.policy import Policy
from genretag.decisions.policy import Windows as Windows
from genretag.features import FEATURE_VERSION, build_features, thumbnail
from genretag.inference.batching import Batcher, WindowScores
from genretag.inference.metadata import ModelMetadata, metadata_to_json
from genretag.inference.model import Model
from genretag.library.urls import absolute as absolute
from genretag.library.walk import Found, Unreadable, is_music, walk
from genretag.records import Analysis, FileRow
from genretag.scan import adaptive
from genretag.scan.memory import keep_memory
from genretag.scan.obstacles import mark_obstacles
from genretag.scan.pool import Pool
from genretag.scan.replan import settle_albums
from genretag.scan.unchanged import ScanFingerprint, WalkHash, find_unchanged_scan
from genretag.scan.unchanged import stat_fields as stat_fields
from genretag.scan.worker import (
    Failed,
    PartDone,
    Restart,
    TagsRead,
    Task,
    TrackDone,
    WindowReady,
    serve,
    time_limit,
)
from genretag.storage.cache import AnalysisCache

_COMMIT_SECONDS = 1.0
_FLUSH_SECONDS = 0.25  # the longest that a window waits for a batch to fill when decoders are slow


log = logging.getLogger("genretag")


@dataclass(frozen=True)
class Options:
    """What a scan is asked for."""

    paths: tuple[Path, ...]
    policy: Policy = field(default_factory=Policy)
    jobs: int = 1
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    rescan: bool = False  # hear again what is known
    retry_failed: bool = False
    windows: Windows = Windows.ALL
    aside: bool = False  # make a plan for the caller alone, beside the one that waits to be applied


@dataclass(frozen=True)
class Progress:
    """How far a scan is."""

    files: int
    heard_seconds: float
    counts: Counter[str]


@dataclass
class _Track:
    """A track on its way through the pipeline."""

    ordinal: int
    found: Found
    tags: tags.Tags | None = None
    starts: list[float] = field(default_factory=list)
    scores: dict[int, WindowScores] = field(default_factory=dict)
    pictures: dict[float, npt.NDArray[np.float32]] = field(
        default_factory=dict
    )  # by where their window starts
    told: TrackDone | None = None  # what the first part told of the track
    hearing: bool = True  # whether a worker is at it

    @property
    def scored(self) -> bool:
        """Whether all is scored that was asked for."""
        return not self.hearing and len(self.scores) == len(self.starts)

    def begin_anew(self) -> None:
        """Forget what was heard."""
        self.starts, self.scores, self.pictures = [], {}, {}

    def settled(self, windows: int, metadata: ModelMetadata) -> bool:
        """Return whether what is scored settles the vote of all windows."""
        logits = np.stack([s.logits for s in self.scores.values()])
        return adaptive.settled(
            logits, np.array([s.music for s in self.scores.values()], np.float32), windows, metadata
        )


class Scanner:
    """One scan of one store with one model. Run 0 hears without making a plan.

    ``decoder`` is what runs in a worker process: ``genretag.scan.worker.serve``, or what speaks as
    it does. ``past`` tells
    what was written and answered before.
    """

    def __init__(
        self,
        store: AnalysisCache,
        model: Model,
        options: Options,
        run: int,
        decoder: Callable[..., None] = serve,
        past: WriteHistory | None = None,
    ) -> None:
        self.store, self.model, self.options, self.run = store, model, options, run
        self.counts: Counter[str] = Counter()
        self.heard_seconds = 0.0
        self.heard_tracks = 0  # those that had to be decoded
        self.stands = (
            False  # whether the plan of the scan before still stands: ``run`` is that one's then
        )
        self._decoder, self._past = decoder, past
        self._tracks: dict[int, _Track] = {}
        self._unsettled: deque[tuple[int, tuple[int, ...] | None]] = (
            deque()
        )  # tracks and the windows to hear of them yet
        self._plan: list[tuple[int, Path, Row]] = []
        self._failed_anew = False
        self._tally = WalkHash()
        self._committed = time.monotonic()
        self._roots = [Path(os.path.realpath(p)) for p in options.paths]
        self._targets: dict[
            tuple[int, int], Path
        ] = {}  # of links that lead out of the folders walked
        self._pending_heard: list[Analysis] = []
        self._pending_files: list[FileRow] = []
        self._pending_failures: list[tuple[Found | Unreadable, str, str]] = []

    def scan(self, on_progress: Callable[[Progress], None] | None = None) -> Counter[str]:
        """Hear everything below the paths, and make the plan; return counts by status.

        Killed or interrupted, it loses the tracks in flight at most: the next scan goes on.
        """
        asked = self._question()
        if (
            asked is not None
            and (held := find_unchanged_scan(self.store, asked, self._walked())) is not None
        ):
            self.run, self.stands = held.run, True
            self.counts.update(held.counts)
            return self.counts
        self.store.begin_scan(
            self.run,
            self.model.metadata.id,
            self.options.policy.to_dict(),
            aside=self.options.aside,
            places=[Path(os.path.abspath(p)) for p in self.options.paths],
        )
        self.hear(on_progress)
        settle_albums(self.store, self.run, self.model.metadata, self.options.policy, self._past)
        walked = (
            None if self._failed_anew else self._tally.text
        )  # the next scan says of what failed anew that it is known
        mark_obstacles(self.store, self.run, self.options.policy)
        self.store.finish_scan(
            self.run, asked.text(walked) if asked is not None and walked is not None else None
        )
        return self.counts

    def _question(self) -> ScanFingerprint | None:
        """Return what decides of unchanged files; None for a scan that is wanted anew, or whose
        plan is not for all.
        """
        o = self.options
        if o.rescan or o.retry_failed or o.aside:
            return None
        paths = tuple(os.path.abspath(p) for p in o.paths)
        past = self._past.stamp() if self._past is not None else ""
        return ScanFingerprint(
            paths, o.exclude, o.limit, o.windows, o.policy.to_dict(), self.model.metadata.id, past
        )

    def hear(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Hear everything below the paths, and store what was heard."""
        keep_memory()  # windows come by the hundred thousand
        self.store.save_model(self.model.metadata.id, metadata_to_json(self.model.metadata))
        batcher = Batcher(self.model)
        features = build_features(self.model.metadata.front_end)
        ask = self.store.has_analysis(self.model.metadata.id, FEATURE_VERSION)
        try:
            with Pool(self.options.jobs, self._decoder, (features,)) as pool:
                for _ in self._pump(pool, batcher, ask):
                    if on_progress is not None:
                        on_progress(
                            Progress(sum(self.counts.values()), self.heard_seconds, self.counts)
                        )
        finally:
            batcher.close()
            self._commit()

    def _pump(self, pool: Pool, batcher: Batcher, ask: bool) -> Iterator[None]:
        """Move messages from the walk to the workers, to the model, to the store."""
        walked = enumerate(self._tally.passed(self._walked()))
        upcoming: tuple[int, Found] | None = None
        exhausted, fed = False, time.monotonic()
        while True:
            while self._unsettled and pool.idle:
                self._hear_on(pool)
            while not exhausted and pool.idle:
                upcoming = self._next_unknown(walked)
                if upcoming is None:
                    exhausted = True
                    break
                self._hear(pool, *upcoming, ask=ask)
            # the workers have got their next tracks: now the disk may take its time
            self._commit_if_due()
            if exhausted and not pool.busy and batcher.empty and not self._unsettled:
                return
            if pool.busy and not batcher.full:
                for token, message in pool.messages(timeout=0.05):
                    if self._take(pool, batcher, token, message):
                        fed = time.monotonic()
            if time.monotonic() - fed > _FLUSH_SECONDS or (exhausted and not pool.busy):
                batcher.flush()
                fed = time.monotonic()
            for token, index, scores in batcher.results(
                wait=batcher.full or (exhausted and not pool.busy)
            ):
                if token in self._tracks:  # it may have failed meanwhile
                    self._tracks[token].scores[index] = scores
                    self._finish_if_whole(token)
            yield

    def _hear(self, pool: Pool, ordinal: int, found: Found, *, ask: bool) -> None:
        """Give a file to a worker."""
        self._tracks[ordinal] = _Track(ordinal, found)
        part = () if self.options.windows is Windows.ADAPTIVE else None
        pool.give(
            ordinal, Task(found.path, ask and not self.options.rescan, part), time_limit(found.size)
        )

    def _hear_on(self, pool: Pool) -> None:
        """Give a further part of a track, or all of it, to a worker."""
        ordinal, part = self._unsettled.popleft()
        track = self._tracks[ordinal]
        track.hearing = True
        if part is None:
            track.begin_anew()
        pool.give(ordinal, Task(track.found.path, False, part), time_limit(track.found.size))

    def _walked(self) -> Iterator[Found | Unreadable]:
        """Walk, up to the limit."""
        return islice(walk(self.options.paths, self.options.exclude), self.options.limit)

    def _next_unknown(
        self, walked: Iterator[tuple[int, Found | Unreadable]]
    ) -> tuple[int, Found] | None:
        """Return the next file that has to be opened; those that are known get their rows on the
        way.
        """
        for ordinal, found in walked:
            if isinstance(found, Unreadable):
                self._fail(ordinal, found, "read", f"cannot be read: {found.error}")
                continue
            if found.link and (same := self._met_already(found)) is not None:
                self._add_row(ordinal, found.path, linked_row(found.path, same))
                continue
            if self.options.rescan or not self._known(ordinal, found):
                return ordinal, found
            self._commit_if_due()
        return None

    def _met_already(self, found: Found) -> Path | None:
        """Return the target of a link that the walk meets too; it is written once."""
        target = Path(os.path.realpath(found.path))
        if any(target.is_relative_to(root) for root in self._roots) and is_music(target.name):
            return target
        first = self._targets.setdefault((found.device, found.inode), found.path)
        return first if first != found.path else None

    def _known(self, ordinal: int, found: Found) -> bool:
        """Make the row of a file that is as it was; return False where it has to be opened."""
        failure = self.store.failure(absolute(found.path))
        if failure and (failure.size, failure.mtime_ns) == (found.size, found.mtime_ns):
            if self.options.retry_failed:
                return False
            self._add_row(
                ordinal,
                found.path,
                failed_row(found.path, f"{failure.error} (known; --retry-failed tries again)"),
            )
            return True
        f = self.store.file(absolute(found.path))
        if f is None or stat_fields(f) != stat_fields(found):
            return False
        heard = self.store.heard(f.content_key, self.model.metadata.id, FEATURE_VERSION)
        if heard is None or not self._suffices(heard):
            return False
        self._judge(ordinal, found.path, f, heard)
        return True

    def _suffices(self, heard: Analysis) -> bool:
        """Return whether what was heard once is as much as this scan would hear."""
        return heard.whole or self.options.windows is Windows.ADAPTIVE

    def _take(self, pool: Pool, batcher: Batcher, token: int, message: object) -> bool:
        """Take one message of a worker; return whether the model got food."""
        track = self._tracks[token]
        if isinstance(message, WindowReady):
            batcher.add(token, len(track.starts), message.log_mel)
            track.starts.append(message.start)
            if (part := thumbnail.pool_window(message.log_mel)) is not None:
                track.pictures[message.start] = part
            return True
        if isinstance(message, TagsRead):
            track.tags = message.tags
        elif isinstance(message, audio.Identity):
            self._identified(pool, token, track, message)
        elif isinstance(message, Restart):
            track.begin_anew()
        elif isinstance(message, TrackDone | PartDone):
            pool.finished(token)
            track.hearing = False
            if isinstance(message, TrackDone):
                track.told = message
            self._finish_if_whole(token)
        elif isinstance(message, Failed):
            pool.finished(token)
            del self._tracks[token]
            self._fail(token, track.found, message.stage, message.error)
        return False

    def _identified(self, pool: Pool, token: int, track: _Track, identity: audio.Identity) -> None:
        """Answer a worker whether its file has to be decoded: not if its music is known."""
        heard = self._heard_before(identity)
        pool.answer(token, heard is None)
        if heard is None:
            return
        pool.finished(token)
        del self._tracks[token]
        self._keep(track.ordinal, track.found, track.tags, identity, heard)

    def _heard_before(self, identity: audio.Identity) -> Analysis | None:
        """Return what was heard in some music before, under whatever name; None where it has to be
        decoded.
        """
        metadata = self.model.metadata
        heard = self.store.heard(
            identity.content_key, metadata.id, FEATURE_VERSION, identity.second_key
        )
        if heard is None or not self._suffices(heard):
            return None
        if (
            heard.content_key != identity.content_key
        ):  # known by its second key: keep it under its own as well
            heard = replace(heard, content_key=identity.content_key)
            self._pending_heard.append(heard)
        return heard

    def _finish_if_whole(self, token: int) -> None:
        """Store and judge a track whose windows are all scored, or have more of it heard where they
        do not settle the vote.
        """
        track = self._tracks[token]
        if not track.scored or track.told is None:
            return
        if len(track.starts) < track.told.windows and not track.settled(
            track.told.windows, self.model.metadata
        ):
            self._unsettled.append(
                (token, adaptive.further(track.told.windows, len(track.starts)) or None)
            )
            return
        del self._tracks[token]
        pictures = [track.pictures[start] for start in sorted(track.pictures)]
        heard = whole(track.told, track.starts, track.scores, thumbnail.pack(pictures))
        self.heard_seconds += heard.seconds
        self.heard_tracks += 1
        self._pending_heard.append(heard)
        self._keep(track.ordinal, track.found, track.tags, track.told.identity, heard)

    def _keep(
        self,
        ordinal: int,
        found: Found,
        known: tags.Tags | None,
        identity: audio.Identity,
        heard: Analysis,
    ) -> None:
        """Store a file's row and judge it."""
        f = FileRow(
            absolute(found.path),
            found.size,
            found.mtime_ns,
            found.inode,
            found.device,
            found.links,
            identity.sha256,
            identity.content_key,
            known or tags.Tags([], None, problem="its tags were not read"),
        )
        self._pending_files.append(f)
        if self._past is not None and (older := self.store.older_key(f.sha256)) is not None:
            self._past.renew_key(older, f.content_key)
        self._judge(ordinal, found.path, f, heard)

    def _judge(self, ordinal: int, path: Path, f: FileRow, heard: Analysis) -> None:
        self._add_row(
            ordinal,
            path,
            judge(path, f, heard, self.model.metadata, self.options.policy, past=self._past),
        )

    def _fail(self, ordinal: int, found: Found | Unreadable, stage: str, error: str) -> None:
        self._pending_failures.append((found, stage, error))
        self._failed_anew = True
        self._add_row(ordinal, found.path, failed_row(found.path, error))

    def _add_row(self, ordinal: int, path: Path, row: Row) -> None:
        log.info(
            "%s: %s%s",
            path,
            row.error or row.reason,
            f" -> {', '.join(row.new)}" if row.action == "write" else "",
        )
        self.counts[row.status] += 1
        self._plan.append((ordinal, path, row))

    def _commit_if_due(self) -> None:
        """Keep what was heard at once, so that a kill loses the tracks in flight at most; rows of
        known files can wait.
        """
        if (
            self._pending_heard
            or self._pending_failures
            or time.monotonic() - self._committed > _COMMIT_SECONDS
        ):
            self._commit()

    def _commit(self) -> None:
        """Write what waits in one transaction."""
        self._committed = time.monotonic()
        with self.store.transaction():
            for heard in self._pending_heard:
                self.store.save_analysis(heard, self.model.metadata.id, FEATURE_VERSION)
            for f in self._pending_files:
                self.store.save_file(f)
            for found, stage, error in self._pending_failures:
                size, mtime = (found.size, found.mtime_ns) if isinstance(found, Found) else (0, 0)
                self.store.save_failure(absolute(found.path), size, mtime, stage, error)
            if self.run:
                self.store.save_plan(
                    self.run, ((n, absolute(p), r.action, r.to_dict()) for n, p, r in self._plan)
                )
        for waiting in (
            self._pending_heard,
            self._pending_files,
            self._pending_failures,
            self._plan,
        ):
            waiting.clear()


def whole(
    done: TrackDone, starts: list[float], scores: dict[int, WindowScores], picture: bytes
) -> Analysis:
    """Return what was heard in a track, all of it or some windows, in the precision that the store
    keeps.
    """
    ordered = [scores[int(i)] for i in np.argsort(starts)]
    return Analysis(
        content_key=done.identity.content_key,
        second_key=done.identity.second_key,
        seconds=done.seconds,
        share=done.share,
        starts=np.sort(np.array(starts, np.float32)),
        logits=np.stack([s.logits for s in ordered]).astype(np.float16),
        music=np.array([s.music for s in ordered], np.float16),
        embedding=np.mean([s.embedding for s in ordered], axis=0).astype(np.float16),
        picture=picture,
        of=done.windows if done.windows > len(starts) else 0,
    )
