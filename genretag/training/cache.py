"""Cache of log-mels on disk for training, in shards that are mapped into memory.

Features are keyed by content key and front end, and made once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from genretag.errors import RunError
from genretag.features import FEATURE_VERSION, AnyFrontEnd, build_features
from genretag.scan.pool import Pool
from genretag.scan.worker import Failed, Task, TrackDone, WindowReady, serve

Half = npt.NDArray[np.float16]
Front = TypeVar("Front", bound=AnyFrontEnd)

MAX_WINDOWS = 6  # kept per track, spread over it
_WINDOW_SECONDS = 30.0
_ITEM_BYTES = 2  # of a float16
_SHARD_BYTES = 256 << 20  # 256 MiB; then a new shard begins
_FREE_BYTES = 100 << 20  # 100 MiB that stay free on the disk
_OVERHEAD = 1.05  # of the files over the estimated size
_TRACK_SECONDS = 600.0  # time limit for decoding a track


@dataclass(frozen=True)
class Span:
    """Place of a window: ``frames`` rows of ``bands`` float16 numbers in a shard."""

    start: float  # s, in the track
    shard: int
    row: int
    frames: int


class FeatureCache(Generic[Front]):
    """A folder of shards with an index of JSON lines.

    After a kill at any moment, it continues after the last complete track.
    """

    def __init__(self, folder: Path, front_end: Front) -> None:
        identity = [FEATURE_VERSION, front_end.to_metadata(), MAX_WINDOWS]
        text = json.dumps(identity, sort_keys=True)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.front_end = front_end
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{folder}: the feature cache cannot be created: {error.strerror}"
            ) from error
        self._index: dict[str, list[Span]] = {}
        self._read_index()
        self._maps: dict[int, Half] = {}

    # --- files ----------------------------------------------------------------------------------

    @property
    def _index_path(self) -> Path:
        return self.folder / "index.jsonl"

    def _shard_path(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.f16"

    def _read_index(self) -> None:
        """Read the index; skip a line that a kill cut off, and spans that were not written."""
        if not self._index_path.exists():
            return
        for line in self._index_path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                spans = [Span(*span) for span in row["spans"]]
            except (ValueError, KeyError, TypeError):
                continue
            # The index may be on disk before the rows are, after a power failure.
            if all(self._count_rows(s.shard) >= s.row + s.frames for s in spans):
                self._index[row["key"]] = spans

    def _count_rows(self, shard: int) -> int:
        """Return the number of complete rows in a shard; 0 if it does not exist."""
        path = self._shard_path(shard)
        row_bytes = _ITEM_BYTES * self.front_end.bands
        return path.stat().st_size // row_bytes if path.exists() else 0

    def _map(self, shard: int) -> Half:
        if shard not in self._maps:
            shape = (self._count_rows(shard), self.front_end.bands)
            self._maps[shard] = np.memmap(self._shard_path(shard), np.float16, "r", shape=shape)
        return self._maps[shard]

    # --- tracks ---------------------------------------------------------------------------------

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def windows(self, key: str) -> list[Half]:
        """Return the log-mels [frames, bands] of a track, mapped from disk."""
        return [self._map(s.shard)[s.row : s.row + s.frames] for s in self._index[key]]

    def add(self, key: str, windows: list[tuple[float, npt.NDArray[np.float32]]]) -> None:
        """Append the windows of a track: (start in s, log-mel [bands, frames])."""
        # Only the last shard grows; the earlier ones may be mapped by a training that runs.
        shard = max(0, len(list(self.folder.glob("shard-*.f16"))) - 1)
        path = self._shard_path(shard)
        if path.exists() and path.stat().st_size > _SHARD_BYTES:
            shard += 1
            path = self._shard_path(shard)
        row, spans = self._count_rows(shard), []
        try:
            with path.open("r+b" if path.exists() else "wb") as out:
                # Overwrite an incomplete row that a kill left.
                out.seek(row * _ITEM_BYTES * self.front_end.bands)
                for start, log_mel in windows:
                    frames = log_mel.shape[1]
                    out.write(np.ascontiguousarray(log_mel.T, np.float16).tobytes())
                    spans.append(Span(start, shard, row, frames))
                    row += frames
            # The index last: a track counts once its windows are complete.
            line = {"key": key, "spans": [list(vars(s).values()) for s in spans]}
            with self._index_path.open("a", encoding="utf-8") as index:
                index.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RunError(
                f"{self.folder}: the feature cache cannot be written: {error.strerror}"
            ) from error
        self._index[key] = spans
        # The mapping has the length of the shard before.
        self._maps.pop(shard, None)

    # --- disk space -----------------------------------------------------------------------------

    def size_of(self, seconds: Iterable[float]) -> int:
        """Return the size in bytes of tracks of these lengths."""
        fe = self.front_end
        frames_per_second = fe.frames(int(_WINDOW_SECONDS) * fe.sample_rate) / _WINDOW_SECONDS
        kept = sum(min(s, MAX_WINDOWS * _WINDOW_SECONDS) for s in seconds)
        return round(kept * frames_per_second * fe.bands * _ITEM_BYTES)

    def missing(self, keys: Sequence[str], seconds: npt.NDArray[np.float64]) -> tuple[int, int]:
        """Return the number of tracks that are not in the cache, and their size in bytes.

        Raises:
            RunError: the disk has no room for them.
        """
        new = [i for i, key in enumerate(keys) if key not in self]
        size = self.size_of(seconds[new].tolist())
        self.check_room(size)
        return len(new), size

    def check_room(self, size: int) -> None:
        """Raise ``RunError`` if the disk has no room for ``size`` more bytes."""
        free = shutil.disk_usage(self.folder).free
        if size * _OVERHEAD + _FREE_BYTES > free:
            raise RunError(
                f"{self.folder}: the feature cache would take {size / 1e9:.1f} GB and"
                f" {free / 1e9:.1f} GB are free; choose another folder with --cache"
            )


class SpreadWindows:
    """Keep at most ``MAX_WINDOWS`` of a stream of windows of unknown length, spread evenly.

    Every k-th window is kept, and k doubles whenever there are too many.
    """

    def __init__(self) -> None:
        self.kept: list[tuple[float, npt.NDArray[np.float32]]] = []
        self._stride, self._count = 1, 0

    def add(self, start: float, log_mel: npt.NDArray[np.float32]) -> None:
        """Add a window: start in s, log-mel [bands, frames]."""
        if self._count % self._stride == 0:
            self.kept.append((start, log_mel))
            if len(self.kept) > MAX_WINDOWS:
                self.kept = self.kept[::2]
                self._stride *= 2
        self._count += 1


def fill(
    cache: FeatureCache[Any],
    tracks: list[tuple[str, Path]],
    jobs: int,
    on_track: Callable[[int], None] | None = None,
) -> list[Path]:
    """Make the missing features of (content key, path).

    Returns:
        The files that could not be decoded.
    """
    # One path for each key: copies of a track share their features.
    todo = list({key: path for key, path in tracks if key not in cache}.items())
    failed, kept, done = list[Path](), dict[int, SpreadWindows](), 0
    if not todo:  # start no workers
        return failed
    upcoming = iter(enumerate(todo))
    with Pool(jobs, serve, (build_features(cache.front_end),)) as pool:
        exhausted = False
        while not exhausted or pool.busy:
            while not exhausted and pool.idle:
                token, (_, path) = next(upcoming, (-1, ("", Path())))
                exhausted = token < 0
                if not exhausted:
                    kept[token] = SpreadWindows()
                    pool.give(token, Task(path, ask=False), _TRACK_SECONDS)
            for token, message in pool.messages(timeout=0.1) if pool.busy else []:
                if isinstance(message, WindowReady):
                    kept[token].add(message.start, message.log_mel)
                elif isinstance(message, TrackDone | Failed):
                    pool.finished(token)
                    spread, done = kept.pop(token), done + 1
                    if isinstance(message, TrackDone):
                        cache.add(todo[token][0], spread.kept)
                    else:
                        failed.append(todo[token][1])
                    if on_track is not None:
                        on_track(done)
    return failed


def ensure_cached(
    cache: FeatureCache[Any], keys: Sequence[str], paths: Sequence[Path], jobs: int
) -> None:
    """Make the missing features.

    Raises:
        RunError: a file that was analysed before cannot be decoded any more.
    """
    failed = fill(cache, list(zip(keys, paths, strict=True)), jobs)
    if failed:
        raise RunError(
            f"{failed[0]}: this file was analysed before and cannot be decoded now"
            f" ({len(failed):,} such files)"
        )


def default_folder() -> Path:
    """Return the folder of the feature cache unless another is chosen."""
    import platformdirs

    return platformdirs.user_cache_path("genretag") / "features"
