"""The options of a scan and the progress it reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from genretag.decisions.policy import Policy, Windows


@dataclass(frozen=True)
class Options:
    """The options of a scan."""

    paths: tuple[Path, ...]
    policy: Policy = field(default_factory=Policy)
    jobs: int = 1
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    rescan: bool = False  # analyse again what is in the cache
    retry_failed: bool = False
    windows: Windows = Windows.ALL
    aside: bool = False  # plan for the caller only; the plan that ``apply`` writes stays


@dataclass(frozen=True)
class Progress:
    """Progress of a scan."""

    files: int
    seconds: float  # of music decoded
    counts: Counter[str]  # files by status
    phase: str = ""  # what happens before or after the files get their results
