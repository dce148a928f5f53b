"""The options of a scan on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genretag.scan.worker import serve


@dataclass(frozen=True)
class ClusterOptions:
    """The options of a scan on a cluster, besides those of every scan."""

    places: tuple[str, ...] = ()  # URLs
    address: str | None = None  # of a cluster; None: start one on this machine for this scan
    results: str | None = None  # folder or URL for results in Parquet
    device: str = "cpu"
    model: Path | None = None  # as given; None: the bundled one
    decoders: int | None = None  # None: one per CPU
    retries: int = 3  # of a task whose worker was lost
    decoder: Callable[..., None] = serve
