"""The operators on a cluster, and the scan that is heard there."""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import os
import re
import secrets
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa

from genretag import audio
from genretag.cluster import results, source
from genretag.cluster.machines import cluster, first_line
from genretag.cluster.results import TrackResult
from genretag.cluster.stages import UNKEPT, Decode, Keep, Score, Setup, Shipped
from genretag.decisions.plan import WriteHistory, failed_row
from genretag.errors import RunError, UsageError
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import metadata_to_json
from genretag.inference.model import Model
from genretag.library import walk
from genretag.library.urls import absolute, to_url
from genretag.library.walk import Found, Unreadable
from genretag.records import Analysis, FileRow
from genretag.scan import unchanged
from genretag.scan.scanner import Options, Progress, Scanner
from genretag.scan.worker import serve
from genretag.storage.cache import AnalysisCache

log = logging.getLogger("genretag")

_BLOCK_BYTES = 16 << 20  # of windows that travel together
_TASK_TRACKS = (
    8  # decoded by one task: what a lost worker costs, and Ray's own work is paid once for
)
_GPU_TRACKS = 4  # that an ear on a GPU is given at once
_LOT_TRACKS = 2_000  # a CPU, heard by one run of the operators: a quarter of an hour
_PART_ROWS = 64  # a decoder, and no more than ...
_MAX_PART_ROWS = 4_096  # ... these: rows of a file of results
_RETRIES = 3  # of a task whose worker was lost
_ROOM_SECONDS = 20.0  # for which those of them that are lost for good are waited for

#: Logical CPUs of an actor. The model needs about a third of what decoding takes, so that three
#: decoders keep one ear busy.
_DECODE_CPUS, _SCORE_CPUS, _DECODERS_AN_EAR = 0.75, 0.25, 3


@dataclass(frozen=True)
class ClusterOptions:
    """What a scan on a cluster is asked for beside ``Options``."""

    places: tuple[str, ...] = ()  # URLs
    address: str | None = None  # of a cluster; None: one of this machine, for this scan
    results: str | None = None  # a folder or URL where Parquet is kept
    device: str = "cpu"
    model: Path | None = None  # as given; None: the bundled one
    decoders: int | None = None  # None: one a CPU
    retries: int = _RETRIES
    decoder: Callable[..., None] = serve


def _said(error: BaseException) -> str:
    """Return the cause at the end of what Ray tells, without its colours."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


class _Causes(logging.Handler):
    """Remembers why Ray last lost some tracks."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.last = (
            f"{type(error).__name__}: {first_line(error)}"
            if error
            else record.getMessage().splitlines()[0]
        )
        log.debug(
            "ray: %s", record.getMessage()
        )  # without its traceback: who keeps that keeps the actors, and their CPUs


@dataclass(frozen=True)
class Crew:
    """How many actors there are of each kind, and what each needs."""

    decoders: int
    ears: int
    gpus: float = 0.0  # an ear

    @classmethod
    def of(cls, resources: dict[str, float], jobs: int | None, device: str) -> Crew:
        """Divide a cluster: GPUs score if there are some and the device may be one, else a part of
        the CPUs does.

        Raises:
            UsageError: a GPU was asked for, and the cluster has none.
        """
        cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        if device == "cuda" and not gpus:
            raise UsageError(
                "--device cuda: no machine of this cluster offers Ray a GPU (ray start "
                "--num-gpus 1)"
            )
        decoders = max(1, min(jobs or cpus, cpus))
        if gpus and device != "cpu":
            return cls(decoders, gpus, 1.0)
        return cls(decoders, -(-decoders // _DECODERS_AN_EAR))


def _operators(
    rows: list[dict[str, Any]],
    setup: Setup,
    crew: Crew,
    asked: ClusterOptions,
    scan: str,
    *,
    alone: bool = False,
) -> Iterator[pa.Table]:
    """Run rows of files through the operators, and yield what comes out as it comes.

    ``alone``: each file is a task of its own, and a worker holds one: what takes a worker down
    takes nothing along.
    """
    import ray.data
    import ray.exceptions

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES
    context.max_errored_blocks = (
        -1
    )  # a task that is lost for good costs its tracks, and these are told by name
    step = 1 if alone else max(1, min(_TASK_TRACKS, len(rows) // (4 * crew.decoders)))
    lots = [
        results.table_of(rows[at : at + step], results.TASK) for at in range(0, len(rows), step)
    ]
    survives = _survival(1 if alone else asked.retries)
    data = ray.data.from_arrow(lots).map_batches(
        Decode,
        fn_constructor_args=(setup,),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=_DECODE_CPUS,
        compute=ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=crew.decoders,
            initial_size=crew.decoders,
            max_tasks_in_flight_per_actor=1 if alone else None,
        ),
        **survives,
    )
    if not setup.identify:
        needs: dict[str, Any] = {"num_cpus": _SCORE_CPUS, "batch_size": None}
        if crew.gpus:  # Ray asks for a number there
            needs = {"num_gpus": crew.gpus, "batch_size": _GPU_TRACKS}
        data = data.map_batches(
            Score,
            fn_constructor_args=(setup, asked.device if crew.gpus else "cpu"),
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=crew.ears, initial_size=crew.ears
            ),
            **needs,
            **survives,
        )
        if asked.results is not None:
            data = data.map_batches(
                Keep,
                fn_constructor_args=(setup, asked.results, scan),
                batch_size=_part_rows(crew),
                batch_format="pyarrow",
                num_cpus=0,
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=1 + crew.decoders // 64, initial_size=1
                ),
                **survives,
            )
    try:
        yield from data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
    except ray.exceptions.RayError as error:
        raise RunError(
            f"the cluster cannot hear: {_said(error)}; is the same genretag installed on all of "
            f"its machines?"
        ) from error


def _survival(retries: int) -> dict[str, Any]:
    """Return how often a task is given to another worker. Ray's own rule is: for ever, also where
    the task itself is the fault.
    """
    import ray.data

    known = inspect.signature(ray.data.Dataset.map_batches).parameters
    if "ray_remote_args_fn" not in known:  # it is to go; Ray then does as it likes
        return {}
    return {"ray_remote_args_fn": lambda: {"max_restarts": -1, "max_task_retries": retries}}


def _part_rows(crew: Crew) -> int:
    """Return the rows of a file of results: few where few decoders fill it, since rows are told
    when their file is kept.
    """
    return min(_MAX_PART_ROWS, _PART_ROWS * crew.decoders)


class _Stop:
    """Turns the first Ctrl-C into a wish: one that goes off within Ray's own code may end the
    process there and then.
    """

    def __init__(self) -> None:
        self.wished = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.wished:  # the second one will not wait
            raise KeyboardInterrupt
        self.wished = True

    def heed(self) -> None:
        """Raise ``KeyboardInterrupt`` if that was wished."""
        if self.wished:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _interruptible(stop: _Stop) -> Iterator[None]:
    """Handle Ctrl-C between two tables; outside the main thread nothing changes."""
    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _has_room() -> bool:
    """Return whether the cluster gave back what its lost actors held: operators that are begun
    without that wait for ever.
    """
    import ray

    gc.collect()  # an actor ends when nobody holds it, and cycles hold them
    until = time.monotonic() + _ROOM_SECONDS
    while ray.available_resources().get("CPU", 0.0) < 1 + _DECODE_CPUS:
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


class ClusterScanner(Scanner):
    """A scan whose files are heard on a cluster; what is known, the store, the votes and the plan
    are ``Scanner``'s.
    """

    def __init__(
        self,
        store: AnalysisCache,
        model: Model,
        options: Options,
        run: int,
        asked: ClusterOptions,
        past: WriteHistory | None = None,
    ) -> None:
        super().__init__(store, model, options, run, past=past)
        self._asked = asked
        self._on_progress: Callable[[Progress], None] | None = None
        self._keeping = False  # whether the operators keep what they tell
        self._fresh: int | None = None  # the track that they told and kept just now
        self._scan = f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}"
        self._known_rows: list[dict[str, Any]] = []
        self._parts = 0
        self._answered = False
        self._causes = _Causes()
        self._stop = _Stop()

    def hear(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Analyse everything below the places on the cluster, in batches, and store the results."""
        self._on_progress = on_progress
        self.store.save_model(self.model.metadata.id, metadata_to_json(self.model.metadata))
        ask = (
            self.store.has_analysis(self.model.metadata.id, FEATURE_VERSION)
            and not self.options.rescan
        )
        walked = enumerate(self._tally.passed(self._walked()))
        unknown = iter(lambda: self._next_unknown(walked), None)
        try:
            first = next(unknown, None)
            if first is not None:  # a cluster is begun only if there is something to hear
                with (
                    cluster(self._asked.address, self.options.jobs) as folder,
                    _interruptible(self._stop),
                ):
                    self._hear_lots(chain([first], unknown), folder, ask)
            self._keep_known()
        finally:
            self._commit()

    def _question(self) -> unchanged.ScanFingerprint | None:
        """Return what decides of unchanged files; None where results are wanted of each, or some
        lie behind URLs.
        """
        return (
            None if self._asked.places or self._asked.results is not None else super()._question()
        )

    def _walked(self) -> Iterator[Found | Unreadable]:
        """Walk the folders and list the URLs, up to the limit."""
        met = chain(
            walk.walk(self.options.paths, self.options.exclude),
            *(source.listing(u, self.options.exclude) for u in self._asked.places),
        )
        return islice(met, self.options.limit)

    def _hear_lots(self, files: Iterator[tuple[int, Found]], folder: str | None, ask: bool) -> None:
        """Hear files in lots: the operators hold all names of a lot, and nothing holds those of the
        library.
        """
        import ray

        resources = ray.cluster_resources()
        crew = Crew.of(resources, self._asked.decoders, self._asked.device)
        setup = Setup(
            Shipped.of(self.model, self._asked.model), folder=folder, decoder=self._asked.decoder
        )
        size = _LOT_TRACKS * crew.decoders
        logging.getLogger("ray.data").addHandler(self._causes)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Ray's hints to who writes operators
                while lot := list(islice(files, size)):
                    if ask:  # music that is known under another name is not decoded again
                        lot = self._run_lot(lot, replace(setup, identify=True), crew)
                    self._run_lot(lot, setup, crew)
        finally:
            logging.getLogger("ray.data").removeHandler(self._causes)

    def _run_lot(
        self, lot: list[tuple[int, Found]], setup: Setup, crew: Crew, *, alone: bool = False
    ) -> list[tuple[int, Found]]:
        """Run a lot through the operators; return what has to be decoded still. What was lost is
        tried once more, each for itself.
        """
        waiting, self._keeping = dict(lot), not setup.identify
        unheard: list[tuple[int, Found]] = []
        rows = [results.task_row(n, f, absolute(f.path)) for n, f in lot]
        for table in (
            _operators(rows, setup, crew, self._asked, self._scan, alone=alone) if rows else ()
        ):
            self._check_kept(table)
            for told, _ in results.told_of(table):
                found = waiting.pop(told.ordinal, None)
                self._answered = True
                if found is not None and not self._take_told(replace(told, found=found)):
                    unheard.append((told.ordinal, found))
            self._commit()
            self._stop.heed()
            if self._on_progress is not None:
                self._on_progress(
                    Progress(sum(self.counts.values()), self.heard_seconds, self.counts)
                )
        if waiting and not alone and _has_room():
            unheard += self._run_lot(list(waiting.items()), setup, crew, alone=True)
        else:
            self._tell_lost(waiting)
        return unheard

    @staticmethod
    def _check_kept(table: pa.Table) -> None:
        """Raise ``RunError`` where the results could not be kept."""
        if UNKEPT in table.column_names and (
            error := next((e for e in table[UNKEPT].to_pylist() if e), None)
        ):
            raise RunError(error)

    def _take_told(self, told: TrackResult) -> bool:
        """Take what is told of a track; return whether that is all."""
        if told.stage == "cluster":
            raise RunError(f"a machine of the cluster cannot take part: {told.error}")
        heard, self._fresh = told.heard, told.ordinal if self._keeping else None
        if heard is not None:
            self.heard_seconds += heard.seconds
            self.heard_tracks += 1
            self._pending_heard.append(heard)
        elif told.identity is not None and told.error is None:
            heard = self._heard_before(told.identity)
            if heard is None:
                return False
        if heard is None or told.identity is None:
            self._fail(
                told.ordinal,
                told.found,
                told.stage or "decode",
                told.error or "nothing is told of it",
            )
        else:
            self._keep(told.ordinal, told.found, told.tags, told.identity, heard)
        return True

    def _tell_lost(self, waiting: dict[int, Found]) -> None:
        """Give the tracks that went down with their workers a row; the next scan hears them.

        Raises:
            RunError: nothing was heard at all, so that the fault is the cluster's.
        """
        if len(waiting) > 1 and not self._answered:
            raise RunError(
                f"no worker of the cluster could hear anything "
                f"({self._causes.last or 'no cause was told'})"
            )
        for ordinal, found in waiting.items():
            log.warning("%s was lost with its worker (%s)", to_url(found.path), self._causes.last)
            row = failed_row(
                found.path,
                "the worker that heard it was lost, again and again; the next scan tries it anew",
            )
            self._add_row(ordinal, found.path, row)

    def _judge(self, ordinal: int, path: Path, f: FileRow, heard: Analysis) -> None:
        """Judge a track; what was known before is told in the results as well."""
        super()._judge(ordinal, path, f, heard)
        if self._asked.results is not None and ordinal != self._fresh:
            found = Found(
                os.fspath(path), f.size, f.mtime_ns, f.inode, f.device, f.links, link=False
            )
            identity = audio.Identity(f.content_key, heard.second_key, f.sha256)
            self._tell_known(TrackResult(ordinal, found, f.tags, identity, heard), f.path)

    def _fail(self, ordinal: int, found: Found | Unreadable, stage: str, error: str) -> None:
        """Note that a track failed; what no operator saw is told in the results as well."""
        super()._fail(ordinal, found, stage, error)
        if self._asked.results is not None and ordinal != self._fresh:
            met = (
                found
                if isinstance(found, Found)
                else Found(os.fspath(found.path), 0, 0, 0, 0, 1, link=False)
            )
            self._tell_known(
                TrackResult(ordinal, met, stage=stage, error=error), absolute(found.path)
            )

    def _known(self, ordinal: int, found: Found) -> bool:
        """Make the row of an unchanged file; failures are repeated in the results."""
        known = super()._known(ordinal, found)
        if (
            known
            and self._asked.results is not None
            and (failure := self.store.failure(absolute(found.path))) is not None
        ):
            self._tell_known(
                TrackResult(ordinal, found, stage=failure.stage, error=failure.error),
                absolute(found.path),
            )
        return known

    def _tell_known(self, told: TrackResult, file: Path) -> None:
        self._known_rows.append(results.row_of(told, file))
        if len(self._known_rows) >= _MAX_PART_ROWS:
            self._keep_known()

    def _keep_known(self) -> None:
        """Write what waits into a file of its own."""
        if self._asked.results is not None and self._known_rows:
            name = results.part_name(f"{self._scan}-known", self._parts)
            results.write(
                self._asked.results,
                name,
                results.table_of(self._known_rows),
                results.Head(self.model.metadata, self._scan),
            )
            self._parts += 1
            self._known_rows.clear()
