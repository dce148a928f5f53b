"""The account of a file: what each of its bytes is, and the comparison of two accounts."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

_BLOCK = 1 << 20  # bytes compared at once


class Kind(StrEnum):
    """What a region of a file holds."""

    AUDIO = "audio"  # coded audio and its own headers
    FIELD = "field"  # a planned field, such as the genre, with its framing
    OTHER = "other"  # all else: must stay byte-identical and in order
    DERIVED = "derived"  # sizes, offsets, counts, checksums: follow from the rest
    PADDING = "padding"  # filler that may grow or shrink


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes ``start`` to ``end`` (exclusive, in bytes from the start of the file).

    ``name`` is a path such as ``ID3v2/TIT2`` or ``moov/udta/meta/ilst/trkn``; for a ``FIELD``
    region ``field`` names the field (``genre``).
    """

    kind: Kind
    start: int
    end: int
    name: str
    field: str | None = None

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.start


@dataclass(frozen=True)
class Pointer:
    """An absolute offset stored at byte ``at`` of the file, pointing to byte ``target``."""

    at: int
    target: int
    name: str


@dataclass(frozen=True)
class Account:
    """Every byte of a file, in order, without gaps or overlaps."""

    container: str
    size: int
    regions: tuple[Region, ...]
    pointers: tuple[Pointer, ...] = ()

    def __post_init__(self) -> None:
        """Check that the regions cover the file exactly."""
        # An account that leaves out a byte could hide a change to it.
        at = 0
        for region in self.regions:
            if region.start != at or region.end < region.start:
                raise UnexplainedError(f"bytes {at} to {region.start} are not explained")
            at = region.end
        if at != self.size:
            raise UnexplainedError(f"bytes {at} to {self.size} are not explained")

    def kept(self) -> Iterator[Region]:
        """Yield the regions that a write must keep: audio and other."""
        return (r for r in self.regions if r.kind in (Kind.AUDIO, Kind.OTHER) and r.size)


class UnexplainedError(ValueError):
    """A file whose bytes cannot all be explained; the message is a clause for users."""


@dataclass(frozen=True)
class _Run:
    """Neighbouring kept regions of one name, with derived bytes, padding or fields between."""

    name: str
    spans: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return sum(end - start for start, end in self.spans)


def _runs(account: Account) -> list[_Run]:
    runs: list[tuple[str, list[tuple[int, int]]]] = []
    for region in account.kept():
        if not runs or runs[-1][0] != region.name:
            runs.append((region.name, []))
        runs[-1][1].append((region.start, region.end))
    return [_Run(name, tuple(spans)) for name, spans in runs]


def differences(
    before: Account,
    old: memoryview,
    after: Account,
    new: memoryview,
    added: frozenset[str] = frozenset(),
) -> list[str]:
    """Return the names of kept regions that changed, vanished, moved or are new.

    ``old`` and ``new`` are the bytes of the two files. Kept regions are compared in order; those of
    ``after`` whose name is one of ``added`` may be new. Each pointer must lead to the same
    byte of the same kept region as before.
    """
    if before.container != after.container:
        return [f"{before.container} became {after.container}"]
    runs, changed = _runs(before), list[str]()
    matched: list[tuple[_Run, _Run]] = []
    waiting = iter(_runs(after))
    for run in runs:
        other = next(waiting, None)
        # Only what the write announced may be new, and it may stand anywhere between the old parts.
        while other is not None and other.name != run.name and other.name in added:
            other = next(waiting, None)
        # One missing part puts all later ones out of step: name the first and stop.
        if other is None or other.name != run.name:
            return [run.name]
        if not _are_equal(run, old, other, new):
            changed.append(run.name)
        matched.append((run, other))
    changed += [r.name for r in waiting if r.name not in added]
    return changed or _misled_pointers(before, after, matched)


def _are_equal(a: _Run, old: memoryview, b: _Run, new: memoryview) -> bool:
    """Return whether two runs hold the same bytes."""
    if a.size != b.size:
        return False
    # What lies between the spans is equal too as a rule: the numbers of thousands of Ogg pages.
    start, end, other = a.spans[0][0], a.spans[-1][1], b.spans[0][0]
    if a.spans == tuple((s - other + start, e - other + start) for s, e in b.spans) and _is_copied(
        old, start, end, new, other
    ):
        return True
    return len(a.spans) + len(b.spans) > 2 and _digest(a, old) == _digest(b, new)


def _is_copied(old: memoryview, start: int, end: int, new: memoryview, other: int) -> bool:
    """Return whether the bytes ``start`` to ``end`` are those of the new file from ``other`` on."""
    return all(
        bytes(old[at : min(at + _BLOCK, end)])
        == bytes(new[at - start + other : min(at + _BLOCK, end) - start + other])
        for at in range(start, end, _BLOCK)
    )


def _digest(run: _Run, data: memoryview) -> bytes:
    digest = hashlib.sha256()
    for start, end in run.spans:
        digest.update(data[start:end])
    return digest.digest()


def _misled_pointers(
    before: Account, after: Account, matched: Sequence[tuple[_Run, _Run]]
) -> list[str]:
    """Return the names of pointers that do not lead where they led."""
    if [p.name for p in before.pointers] != [p.name for p in after.pointers]:
        return ["its table of offsets"]
    if not before.pointers:
        return []
    starts = sorted((s, e, i) for i, (run, _) in enumerate(matched) for s, e in run.spans)
    keys = [s for s, _, _ in starts]
    wrong = list[str]()
    for a, b in zip(before.pointers, after.pointers, strict=True):
        at = bisect.bisect_right(keys, a.target) - 1
        inside = at >= 0 and a.target < starts[at][1]
        # Some tables point to the end of the file, which belongs to no region.
        if a.target == before.size:
            expected: int | None = after.size
        elif inside:
            expected = _moved(a.target, *matched[starts[at][2]])
        else:
            expected = None  # into a field or padding
        if b.target != expected:
            wrong.append(b.name)
    return sorted(set(wrong))


def _moved(target: int, a: _Run, b: _Run) -> int | None:
    """Return where the byte ``target`` of a run is in its counterpart."""
    offset = 0
    for start, end in a.spans:
        if start <= target < end:
            offset += target - start
            break
        offset += end - start
    for start, end in b.spans:
        if offset < end - start:
            return start + offset
        offset -= end - start
    return None
