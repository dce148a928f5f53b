"""Batching: windows of many tracks -> batches of fixed shape -> scores per window.

The model runs on a thread, while the workers decode.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.inference.model import Model, Scores, cut_chunks

FloatArray = npt.NDArray[np.float32]

# Limits of the queue before the decode workers are held back; the larger of the two counts.
_MAX_WAITING_BATCHES = 3
_MAX_WAITING_ROWS = 36  # 0.2 MB each


@dataclass(frozen=True)
class WindowScores:
    """Scores of one window: the means over its chunks."""

    logits: FloatArray  # [labels]
    music: float  # logit
    embedding: FloatArray  # [dims]


@dataclass
class _Window:
    """Window in progress: the sum of its chunks so far."""

    token: int
    index: int
    remaining: int  # chunks without scores yet
    count: int
    sums: list[Any] | None = None


class Batcher:
    """Collects chunks by length, runs full batches on a thread, and returns scores per window.

    Logits and embedding are averaged over the chunks of a window. For a linear head this is exact:
    the mean of the logits are the logits of the mean embedding.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._rows: dict[int, list[tuple[FloatArray, _Window]]] = {}
        self._running: deque[tuple[Future[Scores], list[_Window]]] = deque()

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def full(self) -> bool:
        """Whether the model is behind, so that no more windows should be added."""
        return len(self._running) >= max(
            _MAX_WAITING_BATCHES, _MAX_WAITING_ROWS // self._model.rows
        )

    @property
    def empty(self) -> bool:
        """Whether no window waits and no batch runs."""
        return not self._running and not any(self._rows.values())

    def add(self, token: int, index: int, log_mel: FloatArray) -> None:
        """Add the log-mel [bands, frames] of a window of the track ``token``."""
        chunks = cut_chunks(log_mel, self._model.metadata.chunks)
        window = _Window(token, index, len(chunks), len(chunks))
        # Chunks of one length share batches; windows at the end of a track have shorter ones.
        rows = self._rows.setdefault(chunks[0].shape[1], [])
        for chunk in chunks:
            rows.append((chunk, window))
            if len(rows) == self._model.rows:
                self._run(rows)

    def _run(self, rows: list[tuple[FloatArray, _Window]]) -> None:
        """Send rows to the model and clear the list."""
        chunks = np.stack([chunk for chunk, _ in rows])
        self._running.append((self._thread.submit(self._model.run, chunks), [w for _, w in rows]))
        rows.clear()

    def flush(self) -> None:
        """Send the waiting rows as incomplete batches."""
        for rows in self._rows.values():
            if rows:
                self._run(rows)

    def results(self, *, wait: bool = False) -> list[tuple[int, int, WindowScores]]:
        """Return (token, window, scores) of the finished windows; ``wait`` for the oldest batch."""
        out = []
        # In order of submission, so that the results do not depend on which batch ends first.
        while self._running and (wait or self._running[0][0].done()):
            future, windows = self._running.popleft()
            scores, wait = future.result(), False
            for i, window in enumerate(windows):
                parts = [scores.logits[i], scores.music[i : i + 1], scores.embedding[i]]
                if (finished := _add_chunk(window, parts)) is not None:
                    out.append((window.token, window.index, finished))
        return out


def _add_chunk(window: _Window, parts: list[FloatArray]) -> WindowScores | None:
    """Add the scores of a chunk to its window; return the means after the last chunk."""
    sums = window.sums
    window.sums = parts if sums is None else [a + b for a, b in zip(sums, parts, strict=True)]
    window.remaining -= 1
    if window.remaining:
        return None
    logits, music, embedding = (np.asarray(s / window.count, np.float32) for s in window.sums)
    return WindowScores(logits, float(music[0]), embedding)
