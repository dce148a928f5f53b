"""Log-mels on disk: made once, keyed by content and front end, in shards that training maps into memory."""

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

MAX_WINDOWS = 6  # of a track: spread over it
_SHARD_BYTES = 256 << 20
_SECONDS_A_TRACK = 600.0  # time limit


@dataclass(frozen=True)
class Span:
    """Where one window lies: ``frames`` rows of ``bands`` float16 numbers in a shard."""

    start: float  # s, in the track
    shard: int
    row: int
    frames: int


class FeatureCache(Generic[Front]):
    """A folder of shards with an index of lines; it may be killed at any moment and goes on from the last whole track."""

    def __init__(self, folder: Path, front_end: Front) -> None:
        told = json.dumps([FEATURE_VERSION, front_end.to_metadata(), MAX_WINDOWS], sort_keys=True)
        self.folder = folder / hashlib.sha256(told.encode()).hexdigest()[:16]
        self.front_end = front_end
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{folder}: the feature cache cannot be made: {error.strerror}"
            ) from error
        self._index: dict[str, list[Span]] = {}
        self._read_index()
        self._maps: dict[int, Half] = {}

    @property
    def _index_path(self) -> Path:
        return self.folder / "index.jsonl"

    def _shard(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.f16"

    def _read_index(self) -> None:
        """Read the index; a last line that a kill cut off does not count."""
        if not self._index_path.exists():
            return
        for line in self._index_path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                spans = [Span(*span) for span in row["spans"]]
            except (ValueError, KeyError, TypeError):
                continue
            if all(
                self._shard(s.shard).exists() and self._rows(s.shard) >= s.row + s.frames
                for s in spans
            ):
                self._index[row["key"]] = spans

    def _rows(self, shard: int) -> int:
        """Return how many whole rows a shard holds."""
        path = self._shard(shard)
        return path.stat().st_size // (2 * self.front_end.bands) if path.exists() else 0

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def add(self, key: str, windows: list[tuple[float, npt.NDArray[np.float32]]]) -> None:
        """Append a track's windows: (start in s, log-mel [bands, frames])."""
        shard = max(0, len(list(self.folder.glob("shard-*.f16"))) - 1)
        if self._shard(shard).exists() and self._shard(shard).stat().st_size > _SHARD_BYTES:
            shard += 1
        row, spans = self._rows(shard), []
        width = 2 * self.front_end.bands
        try:
            with self._shard(shard).open("r+b" if self._shard(shard).exists() else "wb") as out:
                out.seek(row * width)  # what a kill left of a row is written over
                for start, log_mel in windows:
                    frames = log_mel.shape[1]
                    out.write(np.ascontiguousarray(log_mel.T, np.float16).tobytes())
                    spans.append(Span(start, shard, row, frames))
                    row += frames
            with self._index_path.open("a", encoding="utf-8") as out_index:
                out_index.write(
                    json.dumps({"key": key, "spans": [list(vars(s).values()) for s in spans]})
                    + "\n"
                )
        except OSError as error:
            raise RunError(
                f"{self.folder}: the feature cache cannot be written: {error.strerror}"
            ) from error
        self._index[key] = spans
        self._maps.pop(shard, None)

    def windows(self, key: str) -> list[Half]:
        """Return a track's log-mels [frames, bands], mapped, not read."""
        return [self._map(s.shard)[s.row : s.row + s.frames] for s in self._index[key]]

    def _map(self, shard: int) -> Half:
        if shard not in self._maps:
            rows = self._rows(shard)
            self._maps[shard] = np.memmap(
                self._shard(shard), np.float16, "r", shape=(rows, self.front_end.bands)
            )
        return self._maps[shard]

    def size_of(self, seconds: Iterable[float]) -> int:
        """Return how many bytes tracks of such lengths take."""
        fe = self.front_end
        a_second = fe.frames(30 * fe.sample_rate) / 30
        return round(sum(min(s, MAX_WINDOWS * 30.0) for s in seconds) * a_second * fe.bands * 2)

    def missing(self, keys: Sequence[str], seconds: npt.NDArray[np.float64]) -> tuple[int, int]:
        """Return how many tracks are not here yet, and the bytes that they will take; raise where the disk has no room for them."""
        new = [i for i, key in enumerate(keys) if key not in self]
        size = self.size_of(seconds[new].tolist())
        self.check_room(size)
        return len(new), size

    def check_room(self, size: int) -> None:
        """Raise ``RunError`` where the disk has no room for ``size`` bytes more."""
        free = shutil.disk_usage(self.folder).free
        if size * 1.05 + (100 << 20) > free:
            raise RunError(
                f"{self.folder}: the feature cache would take {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; say --cache"
            )


class SpreadWindows:
    """Keeps at most ``MAX_WINDOWS`` windows of a stream of unknown length, spread evenly: every k-th, k doubling."""

    def __init__(self) -> None:
        self.kept: list[tuple[float, npt.NDArray[np.float32]]] = []
        self._stride, self._met = 1, 0

    def add(self, start: float, log_mel: npt.NDArray[np.float32]) -> None:
        if self._met % self._stride == 0:
            self.kept.append((start, log_mel))
            if len(self.kept) > MAX_WINDOWS:
                self.kept = self.kept[::2]
                self._stride *= 2
        self._met += 1


def fill(
    cache: FeatureCache[Any],
    tracks: list[tuple[str, Path]],
    jobs: int,
    on_track: Callable[[int], None] | None = None,
) -> list[Path]:
    """Make what is missing of (content key, path); return the files that could not be decoded."""
    todo = list({key: path for key, path in tracks if key not in cache}.items())
    failed, kept, done = list[Path](), dict[int, SpreadWindows](), 0
    if not todo:  # no workers need to start
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
                    pool.give(token, Task(path, ask=False), _SECONDS_A_TRACK)
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
    """Make what is missing; raise ``RunError`` where one of the files cannot be decoded any more."""
    failed = fill(cache, list(zip(keys, paths, strict=True)), jobs)
    if failed:
        raise RunError(
            f"{failed[0]}: it was heard before, and cannot be decoded now ({len(failed):,} such files)"
        )


def default_folder() -> Path:
    """Return where features are kept unless another place is named."""
    import platformdirs

    return platformdirs.user_cache_path("genretag") / "features"
