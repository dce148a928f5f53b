"""Find the container of a file by its content, and account for its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genretag.layout import asf, bare, dsf, flac, iff, mp4, ogg
from genretag.layout.account import Account, UnexplainedError
from genretag.layout.id3 import front_tags

_HEAD_SIZE = 16  # bytes that identify a container


class UnknownContainerError(UnexplainedError):
    """No parser accounts for the file's container."""


@dataclass(frozen=True)
class Container:
    """A container whose bytes can be accounted for."""

    name: str
    matches: Callable[[bytes], bool]  # given the first bytes
    account: Callable[[memoryview, Sequence[str]], Account]


CONTAINERS = (
    Container("FLAC", flac.matches, flac.account),
    Container("Ogg", ogg.matches, ogg.account),
    Container("chunks", lambda head: iff.dialect_of(head) is not None, iff.account),
    Container("DSF", dsf.matches, dsf.account),
    Container("MP4", mp4.matches, mp4.account),
    Container("ASF", asf.matches, asf.account),
)
#: Streams without a container are found by their audio.
BARE = Container("bare stream", lambda head: False, bare.account)


def audio_start(data: memoryview) -> int:
    """Return the first byte behind ID3v2 tags at the start of a file; 0 if they are broken."""
    try:
        front = front_tags(data)
    except UnexplainedError:
        return 0
    return front[-1][1] if front else 0


def container_of(data: memoryview) -> Container | None:
    """Return a file's container; None if it is not one of these."""
    start = audio_start(data)
    head = bytes(data[start : start + _HEAD_SIZE])
    # The content decides, not the name: an ID3 tag in front of a Matroska file would break it.
    found = next((c for c in CONTAINERS if c.matches(head)), None)
    if found is None and bare.kind_of(data, start) is not None:
        return BARE
    return found


def account(data: memoryview, fields: Sequence[str] = ("genre",)) -> Account:
    """Return the account of a file.

    Raises:
        UnknownContainerError: no parser accounts for the container.
        UnexplainedError: not every byte can be explained.
    """
    if (container := container_of(data)) is None:
        raise UnknownContainerError("its container cannot be explained")
    return container.account(data, fields)
