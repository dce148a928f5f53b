"""A decode worker: turns one file into messages with its tags, its identity and its log-mel
windows.

Decoders are native code and crash, so they run in processes of their own, and a crash costs one
track. A window is sent as soon as it is full, and the pipe stops a worker that is ahead of the
model, so that memory does not grow with the length of a track.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag import audio, tags
from genretag.audio.audio_key import audio_sketch
from genretag.errors import TrackError
from genretag.features import Features
from genretag.scan import adaptive
from genretag.scan.memory import keep_memory

log = logging.getLogger("genretag")

MEMORY_LIMIT = 4 << 30  # bytes of address space per worker; numpy and FFmpeg map about 1 GiB
FIXED_SECONDS = 60.0  # time limit of a track ...
SECONDS_PER_MEGABYTE = 2.0  # ... and of each megabyte
_GRACE_SECONDS = 10.0  # after the limit, in which the pool ends the worker itself


@dataclass(frozen=True)
class Task:
    """One file to analyse.

    ``ask``: send the identity first, and wait whether the audio is known. ``part``: the windows to
    decode; None: all; empty: the first part of a track of which nothing is known. ``sketch``: send
    a sketch before anything else, and wait for a ``Reply``.
    """

    path: Path
    ask: bool
    part: tuple[int, ...] | None = None
    sketch: bool = False


class Reply(Enum):
    """The reply to a sketch."""

    DECODE = auto()
    IDENTIFY = auto()
    STOP = auto()


@dataclass(frozen=True)
class Sketch:
    """A text that copies of the same audio have in common."""

    text: str


@dataclass(frozen=True)
class TagsRead:
    """The file's tags."""

    tags: tags.Tags


@dataclass(frozen=True)
class WindowReady:
    """The log-mel [bands, frames] of one window, and its start in s."""

    start: float
    log_mel: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Restart:
    """The windows so far do not count: the whole track is decoded from its start."""


@dataclass(frozen=True)
class TrackDone:
    """All requested windows were sent.

    ``seconds`` is the decoded length, ``share`` the part of the track that decoded (0 to 1),
    ``windows`` the number of windows in the track.
    """

    identity: audio.Identity
    seconds: float
    share: float
    windows: int


@dataclass(frozen=True)
class PartDone:
    """A further part of a track was sent."""


@dataclass(frozen=True)
class Failed:
    """The track failed."""

    stage: str
    error: str


Message = TagsRead | Sketch | audio.Identity | WindowReady | Restart | TrackDone | PartDone | Failed


def analyse(task: Task, features: Features, ask: Any) -> Iterator[Message]:
    """Yield a track's messages.

    ``ask`` sends a sketch and returns a ``Reply``, or sends an identity and returns whether the
    track has to be decoded.
    """
    if task.part:
        yield from _further_part(task.path, features, task.part)
        return
    yield TagsRead(tags.read(task.path))
    identify = task.ask
    if task.sketch:
        reply = ask(Sketch(audio_sketch(task.path)))
        if reply is Reply.STOP:
            return
        identify = identify or reply is Reply.IDENTIFY
    if identify and not ask(audio.identify(task.path)):
        return
    if task.part is None:
        yield from _whole_track(task.path, features)
        return
    try:
        yield from _first_part(task.path, features)
    except audio.InexactTimestamps:
        yield from _whole_track(task.path, features)


def _whole_track(path: Path, features: Features) -> Iterator[Message]:
    """Decode all of a track."""
    log, count = audio.DecodeLog(), 0
    for window in audio.read_windows(path, features.front_end.sample_rate, log):
        yield WindowReady(window.start, features(window.samples))
        count += 1
    yield _track_done(path, log, count)


def _track_done(path: Path, log: audio.DecodeLog, windows: int) -> TrackDone:
    identity = audio.Identity(log.content_key, audio.streaminfo_md5(path), audio.file_sha256(path))
    return TrackDone(identity, log.seconds, min(1.0, log.share), windows)


def _some_windows(
    path: Path, features: Features, choose: audio.Choose, log: audio.DecodeLog, *, keyed: bool
) -> list[WindowReady]:
    """Decode some windows. None is sent before the positions of all are known to be exact."""
    found = audio.read_some(path, features.front_end.sample_rate, choose, log, keyed=keyed)
    return [WindowReady(w.start, features(w.samples)) for w in found]


def _first_part(path: Path, features: Features) -> Iterator[Message]:
    """Decode the first part of a track.

    Raises:
        audio.InexactTimestamps: nothing was yielded; the whole track must be decoded.
    """
    log = audio.DecodeLog()
    ready = _some_windows(path, features, adaptive.first, log, keyed=True)
    done = _track_done(path, log, audio.count_windows(log.seconds))
    if done.share < audio.MIN_DECODED_SHARE or not ready:
        raise audio.InexactTimestamps
    yield from ready
    yield done


def _further_part(path: Path, features: Features, part: tuple[int, ...]) -> Iterator[Message]:
    """Decode a further part of a track, or start again with the whole of it."""
    try:
        yield from _some_windows(path, features, lambda _: part, audio.DecodeLog(), keyed=False)
        yield PartDone()
    except audio.InexactTimestamps:
        yield Restart()
        yield from _whole_track(path, features)


def _lead_process_group() -> None:
    """Become the leader of a process group, which ends with everything that a decoder forked."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpgid(0, 0)


def time_limit(size: int) -> float:
    """Return the time limit in s of a file of some bytes."""
    return FIXED_SECONDS + SECONDS_PER_MEGABYTE * size / 1e6


@contextlib.contextmanager
def _alarm(path: Path) -> Iterator[None]:
    """Let the kernel end this process if a track takes far longer than its limit.

    The pool does so earlier; but a decoder that hangs must not outlive a pool that was killed, and
    no Python code runs while native code hangs.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    with contextlib.suppress(OSError):
        signal.setitimer(signal.ITIMER_REAL, time_limit(path.stat().st_size) + _GRACE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


def serve(connection: Connection, features: Features) -> None:
    """Run tasks from a pipe until it closes. The parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _lead_process_group()
    _limit_memory()
    keep_memory()

    def ask(message: Sketch | audio.Identity) -> Any:
        connection.send(message)
        return connection.recv()

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = connection.recv()
            try:
                with _alarm(task.path):
                    for message in analyse(task, features, ask):
                        connection.send(message)
            except TrackError as error:
                connection.send(Failed(error.stage, str(error)))
            except MemoryError:
                connection.send(Failed("decode", "it needs more memory than a track may use"))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                log.debug("%s: %r", task.path, error)
                text = " ".join(str(error).split()) or "unexpected data"
                connection.send(Failed("decode", f"it cannot be decoded: {text}"))
