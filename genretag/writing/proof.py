"""Prove that a changed copy of a file differs from it in the planned fields alone.

The proof reads bytes with genretag's own parsers and uses no code of the library that wrote the
tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genretag.layout.account import Account, Kind, Region, differences
from genretag.layout.detect import account
from genretag.layout.id3 import MAX_EMPTY_TEXT
from genretag.layout.mapping import mapped

#: Tags that a write may add where there were none; a new tag repeats the texts of an older one.
_NEW_TAGS = frozenset({"ID3v2", "APEv2", "VORBIS_COMMENT", "id3 ", "ID3 ", "LIST"})

#: Frames that repeat ID3v1 in an ID3v2 tag, if it had none of those that programs show.
_REPEATED = frozenset(
    f"ID3v2/{name}" for name in ("TIT2", "TPE1", "TALB", "TDRC", "TYER", "COMM", "TRCK", "TCON")
)
_REPEATED_ITEMS = frozenset(
    f"APEv2/{key}" for key in ("Title", "Artist", "Album", "Year", "Comment", "Track", "Genre")
)
_FRAMING = ("/vendor", "APEv2/header", "APEv2/footer")  # of tags that may be empty
_SHOWN = ("ID3v2/T", "ID3v2/COMM", "ID3v2/USLT")


def prove(
    original: Path, copy: Path, fields: Sequence[str] = ("genre",), *, converted: bool = False
) -> list[str]:
    """Return the names of parts that differ though they must not; empty if the proof holds.

    ``converted``: the ID3v2 version was changed on purpose. The bytes of its frames differ then,
    and are not compared here.

    Raises:
        UnexplainedError: not every byte of a file can be explained.
    """
    with mapped(original) as old, mapped(copy) as new:
        before, after = account(old, fields), account(new, fields)
        if converted:
            before, after = _without_id3v2(before), _without_id3v2(after)
        # A tag that is new as a whole hides nothing; a new frame in an old tag is a fault.
        added = _new_tags(before, after)
        return differences(before, old, after, new, added)


def _without_id3v2(account: Account) -> Account:
    """Return the account with all ID3v2 frames as the field that is written."""
    regions = tuple(
        replace(r, kind=Kind.FIELD) if "ID3v2" in r.name.split("/") else r for r in account.regions
    )
    return replace(account, regions=regions)


def _new_tags(before: Account, after: Account) -> frozenset[str]:
    """Return the paths of tags in the copy that the original has not, or has without a frame."""
    paths = set[str]()
    for region in after.regions:
        parts = region.name.split("/")
        tops = (n for n, part in enumerate(parts, 1) if part in _NEW_TAGS)
        paths |= {"/".join(parts[:n]) for n in tops}
    held = (Kind.OTHER, Kind.FIELD)
    parts_of_tags = (r for r in before.regions if r.kind in held and r.size)
    old = [r.name for r in parts_of_tags if not r.name.endswith(_FRAMING)]
    new = frozenset(p for p in paths if not any(o.startswith(p + "/") for o in old))
    if "ID3v1" not in old:
        return new
    # Programs would ignore ID3v1 from now on, so its texts are repeated in the new tag.
    if not any(map(_is_text, before.regions)):
        new |= _REPEATED
    return new if any(o in _REPEATED_ITEMS for o in old) else new | _REPEATED_ITEMS


def _is_text(region: Region) -> bool:
    """Return whether a region is an ID3v2 frame with a text that programs show."""
    return region.name.startswith(_SHOWN) and region.size > MAX_EMPTY_TEXT
