"""The analysis cache: files, analyses, failures and plans.

Scanning makes all of it again; the rest is in the journal. Paths are bytes, because not every
path is UTF-8; JSON is ASCII, so that lone surrogates in tags can be stored.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genretag.records import Album, Analysis, FieldTags, FileRow, Tags
from genretag.storage.sqlite import connect, transaction

_MIGRATIONS = (
    """
CREATE TABLE model (id TEXT PRIMARY KEY, card TEXT NOT NULL);
CREATE TABLE file (
  path BLOB PRIMARY KEY,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  device INTEGER NOT NULL,
  links INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  content_key TEXT NOT NULL,
  genres TEXT NOT NULL,
  field TEXT,
  problem TEXT,
  album TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE heard (
  content_key TEXT NOT NULL,
  model TEXT NOT NULL,
  features INTEGER NOT NULL,
  second_key TEXT,
  seconds REAL NOT NULL,
  share REAL NOT NULL,
  starts BLOB NOT NULL,
  logits BLOB NOT NULL,
  music BLOB NOT NULL,
  embedding BLOB NOT NULL,
  PRIMARY KEY (content_key, model, features)
) WITHOUT ROWID;
CREATE INDEX heard_second ON heard(second_key) WHERE second_key IS NOT NULL;
CREATE TABLE failure (
  path BLOB PRIMARY KEY,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  stage TEXT NOT NULL,
  error TEXT NOT NULL,
  times INTEGER NOT NULL,
  at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE scan (
  run INTEGER PRIMARY KEY,
  model TEXT,
  policy TEXT NOT NULL,
  finished INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE plan (
  run INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  path BLOB NOT NULL,
  action TEXT NOT NULL,
  row TEXT NOT NULL,
  done INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, ordinal)
) WITHOUT ROWID;
CREATE INDEX plan_path ON plan(path)
""",
    """
ALTER TABLE heard ADD COLUMN picture BLOB
""",
    """
ALTER TABLE scan ADD COLUMN aside INTEGER NOT NULL DEFAULT 0
""",
    """
ALTER TABLE heard ADD COLUMN of INTEGER NOT NULL DEFAULT 0
""",
    # Triggers count changes, so that no statement can forget to.
    ";\n".join(
        [
            "CREATE TABLE generation (number INTEGER NOT NULL)",
            "INSERT INTO generation VALUES (0)",
            "ALTER TABLE scan ADD COLUMN asked TEXT",
            "ALTER TABLE scan ADD COLUMN generation INTEGER",
            *(
                f"CREATE TRIGGER {table}_{what} AFTER {what} ON {table}"
                " BEGIN UPDATE generation SET number = number + 1; END"
                for table in ("file", "heard", "failure", "plan")
                for what in ("INSERT", "UPDATE", "DELETE")
                if (table, what) != ("plan", "DELETE")  # old plans go
            ),
        ]
    ),
    # Every command counts these; without the indexes each count reads every row of a plan.
    """
CREATE INDEX plan_status ON plan(run, json_extract(row, '$.status'));
CREATE INDEX plan_open ON plan(run) WHERE action = 'write' AND done = 0
""",
    """
ALTER TABLE scan ADD COLUMN counts TEXT
""",
    # Content keys became another hash: rows under the old keys cannot be found any more. Their
    # keys are kept to renew the journal, which has them too.
    ";\n".join(
        [
            "CREATE TABLE older_key (sha256 TEXT NOT NULL, content_key TEXT NOT NULL)",
            "INSERT INTO older_key SELECT sha256, content_key FROM file",
            "CREATE INDEX older_key_sha256 ON older_key(sha256)",
            *(f"DELETE FROM {table}" for table in ("heard", "file", "plan", "scan")),
        ]
    ),
    # The scanned folders, as JSON, so that scanning one does not lose the plan of another.
    """
ALTER TABLE scan ADD COLUMN places TEXT
""",
    # The fields beside the genre, as JSON; NULL: an older version read the genre alone.
    """
ALTER TABLE file ADD COLUMN fields TEXT
""",
    # The audio key, a check of the whole file that is cheaper than SHA-256, and analyses of pieces.
    """
ALTER TABLE file ADD COLUMN audio_key TEXT;
ALTER TABLE file ADD COLUMN file_check TEXT;
ALTER TABLE heard ADD COLUMN audio_key TEXT;
ALTER TABLE heard ADD COLUMN piece REAL NOT NULL DEFAULT 0;
CREATE INDEX heard_audio ON heard(audio_key) WHERE audio_key IS NOT NULL
""",
    # Files of one content key may have several audio keys, as a file and its remux do. FLAC's keys
    # of older versions lack the format, so that equal samples at other rates have the same.
    """
CREATE INDEX file_audio ON file(audio_key) WHERE audio_key IS NOT NULL;
UPDATE heard SET second_key = NULL WHERE second_key LIKE 'flac:%' AND second_key NOT LIKE 'flac:%:%'
""",
    # The totals of a plan, as text of ``genretag.report.summary``.
    """
ALTER TABLE scan ADD COLUMN summary TEXT
""",
)

#: (ordinal, key) of the rows of a plan, for keys of the audio that more than one of them has.
_SHARED_KEYS = """
WITH own AS (
  SELECT ordinal,
    json_extract(row, '$.content_key') AS content_key,
    json_extract(row, '$.audio_key') AS audio_key
  FROM plan WHERE run = :run
), every AS (
  SELECT ordinal, content_key AS key FROM own WHERE content_key != ''
  UNION SELECT ordinal, audio_key FROM own WHERE audio_key IS NOT NULL
  UNION SELECT ordinal, second_key FROM own JOIN heard USING (content_key)
    WHERE second_key IS NOT NULL
)
SELECT ordinal, key FROM every
WHERE key IN (SELECT key FROM every GROUP BY key HAVING count(*) > 1) ORDER BY ordinal
"""

#: No row of a file, analysis, failure or plan changed since a scan was complete.
_UNTOUCHED = "generation = (SELECT number FROM generation)"

KNOWN_TABLE = "heard"  # recognises a cache of 0.1.0, which has no application id
#: Content key, second key and embedding (float16) of an analysis.
EmbeddingRow = tuple[str, str | None, bytes]

PLANS_KEPT = 5  # older plans are dropped: a plan of a million rows is some hundred megabytes


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


@dataclass(frozen=True)
class Scan:
    """A scan with its model and policy."""

    run: int
    model: str | None
    policy: dict[str, Any]
    finished: bool
    aside: bool = False  # its plan belongs to the caller, never the last plan
    places: tuple[Path, ...] = ()  # scanned folders and files; empty in older databases

    def covers(self, path: Path) -> bool:
        """Return whether a path lies in a scanned place."""
        return any(path.is_relative_to(place) for place in self.places)


@dataclass(frozen=True)
class UnchangedScan:
    """A finished scan since which no stored row changed."""

    run: int
    fingerprint: str
    counts: dict[str, int]  # rows of its plan by status


def _scan(row: sqlite3.Row) -> Scan:
    return Scan(
        row["run"],
        row["model"],
        json.loads(row["policy"]),
        bool(row["finished"]),
        bool(row["aside"]),
        tuple(Path(place) for place in json.loads(row["places"] or "[]")),
    )


def _file_row(row: sqlite3.Row) -> FileRow:
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


def _analysis(row: sqlite3.Row) -> Analysis | None:
    """Return an analysis; None if its numbers are damaged, so that the track is analysed again."""
    try:
        return _decode_analysis(row)
    except ValueError:  # bytes that are no whole numbers, or not one row per window
        return None


def _decode_analysis(row: sqlite3.Row) -> Analysis:
    starts = np.frombuffer(row["starts"], np.float32)
    logits = np.frombuffer(row["logits"], np.float16).reshape(len(starts), -1)
    music, embedding = (
        np.frombuffer(row["music"], np.float16),
        np.frombuffer(row["embedding"], np.float16),
    )
    return Analysis(
        row["content_key"],
        row["second_key"],
        row["seconds"],
        row["share"],
        starts,
        logits,
        music,
        embedding,
        row["picture"] or b"",
        row["of"],
        row["audio_key"],
        row["piece"],
    )


def _whole_action(action: str, row: dict[str, Any]) -> str:
    """Return what a plan does with a file: write, if it writes any of its fields."""
    plans = row.get("fields") or {}
    return "write" if any(plan["action"] == "write" for plan in plans.values()) else action


_BELOW = "(path = ? OR (path > ? AND path < ?))"  # with the values of _range_below


def _range_below(top: Path) -> tuple[bytes, bytes, bytes]:
    """Return a path, and the range in which the paths below it are sorted."""
    name, separator = os.fsencode(top), os.fsencode(os.sep)
    folder = name.rstrip(separator)
    return name, folder + separator, folder + bytes([separator[0] + 1])


class AnalysisCache:
    """The cache file. Any number of processes may read it; writes are short transactions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = connect(path, _MIGRATIONS, KNOWN_TABLE, durable=False)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Hold one write transaction."""
        return transaction(self._db)

    # --- models ---

    def save_model(self, model_id: str, metadata: str) -> None:
        """Save a model's metadata, so that its scores can be judged without the model."""
        self._db.execute("INSERT OR REPLACE INTO model VALUES (?, ?)", (model_id, metadata))

    def model_metadata(self, model_id: str) -> str | None:
        """Return the JSON metadata of a model."""
        row = self._db.execute("SELECT card FROM model WHERE id = ?", (model_id,)).fetchone()
        return str(row[0]) if row else None

    # --- files ---

    def file(self, path: Path) -> FileRow | None:
        """Return the row of a file."""
        row = self._db.execute("SELECT * FROM file WHERE path = ?", (os.fsencode(path),)).fetchone()
        return _file_row(row) if row else None

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

    def has_older_keys(self) -> bool:
        """Return whether any content key of an older genretag is stored."""
        return self._db.execute("SELECT 1 FROM older_key LIMIT 1").fetchone() is not None

    def older_key(self, sha256: str) -> str | None:
        """Return the content key that an older genretag gave the file with this SHA-256."""
        row = self._db.execute(
            "SELECT content_key FROM older_key WHERE sha256 = ?", (sha256,)
        ).fetchone()
        return str(row[0]) if row else None

    # --- analyses ---

    def has_analysis(self, model: str, features: int) -> bool:
        """Return whether the cache holds an analysis of a model."""
        sql = "SELECT 1 FROM heard WHERE model = ? AND features = ? LIMIT 1"
        return self._db.execute(sql, (model, features)).fetchone() is not None

    def analysis(
        self,
        key: str | None,
        model: str,
        features: int,
        second_key: str | None = None,
        audio_key: str | None = None,
    ) -> Analysis | None:
        """Return the analysis by content key, or else by audio key or second key."""
        for condition, value in (
            ("content_key = ?", key),
            ("content_key = ?", audio_key),  # of which only pieces were analysed
            ("audio_key = ?", audio_key),
            # A file and its remux share an analysis, which has the audio key of the last one.
            ("content_key IN (SELECT content_key FROM file WHERE audio_key = ?)", audio_key),
            ("second_key = ?", second_key),
        ):
            sql = f"SELECT * FROM heard WHERE {condition} AND model = ? AND features = ? LIMIT 1"
            if value is not None and (
                row := self._db.execute(sql, (value, model, features)).fetchone()
            ):
                return _analysis(row)
        return None

    def embeddings(self, model: str, features: int, lot: int) -> Iterator[list[EmbeddingRow]]:
        """Yield the embeddings of a model in lots, in the order of the content keys."""
        cursor = self._db.cursor()
        cursor.row_factory = None  # plain tuples; rows with names take twice as long
        sql = (
            "SELECT content_key, second_key, embedding FROM heard WHERE model = ? AND features = ?"
        )
        cursor.execute(sql, (model, features))
        while rows := cursor.fetchmany(lot):
            yield rows

    def analyses_by_model(self) -> dict[str, int]:
        """Return the number of analyses of each model."""
        sql = "SELECT model, count(*) FROM heard GROUP BY model"
        return {str(model): int(number) for model, number in self._db.execute(sql)}

    def lengths_of(
        self, keys: Iterable[str], model: str, features: int
    ) -> dict[str, tuple[str | None, float]]:
        """Return second key and length in seconds of the analyses with these content keys."""
        sql = (
            "SELECT content_key, second_key, seconds FROM heard WHERE model = ? AND features = ?"
            " AND content_key IN (SELECT value FROM json_each(?))"
        )
        rows = self._db.execute(sql, (model, features, json.dumps(list(keys))))
        return {str(key): (second, float(seconds)) for key, second, seconds in rows}

    def files_of(self, keys: Iterable[str]) -> Iterator[FileRow]:
        """Yield the files with one of these content keys, by path."""
        sql = (
            "SELECT * FROM file WHERE content_key IN (SELECT value FROM json_each(?)) ORDER BY path"
        )
        for row in self._db.execute(sql, (json.dumps(list(keys)),)):
            yield _file_row(row)

    def analysed_files(
        self, model: str, features: int
    ) -> Iterator[tuple[FileRow, Analysis | None]]:
        """Yield every file that a model analysed, by path; None: its analysis is damaged."""
        # The columns of the two tables have different names, but for the content key, which is
        # the same in both.
        sql = (
            "SELECT file.*, heard.* FROM file JOIN heard ON heard.content_key = file.content_key"
            " AND heard.model = ? AND heard.features = ? ORDER BY file.path"
        )
        for row in self._db.execute(sql, (model, features)):
            yield _file_row(row), _analysis(row)

    def known(self, path: Path, model: str, features: int) -> tuple[FileRow, Analysis] | None:
        """Return a path's file row and analysis; None if either is missing."""
        f = self.file(path)
        if f is None:
            return None
        analysis = self.analysis(f.content_key, model, features, audio_key=f.audio_key)
        return (f, analysis) if analysis is not None else None

    def save_analysis(self, h: Analysis, model: str, features: int) -> None:
        """Save an analysis; a partial one never replaces a whole one."""
        before = self.analysis(h.content_key, model, features, audio_key=h.audio_key)
        if before is not None and before.whole and not h.whole:
            return
        if before is not None and h.content_key == h.audio_key:
            h = replace(h, content_key=before.content_key)  # its packets may be known by now
        elif before is not None and before.content_key == h.audio_key:
            sql = "DELETE FROM heard WHERE content_key = ? AND model = ? AND features = ?"
            self._db.execute(sql, (before.content_key, model, features))
            self._rename_files(before.content_key, h.content_key)
        self._db.execute(
            "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                h.content_key,
                model,
                features,
                h.second_key,
                h.seconds,
                h.share,
                h.starts.tobytes(),
                h.logits.tobytes(),
                h.music.tobytes(),
                h.embedding.tobytes(),
                h.picture,
                h.of,
                h.audio_key,
                h.piece,
            ),
        )

    def name_packets(self, audio_key: str, content_key: str) -> None:
        """Store analyses that are known by their audio key alone under their content key, too."""
        self._db.execute(
            "UPDATE OR IGNORE heard SET content_key = ?2, audio_key = ?1 WHERE content_key = ?1",
            (audio_key, content_key),
        )
        self._rename_files(audio_key, content_key)

    def _rename_files(self, audio_key: str, content_key: str) -> None:
        """Give all files that are known by their audio key alone their content key."""
        self._db.execute(
            "UPDATE file SET content_key = ?2 WHERE audio_key = ?1 AND content_key = ?1",
            (audio_key, content_key),
        )

    # --- failures ---

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

    # --- plans ---

    def begin_scan(
        self,
        run: int,
        model: str | None,
        policy: dict[str, Any],
        *,
        aside: bool = False,
        places: Iterable[Path] = (),
    ) -> None:
        """Save a new scan of some places and delete the oldest plans.

        The newest plan of each place stays. With ``aside`` its plan belongs to the caller and is
        never the last one.
        """
        with self.transaction():
            row = (run, model, json.dumps(policy), aside, json.dumps([str(p) for p in places]))
            self._db.execute(
                "INSERT OR REPLACE INTO scan (run, model, policy, aside, places)"
                " VALUES (?, ?, ?, ?, ?)",
                row,
            )
            for number in self._outdated_plans(aside):
                self.delete_plan(number)

    def _outdated_plans(self, aside: bool) -> list[int]:
        """Return the plans to delete: old ones whose places newer complete plans cover."""
        sql = "SELECT * FROM scan WHERE aside = ? ORDER BY run DESC"
        scans = [_scan(row) for row in self._db.execute(sql, (aside,)).fetchall()]
        newer: set[Path] = set()
        outdated: list[int] = []
        for index, scan in enumerate(scans):
            covered = all(not newer.isdisjoint((p, *p.parents)) for p in scan.places)
            if index >= PLANS_KEPT and (aside or covered or not scan.finished):
                outdated.append(scan.run)
            if scan.finished:
                newer.update(scan.places)
        return outdated

    def delete_plan(self, run: int) -> None:
        """Delete a plan."""
        self._db.execute("DELETE FROM plan WHERE run = ?", (run,))
        self._db.execute("DELETE FROM scan WHERE run = ?", (run,))

    def set_aside(self, run: int, aside: bool) -> None:
        """Keep a plan from being the last one, or make it count."""
        self._db.execute("UPDATE scan SET aside = ? WHERE run = ?", (aside, run))

    def complete_scans(self) -> Iterator[Scan]:
        """Yield the scans with a complete plan that is not set aside, the newest first."""
        sql = "SELECT * FROM scan WHERE finished = 1 AND aside = 0 ORDER BY run DESC"
        yield from map(_scan, self._db.execute(sql).fetchall())

    def has_rows_below(self, run: int, top: Path) -> bool:
        """Return whether a plan has a row of a path or of a file below it."""
        sql = f"SELECT 1 FROM plan WHERE run = ? AND {_BELOW} LIMIT 1"
        return self._db.execute(sql, (run, *_range_below(top))).fetchone() is not None

    def count_rows(self, run: int, top: Path | None = None) -> int:
        """Return the number of rows of a plan, or of those of a path and of files below it."""
        below = f"AND {_BELOW}" if top is not None else ""
        values = _range_below(top) if top is not None else ()
        sql = f"SELECT count(*) FROM plan WHERE run = ? {below}"
        return int(self._db.execute(sql, (run, *values)).fetchone()[0])

    def finish_scan(self, run: int, fingerprint: str | None = None) -> None:
        """Mark a plan as complete; ``fingerprint``: that under which it may be reused."""
        sql = (
            "UPDATE scan SET finished = 1, asked = ?, counts = ?, generation = "
            "(SELECT number FROM generation) WHERE run = ?"
        )
        counts = None if fingerprint is None else json.dumps(self.plan_counts(run))
        self._db.execute(sql, (fingerprint, counts, run))

    def untouched_scan(self) -> UnchangedScan | None:
        """Return the last scan if no row of a file, analysis, failure or plan changed since."""
        last = self.last_scan()
        sql = f"SELECT asked, counts FROM scan WHERE run = ? AND asked IS NOT NULL AND {_UNTOUCHED}"
        row = self._db.execute(sql, (last.run,)).fetchone() if last is not None else None
        if last is None or row is None:
            return None
        return UnchangedScan(
            last.run,
            str(row["asked"]),
            json.loads(row["counts"]) if row["counts"] else self.plan_counts(last.run),
        )

    def save_summary(self, run: int, summary: str) -> None:
        """Save the totals of a complete plan, unless a row changed since it was completed."""
        self._db.execute(
            f"UPDATE scan SET summary = ? WHERE run = ? AND {_UNTOUCHED}", (summary, run)
        )

    def summary(self, run: int) -> str | None:
        """Return the saved totals of a plan; None if there are none, or a row changed since."""
        sql = f"SELECT summary FROM scan WHERE run = ? AND {_UNTOUCHED}"
        row = self._db.execute(sql, (run,)).fetchone()
        return None if row is None else row["summary"]

    def plan_counts(self, run: int) -> dict[str, int]:
        """Return the number of rows of a plan by status."""
        sql = "SELECT json_extract(row, '$.status'), count(*) FROM plan WHERE run = ? GROUP BY 1"
        return {str(status): int(count) for status, count in self._db.execute(sql, (run,))}

    def failed_in_plan(self, run: int) -> int:
        """Return the number of failed files of a plan."""
        sql = (
            "SELECT count(*) FROM plan INDEXED BY plan_status WHERE run = ? AND "
            "json_extract(row, '$.status') = 'failed'"
        )
        return int(self._db.execute(sql, (run,)).fetchone()[0])

    def last_scan(self) -> Scan | None:
        """Return the last scan with a complete plan that is not set aside."""
        row = self._db.execute(
            "SELECT * FROM scan WHERE finished = 1 AND aside = 0 ORDER BY run DESC LIMIT 1"
        ).fetchone()
        return _scan(row) if row else None

    def scan(self, run: int) -> Scan | None:
        """Return a scan."""
        row = self._db.execute("SELECT * FROM scan WHERE run = ?", (run,)).fetchone()
        return _scan(row) if row else None

    def save_plan(self, run: int, rows: Iterable[tuple[int, Path, str, dict[str, Any]]]) -> None:
        """Save rows of a plan: (ordinal, path, action on the genre, row).

        A row counts as a write if any of its fields is written.
        """
        self._db.executemany(
            "INSERT OR REPLACE INTO plan (run, ordinal, path, action, row) VALUES (?, ?, ?, ?, ?)",
            (
                (run, n, os.fsencode(path), _whole_action(action, row), json.dumps(row))
                for n, path, action, row in rows
            ),
        )

    def copy_plan(self, run: int, target: int) -> int:
        """Copy the rows of a plan into another run; return the next free ordinal."""
        columns = "ordinal, path, action, row, done"
        self._db.execute(
            f"INSERT INTO plan (run, {columns}) SELECT ?, {columns} FROM plan WHERE run = ?",
            (target, run),
        )
        sql = "SELECT max(ordinal) FROM plan WHERE run = ?"
        last = self._db.execute(sql, (target,)).fetchone()[0]
        return 0 if last is None else int(last) + 1

    def planned_row(self, run: int, path: Path) -> tuple[int, dict[str, Any]] | None:
        """Return a path's ordinal and row in the plan of a run."""
        sql = "SELECT ordinal, row FROM plan WHERE path = ? AND run = ?"
        row = self._db.execute(sql, (os.fsencode(path), run)).fetchone()
        return (int(row[0]), json.loads(row[1])) if row else None

    def plan(
        self, run: int, *, open_writes: bool = False
    ) -> Iterator[tuple[int, Path, dict[str, Any]]]:
        """Yield the rows of a plan in walk order, all or only the unwritten ones."""
        sql = "SELECT ordinal, path, row FROM plan WHERE run = ?"
        sql += " AND action = 'write' AND done = 0" if open_writes else ""
        last = -1
        while rows := self._db.execute(
            f"{sql} AND ordinal > ? ORDER BY ordinal LIMIT 500", (run, last)
        ).fetchall():
            for row in rows:
                yield row["ordinal"], Path(os.fsdecode(row["path"])), json.loads(row["row"])
            last = rows[-1]["ordinal"]

    def shared_keys(self, run: int) -> Iterator[tuple[int, str]]:
        """Yield (ordinal, key) for each key of the audio that several rows of a plan have."""
        cursor = self._db.cursor()
        cursor.row_factory = None
        yield from cursor.execute(_SHARED_KEYS, {"run": run})

    def second_key(self, keys: Iterable[str]) -> str | None:
        """Return the second key of an analysis that is stored under one of these keys."""
        for key in keys:
            sql = "SELECT second_key FROM heard WHERE content_key = ?1 AND second_key IS NOT NULL"
            if row := self._db.execute(f"{sql} LIMIT 1", (key,)).fetchone():
                return str(row[0])
        return None

    def plan_rows(self, run: int, ordinals: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a plan with these ordinals, in the order of the plan."""
        sql = (
            "SELECT row FROM plan WHERE run = ? AND ordinal IN (SELECT value FROM json_each(?))"
            " ORDER BY ordinal"
        )
        for row in self._db.execute(sql, (run, json.dumps(list(ordinals)))):
            yield json.loads(row["row"])

    def open_writes(self, run: int) -> int:
        """Return the number of unwritten rows of a plan."""
        sql = (
            "SELECT count(*) FROM plan INDEXED BY plan_open WHERE run = ? AND "
            "action = 'write' AND done = 0"
        )
        return int(self._db.execute(sql, (run,)).fetchone()[0])

    def planned(self, run: int, path: Path) -> int | None:
        """Return the ordinal of a path in the plan of a run."""
        row = self._db.execute(
            "SELECT ordinal FROM plan WHERE path = ? AND run = ?", (os.fsencode(path), run)
        ).fetchone()
        return int(row[0]) if row else None

    def mark_done(self, run: int, ordinal: int) -> None:
        """Mark a row of a plan as written."""
        self._db.execute("UPDATE plan SET done = 1 WHERE run = ? AND ordinal = ?", (run, ordinal))

    def reopen(self, path: Path) -> None:
        """Mark the rows of a path as unwritten, after an undo."""
        self._db.execute("UPDATE plan SET done = 0 WHERE path = ?", (os.fsencode(path),))
