"""Write embeddings and genre scores of a database as Parquet or as NumPy's npz, in lots of rows."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from genretag.atomic import output
from genretag.decisions.vote import Verdict, vote
from genretag.errors import RunError, UsageError
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import is_url, to_url
from genretag.library.walk import below
from genretag.records import Analysis, FileRow
from genretag.storage.cache import AnalysisCache
from genretag.text import escape_control

LOT = 1000  # rows in memory at once


@dataclass(frozen=True)
class ExportRow:
    """One file with its embedding and the vote of its windows."""

    file: FileRow
    analysis: Analysis
    verdict: Verdict

    @property
    def name(self) -> bytes:
        """Path as the system has it; for object storage, the URL."""
        return os.fsencode(to_url(self.file.path))


@dataclass
class Exported:
    """What an export wrote and left out."""

    files: int = 0
    missing: int = 0  # files that are not there any more
    damaged: int = 0  # files whose stored embedding or scores cannot be used


class _Writer(Protocol):
    """Writes rows in one format."""

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Write some rows."""


def check_name(path: Path) -> None:
    """Check that a file name says which format to write.

    Raises:
        UsageError: the extension is not that of a format.
        RunError: pyarrow is needed, and is not installed.
    """
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(f"{path}: the file name must end in {' or '.join(_WRITERS)}")
    if path.suffix.lower() == ".parquet":
        _import_pyarrow(path)


def export_embeddings(
    store: AnalysisCache, metadata: ModelMetadata, tops: list[Path], path: Path
) -> Exported:
    """Write the files below ``tops`` that a model analysed, in the order of their paths.

    Raises:
        RunError: there is nothing to write, or the file cannot be written; an older one stays.
    """
    done, dims = Exported(), 0
    rows = _usable_rows(store, metadata, tops, done)
    first = next(rows, None)
    if first is None:
        raise RunError(f"there is nothing to export: {_why_nothing(metadata, done)}")
    dims = first.analysis.embedding.size
    with (
        output(path, "the embeddings") as part,
        _WRITERS[path.suffix.lower()](part, metadata, dims) as writer,
    ):
        for lot in _lots(_same_size(first, rows, dims, done)):
            writer.write(lot)
            done.files += len(lot)
    return done


def _usable_rows(
    store: AnalysisCache, metadata: ModelMetadata, tops: list[Path], done: Exported
) -> Iterator[ExportRow]:
    """Yield the rows with finite numbers and an existing file; count the others."""
    for file, analysis in store.analysed_files(metadata.id, FEATURE_VERSION):
        if not below(file.path, tops or None):
            continue
        if not (is_url(file.path) or os.path.exists(file.path)):
            done.missing += 1
            continue
        if analysis is None:
            done.damaged += 1
            continue
        numbers = (analysis.embedding, analysis.logits, analysis.music)
        shaped = analysis.logits.shape[1:] == (len(metadata.labels),) and analysis.embedding.size
        if not shaped or not all(np.isfinite(a).all() for a in numbers):
            done.damaged += 1
            continue
        yield ExportRow(file, analysis, vote(analysis, metadata))


def _same_size(
    first: ExportRow, rows: Iterator[ExportRow], dims: int, done: Exported
) -> Iterator[ExportRow]:
    """Yield the rows whose embedding has as many numbers as the first; count the others."""
    yield first
    for row in rows:
        if row.analysis.embedding.size == dims:
            yield row
        else:
            done.damaged += 1


def _lots(rows: Iterable[ExportRow]) -> Iterator[list[ExportRow]]:
    lot: list[ExportRow] = []
    for row in rows:
        lot.append(row)
        if len(lot) == LOT:
            yield lot
            lot = []
    if lot:
        yield lot


def _why_nothing(metadata: ModelMetadata, done: Exported) -> str:
    """Return why no row was found."""
    if done.missing:
        return f"{done.missing:,} analysed files are not there any more"
    if done.damaged:
        return "all stored embeddings are damaged; genretag scan FOLDER --rescan --dry-run"
    return (
        f"no file there was analysed with the model {metadata.name} {metadata.version};"
        " genretag scan FOLDER --dry-run analyses a folder"
    )


# --- Parquet ---


def _import_pyarrow(path: Path) -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        RunError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise RunError(
            f"{path}: Parquet needs pyarrow: pip install 'genretag[parquet]' (.npz needs nothing)"
        ) from error
    return pyarrow, pyarrow.parquet


class _ParquetWriter:
    """Writes rows as Parquet, one row group per lot.

    ``path`` is text with escapes for bytes that are not UTF-8; ``path_bytes`` is exact.
    """

    def __init__(self, arrow: Any, schema: Any, file: Any, metadata: ModelMetadata) -> None:
        self._arrow, self._schema, self._file, self._metadata = arrow, schema, file, metadata

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Write some rows."""
        m = self._metadata
        records = [
            {
                "path": escape_control(to_url(r.file.path)),
                "path_bytes": r.name,
                "content_key": r.file.content_key,
                "model": m.id,
                "model_name": m.name,
                "model_version": m.version,
                "seconds": r.analysis.seconds,
                "tags": [escape_control(genre) for genre in r.file.tags.genres],
                "status": str(r.verdict.status),
                "genre": r.verdict.genre,
                "confidence": r.verdict.confidence,
                "scores": r.verdict.scores,
                "embedding": r.analysis.embedding.astype(np.float32),
            }
            for r in rows
        ]
        self._file.write_table(self._arrow.Table.from_pylist(records, schema=self._schema))


@contextmanager
def _open_parquet(part: Path, metadata: ModelMetadata, dims: int) -> Iterator[_Writer]:
    """Open a Parquet file with one column per field, and the model in its metadata."""
    arrow, parquet = _import_pyarrow(part)
    text, number = arrow.string(), arrow.float32()
    schema = arrow.schema(
        [
            *(("path", text), ("path_bytes", arrow.binary()), ("content_key", text)),
            *((name, text) for name in ("model", "model_name", "model_version")),
            *(("seconds", arrow.float64()), ("tags", arrow.list_(text)), ("status", text)),
            *(("genre", text), ("confidence", number)),
            ("scores", arrow.struct([(label, number) for label in metadata.labels])),
            ("embedding", arrow.list_(number, dims)),
        ],
        metadata={"genretag": json.dumps(_describe(metadata))},
    )
    with parquet.ParquetWriter(os.fspath(part), schema, compression="zstd") as file:
        yield _ParquetWriter(arrow, schema, file, metadata)


def _describe(metadata: ModelMetadata) -> dict[str, Any]:
    """Return what the file says of the model."""
    return {
        "model": metadata.id,
        "name": metadata.name,
        "version": metadata.version,
        "features": FEATURE_VERSION,
        "labels": list(metadata.labels),
    }


# --- npz ---


class _NpzWriter:
    """Writes each column into a temporary file, since a zip takes one member after the other."""

    def __init__(self, metadata: ModelMetadata, dims: int, columns: ExitStack) -> None:
        labels, width = metadata.labels, max(map(len, metadata.labels))
        self._labels, self._rows, self._longest = labels, 0, 1
        self._types: dict[str, tuple[str, tuple[int, ...]]] = {
            "content_key": ("S64", ()),
            "seconds": ("<f8", ()),
            "status": ("<U16", ()),
            "genre": (f"<U{width}", ()),
            "confidence": ("<f4", ()),
            "scores": ("<f4", (len(labels),)),
            "embedding": ("<f4", (dims,)),
        }
        names = (*self._types, "path")
        self._files = {
            name: columns.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 # the stack closes
            for name in names
        }

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Write some rows."""
        values: dict[str, list[Any]] = {
            "content_key": [r.file.content_key for r in rows],
            "seconds": [r.analysis.seconds for r in rows],
            "status": [str(r.verdict.status) for r in rows],
            "genre": [r.verdict.genre for r in rows],
            "confidence": [r.verdict.confidence for r in rows],
            "scores": [[r.verdict.scores[label] for label in self._labels] for r in rows],
            "embedding": [r.analysis.embedding for r in rows],
        }
        for name, column in values.items():
            self._files[name].write(np.array(column, self._types[name][0]).tobytes())
        for row in rows:
            self._files["path"].write(row.name + b"\0")  # no path holds a NUL
            self._longest = max(self._longest, len(row.name))
        self._rows += len(rows)

    def finish(self, part: Path, metadata: ModelMetadata) -> None:
        """Put the columns, and the facts on the model, into the zip file."""
        facts = {name: np.array(value) for name, value in _describe(metadata).items()}
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for name, (kind, shape) in self._types.items():
                with _member(archive, name, kind, (self._rows, *shape)) as out:
                    self._files[name].seek(0)
                    shutil.copyfileobj(self._files[name], out)
            with _member(archive, "path", f"S{self._longest}", (self._rows,)) as out:
                for path in _split(self._files["path"]):
                    out.write(path.ljust(self._longest, b"\0"))
            for name, fact in facts.items():
                with _member(archive, name, fact.dtype.str, fact.shape) as out:
                    out.write(fact.tobytes())


@contextmanager
def _member(
    archive: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, ...]
) -> Iterator[IO[bytes]]:
    """Open an array of the archive behind its header (format 1.0 of NumPy's .npy)."""
    header = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
        np.lib.format.write_array_header_1_0(out, header)
        yield out


def _split(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the names that a file holds, each ended by NUL."""
    file.seek(0)
    rest = b""
    while block := file.read(1 << 16):
        *names, rest = (rest + block).split(b"\0")
        yield from names


@contextmanager
def _open_npz(part: Path, metadata: ModelMetadata, dims: int) -> Iterator[_Writer]:
    """Open an npz file with one array per column, readable without pickle."""
    with ExitStack() as columns:
        writer = _NpzWriter(metadata, dims, columns)
        yield writer
        writer.finish(part, metadata)


#: File name extension -> context manager that opens a writer of this format.
_WRITERS = {".parquet": _open_parquet, ".npz": _open_npz}
