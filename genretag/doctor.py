"""What works on this machine, found out by doing it: decoders, containers, the model, databases, disks."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

_TIGHT = 200 << 20  # bytes free on a disk: less is told


class Health(StrEnum):
    """How something is."""

    FINE = "fine"
    NOTE = "note"  # works, and is worth knowing
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    health: Health
    told: str


def examine(database: Path, model: Path | None = None) -> Iterator[Finding]:
    """Yield what was found; nothing that goes wrong keeps the rest from being looked at."""
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", versions),
        ("settings", settings),
        ("model", lambda: listening(model)),
        ("containers", containers),
        ("threads", threads),
        ("database", lambda: databases(database)),
        ("disk", lambda: disks(database)),
    ]
    for what, look in looks:
        try:
            yield from look()
        except Exception as error:
            yield Finding(what, Health.BROKEN, f"{type(error).__name__}: {error}")


def versions() -> Iterator[Finding]:
    """Yield the versions of what genretag stands on."""
    names = ("av", "ducc0", "librosa", "mutagen", "numpy", "onnxruntime", "soxr", "typer", "xxhash")
    told = ", ".join(f"{name} {_version(name)}" for name in names)
    yield Finding(
        "versions",
        Health.FINE,
        f"genretag {_version('genretag')}, Python {sys.version.split()[0]}, {told}",
    )
    both = [n for n in ("onnxruntime", "onnxruntime-gpu") if _version(n) != "—"]
    if len(both) == 2:
        yield Finding(
            "onnxruntime",
            Health.BROKEN,
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; remove both, then install one",
        )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "—"


def settings() -> Iterator[Finding]:
    """Yield whether config.toml can be read."""
    from genretag.storage import config

    path = config.config_path()
    config.read()
    yield Finding(
        "settings", Health.FINE, f"{path}{'' if path.exists() else ' (none; that is fine)'}"
    )


def listening(path: Path | None) -> Iterator[Finding]:
    """Yield whether the model loads and runs, on what, and how fast."""
    import onnxruntime

    from genretag.inference.model import Model
    from genretag.storage.config import default_model

    model = Model(path or default_model(), "auto", threads=1)
    fe = model.metadata.front_end
    heard = (
        model.rows * model.metadata.chunks[0] / fe.frames(30 * fe.sample_rate)
    )  # windows in a batch
    ms = model.seconds(model.rows) * 1000 / heard
    yield Finding(
        "model",
        Health.FINE,
        f"{model.metadata.name} {model.metadata.version} on {model.device}, {ms:.0f} ms a 30 s window on one thread",
    )
    gpu = [p for p in onnxruntime.get_available_providers() if p == "CUDAExecutionProvider"]
    if gpu and model.device == "CPU":
        yield Finding(
            "CUDA",
            Health.NOTE,
            "onnxruntime brings CUDA, and it cannot be used: is the CUDA runtime (with cuDNN 9) installed?",
        )


def containers() -> Iterator[Finding]:
    """Yield whether a tiny piece in each container is decoded, holds a genre, and is the same audio afterwards."""
    from genretag import audio, tags
    from genretag.audio import synthesis

    piece = synthesis.piece(1, 2.0)
    with tempfile.TemporaryDirectory() as folder:
        for extension in synthesis.CONTAINERS:
            path = Path(folder) / f"piece{extension}"
            try:
                synthesis.encode(path, piece, 44_100, tags={"title": "a title"})
                heard = audio.DecodeLog()
                samples = sum(len(block) for block in audio.decode(path, 16_000, heard))
                if not 1.5 < samples / 16_000 < 2.5:
                    raise ValueError(f"{samples / 16_000:.1f} s of 2 s were decoded")
                read = tags.read(path)
                if read.problem is None:
                    tags.write(path, ["Jazz", "R&B, slow"])
                    if (
                        tags.read(path).genres != ["Jazz", "R&B, slow"]
                        or audio.identify(path).content_key != heard.content_key
                    ):
                        raise ValueError(
                            "a genre that was written does not read back, or the audio changed"
                        )
            except Exception as error:
                yield Finding(extension, Health.BROKEN, f"{type(error).__name__}: {error}")
                continue
            yield Finding(
                extension,
                Health.FINE,
                "heard and tagged" if read.problem is None else f"heard; {read.problem}",
            )


def threads() -> Iterator[Finding]:
    """Yield how many decode workers there would be."""
    from genretag.scan.cores import automatic_jobs

    jobs, cores = automatic_jobs(), os.cpu_count() or 1
    told = f"{jobs} decode workers (--jobs auto)"
    yield Finding(
        "threads",
        Health.FINE if jobs == cores else Health.NOTE,
        told + ("" if jobs == cores else f"; of {cores} cores"),
    )


def databases(path: Path) -> Iterator[Finding]:
    """Yield whether the cache and the journal are whole; they are only read."""
    import contextlib
    import sqlite3

    from genretag.writing.session import journal_path

    for what, file in (("database", path), ("journal", journal_path(path))):
        if not file.exists():
            yield Finding(what, Health.FINE, f"{file} (not made yet)")
            continue
        with contextlib.closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        ) as db:
            said = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
        fine = said == "ok"
        yield Finding(
            what,
            Health.FINE if fine else Health.BROKEN,
            f"{file}, {file.stat().st_size / 1e6:.1f} MB{'' if fine else ': ' + said}",
        )


def disks(database: Path) -> Iterator[Finding]:
    """Yield how much room there is where the database lies."""
    folder = next(
        p for p in (database.absolute().parent, *database.absolute().parents) if p.exists()
    )
    usage = shutil.disk_usage(folder)
    writable = os.access(folder, os.W_OK)
    health = Health.BROKEN if not writable else Health.NOTE if usage.free < _TIGHT else Health.FINE
    yield Finding(
        "disk",
        health,
        f"{folder}: {usage.free / 1e9:.1f} GB free{'' if writable else ', and it cannot be written'}",
    )
