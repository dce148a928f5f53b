"""Styles round-trip through a model file; a scan reports those above their thresholds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genretag import tags
from genretag.audio import synthesis
from genretag.errors import ModelError
from genretag.inference.metadata import metadata_to_json, parse_metadata
from genretag.inference.model import Model
from genretag.inference.styles import Moods, Styles
from genretag.training.attach_head import replace_metadata

DIMS = 384


def constant_styles(dims: int = DIMS) -> Styles:
    """Return styles: two are always above their thresholds, the second first, and one never is."""
    return Styles(
        ("Ambient", "Soul", "Ska"),
        (0.2, 0.3, 0.9),
        np.zeros((dims, 3), np.float16),
        (0.0, 2.0, 2.0),
    )


@given(
    hnp.arrays(
        np.float16,
        st.tuples(st.just(5), st.integers(1, 6)),
        elements=st.floats(-100, 100, width=16),
    ),
    st.data(),
)
def test_styles_round_trip_through_json(weight: np.ndarray, data: st.DataObject) -> None:
    n = weight.shape[1]
    thresholds = tuple(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    bias = tuple(data.draw(st.lists(st.floats(-50, 50), min_size=n, max_size=n)))
    styles = Styles(tuple(f"style {i}" for i in range(n)), thresholds, weight, bias)
    back = Styles.from_metadata(json.loads(json.dumps(styles.to_metadata())))
    assert back == styles
    assert hash(back) == hash(styles)
    assert back != Styles(styles.names, thresholds, weight + np.float16(200), bias)
    x = np.linspace(-1, 1, 5)
    np.testing.assert_array_equal(back.probabilities(x), styles.probabilities(x))
    found = back.above_threshold(x)
    assert found == styles.above_threshold(x)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert set(found) == {
        name
        for name, p, t in zip(styles.names, styles.probabilities(x), thresholds, strict=True)
        if p >= t
    }


def test_embedding_of_another_network_has_no_styles() -> None:
    assert constant_styles(4).above_threshold(np.zeros(5)) == {}
    assert list(constant_styles(4).above_threshold(np.zeros(4))) == ["Soul", "Ambient"]


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ["Soul", "Soul", "Ska"]},
        {"names": []},
        {"thresholds": [0.1, 0.2, 2.0]},
        {"bias": [0.0]},
        {"weight": "AAAA"},
        {"bias": [0.0, 0.0, float("nan")]},
        {"weight": "?"},
        {"thresholds": None},
    ],
)
def test_invalid_styles_are_refused(changes: dict) -> None:
    metadata = replace(Model().metadata, styles=constant_styles())
    data = json.loads(metadata_to_json(metadata))
    assert parse_metadata(data, metadata.id).styles is not None
    data["styles"] |= changes
    with pytest.raises(ModelError):
        parse_metadata(data, metadata.id)


def test_scan_reports_styles_and_writes_none(genretag: Program, tmp_path: Path) -> None:
    model = tmp_path / "styled.onnx"
    replace_metadata(Model().path, replace(Model().metadata, styles=constant_styles()), model)
    track = tmp_path / "a.flac"
    synthesis.encode(track, synthesis.piece(0, 4), 44_100)
    row = genretag(
        "scan", track, "--model", model, "--dry-run", "--json", "--min-confidence", 0
    ).rows[0]
    assert row["styles"] == ["Soul", "Ambient"]
    assert genretag("info", track, "--model", model, "--json").rows[0]["styles"] == {
        "Soul": 0.88,
        "Ambient": 0.5,
    }
    assert "styles: Soul 0.88, Ambient 0.50" in genretag("info", track, "--model", model).out
    assert "Soul 0.88, Ambient 0.50" in genretag("plan", "--explain", track).out
    assert genretag("apply", "--yes").status == 0
    assert tags.read(track).genres == [row["genre"]]


def moods(dims: int = DIMS) -> Moods:
    weight = np.zeros((dims, 2), np.float16)
    return Moods(("Happy", "Sad"), weight, (0.0, 1.0))


def test_moods_round_trip_and_sum_to_one() -> None:
    back = Moods.from_metadata(json.loads(json.dumps(moods().to_metadata())))
    assert back == moods()
    assert hash(back) == hash(moods())
    found = back.probabilities(np.zeros(DIMS))
    assert list(found) == ["Sad", "Happy"]
    assert sum(found.values()) == pytest.approx(1, abs=2e-3)
    assert back.probabilities(np.zeros(DIMS + 1)) == {}


@pytest.mark.parametrize(
    "changes",
    [{"names": ["Sad", "Sad"]}, {"names": ["Sad"]}, {"bias": [0.0]}, {"bias": [0, float("inf")]}],
)
def test_invalid_moods_are_refused(changes: dict) -> None:
    data = json.loads(metadata_to_json(replace(Model().metadata, moods=moods())))
    assert parse_metadata(data, "x").moods == moods()
    data["moods"] |= changes
    with pytest.raises(ModelError):
        parse_metadata(data, "x")
