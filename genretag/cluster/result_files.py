"""Files of results: Parquet with the model and version of genretag in the metadata of each file.

``genretag apply`` and ``report`` read them on any machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

import genretag
from genretag.cluster.results import RESULT
from genretag.errors import GenretagError, RunError, describe_invalid
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import ModelMetadata, metadata_to_json, parse_metadata
from genretag.library.urls import is_url, to_url

METADATA_KEY = b"genretag"
SUFFIX = ".parquet"
FORMAT = 3  # of the columns in results.RESULT; 2 had SHA-256 for a check, 1 other content keys


@dataclass(frozen=True)
class Head:
    """The metadata of a file of results: model, scan and version."""

    metadata: ModelMetadata
    scan: str = ""  # identifies the files of one scan
    version: str = genretag.__version__
    features: int = FEATURE_VERSION

    def to_schema_metadata(self) -> dict[bytes, bytes]:
        """Return the metadata of the Parquet schema."""
        fields = {
            "format": FORMAT,
            "version": self.version,
            "features": self.features,
            "scan": self.scan,
            "model": self.metadata.id,
        }
        return {
            METADATA_KEY: json.dumps(
                {**fields, "card": json.loads(metadata_to_json(self.metadata))}
            ).encode()
        }


def _head(metadata: dict[bytes, bytes] | None, name: str) -> Head:
    """Parse the metadata of a file; raise ``RunError`` if it is not one that genretag wrote."""
    if metadata is None or METADATA_KEY not in metadata:
        raise RunError(f"{name}: this is not a file of results of genretag")
    try:
        data = json.loads(metadata[METADATA_KEY])
        if data["format"] != FORMAT:
            raise RunError(
                f"{name}: its format is {data['format']!r}, and this genretag reads {FORMAT}; is "
                "one genretag older than the other?"
            )
        if data["features"] != FEATURE_VERSION:
            raise RunError(
                f"{name}: genretag {data['version']} computed other features than this one does; "
                "scan again"
            )
        return Head(
            parse_metadata(data["card"], data["model"]),
            str(data["scan"]),
            data["version"],
            data["features"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{name}: its head cannot be read: {describe_invalid(error)}") from error


def part_name(scan: str, first: int) -> str:
    """Return the name of the file whose first row has the ordinal ``first``."""
    return f"{scan}-{first:012d}{SUFFIX}"


def write(place: str, name: str, table: pa.Table, head: Head) -> None:
    """Write rows into a file in a folder or below a URL, as a whole or not at all.

    Raises:
        RunError: it cannot be written.
    """
    out = table.replace_schema_metadata(head.to_schema_metadata())
    try:
        if is_url(place):
            import fsspec

            with fsspec.open(
                f"{place.rstrip('/')}/{name}", "wb"
            ) as file:  # an object appears only when it is complete
                pq.write_table(out, file, compression="zstd")
            return
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{name}.{os.getpid()}"
        pq.write_table(out, temporary, compression="zstd")
        temporary.replace(folder / name)
    except Exception as error:  # each file system raises errors of its own
        raise RunError(f"{place}: the results cannot be written: {_cause(error)}") from error


def read(place: str | Path) -> Iterator[tuple[Head, pa.Table]]:
    """Yield the results at a place, some rows at a time.

    Raises:
        RunError: there are none, or they cannot be read.
    """
    found_any = False
    try:
        for name, file in _files(to_url(place)):
            with file:
                parquet = pq.ParquetFile(file)
                head = _head(parquet.schema_arrow.metadata, name)
                if missing := set(RESULT.names) - set(parquet.schema_arrow.names):
                    raise RunError(f"{name}: it lacks the column(s) {', '.join(sorted(missing))}")
                found_any = True
                for batch in parquet.iter_batches(batch_size=256, columns=RESULT.names):
                    yield head, pa.Table.from_batches([batch]).cast(RESULT)
    except GenretagError:
        raise
    except Exception as error:
        raise RunError(f"{to_url(place)}: the results cannot be read: {_cause(error)}") from error
    if not found_any:
        raise RunError(f"{to_url(place)}: no results of genretag are here")


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


def _cause(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text or type(error).__name__
