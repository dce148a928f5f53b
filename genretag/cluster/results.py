"""The rows of a scan on a cluster: one per track, as Arrow tables.

The same rows travel between the operators (``BETWEEN``: with the windows that are still to be
scored), come back to the scan (``RESULT``), and lie in files (``result_files``). Paths are bytes,
because not every path is UTF-8; scores have the precision of the analysis cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from genretag import audio, tags
from genretag.inference.metadata import ModelMetadata
from genretag.library.urls import is_url, to_url
from genretag.library.walk import Found
from genretag.records import WINDOW_SECONDS, Analysis
from genretag.scan.track import TrackResult

_FILE = [
    ("ordinal", pa.int64()),  # place in the walk
    ("path", pa.binary()),  # as walked
    ("file", pa.binary()),  # absolute, or a URL
    ("size", pa.int64()),  # bytes
    ("mtime_ns", pa.int64()),
    ("inode", pa.int64()),
    ("device", pa.int64()),
    ("links", pa.int64()),
    ("link", pa.bool_()),
]
_STATE = [
    ("tags", pa.string()),  # JSON, ASCII
    ("content_key", pa.string()),
    ("second_key", pa.string()),
    ("audio_key", pa.string()),
    ("file_check", pa.string()),
    ("stage", pa.string()),  # where it failed ...
    ("error", pa.string()),  # ... and why; null: it did not
]
_ANALYSIS = [
    ("seconds", pa.float64()),
    ("share", pa.float64()),  # part of the track that decoded, 0 to 1
    ("starts", pa.list_(pa.float32())),  # of the windows, s
    ("logits", pa.list_(pa.float16())),  # windows x labels
    ("music", pa.list_(pa.float16())),  # per window, logits
    ("embedding", pa.list_(pa.float16())),  # mean over windows
    ("picture", pa.binary()),
    ("piece", pa.float64()),  # length of the pieces in s; 0: windows over the whole track
    ("of", pa.int64()),  # pieces that would cover the track; 0: all of it was analysed
]
_WINDOWS = [
    ("bands", pa.int64()),
    ("picture_of_all", pa.binary()),  # of all pieces; ``picture`` is of the first ones
    (
        "windows",
        pa.list_(pa.large_binary()),
    ),  # features [bands, frames], float32, still to be scored
]
TASK = pa.schema(_FILE)
RESULT = pa.schema(_FILE + _STATE + _ANALYSIS)
BETWEEN = pa.schema(_FILE + _STATE + _ANALYSIS + _WINDOWS)


def path_bytes(path: Path) -> bytes:
    """Return a path as rows hold it: its own bytes, or a URL as a person types it."""
    return os.fsencode(to_url(path))


def task_row(ordinal: int, found: Found, file: Path) -> dict[str, Any]:
    """Return the row of a file to analyse."""
    fields = {
        name: getattr(found, name)
        for name in ("size", "mtime_ns", "inode", "device", "links", "link")
    }
    return {"ordinal": ordinal, "path": path_bytes(found.path), "file": path_bytes(file), **fields}


def tags_text(t: tags.Tags | None) -> str | None:
    """Return tags as a row holds them: JSON."""
    return None if t is None else json.dumps(asdict(t))


def analysis_columns(analysis: Analysis) -> dict[str, Any]:
    """Return the columns of an analysis."""
    return {
        "second_key": analysis.second_key,
        "audio_key": analysis.audio_key,
        "seconds": analysis.seconds,
        "share": analysis.share,
        "starts": analysis.starts,
        "logits": analysis.logits.ravel(),
        "music": analysis.music,
        "embedding": analysis.embedding,
        "picture": analysis.picture,
        "piece": analysis.piece,
        "of": analysis.of,
    }


def row_of(result: TrackResult, file: Path) -> dict[str, Any]:
    """Return a track's row."""
    row = {
        **task_row(result.ordinal, result.found, file),
        "tags": tags_text(result.tags),
        "stage": result.stage or None,
        "error": result.error,
    }
    if result.analysis is not None:
        row |= analysis_columns(result.analysis)
    if result.identity is not None:
        row |= asdict(result.identity)
    return row


def table_of(rows: list[dict[str, Any]], schema: pa.Schema = RESULT) -> pa.Table:
    """Return rows as a table; missing values are null."""
    return pa.table(
        {f.name: pa.array([r.get(f.name) for r in rows], f.type) for f in schema}, schema=schema
    )


def track_results(table: pa.Table) -> Iterator[tuple[TrackResult, Path]]:
    """Yield (result, absolute path) of a table's rows."""
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
        yield _track_result(row, found, numbers), Path(os.fsdecode(row["file"]))


def _tags_of(kept: dict[str, Any]) -> tags.Tags:
    """Return tags from the JSON of a row; those of older results have no fields."""
    fields = kept.get("fields")
    parts = {
        "album": tags.Album(**kept["album"]),
        "fields": None if fields is None else tags.FieldTags(**fields),
    }
    return tags.Tags(**{**kept, **parts})


def _track_result(row: dict[str, Any], found: Found, numbers: dict[str, Any]) -> TrackResult:
    kept = json.loads(row["tags"]) if row["tags"] else None
    known = None if kept is None else _tags_of(kept)
    identity = None
    if row["content_key"] or row["audio_key"]:
        identity = audio.Identity(
            row["content_key"], row["second_key"], row["audio_key"], row["file_check"]
        )
    analysis = None
    if identity is not None and len(numbers.get("logits", ())):
        logits = numbers["logits"].reshape(len(numbers["starts"]), -1)
        analysis = Analysis(
            identity.key,
            row["second_key"],
            row["seconds"],
            row["share"],
            numbers["starts"],
            logits,
            numbers["music"],
            numbers["embedding"],
            row["picture"] or b"",
            row["of"] or 0,
            row["audio_key"],
            row["piece"] or 0.0,
        )
    return TrackResult(
        row["ordinal"], found, known, identity, analysis, row["stage"] or "", row["error"]
    )


def check(result: TrackResult, file: Path, metadata: ModelMetadata) -> None:
    """Raise ``ValueError`` for a row that no scan writes: results may come from anywhere."""
    if not (file.is_absolute() or is_url(file)):
        raise ValueError(f"{str(file)!r} is not an absolute path")
    if result.tags is not None and not _are_well_formed(result.tags):
        raise ValueError(f"{str(file)!r}: its tags are not text")
    analysis = result.analysis
    if analysis is None:
        return
    fine = (
        analysis.logits.shape == (len(analysis.starts), len(metadata.labels))
        and analysis.music.shape == analysis.starts.shape
        and 0 <= analysis.piece <= WINDOW_SECONDS
        and analysis.of >= 0
    )
    numbers = (
        analysis.logits,
        analysis.music,
        analysis.embedding,
        analysis.starts,
        np.array([analysis.seconds, analysis.share, analysis.piece]),
    )
    if not (fine and all(np.isfinite(x).all() for x in numbers)):
        raise ValueError(f"{str(file)!r}: its scores are not those of {metadata.name}")


def _are_well_formed(found: tags.Tags) -> bool:
    """Return whether tags read from results have the types that a scan gives them."""
    album = dict(vars(found.album))
    if not isinstance(album.pop("compilation"), bool):
        return False
    fields = found.fields or tags.FieldTags()
    lists = [found.genres, *fields.values.values()]
    return all(isinstance(texts, list) for texts in lists) and all(
        isinstance(text, str)
        for texts in (*lists, album.values(), fields.problems.values())
        for text in texts
    )
