"""Check the installation by trying it: containers, the model, settings, databases, disks."""

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

_MIN_FREE = 200 << 20  # bytes; a disk with less gets a note
_GENRES = ["Jazz", "R&B, slow"]  # several values, one with a comma


class Health(StrEnum):
    """The result of a check."""

    FINE = "fine"
    NOTE = "note"  # works, but is worth knowing
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One check with its result; the fields are the keys of ``--json``."""

    what: str
    health: Health
    told: str  # the result as a sentence


def examine(database: Path, model: Path | None = None) -> Iterator[Finding]:
    """Yield the results of all checks; a check that fails does not stop the others."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", check_versions),
        ("settings", check_settings),
        ("model", lambda: check_model(model)),
        ("containers", check_containers),
        ("threads", check_threads),
        ("database", lambda: check_databases(database)),
        ("disk", lambda: check_disk(database)),
    ]
    for what, check in checks:
        try:
            yield from check()
        except Exception as error:
            yield Finding(what, Health.BROKEN, _describe(error))


def _describe(error: Exception) -> str:
    """Return an error's message; with its type if it comes from a library."""
    from genretag.errors import GenretagError

    return str(error) if isinstance(error, GenretagError) else f"{type(error).__name__}: {error}"


def check_versions() -> Iterator[Finding]:
    """Yield the versions of genretag, Python and the main libraries."""
    names = ("av", "ducc0", "librosa", "mutagen", "numpy", "onnxruntime", "soxr", "typer", "xxhash")
    libraries = ", ".join(f"{name} {_version(name)}" for name in names)
    python = sys.version.split()[0]
    text = f"genretag {_version('genretag')}, Python {python}, {libraries}"
    yield Finding("versions", Health.FINE, text)
    if all(_version(name) != "—" for name in ("onnxruntime", "onnxruntime-gpu")):
        text = (
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other;"
            " remove both, then install one"
        )
        yield Finding("onnxruntime", Health.BROKEN, text)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "—"


def check_settings() -> Iterator[Finding]:
    """Yield whether config.toml can be read."""
    from genretag.storage import config

    path = config.config_path()
    config.read()
    yield Finding("settings", Health.FINE, f"{path}{'' if path.exists() else ' (not there yet)'}")


def check_model(path: Path | None) -> Iterator[Finding]:
    """Yield whether the model loads and runs, on which device, and how fast."""
    import onnxruntime

    from genretag.inference.model import Model
    from genretag.storage.config import default_model

    model = Model(path or default_model(), "auto", threads=1)
    front_end = model.metadata.front_end
    frames = front_end.frames(30 * front_end.sample_rate)
    windows = model.rows * model.metadata.chunks[0] / frames  # in a batch
    ms = model.seconds(model.rows) * 1000 / windows
    name = f"{model.metadata.name} {model.metadata.version} on {model.device}"
    text = f"{name}, {ms:.0f} ms per 30 s window on one thread"
    yield Finding("model", Health.FINE, text)
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and model.device == "CPU":
        text = (
            "onnxruntime supports CUDA but cannot use it here;"
            " is the CUDA runtime with cuDNN 9 installed?"
        )
        yield Finding("CUDA", Health.NOTE, text)


def check_containers() -> Iterator[Finding]:
    """Yield, per container, whether a short piece is decoded and keeps its audio when tagged."""
    from genretag.audio import synthesis

    piece = synthesis.piece(1, 2.0)
    with tempfile.TemporaryDirectory() as folder:
        for extension in synthesis.CONTAINERS:
            path = Path(folder) / f"piece{extension}"
            try:
                synthesis.encode(path, piece, 44_100, tags={"title": "a title"})
                problem = _try_container(path)
            except Exception as error:
                yield Finding(extension, Health.BROKEN, _describe(error))
                continue
            text = f"decoded; {problem}" if problem else "decoded and tagged"
            yield Finding(extension, Health.FINE, text)


def _try_container(path: Path) -> str | None:
    """Decode and tag a file; return why it cannot hold a genre, or None.

    Raises:
        ValueError: the length, the genre or the audio is not as expected.
    """
    from genretag import audio, tags

    log = audio.DecodeLog()
    seconds = sum(len(block) for block in audio.decode(path, 16_000, log)) / 16_000
    if not 1.5 < seconds < 2.5:
        raise ValueError(f"{seconds:.1f} s of 2 s were decoded")
    if (problem := tags.read(path).problem) is not None:
        return problem
    tags.write(path, _GENRES)
    if tags.read(path).genres != _GENRES:
        raise ValueError("a written genre does not read back")
    fields = tags.read(path).fields or tags.FieldTags()
    if "mood" not in fields.problems:
        tags.write(path, ["Calm"], field="mood")
        read = tags.read(path)
        if read.genres != _GENRES or read.fields is None or "mood" not in read.fields.values:
            raise ValueError("a written mood does not read back")
    if audio.content_key(path) != log.content_key:
        raise ValueError("writing a genre changed the audio")
    return None


def check_threads() -> Iterator[Finding]:
    """Yield the number of decode workers."""
    from genretag.scan.cores import automatic_jobs
    from genretag.text import count

    jobs, cores = automatic_jobs(), os.cpu_count() or 1
    text = f"{count(jobs, 'decode worker')} (--jobs auto)"
    if jobs == cores:
        yield Finding("threads", Health.FINE, text)
    else:
        yield Finding("threads", Health.NOTE, f"{text} on {cores} cores")


def check_databases(path: Path) -> Iterator[Finding]:
    """Yield whether the databases are intact, or can be made. Nothing is written into them."""
    import contextlib
    import sqlite3

    from genretag.writing.session import journal_path

    for what, file in (("database", path), ("journal", journal_path(path))):
        if not file.exists():
            yield _can_be_made(what, file)
            continue
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            result = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
        text = f"{file}, {file.stat().st_size / 1e6:.1f} MB"
        if result == "ok":
            yield Finding(what, Health.FINE, text)
        else:
            yield Finding(what, Health.BROKEN, f"{text}: {result}")


def _can_be_made(what: str, file: Path) -> Finding:
    """Return whether a database could be made: its folder, or the nearest above, is writable."""
    folder = _existing_folder(file)
    if os.access(folder, os.W_OK):
        return Finding(what, Health.FINE, f"{file} (not made yet)")
    return Finding(what, Health.BROKEN, f"{file} cannot be made: {folder} is not writable")


def _existing_folder(file: Path) -> Path:
    return next(p for p in (file.absolute().parent, *file.absolute().parents) if p.is_dir())


def check_disk(database: Path) -> Iterator[Finding]:
    """Yield the free space on the disk of the databases."""
    folder = _existing_folder(database)
    free = shutil.disk_usage(folder).free
    text = f"{folder}: {free / 1e9:.1f} GB free"
    if not os.access(folder, os.W_OK):
        yield Finding("disk", Health.BROKEN, f"{text}, but it is not writable")
    else:
        yield Finding("disk", Health.NOTE if free < _MIN_FREE else Health.FINE, text)
