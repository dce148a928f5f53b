"""The bundled model keeps its promises; a model that does not fit is refused with the reason."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from genretag.errors import ModelError
from genretag.inference.batching import Batcher
from genretag.inference.metadata import (
    METADATA_KEY,
    Calibration,
    PieceCalibration,
    metadata_to_json,
    read_metadata,
)
from genretag.inference.model import (
    Model,
    bundled_model,
    chunk_length,
    chunk_starts,
    cut_chunks,
    find_batch_rows,
    model_threads,
)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


def test_bundled_model_is_small_and_described(model: Model) -> None:
    assert bundled_model().stat().st_size <= 5_000_000
    assert model.metadata.labels == (
        "Blues",
        "Classical",
        "Country",
        "Disco",
        "Electronic",
        "Hip-Hop",
        "Jazz",
        "Latin",
        "Metal",
        "Pop",
        "R&B",
        "Reggae",
        "Rock",
    )
    assert model.metadata.calibration.pieces is not None
    assert model.metadata.about["data"]
    assert model.provider == "CPUExecutionProvider"
    assert bundled_model().with_suffix(".md").stat().st_size > 1000


def assert_same(name: str, one: np.ndarray, other: np.ndarray) -> None:
    """Compare outputs. A logarithm may round differently at the end of a vector register."""
    assert np.allclose(one, other, rtol=0, atol=1e-6 if name == "logits" else 0), name


def test_row_does_not_depend_on_its_batch() -> None:
    model = Model()
    model.rows = 3
    rng = np.random.default_rng(0)
    chunks = rng.normal(size=(6, model.metadata.front_end.n_mels, model.metadata.chunks[0])).astype(
        np.float32
    )
    together = model.run(chunks)
    alone = model.run(chunks[4:5])
    for name in ("logits", "music", "embedding"):
        assert_same(name, getattr(together, name)[4:5], getattr(alone, name))


@pytest.mark.parametrize("rows", [3, 5, 48])
def test_scores_do_not_depend_on_the_batch_size(rows: int) -> None:
    model = Model()
    chunks = (
        np.random.default_rng(0)
        .normal(size=(14, model.metadata.front_end.n_mels, model.metadata.chunks[1]))
        .astype(np.float32)
    )
    usual = model.run(chunks)
    model.rows = rows
    again = model.run(chunks)
    for name in ("logits", "music", "embedding"):
        assert_same(name, getattr(usual, name), getattr(again, name))


@given(fixed=st.floats(1e-4, 1.0), each=st.floats(1e-6, 1e-2), memory=st.integers(1, 2000))
def test_batch_grows_while_worthwhile_and_within_memory(
    fixed: float, each: float, memory: int
) -> None:
    def seconds(rows: int) -> float:
        if rows > max(memory, 12):
            raise RuntimeError("out of memory")
        return fixed + rows * each

    rows = find_batch_rows(seconds)
    assert 12 <= rows <= 384
    assert rows <= max(memory, 12)
    best = each  # cost of a row in an infinite batch
    assert seconds(rows) / rows <= 1.3 * best + 1e-12 or 2 * rows > min(384, max(memory, 12))


@pytest.mark.parametrize("rows", [1, 3, 12, 24])
def test_queue_is_full_at_the_larger_of_two_limits(rows: int) -> None:
    released, sizes = threading.Event(), []
    released.set()  # a model is run once when it is loaded

    class Slow(Model):
        def run(self, chunks: Any) -> Any:
            sizes.append(len(chunks))
            released.wait()
            return super().run(chunks)

    slow = Slow()
    slow.rows = rows
    released.clear()
    sizes.clear()
    batcher = Batcher(slow)
    window = np.zeros((slow.metadata.front_end.n_mels, 3 * slow.metadata.chunks[0]), np.float32)
    given = 0
    while not batcher.full:
        batcher.add(0, given, window)
        given += 1
    released.set()
    assert 3 * given == max(36, 3 * rows)
    scored = 0
    while not batcher.empty:
        scored += len(batcher.results(wait=True))
    batcher.close()
    assert (scored, set(sizes)) == (given, {rows})


def test_every_chunk_length_is_accepted(model: Model) -> None:
    for frames in model.metadata.chunks:
        scores = model.run(np.zeros((1, model.metadata.front_end.n_mels, frames), np.float32))
        assert np.isfinite(scores.logits).all()
        assert 256 <= scores.embedding.shape[1] <= 512


@pytest.mark.parametrize("frames", [61, 62, 124, 180, 311, 624, 625, 1200, 1874])
def test_chunks_cover_a_window_without_padding(frames: int) -> None:
    chunks = (624, 312, 187, 124, 61)
    length = chunk_length(frames, chunks)
    starts = chunk_starts(frames, length)
    covered = np.zeros(frames, bool)
    for s in starts:
        assert s + length <= frames
        covered[s : s + length] = True
    assert covered.mean() > 0.99
    assert [c.shape[1] for c in cut_chunks(np.zeros((4, frames), np.float32), chunks)] == [
        length
    ] * len(starts)


@given(st.integers(1, 256))
def test_bundled_network_gets_a_thread_per_six_workers(workers: int) -> None:
    threads = model_threads(workers, None)
    assert threads == model_threads(workers, bundled_model())
    assert workers / 6 <= threads < workers / 6 + 1
    assert model_threads(workers, Path("another.onnx")) == workers


def write_tiny_model(
    path: Path,
    metadata: str | None,
    bands: int = 80,
    outputs: tuple[str, ...] = ("logits", "music", "embedding"),
) -> Path:
    """Write an ONNX model whose outputs are linear in the mean over frames."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], axes=[2], keepdims=0)]
    sizes = {"logits": 3, "music": 1, "embedding": 4}
    inits, outs = [], []
    for name in outputs:
        w = np.ones((bands, sizes[name]), np.float32)
        inits.append(onnx.numpy_helper.from_array(w, f"w_{name}"))
        nodes.append(
            helper.make_node(
                "MatMul", ["m", f"w_{name}"], [f"{name}2" if name == "music" else name]
            )
        )
        if name == "music":
            inits.append(onnx.numpy_helper.from_array(np.array([-1], np.int64), "flat"))
            nodes.append(helper.make_node("Reshape", ["music2", "flat"], ["music"]))
        outs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", bands, "t"])],
        outs,
        inits,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        entry = made.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, metadata
    onnx.save(made, str(path))
    return path


def metadata_json(model: Model, **changes: Any) -> str:
    return json.dumps(
        {**json.loads(metadata_to_json(model.metadata)), "labels": ["A", "B", "C"], **changes}
    )


def test_other_model_with_metadata_is_accepted(model: Model, tmp_path: Path) -> None:
    assert Model(write_tiny_model(tmp_path / "m.onnx", metadata_json(model))).metadata.labels == (
        "A",
        "B",
        "C",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "schema 99"),
        ({"labels": ["A"]}, "labels"),
        ({"labels": ["A", "B"]}, "outputs do not match its metadata"),
        ({"chunks": []}, "chunk"),
        ({"front_end": {"kind": "cqt"}}, "front end"),
        ({"calibration": {"magic": 1}}, "metadata: calibration has magic, which is not known"),
        ({"calibration": 1}, "metadata: calibration is not an object"),
        ({"calibration": {"temperature": 10**400}}, "out of range"),
        ({"thresholds": {"music": 10**400, "confidence": 0.5}}, "invalid metadata"),
        ({"calibration": {"temperature": 1.0, "slope": -1000.0}}, "out of range"),
        ({"calibration": {"pieces": {"seconds": 5.0}}}, "metadata: pieces has no temperature"),
        ({"calibration": {"pieces": {"seconds": 5.0, "temperature": 0.0}}}, "out of range"),
        ({"calibration": {"pieces": {"seconds": -1, "temperature": 1.0}}}, "out of range"),
        ({"calibration": {"further": {"weight": -1.0, "bias": 0.0}}}, "out of range"),
        ({"calibration": {"further": {"weight": 1.0}}}, "metadata: further has no bias"),
        ({"calibration": {"further": [1.0, 0.0]}}, "metadata: further is not an object"),
    ],
)
def test_wrong_metadata_is_refused(
    model: Model, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Model(write_tiny_model(tmp_path / "m.onnx", metadata_json(model, **changes)))


@pytest.mark.parametrize("pieces", [None, PieceCalibration(5.0, 0.9, 0.1)])
def test_the_calibration_of_pieces_survives_the_file(
    model: Model, tmp_path: Path, pieces: PieceCalibration | None
) -> None:
    kept = replace(
        model.metadata, labels=("A", "B", "C"), calibration=Calibration(1.1, 0.2, pieces)
    )
    made = write_tiny_model(tmp_path / "m.onnx", metadata_to_json(kept))
    assert Model(made).metadata.calibration == kept.calibration


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(-1, 1), st.integers(1, 50))
def test_a_new_temperature_changes_tracks_and_pieces_alike(
    old: float, new: float, slope: float, count: int
) -> None:
    """Recalibrating on whole tracks must not make pieces surer or less sure than tracks."""
    before = Calibration(old, 0.1, PieceCalibration(5.0, 2 * old, slope))
    after = before.with_temperature(new)
    assert before.pieces is not None
    assert after.pieces is not None
    assert after.at(3) / before.at(3) == pytest.approx(new / old)
    ratio = after.pieces.at(count) / before.pieces.at(count)
    assert ratio == pytest.approx(new / old, rel=1e-6)


def test_unsuitable_model_is_refused_with_the_reason(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no genretag metadata"):
        Model(write_tiny_model(tmp_path / "a.onnx", None))
    with pytest.raises(ModelError, match="lacks the output"):
        Model(
            write_tiny_model(tmp_path / "b.onnx", metadata_json(model), outputs=("logits", "music"))
        )
    with pytest.raises(ModelError, match="does not take log-mel"):
        Model(write_tiny_model(tmp_path / "c.onnx", metadata_json(model), bands=64))
    (tmp_path / "d.onnx").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match="not an ONNX model"):
        Model(tmp_path / "d.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        Model(tmp_path / "none.onnx")


def test_metadata_round_trip_through_json(model: Model) -> None:
    assert (
        read_metadata(Path("x"), model.metadata.id, metadata_to_json(model.metadata))
        == model.metadata
    )


def write_changed(model: Model, path: Path, change: Any) -> Path:
    made = onnx.load(str(write_tiny_model(path, metadata_json(model))))
    change(made)
    onnx.save(made, str(path))
    return path


def add_external_data(made: Any) -> None:
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"


def add_custom_operator(made: Any) -> None:
    made.graph.node[0].domain = "evil.ops"
    made.opset_import.append(helper.make_opsetid("evil.ops", 1))


def add_huge_tensor(made: Any) -> None:
    made.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "shape")
    )
    made.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["huge"]))


def add_custom_operator_in_branch(made: Any) -> None:
    inner = helper.make_graph(
        [helper.make_node("Mine", [], ["y"], domain="evil.ops")], "inner", [], []
    )
    made.graph.node.append(
        helper.make_node("If", ["m"], ["z"], then_branch=inner, else_branch=inner)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_external_data, "another file"),
        (add_custom_operator, "custom operator"),
        (add_huge_tensor, "too large"),
        (add_custom_operator_in_branch, "custom operator"),
    ],
)
def test_hostile_model_is_refused_before_it_is_loaded(
    model: Model, tmp_path: Path, change: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_changed(model, tmp_path / "m.onnx", change)
    monkeypatch.setattr(
        "onnxruntime.InferenceSession", lambda *_, **__: pytest.fail("it was loaded")
    )
    with pytest.raises(ModelError, match=message):
        Model(path)


@pytest.mark.parametrize("seed", range(40))
def test_corrupted_model_loads_or_is_a_model_error(model: Model, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(write_tiny_model(tmp_path / "m.onnx", metadata_json(model)).read_bytes())
    for at in rng.integers(0, len(data), 5):
        data[at] = rng.integers(0, 256)
    (tmp_path / "m.onnx").write_bytes(bytes(data))
    try:
        Model(tmp_path / "m.onnx")
    except ModelError as error:
        assert "m.onnx" in str(error)
