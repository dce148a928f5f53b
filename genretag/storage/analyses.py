"""The analyses in the cache: scores and embeddings of tracks, under each key of their audio."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from genretag.records import Analysis, FileRow
from genretag.storage.files import file_row
from genretag.storage.sqlite import Tables

#: Content key, second key and embedding (float16) of an analysis.
EmbeddingRow = tuple[str, str | None, bytes]


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


class StoredAnalyses(Tables):
    """The table of analyses; what is stored for one content key counts for all files with it."""

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
            yield file_row(row), _analysis(row)

    def second_key(self, keys: Iterable[str]) -> str | None:
        """Return the second key of an analysis that is stored under one of these keys."""
        for key in keys:
            sql = "SELECT second_key FROM heard WHERE content_key = ?1 AND second_key IS NOT NULL"
            if row := self._db.execute(f"{sql} LIMIT 1", (key,)).fetchone():
                return str(row[0])
        return None

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
