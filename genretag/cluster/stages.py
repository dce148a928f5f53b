"""The operators of a scan over many machines: file -> windows -> what was heard -> Parquet.

An operator never fails for what is in a file: a track's error is its row. A decoder that crashes,
hangs or grows
lives in a process of its own, as in the local engine, and costs its track alone. What is left to
Ray are lost workers
and lost machines: it gives their tasks, some tracks each, to others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import genretag
from genretag import audio
from genretag.cluster import results
from genretag.cluster.source import fetched
from genretag.errors import GenretagError, ModelError, RunError, TrackError
from genretag.features import build_features, thumbnail
from genretag.inference.batching import Batcher, WindowScores
from genretag.inference.documents import sidecar
from genretag.inference.metadata import ModelMetadata
from genretag.inference.model import Model
from genretag.library.urls import NOT_WRITTEN, is_url, to_url
from genretag.records import Analysis, Tags
from genretag.scan.pool import Pool
from genretag.scan.scanner import whole
from genretag.scan.worker import Failed, TagsRead, Task, TrackDone, WindowReady, serve, time_limit

#: Windows of a track that travel to the model together; a track with more (over ten minutes) is
#: scored where it is decoded,
#: so that memory is flat whatever its length.
MAX_WINDOWS = 20

UNKEPT = "unkept"


@dataclass(frozen=True)
class Shipped:
    """A model on its way to other machines: its files by name, the model first; none: each
    machine's own bundled one.
    """

    metadata: ModelMetadata
    files: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def of(cls, model: Model, given: Path | None) -> Shipped:
        """Pack a model that was loaded here; ``given`` None: the bundled one."""
        if given is None:
            return cls(model.metadata)
        paths = [p for p in (given, sidecar(given), *model.stages) if p.is_file()]
        return cls(model.metadata, tuple((p.name, p.read_bytes()) for p in dict.fromkeys(paths)))

    def load(self, device: str = "cpu") -> Model:
        """Load it on this machine, with one thread.

        Raises:
            ModelError: it cannot be used here, or this machine's genretag brings another.
        """
        with tempfile.TemporaryDirectory(prefix="genretag-") as folder:
            for name, data in self.files:
                Path(folder, name).write_bytes(data)
            model = Model(Path(folder, self.files[0][0]) if self.files else None, device, threads=1)
        if model.metadata.id != self.metadata.id:
            raise ModelError(
                f"its bundled model is {model.metadata.version}, not {self.metadata.version}; "
                f"install the same genretag everywhere"
            )
        return model


@dataclass(frozen=True)
class Setup:
    """What every operator is told."""

    shipped: Shipped
    version: str = genretag.__version__
    identify: bool = False  # only tell which music it is, and decode nothing
    folder: str | None = (
        None  # where files from elsewhere are kept while they are heard; None: the system's place
    )
    decoder: Callable[..., None] = serve  # what runs in a decoding process

    def check(self) -> None:
        """Raise ``RunError`` where this machine's genretag is another."""
        if genretag.__version__ != self.version:
            raise RunError(
                f"genretag is {genretag.__version__} on this machine and {self.version} where the "
                f"scan began"
            )


@dataclass(frozen=True)
class _Collected:
    """A track that was decoded: its windows, or already their scores."""

    done: TrackDone
    starts: list[float]
    picture: bytes
    windows: list[np.ndarray[Any, np.dtype[np.float32]]]
    scores: dict[int, WindowScores]


class Decode:
    """Decodes files in a supervised process of its own: ``TASK`` rows -> ``BETWEEN`` rows, one at a
    time.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._pool: Pool | None = None
        self._ear: Batcher | None = None

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Hear some files; every one gives a row."""
        for told, file in results.told_of(_widened(batch)):
            row = results.task_row(told.ordinal, told.found, file)
            try:
                row |= self._answer(to_url(file), told.found.size)
            except TrackError as error:
                row |= {"stage": error.stage, "error": _text(str(error))}
            except GenretagError as error:
                row |= {"stage": "cluster", "error": _text(str(error))}
            yield results.table_of([row], results.BETWEEN)

    def _answer(self, file: str, size: int) -> dict[str, Any]:
        """Return the columns of a file: who it is, and its windows."""
        if self._pool is None:
            self._setup.check()
            self._pool = Pool(
                1, self._setup.decoder, (build_features(self._setup.shipped.metadata.front_end),)
            )
        with fetched(file, self._setup.folder) as near:
            self._pool.give(0, Task(near, ask=self._setup.identify), time_limit(size))
            tags, said = self._listen(self._pool)
        if tags is not None and is_url(file):
            tags = replace(tags, problem=NOT_WRITTEN)
        row: dict[str, Any] = {"tags": results.tags_text(tags)}
        if isinstance(said, audio.Identity):
            return row | vars(said)
        return row | vars(said.done.identity) | self._columns(said)

    def _columns(self, track: _Collected) -> dict[str, Any]:
        """Return what the model is given, or what it has said already."""
        if track.scores:
            return results.heard_columns(
                whole(track.done, track.starts, track.scores, track.picture)
            )
        return {
            "seconds": track.done.seconds,
            "share": track.done.share,
            "starts": track.starts,
            "picture": track.picture,
            "bands": len(track.windows[0]),
            "windows": [w.tobytes() for w in track.windows],
        }

    def _listen(self, pool: Pool) -> tuple[Tags | None, audio.Identity | _Collected]:
        """Collect a worker's messages until the track is complete. Raises ``TrackError``."""
        tags: Tags | None = None
        windows: list[Any] = []
        starts: list[float] = []
        pictures: list[Any] = []
        scores: dict[int, WindowScores] = {}
        while True:
            for _, message in pool.messages(timeout=1.0):
                if isinstance(message, TagsRead):
                    tags = message.tags
                elif isinstance(message, WindowReady):
                    windows.append(np.ascontiguousarray(message.log_mel, np.float32))
                    starts.append(message.start)
                    if (part := thumbnail.pool_window(message.log_mel)) is not None:
                        pictures.append(part)
                    if len(windows) > MAX_WINDOWS or scores:
                        self._score_here(len(starts) - len(windows), windows, scores)
                elif isinstance(message, audio.Identity):
                    pool.answer(0, False)
                    pool.finished(0)
                    return tags, message
                elif isinstance(message, TrackDone):
                    pool.finished(0)
                    return tags, _Collected(
                        message, starts, thumbnail.pack(pictures), windows, scores
                    )
                elif isinstance(message, Failed):
                    pool.finished(0)
                    raise TrackError(message.stage, message.error)

    def _score_here(self, first: int, windows: list[Any], scores: dict[int, WindowScores]) -> None:
        """Score the windows of a long track, and forget them."""
        if self._ear is None:
            self._ear = Batcher(self._setup.shipped.load())
        scores |= {
            index: s
            for _, index, s in scored(self._ear, ((0, first + i, w) for i, w in enumerate(windows)))
        }
        windows.clear()


def scored(
    ear: Batcher, windows: Iterator[tuple[int, int, Any]]
) -> Iterator[tuple[int, int, WindowScores]]:
    """Yield (track, window, scores) of windows, in batches that go across tracks."""
    for window in windows:
        ear.add(*window)
        yield from ear.results(wait=ear.full)
    ear.flush()
    while not ear.empty:
        yield from ear.results(wait=True)


class Score:
    """Scores windows on a CPU or a GPU: ``BETWEEN`` rows -> ``RESULT`` rows."""

    def __init__(self, setup: Setup, device: str) -> None:
        self._setup, self._device = setup, device
        self._ear: Batcher | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Score some tracks."""
        rows = batch.num_rows
        open_ = [i for i in range(rows) if batch["windows"][i].is_valid]
        columns: dict[int, dict[str, Any]] = {i: {} for i in range(rows)}
        try:
            columns |= self._heard(batch, open_)
        except GenretagError as error:
            columns |= {
                i: {"content_key": None, "stage": "cluster", "error": _text(str(error))}
                for i in open_
            }
        return _with(batch, columns)

    def _heard(self, batch: pa.Table, rows: list[int]) -> dict[int, dict[str, Any]]:
        """Return the columns of what is heard in some rows."""
        if not rows:
            return {}
        if self._ear is None:
            self._setup.check()
            self._ear = Batcher(self._setup.shipped.load(self._device))
        scores: dict[int, dict[int, WindowScores]] = {i: {} for i in rows}
        for i, index, said in scored(self._ear, _windows(batch, rows)):
            scores[i][index] = said
        return {i: results.heard_columns(_whole(batch, i, scores[i])) for i in rows}


def _windows(batch: pa.Table, rows: list[int]) -> Iterator[tuple[int, int, Any]]:
    """Yield (row, number, features) of the windows in some rows; nothing is copied."""
    for i in rows:
        bands = batch["bands"][i].as_py()
        for n, window in enumerate(batch["windows"][i].values):
            yield i, n, np.frombuffer(window.as_buffer(), np.float32).reshape(bands, -1)


def _whole(batch: pa.Table, i: int, scores: dict[int, WindowScores]) -> Analysis:
    """Return what was heard in the track of a row."""
    row = {
        name: batch[name][i].as_py()
        for name in ("sha256", "content_key", "second_key", "seconds", "share", "starts", "picture")
    }
    identity = audio.Identity(row["content_key"], row["second_key"], row["sha256"])
    return whole(
        TrackDone(identity, row["seconds"], row["share"], len(row["starts"])),
        row["starts"],
        scores,
        row["picture"],
    )


def _with(batch: pa.Table, columns: dict[int, dict[str, Any]]) -> pa.Table:
    """Return a batch with some rows' columns told anew, and without the windows."""
    names = [f.name for f in results.RESULT]
    old = {name: batch[name] for name in names}
    rows = [
        {name: columns[i].get(name, old[name][i]) for name in names} for i in range(batch.num_rows)
    ]
    return results.table_of([{k: _plain(v) for k, v in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    """Return an Arrow scalar as what it holds; lists of numbers as arrays."""
    if isinstance(value, pa.ListScalar):
        return None if value.values is None else value.values.to_numpy(zero_copy_only=False)
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _widened(batch: pa.Table) -> pa.Table:
    """Return task rows with the columns of results, all null."""
    return results.table_of(batch.to_pylist())


class Keep:
    """Writes rows into files of Parquet at a place that all machines see, and hands them on.

    A file is named for the first track in it, so that a task that is done twice leaves one file.
    What cannot be
    written is told in the column ``unkept``: an operator that fails would cost the rows as well.
    """

    def __init__(self, setup: Setup, place: str, scan: str) -> None:
        self._head, self._place, self._scan = (
            results.Head(setup.shipped.metadata, scan),
            place,
            scan,
        )

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write some rows."""
        error = None
        try:
            results.write(
                self._place,
                results.part_name(self._scan, min(batch["ordinal"].to_pylist())),
                batch,
                self._head,
            )
        except RunError as unkept:
            error = _text(str(unkept))
        return batch.append_column(UNKEPT, pa.array([error] * batch.num_rows, pa.string()))


def _text(text: str) -> str:
    """Return text as Arrow keeps it: bytes of a name that are not UTF-8 are made visible."""
    return text.encode("utf-8", "backslashreplace").decode()
