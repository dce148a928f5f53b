"""The cache returns what was stored, and refuses databases of other versions."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_vote import analysis

from genretag.decisions.rows import failed_row
from genretag.errors import RunError
from genretag.records import Album, Analysis, FileRow, Tags
from genretag.storage.cache import AnalysisCache
from genretag.storage.scans import PLANS_KEPT


@pytest.fixture
def store(tmp_path: Path) -> AnalysisCache:
    return AnalysisCache(tmp_path / "g.db")


def test_analyses_are_read_back_exactly(store: AnalysisCache) -> None:
    h = replace(analysis(np.random.default_rng(0).normal(size=(5, 3))), second_key="flac:1")
    store.save_analysis(h, "m", 1)
    for back in (store.analysis("k", "m", 1), store.analysis("other", "m", 1, second_key="flac:1")):
        assert back is not None
        assert np.array_equal(back.logits, h.logits)
        assert np.array_equal(back.starts, h.starts)
        assert np.array_equal(back.embedding, h.embedding)
        assert (back.seconds, back.share, back.second_key) == (h.seconds, h.share, h.second_key)


def test_an_analysis_is_found_by_any_of_its_keys(store: AnalysisCache) -> None:
    whole = replace(analysis([[1, 2, 3]]), second_key="flac:1", audio_key="audio:1")
    store.save_analysis(whole, "m", 1)
    for keys in (
        {"key": "k"},
        {"key": "x", "audio_key": "audio:1"},
        {"key": "audio:1", "audio_key": "audio:1"},
        {"key": None, "second_key": "flac:1", "audio_key": "audio:2"},
    ):
        found = store.analysis(**{"key": None, "model": "m", "features": 1, **keys})
        assert found is not None
        assert found.content_key == "k"
    assert store.analysis("audio:2", "m", 1, "flac:2", "audio:2") is None
    f = FileRow(Path("/x"), 1, 2, 3, 4, 1, "", "audio:1", Tags([], "TCON"), "audio:1", "xxh3:ab")
    store.save_file(f)
    assert store.file(Path("/x")) == f
    known = store.known(Path("/x"), "m", 1)
    assert known is not None
    assert known[1].content_key == "k"


def pieces(count: int) -> Analysis:
    h = analysis([[1.0, 2.0, 3.0]] * count)
    return replace(h, content_key="audio:1", audio_key="audio:1", of=48, piece=5.0)


def test_a_whole_analysis_replaces_that_of_pieces_and_never_the_reverse(
    store: AnalysisCache,
) -> None:
    store.save_analysis(pieces(6), "m", 1)
    found = store.analysis("audio:1", "m", 1)
    assert found is not None
    assert (len(found.starts), found.piece, found.whole) == (6, 5.0, False)
    store.save_analysis(pieces(12), "m", 1)
    store.save_analysis(replace(analysis([[3, 2, 1]]), audio_key="audio:1"), "m", 1)
    store.save_analysis(pieces(6), "m", 1)
    for key in ("k", "audio:1"):
        found = store.analysis(key, "m", 1, audio_key="audio:1")
        assert found is not None
        assert (found.whole, found.content_key) == (True, "k")
    count = sqlite3.connect(store.path).execute("SELECT count(*) FROM heard").fetchone()[0]
    assert count == 1


def test_once_the_packets_are_known_pieces_are_found_under_both_keys(store: AnalysisCache) -> None:
    store.save_analysis(pieces(6), "m", 1)
    store.name_packets("audio:1", "k")
    for key in ("k", "audio:1"):
        found = store.analysis(key, "m", 1, audio_key="audio:1")
        assert found is not None
        assert found.content_key == "k"
    store.save_analysis(pieces(12), "m", 1)
    found = store.analysis("k", "m", 1)
    assert found is not None
    assert len(found.starts) == 12


def test_scores_of_another_model_or_other_features_are_never_mixed_in(store: AnalysisCache) -> None:
    store.save_analysis(analysis([[1, 2, 3]]), "m", 1)
    assert store.analysis("k", "n", 1) is None
    assert store.analysis("k", "m", 2) is None


def test_any_path_and_any_tag_can_be_kept(store: AnalysisCache) -> None:
    path = Path(os.fsdecode(b"/caf\xe9\n\x1b[2J.mp3"))
    f = FileRow(
        path,
        1,
        2**62,
        2**63 - 1,
        4,
        1,
        "s",
        "k",
        Tags(["\x00", "宇宙", "'; DROP TABLE file"], "TCON", Album("a", "b", "c")),
    )
    store.save_file(f)
    assert store.file(path) == f


def test_what_is_kept_under_keys_of_an_older_kind_goes_and_failures_stay(
    store: AnalysisCache,
) -> None:
    store.save_analysis(analysis([[1, 2, 3]]), "m", 1)
    store.save_file(FileRow(Path("/x"), 1, 2, 3, 4, 1, "s", "k", Tags([], "TCON")))
    store.save_failure(Path("/y"), 1, 2, "decode", "no")
    store.begin_scan(1, "m", {})
    store.save_plan(1, [(0, Path("/x"), "write", {"status": "ok"})])
    store.close()
    older = sqlite3.connect(store.path)
    older.execute("DROP TABLE older_key")
    older.execute("ALTER TABLE scan DROP COLUMN places")
    older.execute("ALTER TABLE scan DROP COLUMN summary")
    older.execute("DROP INDEX heard_audio")
    older.execute("DROP INDEX file_audio")
    for table, column in (
        ("file", "fields"),
        ("file", "audio_key"),
        ("file", "file_check"),
        ("heard", "audio_key"),
        ("heard", "piece"),
    ):
        older.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    older.execute("PRAGMA user_version = 7")
    renewed = AnalysisCache(store.path)
    assert (renewed.analysis("k", "m", 1), renewed.file(Path("/x")), renewed.scan(1)) == (
        None,
        None,
        None,
    )
    assert list(renewed.plan(1)) == []
    assert len(list(renewed.failures())) == 1
    assert (renewed.older_key("s"), renewed.older_key("t")) == ("k", None)


def test_rows_of_usual_size_fill_the_pages(store: AnalysisCache) -> None:
    rng, labels, files = np.random.default_rng(0), 108, 300
    store.begin_scan(1, "m", {})
    row = {"status": "ok", "text": "x" * 950}
    with store.transaction():
        for n in range(files):
            analysis = Analysis(
                f"{n:032x}",
                None,
                30.0,
                1.0,
                np.zeros(1, np.float32),
                rng.normal(size=(1, labels)).astype(np.float16),
                np.zeros(1, np.float16),
                rng.normal(size=384).astype(np.float16),
            )
            store.save_analysis(analysis, "m", 1)
        store.save_plan(1, [(n, Path(f"/{n}"), "keep", row) for n in range(files)])
    store.close()
    # An analysis and a row of a plan are 1 KB each.
    assert store.path.stat().st_size / files < 3_500


def test_the_totals_of_a_plan_hold_until_a_row_changes(store: AnalysisCache) -> None:
    store.begin_scan(1, "m", {})
    store.save_plan(1, [(0, Path("/x"), "write", {"status": "ok"})])
    store.save_summary(1, "of a plan that is not complete")
    assert store.summary(1) is None
    store.finish_scan(1)
    assert store.summary(1) is None
    store.save_summary(1, "totals")
    assert store.summary(1) == "totals"
    store.mark_done(1, 0)
    assert store.summary(1) is None
    store.save_summary(1, "too late")
    assert store.summary(1) is None


def test_a_failure_is_counted_until_the_file_is_analysed(
    store: AnalysisCache,
) -> None:
    for _ in range(3):
        store.save_failure(Path("/x"), 1, 2, "decode", "no")
    failure = store.failure(Path("/x"))
    assert failure is not None
    assert failure.times == 3
    store.save_file(FileRow(Path("/x"), 1, 2, 3, 4, 1, "s", "k", Tags([], "TCON")))
    assert list(store.failures()) == []


def test_a_plan_comes_back_in_its_order_and_an_unfinished_one_is_not_the_last(
    store: AnalysisCache,
) -> None:
    store.begin_scan(1, "m", {})
    rows = [
        (n, Path(f"/{n}"), "write" if n % 2 else "skip", failed_row(Path(f"/{n}"), "").to_dict())
        for n in range(1234)
    ]
    store.save_plan(1, reversed(rows))
    assert store.last_scan() is None
    store.finish_scan(1)
    store.begin_scan(2, "m", {})
    last = store.last_scan()
    assert last is not None
    assert last.run == 1
    assert [n for n, _, _ in store.plan(1)] == list(range(1234))
    store.mark_done(1, 1)
    assert [n for n, _, _ in store.plan(1, open_writes=True)] == list(range(3, 1234, 2))
    store.reopen(Path("/1"))
    assert next(iter(store.plan(1, open_writes=True)))[0] == 1


def test_a_scan_is_unchanged_until_a_row_changes(store: AnalysisCache) -> None:
    store.begin_scan(1, "m", {})
    rows = [
        failed_row(Path(f"/{n}"), "")
        if n < 3
        else replace(failed_row(Path(f"/{n}"), ""), status="ok")
        for n in range(10)
    ]
    store.save_plan(
        1,
        (
            (n, Path(f"/{n}"), "write" if n == 5 else "skip", row.to_dict())
            for n, row in enumerate(rows)
        ),
    )
    assert store.failed_in_plan(1) == 3 and store.open_writes(1) == 1
    store.finish_scan(1, "all of it")
    last = store.untouched_scan()
    assert last is not None and (last.run, last.fingerprint, last.counts) == (
        1,
        "all of it",
        {"failed": 3, "ok": 7},
    )
    sqlite3.connect(store.path).execute(
        "UPDATE scan SET counts = NULL"
    ).connection.commit()  # as an older genretag left it
    assert store.untouched_scan() == last
    store.mark_done(1, 5)
    assert store.untouched_scan() is None and store.open_writes(1) == 0


def test_old_plans_are_dropped(store: AnalysisCache) -> None:
    for run in range(1, PLANS_KEPT + 3):
        store.begin_scan(run, "m", {})
        store.save_plan(run, [(0, Path("/a"), "skip", {})])
        store.finish_scan(run)
    assert not list(store.plan(1))
    assert list(store.plan(PLANS_KEPT + 2))


def test_a_database_of_a_later_genretag_is_refused(store: AnalysisCache) -> None:
    store.close()
    sqlite3.connect(store.path).execute("PRAGMA user_version = 99")
    with pytest.raises(RunError, match="later genretag"):
        AnalysisCache(store.path)


def test_rows_below_a_path_are_counted(tmp_path: Path) -> None:
    store = AnalysisCache(tmp_path / "c.db")
    paths = [Path("/m/a/1"), Path("/m/a/b/2"), Path("/m/a.mp3"), Path("/m/a0/3")]
    store.begin_scan(1, None, {})
    store.save_plan(1, [(n, path, "keep", {}) for n, path in enumerate(paths)])
    for top, expected in [("/m", 4), ("/m/a", 2), ("/m/a/b/2", 1), ("/m/c", 0), ("/", 4)]:
        assert store.count_rows(1, Path(top)) == expected
        assert store.has_rows_below(1, Path(top)) is (expected > 0)
    assert (store.count_rows(1), store.count_rows(2)) == (4, 0)
