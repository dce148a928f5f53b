"""Run the operators of a scan as a Ray dataset: file rows in, result tables out."""

from __future__ import annotations

import gc
import inspect
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from genretag.cluster import results
from genretag.cluster.actors import DECODE_CPUS, SCORE_CPUS, Actors
from genretag.cluster.options import ClusterOptions
from genretag.cluster.setup import Setup
from genretag.cluster.stages import UNKEPT, Decode, Keep, Score
from genretag.errors import RunError

_BLOCK_BYTES = 16 << 20  # of windows that travel together
# Tracks decoded by one task. A lost worker costs as many, and Ray's overhead per task is shared.
_TASK_TRACKS = 8
_GPU_TRACKS = 4  # given to a GPU at once
_ROOM_SECONDS = 20.0  # that a cluster has to release what lost actors held


@dataclass(frozen=True)
class Operators:
    """The operators of one scan: decode, score, keep."""

    actors: Actors
    options: ClusterOptions
    scan: str  # names the files of results

    def run(
        self, rows: list[dict[str, Any]], setup: Setup, *, alone: bool = False
    ) -> Iterator[pa.Table]:
        """Run rows of files through the operators; yield result tables as they arrive.

        ``alone``: each file is a task of its own and a worker holds one task, so that a file that
        ends its worker costs no other file.

        Raises:
            RunError: the cluster failed, or results could not be written.
        """
        import ray.data
        import ray.exceptions

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.target_max_block_size = _BLOCK_BYTES
        # A task that is lost for good costs its own tracks, which are reported by name.
        context.max_errored_blocks = -1
        data = self._decode(ray.data.from_arrow(self._tasks(rows, alone=alone)), setup, alone=alone)
        if not setup.identify:
            data = self._score(data, setup, alone=alone)
            if self.options.results is not None:
                data = self._keep(data, setup, self.options.results, alone=alone)
        try:
            for table in data.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=1
            ):
                check_kept(table)
                yield table
        except ray.exceptions.RayError as error:
            raise RunError(
                f"the cluster cannot analyse: {_cause(error)}; is the same genretag installed on "
                f"all of its machines?"
            ) from error

    def _tasks(self, rows: list[dict[str, Any]], *, alone: bool) -> list[pa.Table]:
        """Divide rows into tasks, at least four per decoder where there are enough."""
        step = 1 if alone else max(1, min(_TASK_TRACKS, len(rows) // (4 * self.actors.decoders)))
        starts = range(0, len(rows), step)
        return [results.table_of(rows[at : at + step], results.TASK) for at in starts]

    def _decode(self, data: Any, setup: Setup, *, alone: bool) -> Any:
        import ray.data

        return data.map_batches(
            Decode,
            fn_constructor_args=(setup,),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=DECODE_CPUS,
            compute=ray.data.ActorPoolStrategy(
                min_size=1,
                max_size=self.actors.decoders,
                initial_size=self.actors.decoders,
                max_tasks_in_flight_per_actor=1 if alone else None,
            ),
            **self._retries(alone=alone),
        )

    def _score(self, data: Any, setup: Setup, *, alone: bool) -> Any:
        import ray.data

        needs: dict[str, Any] = {"num_cpus": SCORE_CPUS, "batch_size": None}
        if self.actors.gpus:  # Ray requires a batch size with GPUs
            needs = {"num_gpus": self.actors.gpus, "batch_size": _GPU_TRACKS}
        count = self.actors.scorers
        return data.map_batches(
            Score,
            fn_constructor_args=(setup, self.options.device if self.actors.gpus else "cpu"),
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=count),
            **needs,
            **self._retries(alone=alone),
        )

    def _keep(self, data: Any, setup: Setup, place: str, *, alone: bool) -> Any:
        import ray.data

        most = 1 + self.actors.decoders // 64
        return data.map_batches(
            Keep,
            fn_constructor_args=(setup, place, self.scan),
            batch_size=self.actors.part_rows,
            batch_format="pyarrow",
            num_cpus=0,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=1),
            **self._retries(alone=alone),
        )

    def _retries(self, *, alone: bool) -> dict[str, Any]:
        """Return how often a task is given to another worker.

        Ray's default is forever, even where the task itself ends its workers.
        """
        import ray.data

        known = inspect.signature(ray.data.Dataset.map_batches).parameters
        if "ray_remote_args_fn" not in known:  # deprecated: without it, Ray's default holds
            return {}
        retries = 1 if alone else self.options.retries
        return {"ray_remote_args_fn": lambda: {"max_restarts": -1, "max_task_retries": retries}}


def check_kept(table: pa.Table) -> None:
    """Raise ``RunError`` where results could not be written."""
    if UNKEPT not in table.column_names:
        return
    error = next((e for e in table[UNKEPT].to_pylist() if e), None)
    if error:
        raise RunError(error)


def _cause(error: BaseException) -> str:
    """Return the last line of Ray's message, without colours: it names the cause."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def has_room() -> bool:
    """Wait until the cluster has released what lost actors held; False if it does not.

    Operators that start without room for an actor would wait forever.
    """
    import ray

    gc.collect()  # an actor ends when nothing refers to it, and reference cycles do
    until = time.monotonic() + _ROOM_SECONDS
    while ray.available_resources().get("CPU", 0.0) < 1 + DECODE_CPUS:
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
