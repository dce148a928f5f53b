"""The files in the analysis cache, as the last scan saw them, and those that failed."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from genretag.records import Album, FieldTags, FileRow, Tags
from genretag.storage.sqlite import Tables


@dataclass(frozen=True)
class Failure:
    """A file that could not be analysed, and the reason."""

    path: Path
    size: int
    mtime_ns: int
    stage: str
    error: str
    times: int
    at: float  # seconds since the epoch


def file_row(row: sqlite3.Row) -> FileRow:
    """Return a row of the table ``file``."""
    tags = Tags(
        json.loads(row["genres"]),
        row["field"],
        Album(**json.loads(row["album"])),
        row["problem"],
        FieldTags(**json.loads(row["fields"])) if row["fields"] is not None else None,
    )
    return FileRow(
        Path(os.fsdecode(row["path"])),
        row["size"],
        row["mtime_ns"],
        row["inode"],
        row["device"],
        row["links"],
        row["sha256"],
        row["content_key"],
        tags,
        row["audio_key"],
        row["file_check"],
    )


class StoredFiles(Tables):
    """The tables of files and of failures."""

    def file(self, path: Path) -> FileRow | None:
        """Return the row of a file."""
        row = self._db.execute("SELECT * FROM file WHERE path = ?", (os.fsencode(path),)).fetchone()
        return file_row(row) if row else None

    def save_file(self, f: FileRow) -> None:
        """Save the row of a file and delete its failure."""
        key = os.fsencode(f.path)
        self._db.execute(
            "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                f.size,
                f.mtime_ns,
                f.inode,
                f.device,
                f.links,
                f.sha256,
                f.content_key,
                json.dumps(f.tags.genres),
                f.tags.field,
                f.tags.problem,
                json.dumps(asdict(f.tags.album)),
                None if f.tags.fields is None else json.dumps(vars(f.tags.fields)),
                f.audio_key,
                f.file_check,
            ),
        )
        self._db.execute("DELETE FROM failure WHERE path = ?", (key,))

    def files_of(self, keys: Iterable[str]) -> Iterator[FileRow]:
        """Yield the files with one of these content keys, by path."""
        sql = (
            "SELECT * FROM file WHERE content_key IN (SELECT value FROM json_each(?)) ORDER BY path"
        )
        for row in self._db.execute(sql, (json.dumps(list(keys)),)):
            yield file_row(row)

    def count_below(self, top: Path) -> int:
        """Return the number of known files below a folder, whether they are still there or not."""
        first = os.fsencode(top).rstrip(os.fsencode(os.sep)) + os.fsencode(os.sep)
        after = first[:-1] + bytes([first[-1] + 1])
        sql = "SELECT count(*) FROM file WHERE path > ? AND path < ?"
        return int(self._db.execute(sql, (first, after)).fetchone()[0])

    def has_older_keys(self) -> bool:
        """Return whether any content key of an older genretag is stored."""
        return self._db.execute("SELECT 1 FROM older_key LIMIT 1").fetchone() is not None

    def older_key(self, sha256: str) -> str | None:
        """Return the content key that an older genretag gave the file with this SHA-256."""
        row = self._db.execute(
            "SELECT content_key FROM older_key WHERE sha256 = ?", (sha256,)
        ).fetchone()
        return str(row[0]) if row else None

    def failure(self, path: Path) -> Failure | None:
        """Return the failure of a path."""
        row = self._db.execute(
            "SELECT * FROM failure WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return self._failure(row) if row else None

    def failures(self) -> Iterator[Failure]:
        """Yield all failures, by path."""
        for row in self._db.execute("SELECT * FROM failure ORDER BY path"):
            yield self._failure(row)

    @staticmethod
    def _failure(row: sqlite3.Row) -> Failure:
        return Failure(
            Path(os.fsdecode(row["path"])),
            row["size"],
            row["mtime_ns"],
            row["stage"],
            row["error"],
            row["times"],
            row["at"],
        )

    def save_failure(self, path: Path, size: int, mtime_ns: int, stage: str, error: str) -> None:
        """Save a failure and count its repetitions."""
        self._db.execute(
            "INSERT INTO failure VALUES (?, ?, ?, ?, ?, 1, ?) ON CONFLICT(path)"
            " DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,"
            " stage = excluded.stage, error = excluded.error, times = times + 1,"
            " at = excluded.at",
            (os.fsencode(path), size, mtime_ns, stage, error, time.time()),
        )
