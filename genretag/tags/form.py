"""How a genre is to be written, where a container leaves a choice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TagOptions:
    """What a user may choose about the tags themselves."""

    convert_v22: bool = False  # ID3v2.2 as v2.3; else such tags are left alone
    id3_version: int | None = None  # 3 or 4: write ID3v2 tags in this version; None: in the one that they have


KEEP_AS_IS = TagOptions()
