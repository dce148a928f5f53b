"""The rules that a user sets: how windows vote, how sure is sure enough, what becomes of a genre that is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Rule(StrEnum):
    """How windows vote."""

    MEAN = "mean"  # mean of log-probabilities
    MAJORITY = "majority"  # most windows; ties go to the higher mean
    WEIGHTED = "weighted"  # mean of probabilities, each window weighted by its own confidence


class Existing(StrEnum):
    """What becomes of a genre that is there already."""

    SKIP = "skip"
    REPLACE = "replace"
    APPEND = "append"


class HardLinks(StrEnum):
    """What becomes of a file that has other names (torrents and deduplication live on such)."""

    SKIP = "skip"
    BREAK = "break"  # this name gets a file of its own
    IN_PLACE = "in-place"  # all names see the change; a kill in the middle is mended by the next run


@dataclass(frozen=True)
class Policy:
    """The rules that turn verdicts into a plan."""

    min_confidence: float | None = None  # None: the model's own threshold
    existing: Existing = Existing.SKIP
    top: int = 1
    vote: Rule = Rule.MEAN
    hardlinks: HardLinks = HardLinks.SKIP

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Policy:
        """Read what ``to_dict`` wrote."""
        return cls(
            min_confidence=data.get("min_confidence"),
            existing=Existing(data["existing"]),
            top=int(data["top"]),
            vote=Rule(data["vote"]),
            hardlinks=HardLinks(data["hardlinks"]),
        )
