"""The vote is invariant where it must be, and abstains where it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genretag.decisions.policy import Rule
from genretag.decisions.vote import Status, vote, window_scores
from genretag.features import FrontEnd
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.records import Analysis

LABELS = ("Blues", "Jazz", "Rock")


def metadata(**changes: object) -> ModelMetadata:
    facts = {
        "id": "x",
        "name": "x",
        "version": "1",
        "labels": LABELS,
        "front_end": FrontEnd(),
        "chunks": (61,),
        "music_threshold": 0.5,
        "confidence_threshold": 0.7,
        "calibration": Calibration(),
    }
    return ModelMetadata(**{**facts, **changes})  # type: ignore[arg-type]


def analysis(logits: list[list[float]] | np.ndarray, music: float = 5.0) -> Analysis:
    rows = np.asarray(logits, np.float16)
    starts = np.arange(len(rows), dtype=np.float32) * 30
    return Analysis(
        "k",
        None,
        30.0 * len(rows),
        1.0,
        starts,
        rows,
        np.full(len(rows), music, np.float16),
        np.zeros(4, np.float16),
    )


matrices = hnp.arrays(
    np.float16, st.tuples(st.integers(1, 12), st.just(3)), elements=st.floats(-20, 20, width=16)
)


@given(matrices, st.sampled_from(list(Rule)))
def test_scores_are_probabilities_whatever_the_order_of_windows(
    logits: np.ndarray, rule: Rule
) -> None:
    a, b = vote(analysis(logits), metadata(), rule), vote(analysis(logits[::-1]), metadata(), rule)
    assert sum(a.scores.values()) == pytest.approx(1)
    assert 0 <= a.confidence <= 1
    assert 0 <= a.agreement <= 1
    assert a.confidence == pytest.approx(b.confidence)
    assert a.windows == len(logits)


@given(matrices, st.floats(0.3, 5))
def test_calibration_changes_the_confidence_and_not_the_winner(
    logits: np.ndarray, temperature: float
) -> None:
    plain, warm = (
        vote(analysis(logits), metadata()),
        vote(analysis(logits), metadata(calibration=Calibration(temperature))),
    )
    assert plain.scores[plain.genre] == pytest.approx(max(plain.scores.values()))
    assert plain.scores[warm.genre] == pytest.approx(plain.scores[plain.genre], abs=1e-6)


@given(matrices, st.floats(-0.5, -0.05), st.floats(2, 25))
def test_a_negative_slope_makes_longer_tracks_more_certain(
    logits: np.ndarray, slope: float, seconds: float
) -> None:
    long, one = analysis(np.repeat(logits[:1], 3, axis=0)), analysis(logits[:1])
    short = replace(one, seconds=seconds)
    falling, level = metadata(calibration=Calibration(1.0, slope)), metadata()
    of_length = [vote(h, falling).confidence for h in (short, one, long)]
    assert of_length == sorted(of_length)
    assert vote(one, falling).confidence == pytest.approx(vote(one, level).confidence)
    assert [vote(h, level).confidence for h in (short, long)] == pytest.approx(
        [vote(one, level).confidence] * 2
    )


@given(st.sampled_from(["softmax", "sigmoid"]), st.floats(-0.5, 0.5), st.floats(1, 30))
def test_all_rules_agree_on_a_single_window(activation: str, slope: float, seconds: float) -> None:
    one = replace(analysis([[2, 0.5, -1]]), seconds=seconds)
    of = metadata(calibration=Calibration(0.8, slope), activation=activation)
    scores = [vote(one, of, rule).scores for rule in (Rule.MEAN, Rule.WEIGHTED)]
    assert scores[0] == pytest.approx(scores[1])


@given(st.floats(1, 60), st.floats(-0.3, 0.3))
def test_a_window_is_as_certain_as_a_track_of_it_alone(seconds: float, slope: float) -> None:
    one, of = (
        replace(analysis([[2, 0.5, -1]]), seconds=seconds),
        metadata(calibration=Calibration(0.7, slope)),
    )
    scores = window_scores(one.logits, of, one.length_of_window)[0]
    assert dict(zip(LABELS, scores, strict=True)) == pytest.approx(vote(one, of).scores)


def test_windows_that_were_not_analysed_add_no_confidence() -> None:
    falling = metadata(calibration=Calibration(1.0, -0.2))
    one = analysis([[2, 0, 0]])
    assert vote(replace(one, seconds=600.0, of=20), falling).confidence == pytest.approx(
        vote(one, falling).confidence
    )


def test_the_mean_is_of_log_probabilities() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    want = np.exp(np.log(p).mean(0))
    want /= want.sum()
    got = vote(analysis(np.log(p)), metadata())
    assert [got.scores[g] for g in LABELS] == pytest.approx(want, abs=2e-3)


def test_a_certain_window_outvotes_two_uncertain_ones() -> None:
    rows = [[6, 0, -6], [0, 0.3, 0], [0, 0.3, 0]]
    assert vote(analysis(rows), metadata()).genre == "Blues"
    assert vote(analysis(rows), metadata(), Rule.MAJORITY).genre == "Jazz"


def test_agreement_is_the_share_of_windows_for_the_winner() -> None:
    assert (
        vote(analysis([[5, 0, 0], [5, 0, 0], [0, 1, 0], [5, 0, 0]]), metadata()).agreement == 0.75
    )


def test_it_abstains_below_the_threshold() -> None:
    verdict = vote(analysis([[0.5, 0, 0]]), metadata())
    assert verdict.status is Status.UNSURE
    assert vote(analysis([[0.5, 0, 0]]), metadata(), min_confidence=0.4).status is Status.OK


def test_non_music_has_no_genre_whatever_its_confidence() -> None:
    assert vote(analysis([[20, 0, 0]], music=-3), metadata()).status is Status.NONMUSIC
