"""What runs in a decode worker: one file -> its tags, its identity and its log-mel windows, as messages.

Decoders are native code and crash; so they live in processes of their own, and a crash costs one
track. A window leaves as soon as it is full, and the pipe holds back a worker that is ahead of
the model, so that memory is flat whatever the length of a track.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag import audio, tags
from genretag.errors import TrackError
from genretag.features import Features
from genretag.scan import adaptive
from genretag.scan.memory import keep_memory
from genretag.scan.nursery import die_with_parent

MEMORY_LIMIT = (
    4 << 30
)  # bytes of address space a worker may take; numpy and FFmpeg map about 1 GiB of it


@dataclass(frozen=True)
class Task:
    """One file to be heard. ``ask``: tell the identity first, and wait whether it is known.

    ``part``: the windows to hear; None: all. An empty one is the first part of a track of which nothing is known yet.
    """

    path: Path
    ask: bool
    part: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TagsRead:
    """What the file's tags say."""

    tags: tags.Tags


@dataclass(frozen=True)
class WindowReady:
    """One window's log-mel [bands, frames] and where it starts (s)."""

    start: float
    log_mel: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Restart:
    """What was heard of the track so far does not count: it begins anew, and all of it is heard."""


@dataclass(frozen=True)
class TrackDone:
    """What was asked for is heard: the track's identity, how much of it there was, and how many windows it has."""

    identity: audio.Identity
    seconds: float
    share: float
    windows: int


@dataclass(frozen=True)
class PartDone:
    """A further part of a track is heard."""


@dataclass(frozen=True)
class Failed:
    """The track failed."""

    stage: str
    error: str


Message = TagsRead | audio.Identity | WindowReady | Restart | TrackDone | PartDone | Failed


def hear(task: Task, features: Features, ask: Any) -> Iterator[Message]:
    """Yield a track's messages; ``ask(identity)`` returns whether it has to be decoded."""
    if task.part:
        yield from _further(task.path, features, task.part)
        return
    yield TagsRead(tags.read(task.path))
    if task.ask:
        identity = audio.identify(task.path)
        if not ask(identity):
            return
    if task.part is None:
        yield from _whole(task.path, features)
        return
    try:
        yield from _first(task.path, features)
    except audio.InexactTimestamps:
        yield from _whole(task.path, features)


def _whole(path: Path, features: Features) -> Iterator[Message]:
    """Hear all of a track; each window leaves as soon as it is full."""
    listening, count = audio.DecodeLog(), 0
    for window in audio.read_windows(path, features.front_end.sample_rate, listening):
        yield WindowReady(window.start, features(window.samples))
        count += 1
    yield _done(path, listening, count)


def _done(path: Path, listening: audio.DecodeLog, windows: int) -> TrackDone:
    identity = audio.Identity(
        listening.content_key, audio.streaminfo_md5(path), audio.file_sha256(path)
    )
    return TrackDone(identity, listening.seconds, min(1.0, listening.share), windows)


def _some(
    path: Path, features: Features, choose: audio.Choose, listening: audio.DecodeLog, *, keyed: bool
) -> list[WindowReady]:
    """Hear some windows. They are few, and none leaves before all are known to be where they should."""
    found = audio.read_some(path, features.front_end.sample_rate, choose, listening, keyed=keyed)
    return [WindowReady(w.start, features(w.samples)) for w in found]


def _first(path: Path, features: Features) -> Iterator[Message]:
    """Hear the first part of a track.

    Raises:
        audio.Unsteady: nothing was yielded; it has to be heard as a whole.
    """
    listening = audio.DecodeLog()
    ready = _some(path, features, adaptive.first, listening, keyed=True)
    done = _done(path, listening, audio.count_windows(listening.seconds))
    if done.share < audio.MIN_DECODED_SHARE or not ready:
        raise audio.InexactTimestamps
    yield from ready
    yield done


def _further(path: Path, features: Features, part: tuple[int, ...]) -> Iterator[Message]:
    """Hear a further part of a track, or begin it anew."""
    try:
        yield from _some(path, features, lambda _: part, audio.DecodeLog(), keyed=False)
        yield PartDone()
    except audio.InexactTimestamps:
        yield Restart()
        yield from _whole(path, features)


def _lead_a_group() -> None:
    """Lead a process group, so that whatever a decoder forks is ended together with this worker."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpgid(0, 0)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


def serve(connection: Connection, features: Features) -> None:
    """Hear tasks from a pipe until it closes. Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _lead_a_group()
    die_with_parent()
    _limit_memory()
    keep_memory()

    def ask(identity: audio.Identity) -> bool:
        connection.send(identity)
        return bool(connection.recv())

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = connection.recv()
            try:
                for message in hear(task, features, ask):
                    connection.send(message)
            except TrackError as error:
                connection.send(Failed(error.stage, str(error)))
            except MemoryError:
                connection.send(Failed("decode", "it needs more memory than a track may take"))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                connection.send(Failed("decode", f"{type(error).__name__}: {error}"))
