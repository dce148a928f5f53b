"""The Ray engine: analyse the files of a scan on a cluster, in batches."""

from __future__ import annotations

import logging
import secrets
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from genretag.audio.audio_key import audio_sketch
from genretag.cluster import result_files, results
from genretag.cluster.actors import Actors
from genretag.cluster.known import KnownResults
from genretag.cluster.machines import cluster
from genretag.cluster.operators import Operators, has_room
from genretag.cluster.options import ClusterOptions
from genretag.cluster.setup import Setup, Shipped
from genretag.cluster.signals import Interrupt, LossLog
from genretag.cluster.source import listing
from genretag.decisions.rows import failed_row
from genretag.errors import RunError, TrackError
from genretag.inference.metadata import ModelMetadata
from genretag.inference.model import Model
from genretag.library import walk
from genretag.library.urls import absolute, is_url, to_url
from genretag.library.walk import Found, Unreadable
from genretag.scan.copies import SketchSet
from genretag.scan.lookup import Lookup
from genretag.scan.options import Options
from genretag.scan.recorder import Recorder
from genretag.scan.source import FileSource
from genretag.scan.track import TrackResult
from genretag.scan.worker import Part

log = logging.getLogger("genretag")

# Tracks per decoder in one batch, about a quarter of an hour. The operators hold the paths of a
# batch, and nothing holds those of the whole library.
_BATCH_TRACKS = 2_000

_SKETCH_THREADS = 8  # each waits for a disk or a network share most of the time

_Files = list[tuple[int, Found]]  # ordinal, file


class RayEngine:
    """Analyses on a cluster; walk, cache, votes and plan are those of every scan."""

    def __init__(self, model: Model, options: ClusterOptions) -> None:
        self._model, self._options = model, options
        self._scan = f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}"

    @property
    def metadata(self) -> ModelMetadata:
        """Metadata of the model."""
        return self._model.metadata

    @property
    def repeatable(self) -> bool:
        """Whether an old plan may be kept: not with URLs, and not where results are written."""
        return not self._options.places and self._options.results is None

    def walk(self, options: Options) -> Iterator[Found | Unreadable]:
        """Walk the folders and list the URLs."""
        return chain(
            walk.walk(options.paths, options.exclude),
            *(listing(u, options.exclude) for u in self._options.places),
        )

    def analyse(self, source: FileSource, recorder: Recorder, options: Options) -> None:
        """Analyse the files of the source on the cluster."""
        import ray

        head = result_files.Head(self.metadata, self._scan)
        known = KnownResults(recorder, self._options.results, head)
        undecoded = source.undecoded(known)
        first = next(undecoded, None)
        if first is not None:  # a cluster starts only where there is something to decode
            interrupt = Interrupt()
            with (
                cluster(self._options.address, options.jobs) as folder,
                interrupt.deferred(),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")  # Ray's advice to authors of operators
                actors = Actors.of(
                    ray.cluster_resources(), self._options.decoders, self._options.device
                )
                shipped = Shipped.of(self._model, self._options.model)
                setup = Setup(
                    shipped,
                    folder=folder,
                    decoder=self._options.decoder,
                    part=Part.BOTH if options.windows.are_sparse else Part.WHOLE,
                    min_confidence=options.policy.min_confidence,
                )
                operators = Operators(actors, self._options, self._scan)
                run = _Run(operators, recorder, known, source.lookup, interrupt)
                run.analyse(chain([first], undecoded), setup)
        known.flush()


@dataclass
class _Run:
    """The batches of one scan on a running cluster."""

    operators: Operators
    recorder: Recorder
    known: KnownResults
    lookup: Lookup
    interrupt: Interrupt
    losses: LossLog = field(default_factory=LossLog)
    sketches: SketchSet = field(default_factory=SketchSet)
    answered: bool = False  # whether any worker ever returned a result

    def analyse(self, files: Iterator[tuple[int, Found]], setup: Setup) -> None:
        """Analyse files in batches."""
        size = _BATCH_TRACKS * self.operators.actors.decoders
        identify, identifying = self.lookup.has_analyses(), replace(setup, identify=True)
        with self.losses.attached():
            while batch := list(islice(files, size)):
                if identify:  # audio that was analysed under another path is not decoded
                    batch = self._run_batch(batch, identifying)
                first, copies = self._divide(batch)
                self._run_batch(first, setup)
                # A copy is decoded only if the first file failed, or has other audio after all.
                self._run_batch(self._run_batch(copies, identifying), setup)

    def _divide(self, batch: _Files) -> tuple[_Files, _Files]:
        """Return the files to decode now, and the probable copies of these and of earlier files."""
        first: _Files = []
        copies: _Files = []
        with ThreadPoolExecutor(_SKETCH_THREADS) as threads:
            sketches = threads.map(_sketch, (found.path for _, found in batch))
            for file, sketch in zip(batch, sketches, strict=True):
                is_copy = sketch is not None and self.sketches.add(sketch)
                (copies if is_copy else first).append(file)
        return first, copies

    def _run_batch(self, batch: _Files, setup: Setup, *, alone: bool = False) -> _Files:
        """Run a batch through the operators; return the files that must still be decoded.

        Files that are lost with their workers are tried once more, each in a task of its own.
        """
        waiting = dict(batch)
        undecoded: _Files = []
        rows = [results.task_row(n, f, absolute(f.path)) for n, f in batch]
        for table in self.operators.run(rows, setup, alone=alone) if rows else ():
            for result, _ in results.track_results(table):
                found = waiting.pop(result.ordinal, None)
                self.answered = True
                if found is not None and not self._record(replace(result, found=found), setup):
                    undecoded.append((result.ordinal, found))
            self.recorder.commit()
            self.interrupt.check()
            self.recorder.report()
        if waiting and not alone and has_room():
            undecoded += self._run_batch(list(waiting.items()), setup, alone=True)
        else:
            self._record_lost(waiting)
        return undecoded

    def _record(self, result: TrackResult, setup: Setup) -> bool:
        """Record a result; return False if the track must still be decoded."""
        if result.stage == "cluster":
            raise RunError(f"a machine of the cluster cannot take part: {result.error}")
        if not setup.identify:
            if result.analysis is not None:
                self.lookup.add_decoded(result.analysis)
            self.recorder.add_decoded(result)
            return True
        if result.error is None and result.identity is not None:
            analysis = self.lookup.of_audio(result.identity)
            if analysis is None:
                return False
            result = replace(result, analysis=analysis)
        # No operator writes these into the results.
        self.known.add_result(result)
        return True

    def _record_lost(self, waiting: dict[int, Found]) -> None:
        """Add rows for tracks that were lost with their workers; the next scan tries them again.

        Raises:
            RunError: no worker returned anything at all, so that the cluster is the cause.
        """
        if len(waiting) > 1 and not self.answered:
            raise RunError(
                "no worker of the cluster could analyse anything "
                f"({self.losses.last or 'no cause was reported'})"
            )
        for ordinal, found in waiting.items():
            log.warning("%s was lost with its worker (%s)", to_url(found.path), self.losses.last)
            error = "its worker was lost repeatedly; the next scan tries it again"
            self.recorder.add_row(ordinal, found.path, failed_row(found.path, error))


def _sketch(path: Path) -> str | None:
    """Return a file's sketch; None for URLs, which would be fetched, and unreadable files."""
    if is_url(path):
        return None
    try:
        return audio_sketch(path)
    except TrackError:
        return None  # the operators report the error
