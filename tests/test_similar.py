"""Similar tracks: the nearest embeddings of the same model, whatever lies in the database."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from genretag import api
from genretag.audio import synthesis
from genretag.cli import app
from genretag.decisions.similarity import MIN_TRACKS, Nearest, Space
from genretag.errors import GenretagError, RunError, UsageError
from genretag.features import FEATURE_VERSION
from genretag.inference.model import Model
from genretag.records import Analysis, FileRow, Tags
from genretag.report.similar import find_similar
from genretag.storage.cache import AnalysisCache

MODEL = Model().metadata
DIMS = 16


def row(path: Path, key: str) -> FileRow:
    return FileRow(path, 1, 1, 1, 1, 1, key, key, Tags(["Jazz"], "GENRE"))


def analysis(key: str, embedding: np.ndarray, second_key: str | None = None) -> Analysis:
    one = np.zeros(1, np.float16)
    starts = np.zeros(1, np.float32)
    return Analysis(
        *(key, second_key, 30.0, 1.0, starts, np.zeros((1, 4), np.float16), one),
        embedding.astype(np.float16),
    )


@pytest.fixture
def store(tmp_path: Path) -> AnalysisCache:
    return AnalysisCache(tmp_path / "g.db")


def fill(store: AnalysisCache, folder: Path, embeddings: np.ndarray, model: str = MODEL.id) -> None:
    with store.transaction():
        for n, embedding in enumerate(embeddings):
            path = folder / f"{n}.flac"
            path.touch()
            store.save_file(row(path, f"key{n:04}"))
            store.save_analysis(analysis(f"key{n:04}", embedding), model, FEATURE_VERSION)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(MIN_TRACKS, 300), st.integers(1, 40), st.integers(1, 300)
)
def test_the_nearest_are_those_of_a_sort_of_all(seed: int, n: int, keep: int, lot: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(0, 3, DIMS), rng.uniform(0.1, 5, DIMS), (n, DIMS))
    x = x.astype(np.float32)
    space = Space.fit(x)
    nearest = Nearest(x[0], space, keep)
    for start in range(0, n, lot):
        nearest.add([f"{i:04}" for i in range(start, min(n, start + lot))], x[start : start + lot])
    # The definition, in double precision.
    centred = (x - x.mean(0, dtype=np.float64)) / np.sqrt(
        x.var(0, dtype=np.float64) + x.var(0, dtype=np.float64).mean()
    )
    cosine = centred @ centred[0] / np.linalg.norm(centred, axis=1) / np.linalg.norm(centred[0])
    found = nearest.ranked
    assert found[0][0] == "0000"
    assert [s for _, s in found] == pytest.approx(sorted(cosine, reverse=True)[:keep], abs=1e-4)
    assert all(s == pytest.approx(cosine[int(key)], abs=1e-4) for key, s in found)


def test_copies_count_once_and_own_copies_not_at_all(store: AnalysisCache, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (6, DIMS))
    x[2] = x[1] + 0.01
    fill(store, tmp_path, x)
    copy, own = tmp_path / "a copy.flac", tmp_path / "own copy.flac"
    for path, key in ((copy, "key0002"), (own, "key0001")):
        path.touch()
        store.save_file(row(path, key))
    track = store.analysis("key0001", MODEL.id, FEATURE_VERSION)
    assert track is not None
    found = find_similar(store, MODEL, track, 10)
    assert found.compared == 5
    assert len(found.tracks) == 5
    first = found.tracks[0]
    assert {first.absolute, *first.copies} == {copy, tmp_path / "2.flac"}
    paths = [t.absolute for t in found.tracks]
    assert own not in paths and tmp_path / "1.flac" not in paths


def test_files_that_are_gone_are_left_out(store: AnalysisCache, tmp_path: Path) -> None:
    fill(store, tmp_path, np.random.default_rng(0).normal(0, 1, (30, DIMS)))
    track = store.analysis("key0000", MODEL.id, FEATURE_VERSION)
    assert track is not None
    before = [t.absolute for t in find_similar(store, MODEL, track, 29).tracks]
    for path in before[:25]:
        path.unlink()
    assert [t.absolute for t in find_similar(store, MODEL, track, 3).tracks] == before[25:28]


def test_damaged_embeddings_are_left_out_and_counted(store: AnalysisCache, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 1, (8, DIMS))
    x[2, 3], x[3, 0], x[4] = np.nan, np.inf, 0
    fill(store, tmp_path, x)
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE heard SET embedding = x'0000' WHERE content_key = 'key0005'")
    track = store.analysis("key0000", MODEL.id, FEATURE_VERSION)
    assert track is not None
    found = find_similar(store, MODEL, track, 10)
    assert found.damaged == 4
    assert {t.absolute.name for t in found.tracks} == {"1.flac", "6.flac", "7.flac"}
    broken = store.analysis("key0002", MODEL.id, FEATURE_VERSION)
    assert broken is not None
    with pytest.raises(RunError, match="damaged; genretag scan FILE --rescan"):
        find_similar(store, MODEL, broken, 10)


def test_embeddings_of_another_model_are_an_error_that_says_what_to_do(
    store: AnalysisCache, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(0, 1, (3, DIMS))
    fill(store, tmp_path, x, "another")
    store.save_model("another", json.dumps({"name": "Old", "version": "1.6"}))
    track = analysis("new", x[0])
    with pytest.raises(RunError, match=r"Old 1\.6 \(3 tracks\).*genretag scan.*--model FILE"):
        find_similar(store, MODEL, track, 10)


# --- the command, on real files ---


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make and scan five files, some with the same audio, one with a name that is not UTF-8."""
    folder = tmp_path_factory.mktemp("similar") / "music"
    folder.mkdir()
    for n in range(3):
        synthesis.encode(folder / f"{n}.flac", synthesis.piece(n, 4), 22_050, tags={"artist": "A"})
    shutil.copy(folder / "1.flac", folder / "1 again.flac")
    shutil.copy(folder / "2.flac", os.fsencode(folder) + b"/caf\xe9.flac")
    with api.Library(folder.parent / "g.db", jobs=1) as scanned:
        scanned.hear([folder])
    return folder


def run(library: Path, *arguments: object) -> tuple[str, str]:
    env = {"GENRETAG_DB": str(library.parent / "g.db"), "COLUMNS": "160"}
    done = CliRunner().invoke(app, ["similar", *map(str, arguments)], env=env)
    if isinstance(done.exception, GenretagError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_the_command_lists_tracks_with_their_copies(library: Path) -> None:
    out, _ = run(library, library / "0.flac", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    files = [{Path(row["path"]).name, *(Path(c).name for c in row["copies"])} for row in rows]
    assert {frozenset(f) for f in files} == {
        frozenset({"1.flac", "1 again.flac"}),
        frozenset({"2.flac", "caf\udce9.flac"}),
    }
    assert rows[0]["similarity"] >= rows[1]["similarity"]
    out, _ = run(library, library / "1.flac")
    assert "1 again" not in out and "0.flac" in out and r"caf\xe9" not in out.split("0.flac")[0]


def test_the_playlist_begins_with_the_track(library: Path, tmp_path: Path) -> None:
    target = library.parent / "like.m3u8"
    _, err = run(library, library / "0.flac", "--playlist", "-O", target, "--relative")
    names = [n for n in target.read_text("utf-8").splitlines() if not n.startswith("#EXT")]
    assert names[0] == "music/0.flac" and len(names) == 3
    assert "3 tracks" in err
    with pytest.raises(UsageError, match=r"must end in \.m3u8"):
        run(library, library / "0.flac", "-O", "x.csv")


def test_a_new_file_is_analysed_and_the_user_is_told(library: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.flac"
    synthesis.encode(new, synthesis.piece(1, 5), 22_050)
    out, err = run(library, new, "--count", 1, "--json")
    assert "was not analysed yet; analysing it" in err
    assert Path(json.loads(out)["path"]).name in ("1.flac", "1 again.flac")
    _, err = run(library, new, "--count", 1)
    assert not err


def test_the_api_finds_the_same_tracks(library: Path) -> None:
    out, _ = run(library, library / "0.flac", "--json")
    with api.Library(library.parent / "g.db", jobs=1) as opened:
        found = opened.similar(library / "0.flac")
    assert [str(t.absolute) for t in found] == [json.loads(x)["path"] for x in out.splitlines()]
