"""External models are used as the JSON beside them describes; what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import Program
from onnx import TensorProto, helper, numpy_helper

from genretag import tags
from genretag.audio import synthesis
from genretag.errors import ModelError
from genretag.features import EFFICIENT_AT, LIBROSA, MUSICNN, build_features
from genretag.inference.model import Model

LABELS = ["Rock---Punk", "Electronic---House, Deep", "Jazz"]


def save_graph(
    path: Path,
    nodes: list[Any],
    inputs: tuple[str, list[Any]],
    outputs: tuple[str, ...],
    weights: list[Any],
) -> None:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(inputs[0], TensorProto.FLOAT, inputs[1])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        weights,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        str(path),
    )


def write_network(
    path: Path, shape: list[Any], bands: int, activation: str, seed: int = 0
) -> np.ndarray:
    """Write a network: mean over time (embedding), linear layer, ``activation``."""
    weight = np.random.default_rng(seed).normal(size=(bands, len(LABELS))).astype(np.float32)
    axes = (
        [i for i in range(1, len(shape)) if shape[i] != bands]
        if bands > 1
        else list(range(1, len(shape)))
    )
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Reshape", ["mean", "flat"], ["embeddings"]),
        helper.make_node("MatMul", ["embeddings", "w"], ["z"]),
        helper.make_node(activation, ["z"], ["predictions"]),
    ]
    flat = numpy_helper.from_array(np.array([-1, bands], np.int64), "flat")
    save_graph(
        path,
        nodes,
        ("x", shape),
        ("predictions", "embeddings"),
        [numpy_helper.from_array(weight, "w"), flat],
    )
    return weight


def write_classifier(path: Path, dims: int) -> np.ndarray:
    weight = np.random.default_rng(7).normal(size=(dims, len(LABELS))).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["e", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["activations"]),
    ]
    save_graph(
        path,
        nodes,
        ("e", ["batch", dims]),
        ("activations",),
        [numpy_helper.from_array(weight, "w")],
    )
    return weight


def essentia_json(
    algorithm: str = "TensorflowPredictMusiCNN", op: str = "Sigmoid", **changes: Any
) -> dict[str, Any]:
    """Return a JSON document like those of Essentia's model zoo."""
    return {
        "name": "a zoo's model",
        "type": "multi-label classifier",
        "version": "1",
        "description": "styles",
        "author": "Somebody",
        "link": "https://example.org/model",
        "framework": "tensorflow",
        "classes": LABELS,
        "model_types": ["frozen_model", "onnx"],
        "dataset": {"name": "a dataset", "size": "2M", "metrics": {"ROC-AUC": 0.9}},
        "schema": {
            "inputs": [{"name": "x", "type": "float", "shape": [187, 96]}],
            "outputs": [
                {
                    "name": "predictions:0",
                    "type": "float",
                    "shape": [1, 3],
                    "op": op,
                    "output_purpose": "predictions",
                },
                {
                    "name": "embeddings",
                    "type": "float",
                    "shape": [1, 96],
                    "op": "dense",
                    "output_purpose": "embeddings",
                },
            ],
        },
        "inference": {"sample_rate": 16000, "algorithm": algorithm},
        **changes,
    }


def write_json(path: Path, data: dict[str, Any]) -> Path:
    path.with_suffix(".json").write_text(json.dumps(data))
    return path


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - np.log(np.exp(z).sum(1, keepdims=True))


@pytest.mark.parametrize(
    "shape", [[None, 187, 96], [None, 1, 187, 96], [None, 96, 187, 1], [64, 187, 96]]
)
@pytest.mark.parametrize("op", ["Sigmoid", "Softmax"])
def test_every_layout_gives_the_scores_of_the_network(
    tmp_path: Path, shape: list[Any], op: str
) -> None:
    weight = write_network(tmp_path / "m.onnx", shape, 96, op)
    model = Model(write_json(tmp_path / "m.onnx", essentia_json(op=op)))
    assert model.metadata.labels == tuple(LABELS)
    assert model.metadata.activation == op.lower()
    assert model.metadata.chunks == (187,)
    x = build_features(MUSICNN)(synthesis.piece(3, 4, 16_000).mean(0).astype(np.float32))[:, :187]
    chunks = np.stack([x, x * 0.5, x * 0.1] * 5)
    z = chunks.mean(2) @ weight
    got = model.run(chunks)
    np.testing.assert_allclose(got.embedding, chunks.mean(2), atol=1e-5)
    want = z if op == "Sigmoid" else log_softmax(z)
    assert np.abs(got.logits - np.clip(want, np.log(1e-7), -np.log(1e-7))).max() < 2e-2
    assert (got.music > 10).all()


def test_two_stages_run_in_sequence(tmp_path: Path) -> None:
    write_network(tmp_path / "effnet-bs64-1.onnx", [64, 128, 96], 96, "Sigmoid")
    write_json(tmp_path / "effnet-bs64-1.onnx", essentia_json("TensorflowPredictEffnetDiscogs"))
    weight = write_classifier(tmp_path / "styles.onnx", 96)
    first = {
        "algorithm": "TensorflowPredictEffnetDiscogs",
        "model_name": "effnet-bs64-1",
        "link": "https://example.org",
    }
    inference = {"sample_rate": 16000, "algorithm": "TensorflowPredict2D", "embedding_model": first}
    outputs = [{"name": "PartitionedCall:0", "op": "Softmax", "output_purpose": "predictions"}]
    path = write_json(
        tmp_path / "styles.onnx",
        essentia_json(inference=inference, schema={"inputs": [{"name": "e"}], "outputs": outputs}),
    )
    model = Model(path)
    assert model.metadata.chunks == (128,)
    x = np.random.default_rng(0).random((3, 96, 128), np.float32)
    got = model.run(x)
    np.testing.assert_allclose(got.embedding, x.mean(2), atol=1e-5)
    np.testing.assert_allclose(got.logits, log_softmax(x.mean(2) @ weight), atol=1e-3)
    (tmp_path / "effnet-bs64-1.onnx").unlink()
    with pytest.raises(ModelError, match=r"effnet-bs64-1\.onnx"):
        Model(path)


def genretag_json(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "mine",
        "version": "2",
        "labels": LABELS,
        "front_end": {"kind": "waveform", "sample_rate": 16000},
        "chunks": [16000],
        "thresholds": {"music": 0.0, "confidence": 0.5},
        "calibration": {"temperature": 1.0, "slope": 0.0},
        "wiring": {"logits": "predictions", "embedding": "embeddings", "gives": "softmax"},
        **changes,
    }


@pytest.mark.parametrize("shape", [[None, 16000], [None, 1, 16000], [None, 16000, 1]])
def test_waveform_model_takes_samples(tmp_path: Path, shape: list[Any]) -> None:
    weight = write_network(tmp_path / "m.onnx", shape, 1, "Softmax")
    model = Model(write_json(tmp_path / "m.onnx", genretag_json()))
    x = np.random.default_rng(0).random((2, 1, 16000), np.float32)
    np.testing.assert_allclose(model.run(x).logits, log_softmax(x.mean(2) @ weight), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "front_end"),
    [("librosa", LIBROSA), ("musicnn", MUSICNN), ("EfficientAT", EFFICIENT_AT)],
)
def test_published_front_end_is_found_by_name(tmp_path: Path, name: str, front_end: Any) -> None:
    write_network(tmp_path / "m.onnx", [None, 1, front_end.bands, 100], front_end.bands, "Softmax")
    assert (
        Model(
            write_json(tmp_path / "m.onnx", genretag_json(front_end=name, chunks=[100]))
        ).metadata.front_end
        == front_end
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (essentia_json("TensorflowPredictVGGish"), "TensorflowPredictVGGish.*not supported"),
        (essentia_json(inference={"sample_rate": 16000}), "lacks 'inference.algorithm'"),
        (
            essentia_json(
                inference={"sample_rate": 44100, "algorithm": "TensorflowPredictMusiCNN"}
            ),
            "44100",
        ),
        (essentia_json(classes=["one"]), "classes"),
        (essentia_json(op="Identity"), "op is 'identity'"),
        (essentia_json(schema={}), "schema.outputs"),
        (essentia_json(classes=[*LABELS, "a fourth"]), "3 scores and 4 labels"),
        (essentia_json("TensorflowPredict2D"), "embedding_model"),
        (genretag_json(front_end="fft"), "one of librosa"),
        (genretag_json(wiring={"logits": "nothing"}), "no output 'nothing'.*predictions"),
        (genretag_json(wiring={"magic": 1}), "magic"),
        (genretag_json(wiring={"logits": "predictions", "gives": "votes"}), "gives"),
        (genretag_json(wiring={"logits": "predictions", "layout": "QRS"}), "layout"),
        (genretag_json(front_end="musicnn"), "chunk|shape|take"),
        (genretag_json(schema=7), "schema 7"),
        ({}, "schema None"),
    ],
)
def test_missing_or_wrong_key_is_named(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    essentia = "classes" in data
    write_network(
        tmp_path / "m.onnx",
        [None, 187, 96] if essentia else [None, 16000],
        96 if essentia else 1,
        "Sigmoid",
    )
    with pytest.raises(ModelError, match=message):
        Model(write_json(tmp_path / "m.onnx", data))


def test_missing_json_is_named(tmp_path: Path) -> None:
    write_network(tmp_path / "m.onnx", [None, 187, 96], 96, "Sigmoid")
    with pytest.raises(ModelError, match=r"m\.json"):
        Model(tmp_path / "m.onnx")
    (tmp_path / "m.json").write_text("{nonsense")
    with pytest.raises(ModelError, match="JSON"):
        Model(tmp_path / "m.onnx")


def test_external_model_scans_writes_and_is_calibrated(genretag: Program, tmp_path: Path) -> None:
    model = tmp_path / "zoo" / "m.onnx"
    model.parent.mkdir()
    write_network(model, [None, 187, 96], 96, "Sigmoid", seed=3)
    write_json(model, essentia_json())
    music = tmp_path / "music"
    for n in range(42):
        (music / LABELS[n % 2]).mkdir(parents=True, exist_ok=True)
        synthesis.encode(music / LABELS[n % 2] / f"{n}.flac", synthesis.piece(n, 3), 16_000)
    rows = genretag(
        "scan", music, "--dry-run", "--json", "--model", model, "--min-confidence", 0
    ).rows
    assert {r["status"] for r in rows} == {"ok"}
    assert all(0 <= s <= 1 for r in rows for s in r["scores"].values())
    for row in rows:
        assert row["new"] == [row["genre"].rpartition("---")[2]]
    words = tmp_path / "v.toml"
    words.write_text("parents = true\n")
    for row in genretag("plan", "--vocabulary", words, "--json").rows:
        assert sorted(row["new"]) == sorted(row["genre"].split("---"))
    info = genretag("models", "info", model).out
    assert "not calibrated" in info
    assert "96 bands" in info
    made = tmp_path / "calibrated.onnx"
    assert genretag("models", "calibrate", model, music, "-O", made).status == 0
    again = genretag("scan", music, "--dry-run", "--json", "--model", made).rows
    assert abs(sum(again[0]["scores"].values()) - 1) < 0.01
    assert genretag("scan", music, "--yes", "--model", model, "--min-confidence", 0).status == 0
    assert all(tags.read(p).genres for p in music.rglob("*.flac"))
