"""Windows of many tracks -> batches of fixed shapes -> window scores, while decoding goes on."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.inference.model import Model, Scores, cut_chunks

FloatArray = npt.NDArray[np.float32]

#: What may wait before the decode workers are held back: so many batches, or so many rows (0.2 MB each), whichever is more.
_WAITING_BATCHES, _WAITING_ROWS = 3, 36


@dataclass(frozen=True)
class WindowScores:
    """What the model says of one window: the means over its chunks."""

    logits: FloatArray  # [labels]
    music: float  # logit
    embedding: FloatArray  # [dims]


@dataclass
class _Window:
    """A window on its way: the sum of its chunks so far."""

    token: int
    index: int
    left: int
    count: int
    sums: list[Any] | None = None


class Batcher:
    """Gathers chunks by length, runs full batches on a thread, and gives window scores back.

    The mean over chunks is taken of logits and embedding, which is exact for a linear head: a
    window's logits are the head's answer to the window's embedding.
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
        """Whether the model is behind, so that nothing more should be added."""
        return len(self._running) >= max(_WAITING_BATCHES, _WAITING_ROWS // self._model.rows)

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._running and not any(self._rows.values())

    def add(self, token: int, index: int, log_mel: FloatArray) -> None:
        """Add one window's log-mel [bands, frames] of the track ``token``."""
        pieces = cut_chunks(log_mel, self._model.metadata.chunks)
        window = _Window(token, index, len(pieces), len(pieces))
        rows = self._rows.setdefault(pieces[0].shape[1], [])
        for piece in pieces:
            rows.append((piece, window))
            if len(rows) == self._model.rows:
                self._run(rows)

    def _run(self, rows: list[tuple[FloatArray, _Window]]) -> None:
        """Send rows to the model, and empty the list."""
        chunks = np.stack([piece for piece, _ in rows])
        self._running.append((self._thread.submit(self._model.run, chunks), [w for _, w in rows]))
        rows.clear()

    def flush(self) -> None:
        """Send what waits, though no batch is full."""
        for rows in self._rows.values():
            if rows:
                self._run(rows)

    def results(self, *, wait: bool = False) -> list[tuple[int, int, WindowScores]]:
        """Return (token, window, scores) of the windows that are whole; ``wait`` for the oldest batch."""
        out = []
        while self._running and (wait or self._running[0][0].done()):
            future, windows = self._running.popleft()
            scores, wait = future.result(), False
            for i, window in enumerate(windows):
                parts = [scores.logits[i], scores.music[i : i + 1], scores.embedding[i]]
                window.sums = (
                    parts
                    if window.sums is None
                    else [a + b for a, b in zip(window.sums, parts, strict=True)]
                )
                window.left -= 1
                if window.left == 0:
                    logits, music, embedding = (
                        np.asarray(s / window.count, np.float32) for s in window.sums
                    )
                    out.append(
                        (
                            window.token,
                            window.index,
                            WindowScores(logits, float(music[0]), embedding),
                        )
                    )
        return out
