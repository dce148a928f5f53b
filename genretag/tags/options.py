"""Options of the tag formats themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TagOptions:
    """How tags are written where a format leaves a choice."""

    convert_v22: bool = False  # write ID3v2.2 tags as v2.3; else they are not written
    id3_version: int | None = None  # 3 or 4: write ID3v2 tags in this version; None: keep theirs


KEEP_AS_IS = TagOptions()
