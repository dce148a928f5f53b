"""``train --deep``: feature cache, prefetching, resuming after Ctrl-C, and the exported file."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import labelled
import numpy as np
import pytest
from conftest import Program
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag.errors import RunError
from genretag.features import FrontEnd
from genretag.inference.model import Model
from genretag.training.cache import MAX_WINDOWS, FeatureCache, SpreadWindows, fill
from genretag.training.prefetch import Prefetch


def random_windows(rng: np.random.Generator, count: int) -> list[tuple[float, np.ndarray]]:
    return [
        (30.0 * n, rng.normal(size=(80, int(rng.integers(61, 200)))).astype(np.float32))
        for n in range(count)
    ]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_cache_round_trips_and_survives_a_kill(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], seed: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("cache"), np.random.default_rng(seed)
    cache, added = FeatureCache(folder, FrontEnd()), {}
    for n, count in enumerate(counts):
        added[str(n)] = random_windows(rng, count)
        cache.add(str(n), added[str(n)])
    shard = next(cache.folder.glob("shard-*"))
    # A kill in the middle of the next track leaves half a row and half a line.
    with shard.open("ab") as out:
        out.write(b"\x00" * 77)
    with (cache.folder / "index.jsonl").open("a") as out_index:
        out_index.write('{"key": "half", "spa')
    again = FeatureCache(folder, FrontEnd())
    assert "half" not in again
    (again.folder / "index.jsonl").open("a").write("\n")
    added["more"] = random_windows(rng, 2)
    again.add("more", added["more"])
    third = FeatureCache(folder, FrontEnd())
    for key, made in added.items():
        for (_, log_mel), kept in zip(made, third.windows(key), strict=True):
            np.testing.assert_allclose(kept, log_mel.T, atol=2e-3)


def test_cache_depends_on_the_front_end(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, FrontEnd())
    cache.add("a", random_windows(np.random.default_rng(0), 1))
    assert "a" not in FeatureCache(tmp_path, FrontEnd(n_mels=40))


def test_full_disk_is_an_error_before_features_are_made(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, FrontEnd())
    assert cache.size_of([240.0] * 1000) == pytest.approx(1000 * 180 * 62.5 * 80 * 2, rel=0.01)
    with pytest.raises(RunError, match=r"would take .* are free"):
        cache.check_room(1 << 60)


@given(st.integers(1, 3000))
@settings(max_examples=40, deadline=None)
def test_windows_of_a_long_track_are_spread_evenly(count: int) -> None:
    spread = SpreadWindows()
    for n in range(count):
        spread.add(float(n), np.zeros((1, 1), np.float32))
    starts = [s for s, _ in spread.kept]
    assert 1 <= len(starts) <= MAX_WINDOWS
    assert len(starts) >= min(count, MAX_WINDOWS // 2)
    assert len({b - a for a, b in itertools.pairwise(starts)}) <= 1


def test_prefetch_raises_the_error_of_its_thread() -> None:
    def make() -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(Prefetch(make, 3))
    assert list(Prefetch(lambda: 7, 3)) == [7, 7, 7]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deep") / "Labelled"
    labelled.make(folder, kinds=labelled.KINDS[:2], artists=6, each=2)
    return folder


def test_cache_is_filled_once_and_names_broken_files(music: Path, tmp_path: Path) -> None:
    files = sorted(music.rglob("*.flac"))[:3]
    (tmp_path / "broken.mp3").write_bytes(b"no music" * 100)
    cache = FeatureCache(tmp_path / "c", FrontEnd())
    tracks = [*((str(n), f) for n, f in enumerate(files)), ("broken", tmp_path / "broken.mp3")]
    assert fill(cache, tracks, 1) == [tmp_path / "broken.mp3"]
    assert all(str(n) in cache for n in range(3))
    sizes = [p.stat().st_size for p in cache.folder.iterdir()]
    assert fill(cache, tracks[:3], 1) == []
    assert [p.stat().st_size for p in cache.folder.iterdir()] == sizes


def test_deep_training_makes_a_usable_model(genretag: Program, music: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    library = shutil.copytree(music, tmp_path / "L")
    done = genretag(
        "train",
        library,
        "--deep",
        "--epochs",
        2,
        "--cache",
        tmp_path / "c",
        "-O",
        tmp_path / "d.onnx",
        "--json",
        "--device",
        "cpu",
    )
    assert done.status == 0, done.err
    assert "log-mels of 24 tracks to make" in done.err
    (figures,) = done.rows
    assert figures["settings"]["epochs"] == 2
    assert 0 <= figures["settings"]["waited for data"] < 1
    assert figures["test"]["accuracy"]["value"] >= 0.5
    assert not list(tmp_path.glob("*.checkpoint*"))
    rows = genretag("scan", library, "--model", tmp_path / "d.onnx", "--dry-run", "--json").rows
    right = [next(iter(r["scores"])) == Path(r["path"]).parent.name for r in rows]
    assert np.mean(right) >= 0.8


def test_interrupted_training_resumes(music: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from genretag.storage.cache import AnalysisCache
    from genretag.training import collection, deep, deep_loop, layouts, results

    model, store = Model(threads=2), AnalysisCache(tmp_path / "g.db")
    examples = layouts.read_labelled(music).examples
    collection.analyse_tracks(store, model, [e.path for e in examples], 1)
    gathered = collection.load_collection(store, model.metadata.id, examples, [])
    cache = FeatureCache(tmp_path / "c", model.metadata.front_end)
    fill(cache, list(zip(gathered.keys, gathered.paths, strict=True)), 1)
    plan = deep_loop.DeepOptions(from_scratch=True, epochs=3, device="cpu")
    part = results.split_collection(gathered, results.Split.ARTIST, 0)

    def training() -> deep_loop.DeepTraining:
        return deep_loop.DeepTraining(
            gathered,
            part,
            cache,
            deep.initial_network(gathered, part, model, plan),
            plan,
            tmp_path / "x.checkpoint",
        )

    def stop(text: str) -> None:
        if text.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training().run(stop)
    messages: list[str] = []
    resumed = training()
    resumed.run(messages.append)
    assert messages[0] == "resuming after epoch 2"
    assert len(resumed.history.loss) == 3
    other = deep_loop.DeepTraining(
        gathered,
        part,
        cache,
        deep.initial_network(gathered, part, model, plan),
        deep_loop.DeepOptions(True, 3, seed=1),
        tmp_path / "x.checkpoint",
    )
    assert other.resume() == 0


def test_missing_torch_is_an_error_with_advice(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('none here')")
    done = genretag(
        "train", music, "--deep", "-O", tmp_path / "d.onnx", env={"PYTHONPATH": str(tmp_path)}
    )
    assert done.status == 1
    assert "genretag[train]" in done.err


def test_missing_requirements_are_errors_before_the_analysis(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        done = genretag("train", music, "--deep", "--device", "cuda", "-O", tmp_path / "d.onnx")
        assert done.status == 1
        assert "no CUDA device" in done.err
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "__init__.py").write_text("raise ImportError('none here')")
    done = genretag(
        "train",
        music,
        "--deep",
        "--tensorboard",
        tmp_path / "tb",
        "-O",
        tmp_path / "d.onnx",
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.status == 1
    assert "pip install tensorboard" in done.err
    assert not (tmp_path / "db").exists()  # no database: nothing was analysed
