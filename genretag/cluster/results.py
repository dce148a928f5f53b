"""What was heard, as Parquet: a row a track, and at the head of each file who heard it.

The same rows travel between the operators (``BETWEEN``: with the windows that are still to be
scored), come to the
one who asked (``RESULT``), and lie in files that ``genretag apply`` and ``report`` read on any
machine.
Paths are bytes, because not every path is UTF-8; scores have the precision that the store keeps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import genretag
from genretag import audio, tags
from genretag.errors import GenretagError, RunError
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata, metadata_to_json, parse_metadata
from genretag.library.urls import is_url, to_url
from genretag.library.walk import Found
from genretag.records import Analysis

METADATA_KEY = b"genretag"
SUFFIX = ".parquet"
FORMAT = 2  # of these columns; 1 had other content keys

_FILE = [
    ("ordinal", pa.int64()),  # place in the walk
    ("path", pa.binary()),  # as walked
    ("file", pa.binary()),  # from the root on, or a URL
    ("size", pa.int64()),  # bytes
    ("mtime_ns", pa.int64()),
    ("inode", pa.int64()),
    ("device", pa.int64()),
    ("links", pa.int64()),
    ("link", pa.bool_()),
]
_KNOWN = [
    ("tags", pa.string()),  # JSON, ASCII
    ("sha256", pa.string()),
    ("content_key", pa.string()),
    ("second_key", pa.string()),
    ("stage", pa.string()),  # where it failed ...
    ("error", pa.string()),  # ... and why; null: it did not
]
_HEARD = [
    ("seconds", pa.float64()),
    ("share", pa.float64()),  # of the track that decoded, 0 to 1
    ("starts", pa.list_(pa.float32())),  # of the windows, s
    ("logits", pa.list_(pa.float16())),  # windows x labels
    ("music", pa.list_(pa.float16())),  # a window
    ("embedding", pa.list_(pa.float16())),  # mean over windows
    ("picture", pa.binary()),
]
_WINDOWS = [
    ("bands", pa.int64()),
    (
        "windows",
        pa.list_(pa.large_binary()),
    ),  # features [bands, frames], float32, still to be scored
]
TASK = pa.schema(_FILE)
RESULT = pa.schema(_FILE + _KNOWN + _HEARD)
BETWEEN = pa.schema(_FILE + _KNOWN + _HEARD + _WINDOWS)


@dataclass(frozen=True)
class TrackResult:
    """What is told of one track. ``heard`` is None where it failed, or where only its identity was
    asked for.
    """

    ordinal: int
    found: Found
    tags: tags.Tags | None = None
    identity: audio.Identity | None = None
    heard: Analysis | None = None
    stage: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Head:
    """Who heard: what stands at the head of each file of results."""

    metadata: ModelMetadata
    scan: str = ""  # what tells one scan's files from another's
    version: str = genretag.__version__
    features: int = FEATURE_VERSION

    def to_schema_metadata(self) -> dict[bytes, bytes]:
        """Return it as a Parquet file keeps it."""
        told = {
            "format": FORMAT,
            "version": self.version,
            "features": self.features,
            "scan": self.scan,
            "model": self.metadata.id,
        }
        return {
            METADATA_KEY: json.dumps(
                {**told, "card": json.loads(metadata_to_json(self.metadata))}
            ).encode()
        }


def _head(metadata: dict[bytes, bytes] | None, name: str) -> Head:
    """Read the head of a file; raise ``RunError`` for what genretag did not write, or does not
    understand.
    """
    if metadata is None or METADATA_KEY not in metadata:
        raise RunError(f"{name}: these are no results of genretag")
    try:
        data = json.loads(metadata[METADATA_KEY])
        if data["format"] != FORMAT:
            raise RunError(
                f"{name}: its format {data['format']!r} is not known here (known: {FORMAT}); is "
                f"one genretag older than the other?"
            )
        if data["features"] != FEATURE_VERSION:
            raise RunError(
                f"{name}: genretag {data['version']} heard other features there than this one "
                f"does; scan again"
            )
        return Head(
            parse_metadata(data["card"], data["model"]),
            str(data["scan"]),
            data["version"],
            data["features"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{name}: its head cannot be read: {type(error).__name__}: {error}"
        ) from error


def path_bytes(path: Path) -> bytes:
    """Return a path as the rows keep it: its own bytes, or a URL as a person gives it."""
    return os.fsencode(to_url(path))


def task_row(ordinal: int, found: Found, file: Path) -> dict[str, Any]:
    """Return the row of a file that is to be heard."""
    own = {
        name: getattr(found, name)
        for name in ("size", "mtime_ns", "inode", "device", "links", "link")
    }
    return {"ordinal": ordinal, "path": path_bytes(found.path), "file": path_bytes(file), **own}


def tags_text(t: tags.Tags | None) -> str | None:
    """Return tags as a row keeps them."""
    return None if t is None else json.dumps(asdict(t))


def heard_columns(heard: Analysis) -> dict[str, Any]:
    """Return the columns of what was heard."""
    return {
        "content_key": heard.content_key,
        "second_key": heard.second_key,
        "seconds": heard.seconds,
        "share": heard.share,
        "starts": heard.starts,
        "logits": heard.logits.ravel(),
        "music": heard.music,
        "embedding": heard.embedding,
        "picture": heard.picture,
    }


def row_of(told: TrackResult, file: Path) -> dict[str, Any]:
    """Return a track's row."""
    row = {
        **task_row(told.ordinal, told.found, file),
        "tags": tags_text(told.tags),
        "stage": told.stage or None,
        "error": told.error,
    }
    if told.heard is not None:
        row |= heard_columns(told.heard)
    if told.identity is not None:
        row |= asdict(told.identity)
    return row


def table_of(rows: list[dict[str, Any]], schema: pa.Schema = RESULT) -> pa.Table:
    """Return rows as a table; what a row does not say is null."""
    return pa.table(
        {f.name: pa.array([r.get(f.name) for r in rows], f.type) for f in schema}, schema=schema
    )


def told_of(table: pa.Table) -> Iterator[tuple[TrackResult, Path]]:
    """Yield (what is told of a track, its path from the root on) of a table's rows."""
    arrays = {name: table.column(name) for name in ("starts", "logits", "music", "embedding")}
    plain = table.select([f.name for f in RESULT if f.name not in arrays]).to_pylist()
    for i, row in enumerate(plain):
        numbers = {
            name: np.asarray(column[i].values)
            for name, column in arrays.items()
            if column[i].is_valid
        }
        path = Path(os.fsdecode(row["path"]))
        found = Found(
            os.fspath(path),
            *(row[k] for k in ("size", "mtime_ns", "inode", "device", "links", "link")),
        )
        yield _told(row, found, numbers), Path(os.fsdecode(row["file"]))


def _told(row: dict[str, Any], found: Found, numbers: dict[str, Any]) -> TrackResult:
    kept = json.loads(row["tags"]) if row["tags"] else None
    known = None if kept is None else tags.Tags(**{**kept, "album": tags.Album(**kept["album"])})
    identity = None
    if row["content_key"] and row["sha256"]:
        identity = audio.Identity(row["content_key"], row["second_key"], row["sha256"])
    heard = None
    if row["content_key"] and len(numbers.get("logits", ())):
        logits = numbers["logits"].reshape(len(numbers["starts"]), -1)
        heard = Analysis(
            row["content_key"],
            row["second_key"],
            row["seconds"],
            row["share"],
            numbers["starts"],
            logits,
            numbers["music"],
            numbers["embedding"],
            row["picture"] or b"",
        )
    return TrackResult(
        row["ordinal"], found, known, identity, heard, row["stage"] or "", row["error"]
    )


def check(told: TrackResult, file: Path, metadata: ModelMetadata) -> None:
    """Raise ``ValueError`` for what no scan tells: results may come from anywhere."""
    if not (file.is_absolute() or is_url(file)):
        raise ValueError(f"{str(file)!r} is no path from the root on")
    if told.tags is not None and not _are_well_formed(told.tags):
        raise ValueError(f"{str(file)!r}: its tags are not text")
    heard = told.heard
    if heard is None:
        return
    fine = (
        heard.logits.shape == (len(heard.starts), len(metadata.labels))
        and heard.music.shape == heard.starts.shape
    )
    numbers = (
        heard.logits,
        heard.music,
        heard.embedding,
        heard.starts,
        np.array([heard.seconds, heard.share]),
    )
    if not (fine and all(np.isfinite(x).all() for x in numbers)):
        raise ValueError(f"{str(file)!r}: its scores are not those of {metadata.name}")


def _are_well_formed(found: tags.Tags) -> bool:
    """Return whether tags read from results have the types that a scan gives them."""
    album = dict(vars(found.album))
    if not isinstance(album.pop("compilation"), bool):
        return False
    return isinstance(found.genres, list) and all(
        isinstance(text, str) for text in (*found.genres, *album.values())
    )


def part_name(scan: str, first: int) -> str:
    """Return the name of the file whose first row is a scan's ``first``."""
    return f"{scan}-{first:012d}{SUFFIX}"


def write(place: str, name: str, table: pa.Table, head: Head) -> None:
    """Write rows into a file of a folder or of a place behind a URL, as a whole or not at all.

    Raises:
        RunError: it cannot be written.
    """
    out = table.replace_schema_metadata(head.to_schema_metadata())
    try:
        if is_url(place):
            import fsspec

            with fsspec.open(
                f"{place.rstrip('/')}/{name}", "wb"
            ) as file:  # an object appears when it is whole
                pq.write_table(out, file, compression="zstd")
            return
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{name}.{os.getpid()}"
        pq.write_table(out, fresh, compression="zstd")
        fresh.replace(folder / name)
    except Exception as error:  # every kind of place has errors of its own
        raise RunError(f"{place}: the results cannot be written: {_said(error)}") from error


def read(place: str | Path) -> Iterator[tuple[Head, pa.Table]]:
    """Yield the results at a place, some rows at a time.

    Raises:
        RunError: there are none, or they cannot be read.
    """
    some = False
    try:
        for name, file in _files(to_url(place)):
            with file:
                parquet = pq.ParquetFile(file)
                head = _head(parquet.schema_arrow.metadata, name)
                if missing := set(RESULT.names) - set(parquet.schema_arrow.names):
                    raise RunError(f"{name}: it lacks the column(s) {', '.join(sorted(missing))}")
                some = True
                for batch in parquet.iter_batches(batch_size=256, columns=RESULT.names):
                    yield head, pa.Table.from_batches([batch]).cast(RESULT)
    except GenretagError:
        raise
    except Exception as error:
        raise RunError(f"{to_url(place)}: the results cannot be read: {_said(error)}") from error
    if not some:
        raise RunError(f"{to_url(place)}: there are no results of genretag here")


def _files(place: str) -> Iterator[tuple[str, BinaryIO]]:
    """Yield (name, open file) of the Parquet files at a place."""
    if not is_url(place):
        path = Path(place)
        for each in [path] if path.is_file() else sorted(path.glob(f"[!.]*{SUFFIX}")):
            yield str(each), each.open("rb")
        return
    from genretag.cluster.source import file_system

    system, root = file_system(place)
    names = (
        [root]
        if system.isfile(root)
        else sorted(n for n in system.ls(root, detail=False) if n.endswith(SUFFIX))
    )
    for name in names:
        yield system.unstrip_protocol(name), cast(BinaryIO, system.open(name, "rb"))


def _said(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text or type(error).__name__
