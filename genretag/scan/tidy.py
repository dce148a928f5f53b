"""Read the genres in the tags of a library, and plan tidier ones: no audio is analysed.

Files that the database knows, and that did not change since, are not opened.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genretag import tags
from genretag.audio import file_check, identify
from genretag.decisions.plan import tidied_row
from genretag.decisions.policy import Policy
from genretag.decisions.reasons import Action, Reason
from genretag.decisions.rows import Row, failed_row, keep_tidied, unanalysed_row
from genretag.decisions.tidy import Table, Tidier
from genretag.errors import TrackError
from genretag.library.urls import absolute, to_url
from genretag.library.walk import Found, Unreadable, below, is_music, walk
from genretag.records import Tags
from genretag.scan.obstacles import skip_blocked
from genretag.scan.unchanged import stat_fields
from genretag.storage.cache import AnalysisCache
from genretag.storage.scans import Scan

_BATCH = 500  # rows saved in one transaction

OnFile = Callable[[], None]


@dataclass(frozen=True)
class TaggedFile:
    """A file with genres in its tags; ``tags`` only where the database does not know the file."""

    found: Found
    genres: tuple[str, ...]
    tags: Tags | None = None


@dataclass
class Survey:
    """The genres below some paths."""

    files: list[TaggedFile] = field(default_factory=list)
    values: Counter[str] = field(default_factory=Counter)  # value -> files that have it
    failures: list[Row] = field(default_factory=list)
    seen: int = 0  # music files, with or without a genre

    def add(self, file: TaggedFile) -> None:
        """Count a file's genres."""
        self.values.update(set(file.genres))
        self.files.append(file)


def read_genres(cache: AnalysisCache, tops: list[Path], on_file: OnFile) -> Survey:
    """Return the genres in the tags of all music below ``tops``."""
    survey, met = Survey(), set[Path]()
    for found in walk(tops):
        if isinstance(found, Unreadable):
            survey.failures.append(failed_row(found.path, f"cannot be read: {found.error}"))
            continue
        if found.link and _is_second_name(found.path, tops, met):
            continue
        survey.seen += 1
        on_file()
        try:
            file = _tagged_file(cache, found)
        except (OSError, TrackError) as error:
            survey.failures.append(failed_row(found.path, _message(error)))
            continue
        if file.genres:
            survey.add(file)
    return survey


def _is_second_name(path: Path, tops: list[Path], met: set[Path]) -> bool:
    """Return whether the walk meets the file behind a link under another name, too."""
    target = Path(os.path.realpath(path))
    if target in met or (is_music(target.name) and below(target, tops)):
        return True
    met.add(target)
    return False


def _tagged_file(cache: AnalysisCache, found: Found) -> TaggedFile:
    """Return a file with its genres, from the database where it did not change since."""
    known = cache.file(absolute(found.path))
    if known is not None and stat_fields(known) == stat_fields(found):
        return TaggedFile(found, tuple(known.tags.genres))
    read = tags.read(found.path)
    return TaggedFile(found, tuple(read.genres), read)


def _message(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def plan_tidy(
    cache: AnalysisCache,
    survey: Survey,
    tidier: Tidier,
    table: Table,
    policy: Policy,
    last: Scan | None,
    on_file: OnFile,
) -> Iterator[Row]:
    """Yield the rows of the files whose genres change, and of those that cannot be read.

    Rows of the last plan keep what it knows of the model's verdict.
    """
    for failed in survey.failures:
        earlier = _planned_before(cache, failed.absolute, last)
        yield failed if earlier is None else replace(failed, path=earlier.path)
    for file in survey.files:
        if any(table.get(value, [value]) != [value] for value in file.genres):
            on_file()
            row = _plan_file(cache, file, tidier, table, policy, last)
            if row is not None:
                yield row


def _plan_file(
    cache: AnalysisCache,
    file: TaggedFile,
    tidier: Tidier,
    table: Table,
    policy: Policy,
    last: Scan | None,
) -> Row | None:
    """Return the row of a file that changes; None for one that a person has decided on."""
    path, found = absolute(file.found.path), file.found
    known = cache.file(path) if file.tags is None else None
    read = known.tags if known is not None else file.tags or tags.read(path)
    earlier = _planned_before(cache, path, last)
    # The name that the file has in the last plan, so that both list it alike.
    name = to_url(found.path) if earlier is None else earlier.path
    try:
        keys = known or replace(identify(path), file_check=file_check(path))
    except (OSError, TrackError) as error:
        return replace(failed_row(found.path, _message(error)), path=name)
    if earlier is not None and _is_answer_to_write(earlier, read):
        return None
    base = unanalysed_row(found.path)
    of_same_audio = earlier is not None and earlier.content_key in (
        keys.content_key,
        keys.audio_key,
    )
    if earlier is not None and earlier.scores and of_same_audio:
        # Another tagger may have filled a field since: only what was seen then may be replaced.
        is_same_file = (earlier.size, earlier.mtime_ns) == (found.size, found.mtime_ns)
        is_same_file &= earlier.file_check in (None, keys.file_check)
        base = earlier if is_same_file else replace(earlier, fields={})
    base = replace(
        base,
        path=name,
        size=found.size,
        mtime_ns=found.mtime_ns,
        sha256=known.sha256 or None if known is not None else None,
        content_key=keys.content_key or "",
        file_check=keys.file_check,
        audio_key=keys.audio_key,
        artist=read.album.artist,
        album=read.album.album,
        album_artist=read.album.album_artist,
        compilation=read.album.compilation,
    )
    new = tidier.new_genres(read.genres, table, read.album.artist)
    row = tidied_row(base, read, new, policy, found.links)
    return (skip_blocked(row, path, policy) or row) if row.action == Action.WRITE else row


def _planned_before(cache: AnalysisCache, path: Path, last: Scan | None) -> Row | None:
    """Return a file's row in the last plan."""
    planned = cache.planned_row(last.run, path) if last is not None else None
    return Row.from_dict(planned[1]) if planned is not None else None


def _is_answer_to_write(row: Row, read: Tags) -> bool:
    """Return whether a row is a person's answer that waits to be written."""
    return row.reviewed and row.action == Action.WRITE and row.old == read.genres


def save_tidy(
    cache: AnalysisCache,
    run: int,
    rows: Iterable[Row],
    tops: list[Path],
    policy: dict[str, Any],
    last: Scan | None,
) -> list[int]:
    """Save a plan of these rows and of all others of the last plan; return the rows' ordinals."""
    places = last.places if last is not None else ()
    cache.begin_scan(run, last.model if last is not None else None, policy, places=places)
    ordinals: list[int] = []
    batch: list[tuple[int, Path, str, dict[str, Any]]] = []
    with cache.transaction():
        free = cache.copy_plan(last.run, run) if last is not None else 0
        for row in rows:
            planned = cache.planned(run, row.absolute)
            ordinal, free = (free, free + 1) if planned is None else (planned, free)
            ordinals.append(ordinal)
            batch.append((ordinal, row.absolute, row.action, row.to_dict()))
            if len(batch) == _BATCH:
                cache.save_plan(run, batch)
                batch.clear()
        cache.save_plan(run, batch)
        cache.save_plan(run, _left_over(cache, run, frozenset(ordinals), tops))
    cache.finish_scan(run)
    return ordinals


def _left_over(
    cache: AnalysisCache, run: int, ordinals: frozenset[int], tops: list[Path]
) -> list[tuple[int, Path, str, dict[str, Any]]]:
    """Return rows that an earlier table would tidy and this one does not, as rows to keep."""
    return [
        (ordinal, path, Action.KEEP, keep_tidied(Row.from_dict(data)).to_dict())
        for ordinal, path, data in cache.plan(run, open_writes=True)
        if data.get("code") == Reason.TIDIES and ordinal not in ordinals and below(path, tops)
    ]


def has_tidied(cache: AnalysisCache, last: Scan | None, tops: list[Path]) -> bool:
    """Return whether the last plan would tidy a file below ``tops``."""
    return last is not None and bool(_left_over(cache, last.run, frozenset(), tops))
