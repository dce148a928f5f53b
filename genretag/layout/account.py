"""The account of a file: what each of its bytes is, and the proof that a write changed only a field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a region of a file holds."""

    AUDIO = "audio"  # coded audio and its own headers
    FIELD = "field"  # a planned field, such as the genre, with its framing
    OTHER = "other"  # all else: must stay byte-identical and in order
    DERIVED = "derived"  # sizes, offsets, counts, checksums: follow from the rest, checked by the parser
    PADDING = "padding"  # filler that may grow or shrink


@dataclass(frozen=True)
class Region:
    """Bytes ``start`` to ``end`` (exclusive, in bytes from the start of the file).

    ``name`` is a path such as ``ID3v2/TIT2`` or ``moov/udta/meta/ilst/trkn``; for a ``FIELD`` region
    ``field`` names the field (``genre``).
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
    """An absolute file offset that is stored in the file: at byte ``at``, pointing to ``target``."""

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


def differences(
    before: Account,
    old: Sequence[int] | memoryview,
    after: Account,
    new: Sequence[int] | memoryview,
    added: frozenset[str] = frozenset(),
) -> list[str]:
    """Return the names of kept regions that changed, vanished, moved or came new; empty if none did.

    ``old`` and ``new`` are the bytes of the two files (for instance memory maps). Kept regions are
    compared in order; those of ``after`` whose name is in ``added`` may be new. Each pointer of
    ``before`` must lead to the same byte of the same kept region in ``after``.
    """
    raise NotImplementedError
