"""Prove that a changed copy of a file differs from it in the planned fields alone.

The proof reads bytes with genretag's own parsers and uses no code of the library that wrote the
tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genretag.layout.account import Account, Kind, differences
from genretag.layout.detect import account
from genretag.layout.mapping import mapped
from genretag.writing.repeated import new_names


def prove(
    original: Path, copy: Path, fields: Sequence[str] = ("genre",), *, converted: bool = False
) -> list[str]:
    """Return the names of parts that differ though they must not; empty if the proof holds.

    A tag that is new holds the planned fields, and repeats texts of an older one; no more.

    ``converted``: the ID3v2 version was changed on purpose. The bytes of frames that were there
    differ then, and are not compared here.

    Raises:
        UnexplainedError: not every byte of a file can be explained.
    """
    with mapped(original) as old, mapped(copy) as new:
        before, after = account(old, fields), account(new, fields)
        # The version may be the old one after all: then all frames are compared as bytes.
        same = _headers(before, old) == _headers(after, new)
        whole = converted and not same and _has_frames(before)
        if whole:
            before, after = _without_id3v2(before), _without_id3v2(after)
        added = new_names(before, old, after, new, converted=converted and not same)
        if converted and not same and not whole:
            before = _without_id3v2(before)
        return differences(before, old, after, new, added)


def _headers(account: Account, data: memoryview) -> list[bytes]:
    """Return the headers of the ID3v2 tags, which hold their versions."""
    names = ((r, r.name.rpartition("/")[2]) for r in account.regions)
    return [bytes(data[r.start : r.end]) for r, name in names if name == "ID3v2"]


def _has_frames(account: Account) -> bool:
    """Return whether an ID3v2 tag of the file holds more than its headers and padding."""
    held = (r.name for r in account.regions if r.kind in (Kind.OTHER, Kind.FIELD))
    inner = (name for name in held if not name.endswith("/extended header"))
    return any("ID3v2" in name.split("/")[:-1] for name in inner)


def _without_id3v2(account: Account) -> Account:
    """Return the account with all ID3v2 frames as the field that is written."""
    regions = tuple(
        replace(r, kind=Kind.FIELD) if "ID3v2" in r.name.split("/") else r for r in account.regions
    )
    return replace(account, regions=regions)
