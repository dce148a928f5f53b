"""The operators of a scan on a cluster: file -> windows -> analysis -> Parquet.

An operator never fails because of a file: a track's error is in its row. A decoder that crashes,
hangs or grows lives in a process of its own, as in the local engine, and costs its track alone.
Ray handles lost workers and machines: it gives their tasks, a few tracks each, to others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from genretag import audio
from genretag.cluster import result_files, results
from genretag.cluster.setup import Setup
from genretag.cluster.source import fetched
from genretag.errors import GenretagError, RunError, TrackError
from genretag.features import build_features, thumbnail
from genretag.inference.batching import Batcher, WindowScores
from genretag.library.urls import NOT_WRITTEN, is_url, to_url
from genretag.records import Analysis, Tags
from genretag.scan.pool import Pool
from genretag.scan.track import are_settled, make_analysis
from genretag.scan.worker import (
    Failed,
    Part,
    Restart,
    TagsRead,
    Task,
    TrackDone,
    WindowReady,
    time_limit,
)

# Windows of a track that travel to the model together. A longer track (over ten minutes) is scored
# where it is decoded, so that memory does not grow with its length.
MAX_WINDOWS = 20

FloatArray = npt.NDArray[np.float32]

UNKEPT = "unkept"  # column with the error of results that could not be written


@dataclass(frozen=True)
class _Collected:
    """A decoded track: its windows, or their scores already."""

    done: TrackDone
    starts: list[float]
    pictures: list[FloatArray]
    windows: list[np.ndarray[Any, np.dtype[np.float32]]]
    scores: dict[int, WindowScores]


class Decode:
    """Decodes one file at a time in a supervised process: ``TASK`` rows -> ``BETWEEN`` rows."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._pool: Pool | None = None
        self._batcher: Batcher | None = None

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Decode some files; each yields one row."""
        for task, file in results.track_results(_widened(batch)):
            row = results.task_row(task.ordinal, task.found, file)
            try:
                row |= self._columns(to_url(file), task.found.size)
            except TrackError as error:
                row |= {"stage": error.stage, "error": _text(str(error))}
            except GenretagError as error:
                row |= {"stage": "cluster", "error": _text(str(error))}
            yield results.table_of([row], results.BETWEEN)

    def _columns(self, file: str, size: int) -> dict[str, Any]:
        """Return the columns of a file: identity, and windows or scores."""
        if self._pool is None:
            self._setup.check()
            self._pool = Pool(
                1, self._setup.decoder, (build_features(self._setup.shipped.metadata.front_end),)
            )
        with fetched(file, self._setup.folder) as near:
            task = Task(near, self._setup.identify, self._setup.part)
            self._pool.give(0, task, time_limit(size))
            tags, decoded = self._collect(self._pool)
        if tags is not None and is_url(file):
            tags = replace(tags, problem=NOT_WRITTEN)
        row: dict[str, Any] = {"tags": results.tags_text(tags)}
        if isinstance(decoded, audio.Identity):
            return row | vars(decoded)
        return row | vars(decoded.done.identity) | self._analysis_columns(decoded)

    def _analysis_columns(self, track: _Collected) -> dict[str, Any]:
        """Return the windows to score, or the scores if they exist already."""
        if track.scores:
            pictures = _pictures(track.pictures)
            return results.analysis_columns(
                _analysis(self._setup, track.done, track.starts, track.scores, pictures)
            )
        first, of_all = _pictures(track.pictures)
        return {
            "seconds": track.done.seconds,
            "share": track.done.share,
            "starts": track.starts,
            "picture": first if track.done.piece else of_all,
            "picture_of_all": of_all,
            "piece": track.done.piece,
            "bands": len(track.windows[0]),
            "windows": [w.tobytes() for w in track.windows],
        }

    def _collect(self, pool: Pool) -> tuple[Tags | None, audio.Identity | _Collected]:
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
                elif isinstance(message, Restart):
                    for each in (windows, starts, pictures):
                        each.clear()
                    scores.clear()
                elif isinstance(message, audio.Identity):
                    # Packets are compared, too, where every byte is read anyway.
                    further = message.content_key is None and self._setup.part is Part.WHOLE
                    pool.answer(0, further)
                    if further:
                        continue
                    pool.finished(0)
                    return tags, message
                elif isinstance(message, TrackDone):
                    pool.finished(0)
                    return tags, _Collected(message, starts, pictures, windows, scores)
                elif isinstance(message, Failed):
                    pool.finished(0)
                    raise TrackError(message.stage, message.error)

    def _score_here(self, first: int, windows: list[Any], scores: dict[int, WindowScores]) -> None:
        """Score the windows of a long track so far, and drop them."""
        if self._batcher is None:
            self._batcher = Batcher(self._setup.shipped.load())
        scores |= {
            index: s
            for _, index, s in scored(
                self._batcher, ((0, first + i, w) for i, w in enumerate(windows))
            )
        }
        windows.clear()


def scored(
    batcher: Batcher, windows: Iterator[tuple[int, int, Any]]
) -> Iterator[tuple[int, int, WindowScores]]:
    """Yield (track, window, scores) of windows, in batches across tracks."""
    for window in windows:
        batcher.add(*window)
        yield from batcher.results(wait=batcher.full)
    batcher.flush()
    while not batcher.empty:
        yield from batcher.results(wait=True)


class Score:
    """Scores windows on a CPU or a GPU: ``BETWEEN`` rows -> ``RESULT`` rows."""

    def __init__(self, setup: Setup, device: str) -> None:
        self._setup, self._device = setup, device
        self._batcher: Batcher | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Score some tracks."""
        rows = batch.num_rows
        unscored = [i for i in range(rows) if batch["windows"][i].is_valid]
        columns: dict[int, dict[str, Any]] = {i: {} for i in range(rows)}
        try:
            columns |= self._analysed(batch, unscored)
        except GenretagError as error:
            columns |= {
                i: {"content_key": None, "stage": "cluster", "error": _text(str(error))}
                for i in unscored
            }
        return _with(batch, columns)

    def _analysed(self, batch: pa.Table, rows: list[int]) -> dict[int, dict[str, Any]]:
        """Return the columns of the analyses of some rows."""
        if not rows:
            return {}
        if self._batcher is None:
            self._setup.check()
            self._batcher = Batcher(self._setup.shipped.load(self._device))
        scores: dict[int, dict[int, WindowScores]] = {i: {} for i in rows}
        for i, index, window_scores in scored(self._batcher, _windows(batch, rows)):
            scores[i][index] = window_scores
        return {
            i: results.analysis_columns(_row_analysis(self._setup, batch, i, scores[i]))
            for i in rows
        }


def _windows(batch: pa.Table, rows: list[int]) -> Iterator[tuple[int, int, Any]]:
    """Yield (row, number, features) of the windows of some rows, without copying."""
    for i in rows:
        bands = batch["bands"][i].as_py()
        for n, window in enumerate(batch["windows"][i].values):
            yield i, n, np.frombuffer(window.as_buffer(), np.float32).reshape(bands, -1)


def _row_analysis(
    setup: Setup, batch: pa.Table, i: int, scores: dict[int, WindowScores]
) -> Analysis:
    """Return the analysis of the track in a row."""
    keys = ("content_key", "second_key", "audio_key", "file_check")
    identity = audio.Identity(*(batch[name][i].as_py() for name in keys))
    names = ("seconds", "share", "piece", "starts", "picture", "picture_of_all")
    seconds, share, piece, starts, *pictures = (batch[name][i].as_py() for name in names)
    done = TrackDone(identity, seconds, share, piece)
    return _analysis(setup, done, starts, scores, (pictures[0], pictures[1]))


def _pictures(pictures: list[FloatArray]) -> tuple[bytes, bytes]:
    """Return the thumbnails of the first pieces and of all."""
    return thumbnail.pack(pictures[::2]), thumbnail.pack(pictures)


def _analysis(
    setup: Setup,
    done: TrackDone,
    starts: list[float],
    scores: dict[int, WindowScores],
    pictures: tuple[bytes, bytes],
) -> Analysis:
    """Return the analysis of a track, of the first pieces alone if they settle its decision.

    All pieces were decoded and scored, because nothing can be requested later.
    """
    first = [scores[n] for n in range(0, len(starts), 2)]
    metadata, threshold = setup.shipped.metadata, setup.min_confidence
    if done.piece and are_settled(first, done, metadata, threshold):
        return make_analysis(done, starts[::2], dict(enumerate(first)), pictures[0])
    return make_analysis(done, starts, scores, pictures[1])


def _with(batch: pa.Table, columns: dict[int, dict[str, Any]]) -> pa.Table:
    """Return a batch with new values in some rows, and without the windows."""
    names = [f.name for f in results.RESULT]
    old = {name: batch[name] for name in names}
    rows = [
        {name: columns[i].get(name, old[name][i]) for name in names} for i in range(batch.num_rows)
    ]
    return results.table_of([{k: _python_value(v) for k, v in row.items()} for row in rows])


def _python_value(value: Any) -> Any:
    """Return the Python value of an Arrow scalar; lists of numbers as arrays."""
    if isinstance(value, pa.ListScalar):
        return None if value.values is None else value.values.to_numpy(zero_copy_only=False)
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _widened(batch: pa.Table) -> pa.Table:
    """Return task rows with the columns of results, all null."""
    return results.table_of(batch.to_pylist())


class Keep:
    """Writes rows into Parquet files where all machines can reach them, and passes the rows on.

    A file is named for its first track, so that a task that runs twice leaves one file. An error
    goes into the column ``unkept``: an operator that fails would lose the rows as well.
    """

    def __init__(self, setup: Setup, place: str, scan: str) -> None:
        self._head, self._place, self._scan = (
            result_files.Head(setup.shipped.metadata, scan),
            place,
            scan,
        )

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write some rows."""
        error = None
        try:
            result_files.write(
                self._place,
                result_files.part_name(self._scan, min(batch["ordinal"].to_pylist())),
                batch,
                self._head,
            )
        except RunError as unkept:
            error = _text(str(unkept))
        return batch.append_column(UNKEPT, pa.array([error] * batch.num_rows, pa.string()))


def _text(text: str) -> str:
    """Return text that Arrow accepts: bytes that are not UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
