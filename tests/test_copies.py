"""Copies of the same audio are decoded once within one scan, with the results of separate scans."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashers import serve_crashing_on_first
from hypothesis import given
from hypothesis import strategies as st

from genretag import tags
from genretag.audio import synthesis
from genretag.audio.audio_key import audio_sketch
from genretag.decisions.policy import Windows
from genretag.inference.model import Model
from genretag.scan.copies import CopyFinder, SketchSet
from genretag.scan.local import LocalEngine
from genretag.scan.options import Options
from genretag.scan.scanner import Scanner
from genretag.scan.worker import Reply, serve
from genretag.storage.cache import AnalysisCache

EXTENSIONS = (".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wma", ".wav")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tracks of different audio: two MP3s and a FLAC."""
    folder = tmp_path_factory.mktemp("seeds")
    made = {}
    for n, name in enumerate(("a.mp3", "b.mp3", "c.flac")):
        made[name] = folder / name
        synthesis.encode(made[name], synthesis.piece(n, 8), 44_100, tags={"artist": name})
    return made


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(threads=1)


def add_copies(folder: Path, seed: Path) -> None:
    """Copy, retag and hard-link a track."""
    for n in range(2):
        shutil.copyfile(seed, folder / f"copy {n} of {seed.name}")
    retagged = folder / f"retagged {seed.name}"
    shutil.copyfile(seed, retagged)
    tags.write(retagged, ["Polka", "A longer name of a genre that moves the audio"])
    os.link(folder / f"copy 0 of {seed.name}", folder / f"linked {seed.name}")


def scan(
    database: Path,
    model: Model,
    paths: list[Path],
    jobs: int = 2,
    decoder: Callable[..., None] = serve,
    **options: Any,
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the number of decoded tracks, and the plan's rows by path."""
    store = AnalysisCache(database)
    run = (store.last_scan().run if store.last_scan() else 0) + 1
    scanner = Scanner(
        store, LocalEngine(model, decoder), Options(tuple(paths), jobs=jobs, **options), run
    )
    scanner.scan()
    rows = {data["path"]: data for _, _, data in store.plan(run)}
    store.close()
    return scanner.decoded_tracks, rows


@pytest.fixture(scope="module")
def library(seeds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four copies of each seed."""
    music = tmp_path_factory.mktemp("music")
    for seed in seeds.values():
        add_copies(music, seed)
    return music


@pytest.fixture(scope="module")
def separate(
    library: Path, model: Model, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Rows of some of the files, each from a scan of its own."""
    rows, folder = {}, tmp_path_factory.mktemp("databases")
    for path in (p for p in library.iterdir() if p.name.startswith(("retagged", "linked"))):
        decoded, row = scan(folder / f"{path.name}.db", model, [path], 1)
        assert decoded == 1
        rows |= row
    return rows


@pytest.mark.parametrize(("jobs", "reverse"), [(1, False), (2, True), (4, False)])
def test_copies_are_decoded_once_with_the_results_of_separate_scans(
    seeds: dict[str, Path],
    library: Path,
    separate: dict[str, dict[str, Any]],
    model: Model,
    tmp_path: Path,
    jobs: int,
    reverse: bool,
) -> None:
    paths = sorted(library.iterdir(), reverse=reverse)
    decoded, rows = scan(tmp_path / "g.db", model, paths, jobs)
    assert decoded == len(seeds)
    assert rows.keys() == {str(p) for p in paths}
    assert {p: row for p, row in rows.items() if p in separate} == separate


def test_a_rescan_decodes_copies_once_and_reuses_no_older_analysis(
    seeds: dict[str, Path], model: Model, tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    add_copies(music, seeds["a.mp3"])
    first = scan(tmp_path / "g.db", model, [music])
    again = scan(tmp_path / "g.db", model, [music], rescan=True)
    adaptive = scan(tmp_path / "x.db", model, [music], windows=Windows.ADAPTIVE)
    assert first[0] == again[0] == adaptive[0] == 1
    assert first[1] == again[1]


def test_a_copy_is_decoded_itself_if_the_first_decoding_fails(
    seeds: dict[str, Path], model: Model, tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for name in ("first.mp3", "second.mp3", "third.mp3"):
        shutil.copyfile(seeds["a.mp3"], music / name)
    # One decoder: of two, the other one may be the first to ask.
    _, rows = scan(tmp_path / "g.db", model, [music], 1, serve_crashing_on_first)
    status = {Path(p).stem: row["status"] for p, row in rows.items()}
    assert status["first"] == "failed"
    _, separate = scan(tmp_path / "x.db", model, [music / "second.mp3"], 1)
    assert rows[str(music / "second.mp3")] == separate[str(music / "second.mp3")]
    assert status["third"] == status["second"] != "failed"


def test_files_that_only_look_like_copies_keep_their_own_results(
    seeds: dict[str, Path], model: Model, tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    shutil.copyfile(seeds["a.mp3"], music / "1.mp3")
    other = bytearray(seeds["a.mp3"].read_bytes())
    # The end of the audio differs, where a sketch does not look.
    other[-20_000:-2_000] = other[-40_000:-22_000]
    (music / "2.mp3").write_bytes(other)
    assert audio_sketch(music / "1.mp3") == audio_sketch(music / "2.mp3")
    decoded, rows = scan(tmp_path / "g.db", model, [music])
    assert decoded == 2
    assert len({r["content_key"] for r in rows.values()}) == 2


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_sketch_survives_retagging(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    synthesis.encode(path, synthesis.piece(1, 6), 44_100)
    before, content = audio_sketch(path), path.read_bytes()
    tags.write(path, ["Polka", "Jazz"])
    assert path.read_bytes() != content
    assert audio_sketch(path) == before


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_one_file_per_sketch_is_in_flight_and_none_waits_forever(
    steps: list[tuple[int, bool]],
) -> None:
    finder, in_flight, waiting = CopyFinder(), dict[int, int](), set[int]()
    for ordinal, (sketch, finish) in enumerate(steps):
        reply = finder.decide(ordinal, str(sketch))
        if reply is Reply.STOP:
            assert sketch in in_flight.values()
            waiting.add(ordinal)
        else:
            assert sketch not in in_flight.values()
            in_flight[ordinal] = sketch
        if finish and in_flight:
            done = next(iter(in_flight))
            del in_flight[done]
            waiting -= set(finder.finish(done))
    for done in in_flight:
        waiting -= set(finder.finish(done))
    assert not waiting


@given(st.lists(st.text(), unique=True))
def test_a_sketch_that_was_added_is_recognised(sketches: list[str]) -> None:
    seen = SketchSet()
    for sketch in sketches:
        seen.add(sketch)
    assert all(seen.add(sketch) for sketch in sketches)
