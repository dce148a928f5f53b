"""Every layout of tags: written with proof, and taken back to the last byte."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from breaking import rows_for
from test_readers_vorbis_and_chunks import CASES, NAMES, Build, Layout

from genretag import tags
from genretag.storage.cache import AnalysisCache
from genretag.storage.journal import Journal
from genretag.writing.apply import apply_rows, undo_runs
from genretag.writing.target import WriteOptions


@pytest.fixture(scope="module")
def seeds(seed_files: dict[str, Path]) -> dict[str, bytes]:
    return {e: seed_files[e].read_bytes() for e in (".flac", ".ogg", ".opus", ".oga")}


@pytest.mark.parametrize("genres", [["Jazz"], ["Jazz", "Ωμέγα"]], ids=["one", "two"])
@pytest.mark.parametrize("old", [b"", b"Other"], ids=["no genre", "Other"])
@pytest.mark.parametrize(("layout", "reference"), CASES, ids=NAMES)
def test_a_file_is_written_with_proof_and_taken_back(
    seeds: dict[str, bytes],
    tmp_path: Path,
    layout: Layout,
    reference: Build,
    old: bytes,
    genres: list[str],
) -> None:
    path = tmp_path / f"x{layout.extension}"
    path.write_bytes(layout.build(seeds, old))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    store, journal = AnalysisCache(tmp_path / "g.db"), Journal(tmp_path / "j.db")
    (row,) = rows_for([path])
    errors: list[str | None] = []
    rows = [(None, replace(row, new=genres))]
    apply_rows(store, journal, 1, rows, WriteOptions(), lambda r: errors.append(r.error))
    assert errors == [None]
    assert tags.read(path).genres == genres
    undo_runs(store, journal, 2, list(journal.changes()), lambda r: errors.append(r.error))
    assert errors == [None, None]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    store.close()
    journal.close()
