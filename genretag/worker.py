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

MEMORY_LIMIT = 4 << 30  # bytes of address space a worker may take; numpy and FFmpeg map about 1 GiB of it


@dataclass(frozen=True)
class Task:
    """One file to be heard. ``ask``: tell the identity first, and wait whether it is known."""

    path: Path
    ask: bool


@dataclass(frozen=True)
class Looked:
    """What the file's tags say."""

    tags: tags.Tags


@dataclass(frozen=True)
class Ready:
    """One window's log-mel [bands, frames] and where it starts (s)."""

    start: float
    log_mel: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Done:
    """The track is whole: its identity, and how much of it there was."""

    identity: audio.Identity
    seconds: float
    share: float


@dataclass(frozen=True)
class Failed:
    """The track failed."""

    stage: str
    error: str


Message = Looked | audio.Identity | Ready | Done | Failed


def hear(task: Task, features: Features, ask: Any) -> Iterator[Message]:
    """Yield a track's messages; ``ask(identity)`` returns whether it has to be decoded."""
    yield Looked(tags.read(task.path))
    if task.ask:
        identity = audio.identify(task.path)
        if not ask(identity):
            return
    listening = audio.Listening()
    rate = features.front_end.sample_rate
    for window in audio.read_windows(task.path, rate, listening):
        yield Ready(window.start, features(window.samples))
    identity = audio.Identity(listening.content_key, audio.streaminfo_md5(task.path), audio.file_sha256(task.path))
    yield Done(identity, listening.seconds, min(1.0, listening.share))


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, even in the middle of a hung decoder."""
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


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
    _die_with_parent()
    _limit_memory()

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
