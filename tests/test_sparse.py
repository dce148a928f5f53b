"""Sparse analysis: which pieces, when they suffice, and what is kept of them."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import Program
from hypothesis import given, settings
from hypothesis import strategies as st
from test_vote import analysis

from genretag import audio
from genretag.audio import synthesis
from genretag.decisions.policy import Windows
from genretag.decisions.vote import vote
from genretag.inference.metadata import Calibration, ModelMetadata, PieceCalibration
from genretag.inference.model import Model
from genretag.records import PIECE_SECONDS
from genretag.scan import sparse
from genretag.scan.local import LocalEngine
from genretag.scan.options import Options
from genretag.scan.scanner import Scanner
from genretag.storage.cache import AnalysisCache

SECONDS = 100  # more than a track that is analysed whole


@given(st.floats(0, 40_000))
def test_pieces_lie_within_the_track_and_apart(seconds: float) -> None:
    first, further = sparse.places(seconds)
    starts = sorted(first + further)
    if seconds <= sparse.WHOLE_SECONDS:
        assert not starts
        return
    assert len(first) == len(further) >= 6
    assert starts[0] >= 0
    assert starts[-1] + PIECE_SECONDS + audio.pieces.PIECE_MARGIN_SECONDS <= seconds
    gaps = np.diff(starts)
    assert gaps.min() > PIECE_SECONDS
    assert np.allclose(gaps, gaps[0])
    assert len(first) == 6 if seconds <= 600 else len(first) >= seconds / 30
    assert starts[0::2] == first
    assert starts[1::2] == further


@pytest.fixture(scope="module")
def metadata() -> ModelMetadata:
    return Model().metadata


def is_settled(
    logits: np.ndarray, metadata: ModelMetadata, threshold: float, music: float = 9.0
) -> bool:
    scores = np.asarray(logits, np.float32)
    sound = np.full(len(scores), music, np.float32)
    return sparse.settled(scores, sound, 240.0, metadata, threshold)


def with_confidence(metadata: ModelMetadata, confidence: float) -> np.ndarray:
    """Return logits [labels] with which a track of 240 s has a confidence."""
    labels, temperature = len(metadata.labels), metadata.calibration.at(8)
    logits = np.zeros(labels)
    logits[0] = temperature * np.log(confidence / (1 - confidence) * (labels - 1))
    return logits


@settings(deadline=None)
@given(st.floats(0.2, 0.99), st.floats(0.2, 0.99))
def test_the_rule_is_the_stated_one(confidence: float, threshold: float) -> None:
    metadata = replace(Model().metadata, calibration=Calibration(1.3))
    logits = np.tile(with_confidence(metadata, confidence), (6, 1))
    distance = abs(np.log(confidence / (1 - confidence)) - np.log(threshold / (1 - threshold)))
    wanted = 1.3 * distance - 2 * np.sqrt(1 / 6 - 1 / 48)
    if abs(wanted) > 1e-3:
        assert is_settled(logits, metadata, threshold) is bool(wanted > 0)


def test_a_winner_that_changes_is_not_settled(metadata: ModelMetadata) -> None:
    sure = with_confidence(metadata, 0.95)
    other = np.roll(sure, 1)
    assert is_settled(np.stack([sure] * 6), metadata, 0.7)
    # The other genre wins in the first half of the pieces, and this one in all of them.
    assert not is_settled(np.stack([other, 3 * sure] * 3), metadata, 0.5)


def test_what_may_be_no_music_is_not_settled(metadata: ModelMetadata) -> None:
    sure = np.stack([with_confidence(metadata, 0.95)] * 6)
    threshold = np.log(metadata.music_threshold / (1 - metadata.music_threshold))
    assert not is_settled(sure, metadata, 0.7, threshold + 0.01)
    assert is_settled(sure, metadata, 0.7, threshold + 5)


def test_pieces_have_a_calibration_of_their_own_or_that_of_the_whole_track(
    metadata: ModelMetadata,
) -> None:
    logits = [with_confidence(metadata, 0.9)] * 12
    pieces = replace(analysis(logits), piece=5.0, of=48, seconds=240.0)
    whole = replace(analysis(logits[:8]), seconds=240.0)
    fallback = replace(metadata, calibration=Calibration(1.2, -0.1))
    assert vote(pieces, fallback).confidence == pytest.approx(vote(whole, fallback).confidence)
    fitted = replace(metadata, calibration=Calibration(1.2, -0.1, PieceCalibration(5.0, 2.0, 0.0)))
    double = replace(metadata, calibration=Calibration(2.0, 0.0))
    assert vote(pieces, fitted).confidence == pytest.approx(vote(whole, double).confidence)
    assert vote(whole, fitted).confidence == pytest.approx(vote(whole, fallback).confidence)
    # Twelve pieces are 60 s of 240: no reason to be surer than of all of them.
    surer = replace(metadata, calibration=Calibration(1.2, -0.1, PieceCalibration(5.0, 1.1, -0.3)))
    assert vote(pieces, surer).confidence == pytest.approx(vote(whole, surer).confidence)


def long_samples() -> np.ndarray:
    """Return a track that is long enough for pieces."""
    return np.tile(synthesis.piece(5, SECONDS // 2).mean(0), 2)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with tracks long enough for pieces, one that is short and a damaged one."""
    folder = tmp_path_factory.mktemp("sparse")
    samples = long_samples()
    for extension in (".mp3", ".flac", ".ogg"):
        synthesis.encode(folder / f"long{extension}", samples, 44_100)
    synthesis.encode(folder / "short.mp3", synthesis.piece(6, 20).mean(0), 44_100)
    data = bytearray((folder / "long.mp3").read_bytes())
    third = len(data) // 3
    data[third : third + third // 2] = np.random.default_rng(0).bytes(third // 2)
    (folder / "hurt.mp3").write_bytes(data)
    return folder


def scanned(
    store: AnalysisCache, model: Model, folder: Path, windows: Windows
) -> tuple[dict[str, dict], int]:
    """Return the rows of a scan by name, and the number of tracks that were decoded."""
    run = (store.last_scan().run if store.last_scan() else 0) + 1
    scanner = Scanner(store, LocalEngine(model), Options((folder,), windows=windows, jobs=2), run)
    scanner.scan()
    rows = {Path(row["path"]).name: row for _, _, row in store.plan(scanner.run)}
    return rows, scanner.decoded_tracks


def test_a_sparse_scan_keeps_pieces_and_a_full_one_replaces_them(
    music: Path, tmp_path: Path
) -> None:
    model, store = Model(), AnalysisCache(tmp_path / "g.db")
    folder = Path(shutil.copytree(music, tmp_path / "music"))
    some, decoded = scanned(store, model, folder, Windows.SPARSE)
    assert decoded == 5
    for extension in (".mp3", ".flac", ".ogg"):
        row = some[f"long{extension}"]
        assert row["piece"] == 5.0
        assert row["of_windows"] in (20, 21)
        assert row["windows"] in (6, 12)
        assert row["content_key"] == row["audio_key"]
        assert row["file_check"] is row["sha256"] is None
    for name in ("short.mp3", "hurt.mp3"):
        assert (some[name]["piece"], some[name]["of_windows"]) == (0.0, 0)
        assert some[name]["file_check"].startswith("xxh3:")
    assert some["hurt.mp3"]["share"] < 0.99

    # Renamed and retagged, nothing is decoded again.
    for path in sorted(folder.iterdir()):
        audio_tags = path.read_bytes()
        path.unlink()
        (folder / f"new {path.name}").write_bytes(audio_tags)
    again, decoded = scanned(store, model, folder, Windows.SPARSE)
    assert decoded == 0
    assert {n.removeprefix("new "): r["scores"] for n, r in again.items()} == {
        n: r["scores"] for n, r in some.items()
    }

    full, decoded = scanned(store, model, folder, Windows.ALL)
    assert decoded == 3
    alone, _ = scanned(AnalysisCache(tmp_path / "other.db"), model, folder, Windows.ALL)
    assert full == alone
    # A full analysis serves a sparse scan.
    served, decoded = scanned(store, model, folder, Windows.SPARSE)
    assert decoded == 0
    assert {n: r["scores"] for n, r in served.items()} == {n: r["scores"] for n, r in full.items()}


def test_a_retagged_file_is_known_in_both_modes(music: Path, tmp_path: Path) -> None:
    from genretag import tags

    model = Model()
    for windows in (Windows.SPARSE, Windows.ALL):
        folder = tmp_path / windows
        folder.mkdir()
        path = Path(shutil.copy(music / "long.mp3", folder / "a.mp3"))
        store = AnalysisCache(folder / "g.db")
        assert scanned(store, model, folder, windows)[1] == 1
        tags.write(path, ["Polka"])
        path.rename(folder / "b.mp3")
        rows, decoded = scanned(store, model, folder, windows)
        assert decoded == 0
        assert rows["b.mp3"]["old"] == ["Polka"]


def test_copies_are_duplicates_by_any_key(music: Path, tmp_path: Path, genretag: Program) -> None:
    from genretag import tags

    folders = {}
    for name in ("pieces", "whole", "other"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
    shutil.copy(music / "long.mp3", folders["pieces"] / "a.mp3")
    shutil.copy(music / "long.flac", folders["pieces"] / "b.flac")
    retagged = Path(shutil.copy(music / "long.mp3", folders["whole"] / "c.mp3"))
    tags.write(retagged, ["Polka"])
    # By its packets, a remux is a copy of the retagged file alone, whose audio key joins both.
    copy_stream(retagged, folders["whole"] / "d.mka")
    # The same samples, encoded otherwise: only the MD5 in STREAMINFO is the same.
    how = synthesis.Container("flac", options=(("compression_level", "0"),))
    synthesis.encode(folders["other"] / "e.flac", long_samples(), 44_100, how)
    shutil.copy(music / "short.mp3", folders["other"])
    for name, windows in (("pieces", "sparse"), ("whole", "all"), ("other", "sparse")):
        assert genretag("scan", folders[name], "--dry-run", "--windows", windows).status == 0
    copies = ["a.mp3", "b.flac", "c.mp3", "d.mka", "e.flac"]
    flac = {"b.flac", "e.flac"}

    def names(*paths: Path) -> list[str]:
        rows = genretag("report", "--duplicates", "--json", *paths).rows
        return [Path(row["path"]).name for row in rows]

    # The rows of several plans, and those of one.
    for found in (names(*folders.values()), [genretag("plan", tmp_path), names()][1]):
        assert sorted(found) == copies
        assert set(found[:2]) == flac or set(found[3:]) == flac
    assert "5 files in 2 groups" in genretag("report", "--duplicates").out
    # The remux has taken the place of the retagged file's audio key; both are known all the same.
    for path in (folders["pieces"] / "a.mp3", retagged):
        moved = path.rename(tmp_path / path.name)
        ran = genretag("scan", moved, "--dry-run", "--windows", "sparse")
        assert "nothing new to analyse" in ran.err


def copy_stream(source: Path, target: Path) -> None:
    """Copy the packets of a file into another container."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(audio=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)


def test_what_was_decided_from_pieces_is_written_and_undone(
    music: Path, tmp_path: Path, genretag: Program
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for extension in (".mp3", ".flac"):
        shutil.copy(music / f"long{extension}", folder)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    options = ("--windows", "sparse", "--dry-run", "--min-confidence", 0)
    ran = genretag("scan", folder, *options)
    assert "decided from pieces of 5 s: 2 tracks" in ran.err + ran.out
    planned = genretag("plan", "--min-confidence", 0.01)
    assert "decided from pieces of 5 s: 2 tracks" in planned.err + planned.out
    touched = folder / "long.flac"
    stamp = touched.stat().st_mtime_ns
    os.utime(touched, ns=(stamp, stamp + 1_000_000_000))
    refused = genretag("apply", "--yes")
    assert refused.status == 1
    assert "changed since the scan" in refused.err + refused.out
    os.utime(touched, ns=(stamp, stamp))
    assert genretag("apply", "--yes").status == 0
    assert genretag("verify").status == 0
    # The writes are known as genretag's own, and nothing is decoded again.
    ran = genretag("scan", folder, "--windows", "sparse", "--dry-run", "--json")
    assert [row["action"] for row in ran.rows] == ["keep", "keep"]
    assert "nothing new to analyse" in ran.err
    assert genretag("undo", "--all", "--yes").status == 0
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_pieces_are_named_as_such(music: Path, genretag: Program) -> None:
    path = music / "long.mp3"
    assert genretag("scan", path, "--dry-run", "--windows", "adaptive").status == 0
    for command in (("plan", "--explain", path), ("report", "--plain")):
        assert "pieces of 5 s" in genretag(*command).out
    assert "pieces of 5 s" in genretag("info", path).out


def test_a_cluster_gives_the_same_analyses(music: Path, tmp_path: Path) -> None:
    """Its operators run here, one after another; Ray only moves their rows."""
    pytest.importorskip("pyarrow")
    from genretag.cluster import results
    from genretag.cluster.setup import Setup, Shipped
    from genretag.cluster.stages import Decode, Score
    from genretag.features import FEATURE_VERSION
    from genretag.library.walk import Found, walk
    from genretag.scan.worker import Part

    model, store = Model(), AnalysisCache(tmp_path / "g.db")
    scanned(store, model, music, Windows.SPARSE)
    files = [f for f in walk((music,)) if isinstance(f, Found)]
    rows = [results.task_row(n, f, f.path) for n, f in enumerate(files)]
    setup = Setup(Shipped.of(model, None), part=Part.BOTH)
    decode, score = Decode(setup), Score(setup, "cpu")
    for between in decode(results.table_of(rows, results.TASK)):
        ((result, file),) = results.track_results(score(between))
        results.check(result, file, model.metadata)
        known = store.known(file, model.metadata.id, FEATURE_VERSION)
        assert known is not None
        assert result.analysis is not None
        assert result.identity is not None
        mine, other = vars(known[1]), vars(result.analysis)
        assert {k: np.asarray(v).tolist() for k, v in mine.items()} == {
            k: np.asarray(v).tolist() for k, v in other.items()
        }
        assert (known[0].audio_key, known[0].file_check) == (
            result.identity.audio_key,
            result.identity.file_check,
        )
