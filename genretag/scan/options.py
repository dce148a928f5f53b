"""The options of a scan and the progress it reports."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from genretag.decisions.policy import Policy, Windows

#: Metadata of a field that the plan does not depend on, and of one that asks for a new plan.
_NO_MATTER, _NEW_PLAN = {"no matter": True}, {"new plan": True}


@dataclass(frozen=True)
class Options:
    """The options of a scan.

    The plan of an unchanged library is kept only for equal options; see the fields' metadata.
    """

    paths: tuple[Path, ...]
    policy: Policy = field(default_factory=Policy)
    jobs: int = field(default=1, metadata=_NO_MATTER)
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    #: Analyse again what is in the cache.
    rescan: bool = field(default=False, metadata=_NEW_PLAN)
    retry_failed: bool = field(default=False, metadata=_NEW_PLAN)
    windows: Windows = Windows.ALL
    #: Reuse an analysis of pieces even if ``windows`` asks for whole tracks.
    reuse_pieces: bool = field(default=False, metadata=_NEW_PLAN)
    #: Plan for the caller only; the plan that ``apply`` writes stays.
    aside: bool = field(default=False, metadata=_NEW_PLAN)

    @property
    def accepts_pieces(self) -> bool:
        """Whether an analysis of pieces suffices."""
        return self.windows.are_sparse or self.reuse_pieces

    @property
    def needs_new_plan(self) -> bool:
        """Whether the plan is made anew although nothing has changed."""
        return any(getattr(self, f.name) for f in fields(self) if f.metadata == _NEW_PLAN)

    def compared(self) -> dict[str, Any]:
        """Return, as JSON, the options that must be equal for an old plan to be valid."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata}
        paths = [os.path.abspath(path) for path in self.paths]
        return {**values, "paths": paths, "policy": self.policy.to_dict()}


@dataclass(frozen=True)
class Progress:
    """Progress of a scan."""

    files: int
    seconds: float  # of music decoded
    counts: Counter[str]  # files by status
    phase: str = ""  # what happens before or after the files get their results
