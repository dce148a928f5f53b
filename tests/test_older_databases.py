"""Databases of version 0.1.0 are opened and carried over; the journal is never lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from genretag.storage.cache import AnalysisCache
from genretag.storage.journal import Journal

_FROZEN = Path(__file__).parent / "frozen"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Make the cache and the journal that version 0.1.0 left after five writes."""
    for name in ("genretag", "genretag.journal"):
        with sqlite3.connect(tmp_path / f"{name}.db") as db:
            db.executescript((_FROZEN / f"{name}-0.1.0.sql").read_text())
        db.close()
    return tmp_path


def test_the_journal_of_0_1_0_keeps_its_writes(older: Path) -> None:
    journal = Journal(older / "genretag.journal.db")
    changes = list(journal.changes(states=("replaced",)))
    assert len(changes) == 5
    assert {tuple(c.new) for c in changes} == {("Electronic",)}
    assert all(c.delta for c in changes)
    journal.close()


def test_the_cache_of_0_1_0_is_opened(older: Path) -> None:
    store = AnalysisCache(older / "genretag.db")
    assert store.last_scan() is not None
    store.close()
