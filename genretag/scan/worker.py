"""A decode worker: turns one file into messages with its tags, its identity and its log-mel
windows.

Decoders are native code and crash, so they run in processes of their own, and a crash costs one
track. A window is sent as soon as it is full, and the pipe stops a worker that is ahead of the
model, so that memory does not grow with the length of a track.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag import audio, tags
from genretag.audio.audio_key import audio_sketch
from genretag.errors import TrackError
from genretag.features import Features, collectors_of
from genretag.scan import sparse
from genretag.scan.memory import keep_memory

log = logging.getLogger("genretag")

MEMORY_LIMIT = 4 << 30  # bytes of address space per worker; numpy and FFmpeg map about 1 GiB
FIXED_SECONDS = 60.0  # time limit of a track ...
SECONDS_PER_MEGABYTE = 2.0  # ... and of each megabyte
_GRACE_SECONDS = 10.0  # after the limit, in which the pool ends the worker itself


class Part(Enum):
    """What to decode of a track."""

    WHOLE = "windows over the whole track"
    FIRST = "the first pieces"
    FURTHER = "the further pieces"
    BOTH = "all pieces"  # where nobody can ask for the further ones later


@dataclass(frozen=True)
class Task:
    """One file to analyse.

    ``ask``: send the identity first, and wait whether the audio is known. ``sketch``: send a sketch
    before anything else, and wait for a ``Reply``.
    """

    path: Path
    ask: bool
    part: Part = Part.WHOLE
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
    """The pieces so far do not count: the whole track is decoded from its start."""


@dataclass(frozen=True)
class TrackDone:
    """All requested windows or pieces were sent.

    ``seconds`` is the length of the track, ``share`` the part of it that decoded (0 to 1),
    ``piece`` the length of the pieces in s; 0: windows over the whole track.
    """

    identity: audio.Identity
    seconds: float
    share: float
    piece: float = 0.0


@dataclass(frozen=True)
class PartDone:
    """The further pieces of a track were sent."""


@dataclass(frozen=True)
class Failed:
    """The track failed."""

    stage: str
    error: str


Message = TagsRead | Sketch | audio.Identity | WindowReady | Restart | TrackDone | PartDone | Failed


def analyse(
    task: Task, features: Features, ask: Callable[[Sketch | audio.Identity], Any]
) -> Iterator[Message]:
    """Yield a track's messages.

    ``ask`` sends a sketch and returns a ``Reply``, or sends an identity and returns whether the
    track has to be decoded.
    """
    if task.part is Part.FURTHER:
        yield from _further_pieces(task.path, features)
        return
    yield TagsRead(tags.read(task.path))
    identify = task.ask
    if task.sketch:
        reply = ask(Sketch(audio_sketch(task.path)))
        if reply is Reply.STOP:
            return
        identify = identify or reply is Reply.IDENTIFY
    identity = audio.quick_identity(task.path)
    if task.part is Part.WHOLE:
        identity = replace(identity, file_check=audio.file_check(task.path))
    if identify:
        if not ask(identity):
            return
        if task.part is Part.WHOLE and identity.content_key is None:
            # A remux has another audio key. Where every byte is read anyway, it is looked up too.
            identity = replace(identity, content_key=audio.content_key(task.path))
            if not ask(identity):
                return
    if task.part is Part.WHOLE:
        yield from _whole_track(task.path, features, identity)
    else:
        yield from _pieces(task, features, identity)


def _whole_track(path: Path, features: Features, identity: audio.Identity) -> Iterator[Message]:
    """Decode all of a track."""
    log = audio.DecodeLog()
    for start, log_mel in audio.read_results(path, collectors_of(features), log):
        yield WindowReady(start, log_mel)
    check = identity.file_check or audio.file_check(path)
    identity = replace(identity, content_key=log.content_key, file_check=check)
    yield TrackDone(identity, log.seconds, min(1.0, log.share))


def _pieces(task: Task, features: Features, identity: audio.Identity) -> Iterator[Message]:
    """Decode pieces of a track, or all of it if it is short or cannot be sought in."""
    log, sent = audio.DecodeLog(), False

    def chosen(seconds: float) -> list[float]:
        first, further = sparse.places(seconds)
        return first if task.part is Part.FIRST else sorted(first + further)

    try:
        for start, log_mel in audio.piece_results(task.path, collectors_of(features), chosen, log):
            yield WindowReady(start, log_mel)
            sent = True
    except audio.NoPieces:
        if sent:
            yield Restart()
        sent = False
    if sent:
        yield TrackDone(identity, log.seconds, 1.0, float(audio.PIECE_SECONDS))
    else:
        yield from _whole_track(task.path, features, identity)


def _further_pieces(path: Path, features: Features) -> Iterator[Message]:
    """Decode the further pieces of a track, or start again with the whole of it."""
    log = audio.DecodeLog()

    def further(seconds: float) -> list[float]:
        return sparse.places(seconds)[1]

    try:
        for start, log_mel in audio.piece_results(path, collectors_of(features), further, log):
            yield WindowReady(start, log_mel)
        yield PartDone()
    except audio.NoPieces:
        yield Restart()
        yield from _whole_track(path, features, audio.quick_identity(path))


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
    # The collector would write to all objects of the fork server, and so copy their pages.
    gc.freeze()

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
