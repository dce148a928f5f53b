"""Several files are written at once, and the journal keeps the plan's order."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from breaking import rows_for
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag import tags
from genretag.audio import synthesis
from genretag.storage.cache import AnalysisCache
from genretag.storage.journal import Journal
from genretag.writing.apply import Result, apply_rows
from genretag.writing.target import WriteOptions
from genretag.writing.turns import Turn, in_turns


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 4)), max_size=24),
    st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_turns_come_in_order_whatever_the_work_takes(
    items: list[tuple[int, bool, int]], jobs: int
) -> None:
    taken: list[int] = []
    busy: set[int] = set()
    guard = threading.Lock()

    def work(item: tuple[int, tuple[int, bool, int]], turn: Turn) -> int:
        number, (wait, takes, key) = item
        with guard:
            assert key not in busy, "one of a kind at a time"
            busy.add(key)
        time.sleep(wait / 2000)
        if takes:
            with turn:
                taken.append(number)
        with guard:
            busy.discard(key)
        return number * 2

    found = list(in_turns(enumerate(items), work, jobs, lambda item: item[1][2]))
    assert [r for _, r in found] == [2 * n for n in range(len(items))]
    assert taken == [n for n, (_, takes, _) in enumerate(items) if takes]


def test_an_error_ends_it_and_nobody_waits_for_ever() -> None:
    def work(item: int, turn: Turn) -> int:
        if item == 2:
            raise ValueError("no")
        with turn:
            return item

    with pytest.raises(ValueError, match="no"):
        list(in_turns(range(50), work, 4, lambda n: n))


def test_the_journal_keeps_the_order_of_the_plan(tmp_path: Path) -> None:
    files = []
    for n in range(12):
        path = tmp_path / f"{n:02d}{('.mp3', '.flac', '.m4a', '.wav')[n % 4]}"
        synthesis.encode(path, synthesis.piece(n, 1 + n % 3 * 4), 44_100)
        files.append(path)
    rows = rows_for(files)
    rows[5] = replace(rows[5], sha256="0" * 64)  # this one changed since
    rows.append(rows[3])  # and this one is in the plan twice
    store, journal = AnalysisCache(tmp_path / "g.db"), Journal(tmp_path / "g.journal.db")
    run, results = journal.begin("apply", "0", {}), list[Result]()
    counts = apply_rows(
        store, journal, run, [(None, r) for r in rows], WriteOptions(), results.append, jobs=4
    )
    assert counts == {"written": 11, "failed": 2}
    assert [r.path for r in results] == [Path(r.path) for r in rows]
    assert [r.error is None for r in results] == [n not in (5, 12) for n in range(13)]
    assert [c.path for c in journal.changes(states=("replaced",))] == [
        p for n, p in enumerate(files) if n != 5
    ]
    assert [tags.read(p).genres for p in files] == [["Jazz"] if n != 5 else [] for n in range(12)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_write_stops_it_and_reaches_the_programs_own_handler(
    tmp_path: Path, number: signal.Signals
) -> None:
    """``watch`` goes on until its handler is called; after a lost signal it would never end."""
    files = [tmp_path / f"{n}.flac" for n in range(3)]
    for n, path in enumerate(files):
        synthesis.encode(path, synthesis.piece(n, 1), 44_100)
    store, journal = AnalysisCache(tmp_path / "g.db"), Journal(tmp_path / "g.journal.db")
    run, received = journal.begin("apply", "0", {}), list[int]()

    def interrupt(_: Result) -> None:
        os.kill(os.getpid(), number)
        assert received == [], "not in the middle of a write"

    before = signal.signal(number, lambda n, _: received.append(n))
    try:
        rows = [(None, row) for row in rows_for(files)]
        counts = apply_rows(store, journal, run, rows, WriteOptions(), interrupt)
    finally:
        signal.signal(number, before)
    assert counts == {"written": 1, "interrupted": 1}
    assert received == [number]
    assert [tags.read(p).genres for p in files] == [["Jazz"], [], []]
