"""Every baseline trains, exports a file with the same output, and tags a track."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import labelled
import numpy as np
import pytest
from conftest import Program
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="training needs PyTorch")
pytest.importorskip("skl2onnx", reason="training needs skl2onnx")

import torch

from genretag import tags
from genretag.baselines import (
    ENSEMBLE,
    SYSTEMS,
    compare,
    export,
    input_frames,
    limit_window,
    parse_systems,
)
from genretag.baselines.loop import load_imagenet_weights
from genretag.baselines.networks import BaselineNetwork, Mfcc, MobileNet, body_builder
from genretag.errors import RunError, UsageError
from genretag.inference.model import Model, cut_chunks
from genretag.storage.cache import AnalysisCache
from genretag.training.collection import Collection, analyse_tracks, load_collection
from genretag.training.layouts import drop_small_labels, read_labelled


@pytest.fixture(scope="module", autouse=True)
def short_runs() -> Iterator[None]:
    """Limit trainings to three steps on one thread: systems must work here, not be good."""
    with pytest.MonkeyPatch.context() as patch:
        for name, system in SYSTEMS.items():
            patch.setitem(SYSTEMS, name, replace(system, steps=3))
        patch.setattr(compare, "COST_RUNS", 1)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("classics")
    labelled.make(folder / "Labelled", artists=5, each=1)
    found, model, store = (
        drop_small_labels(read_labelled(folder / "Labelled")),
        Model(),
        AnalysisCache(folder / "g.db"),
    )
    analyse_tracks(store, model, [e.path for e in found.examples], 1)
    gathered = load_collection(store, model.metadata.id, found.examples, [])
    store.close()
    return gathered


def comparison_of(
    collection: Collection, folder: Path, **options: object
) -> compare.SystemComparison:
    wanted = compare.ComparisonOptions(
        (), folder / "x.onnx", epochs=1, cache=folder / "cache", **options
    )  # type: ignore[arg-type]
    return compare.SystemComparison(collection, wanted, lambda _: None)


@pytest.fixture(scope="module")
def comparison(
    collection: Collection, tmp_path_factory: pytest.TempPathFactory
) -> compare.SystemComparison:
    return comparison_of(
        collection, tmp_path_factory.mktemp("comparison"), window=1.0, members=("mel-cnn", "gru")
    )


@pytest.mark.parametrize("name", [*SYSTEMS, ENSEMBLE])
def test_every_system_trains_exports_and_tags(
    genretag: Program, comparison: compare.SystemComparison, tmp_path: Path, name: str
) -> None:
    entry = comparison.train(name, tmp_path / "m.onnx")
    assert entry.parity <= 1e-4 * 10
    assert entry.result.metrics is not None
    assert entry.result.curve is not None or name == ENSEMBLE  # its members have theirs
    model = Model(entry.path)
    assert model.metadata.labels == tuple(comparison.collection.labels)
    assert entry.metadata.about["settings"]["source"]
    x = np.zeros((3, model.metadata.front_end.bands, model.metadata.chunks[0]), np.float32)
    p = np.exp(model.run(x).logits.astype(np.float64))
    assert np.isfinite(p).all()
    assert not model.run(x).music.any() or (model.run(x).music > 5).all()
    track = shutil.copy(comparison.collection.paths[0], tmp_path / "track.flac")
    done = genretag("scan", track, "--model", entry.path, "--min-confidence", 0, "--yes", "--json")
    assert done.status == 0, done.err
    (row,) = done.rows
    assert set(row["scores"]) == set(comparison.collection.labels)
    assert tags.read(track).genres == [max(row["scores"], key=row["scores"].get)]


def test_comparison_writes_one_table(
    genretag: Program, comparison: compare.SystemComparison, tmp_path: Path
) -> None:
    labelled_folder = comparison.collection.paths[0].parents[1]
    done = genretag(
        "train",
        labelled_folder,
        "--window",
        1,
        "--compare",
        "gaussian-nb,ffnn",
        "--epochs",
        1,
        "-O",
        tmp_path / "new" / "c.onnx",
        "--db",
        labelled_folder.with_name("g.db"),
        "--cache",
        comparison.options.cache,
        "--json",
        "-j",
        1,
    )
    assert done.status == 0, done.err
    assert [json.loads(line)["system"] for line in done.out.splitlines()] == ["gaussian-nb", "ffnn"]
    table = (tmp_path / "new" / "c.compare.md").read_text()
    assert "| gaussian-nb |" in table
    assert "| ffnn |" in table
    assert (tmp_path / "new" / "c-ffnn.onnx").exists()
    assert (tmp_path / "new" / "c-ffnn.html").exists()


def test_interrupted_comparison_keeps_finished_systems_only(
    comparison: compare.SystemComparison, tmp_path: Path
) -> None:
    labelled_folder = comparison.collection.paths[0].parents[1]
    options = [
        "--compare",
        "gaussian-nb,raw-cnn",
        "--epochs",
        "10000",
        "-O",
        str(tmp_path / "c.onnx"),
        "-j",
        "1",
    ]
    options += [
        "--db",
        str(labelled_folder.with_name("g.db")),
        "--cache",
        str(comparison.options.cache),
    ]
    command = [sys.executable, "-m", "genretag", "train", str(labelled_folder), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines = list[str]()
    while not lines or not lines[-1].strip().startswith("raw-cnn 1/10000"):
        lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped; " in err
    assert "1 of 2 systems are done" in err
    assert "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "c-gaussian-nb.html",
        "c-gaussian-nb.md",
        "c-gaussian-nb.onnx",
        "c-gaussian-nb.pictures",
        "c.compare.md",
    ]


@pytest.mark.parametrize("name", ["gru", "logreg"])
def test_failed_export_keeps_the_older_file(
    comparison: compare.SystemComparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "m.onnx").write_text("before")
    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(RunError, match="onnxruntime differs"):
        comparison.train(name, tmp_path / "m.onnx")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--system", "mel-cn"), "did you mean mel-cnn"),
        (("--system", "svm", "--deep"), "choose one"),
        (("--system", "svm,knn"), "takes one name"),
        (("--compare", "svm", "--system", "knn"), "choose one"),
        (("--system", "ensemble", "--members", "crnn,svm"), "the same input"),
        (("--compare", "all", "--members", "gru"), "two networks"),
        (("--system", "ensemble", "--members", "gru,mfcc-cnn"), "the same input"),
        (("--system", "mobilenet", "--weights", "no.pt"), "no such file"),
    ],
)
def test_wrong_options_are_refused_at_once(
    genretag: Program, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "A").mkdir()
    done = genretag("train", tmp_path, *arguments)
    assert done.status == 2
    assert message in done.err


def test_all_means_every_system_and_unknown_names_are_errors() -> None:
    assert parse_systems("all") == [*SYSTEMS, ENSEMBLE]
    assert parse_systems("SVM, crnn,svm") == ["svm", "crnn"]
    with pytest.raises(UsageError, match="crn"):
        parse_systems("crn")


@given(st.sampled_from(list(SYSTEMS)), st.floats(0.6, 30))
@settings(max_examples=40, deadline=None)
def test_input_is_no_longer_than_the_shortest_track(name: str, shortest: float) -> None:
    system = limit_window(SYSTEMS[name], shortest)
    rate = system.front_end.sample_rate
    assert system.seconds <= shortest
    available = system.front_end.frames(int(shortest * rate))
    assert input_frames(system) <= available


@pytest.mark.parametrize(
    "name", [n for n, s in SYSTEMS.items() if not s.shallow and n != "mobilenet"]
)
@pytest.mark.parametrize("seconds", [0.5, 2.0, 7.3])
def test_every_network_accepts_every_length(name: str, seconds: float) -> None:
    system = limit_window(SYSTEMS[name], seconds)
    bands, frames = system.front_end.bands, input_frames(system)
    net = BaselineNetwork(
        body_builder(system.build)(bands, frames), 0.0, 1.0, bands, frames, 4
    ).eval()
    logits, embedding = net(torch.rand(3, bands, frames))
    assert logits.shape == (3, 4)
    assert embedding.shape[0] == 3


@pytest.mark.parametrize(
    "name", [n for n, s in SYSTEMS.items() if not s.shallow and n != "mobilenet"]
)
def test_every_network_learns_small_differences(name: str) -> None:
    """Music fills a small part of the scaled range, and networks must learn from that part."""
    torch.manual_seed(0)
    bands, frames = SYSTEMS[name].front_end.bands, 400 if name == "raw-cnn" else 22
    net = BaselineNetwork(
        body_builder(SYSTEMS[name].build)(bands, frames), 0.0, 1.0, bands, frames, 2
    ).train()
    y = torch.arange(16) % 2
    side = (2 * y - 1)[:, None, None]
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = list[float]()
    for _ in range(100 if name == "raw-cnn" else 40):  # two dropouts of 0.5 are slow
        noise = torch.randn(16, bands, frames)
        # One label leans to the treble; samples, which have no bands, swing further.
        x = (
            noise + 0.7 * side * torch.linspace(-1, 1, bands)[:, None]
            if bands > 1
            else noise * (1.3 + side)
        )
        loss = torch.nn.functional.cross_entropy(net(0.5 + 0.03 * x)[0], y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.2


def test_page_names_the_source_of_each_system() -> None:
    page = (Path(__file__).parents[1] / "genretag" / "docs" / "classics.md").read_text(
        encoding="utf-8"
    )
    table = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    rows = {name: row for row in table for name in re.findall(r"`([\w+-]+)`", row[0])}
    assert list(rows) == [*SYSTEMS, ENSEMBLE]
    for name, system in SYSTEMS.items():
        who = re.findall(r"[A-Z][\w ]+? (?:et al\. )?(?:19|20)\d\d", system.source)
        assert who or "not published" in system.source, name
        assert all(w in rows[name][1] for w in who), name
        assert len(rows[name]) == 3, name
        assert system.differs, name


def test_first_layer_is_librosas_dct() -> None:
    import librosa

    decibels = np.random.default_rng(0).normal(size=(128, 40)).astype(np.float32)
    want = librosa.feature.mfcc(S=decibels, n_mfcc=13)
    np.testing.assert_allclose(
        Mfcc(128)(torch.from_numpy(decibels)[None])[0].numpy(), want, atol=1e-4
    )


def test_mobilenet_matches_torchvision_by_name_and_size(tmp_path: Path) -> None:
    body = MobileNet()
    names = set(body.state_dict())
    assert {
        "features.0.0.weight",
        "features.1.conv.0.0.weight",
        "features.2.conv.1.1.running_mean",
        "features.18.1.bias",
    } <= names
    assert (
        sum(p.numel() for p in body.parameters()) == 3_504_872 - 1_281_000
    )  # MobileNetV2 without its 1,000 ImageNet classes
    torch.save({"features.0.0.weight": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(RunError, match="not weights of MobileNetV2"):
        load_imagenet_weights(body, tmp_path / "w.pt")


def test_ensemble_gives_the_better_member_more_weight() -> None:
    y = np.arange(40) % 4
    good = np.full((40, 4), 0.1)
    good[np.arange(40), y] = 0.7
    weights = compare.fit_vote_weights([good, np.full((40, 4), 0.25)], y)
    assert weights[0] > 0.95
    assert sum(weights) == pytest.approx(1)


def test_ensemble_reports_the_time_of_its_members(
    comparison: compare.SystemComparison, tmp_path: Path
) -> None:
    members = [
        comparison.train(name, tmp_path / f"{name}.onnx") for name in comparison.options.members
    ]
    whole = comparison.train(ENSEMBLE, tmp_path / "e.onnx")
    assert (
        whole.result.seconds >= sum(comparison.networks[m.system.name].seconds for m in members) > 0
    )


def test_window_shorter_than_the_input_is_repeated() -> None:
    x = np.arange(10, dtype=np.float32)[None].repeat(3, 0)
    (chunk,) = cut_chunks(x, (25,))
    assert chunk.shape == (3, 25)
    assert chunk[0].tolist() == [n % 10 for n in range(25)]


def test_random_split_is_stated_in_the_table() -> None:
    assert "comparable with nothing" in compare.markdown([], random=True)
