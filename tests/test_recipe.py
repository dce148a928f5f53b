"""The recipe: folds that do not leak, heads, calibration, and an export equal to the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag.audio import synthesis
from genretag.decisions.vote import log_softmax
from genretag.features import FrontEnd, LogMel
from genretag.inference.model import Model
from genretag.training.head import (
    LinearHead,
    balanced_weights,
    fit_genre_head,
    fit_music_head,
    fit_temperature,
)
from models.recipe import songs
from models.recipe.answers import parse_front_end
from models.recipe.corpus import KINDS, Clip, grouped_folds, read_clips
from models.recipe.recordings import Change
from models.recipe.songs import starts_of


def clips_of(artists: list[int]) -> list[Clip]:
    return [
        Clip(str(i), "s", "labelled", "jazz" if a % 2 else "rock", f"Artist {a}", 30.0, (), "")
        for i, a in enumerate(artists)
    ]


@given(st.lists(st.integers(0, 30), min_size=60, max_size=120))
@settings(max_examples=20, deadline=None)
def test_no_artist_is_on_both_sides_of_a_fold(artists: list[int]) -> None:
    clips = clips_of([*range(12), *artists])
    folds = grouped_folds(clips)
    of_artist: dict[str, set[int]] = {}
    for clip, fold in zip(clips, folds, strict=True):
        of_artist.setdefault(clip.group, set()).add(int(fold))
    assert all(len(f) == 1 for f in of_artist.values())
    assert set(folds) <= {0, 1, 2, 3, 4}


@pytest.mark.data
def test_the_corpus_folds_keep_artists_apart() -> None:
    clips = read_clips(SHARED)
    folds = grouped_folds(clips)
    of_artist: dict[str, set[int]] = {}
    for clip, fold in zip(clips, folds, strict=True):
        if clip.labelled or clip.allmusic:
            of_artist.setdefault(clip.group, set()).add(int(fold))
    assert all(len(f) == 1 for f in of_artist.values())
    assert {f for fs in of_artist.values() for f in fs} == {0, 1, 2, 3, 4}


def tone(hertz: float, seconds: float = 4.0) -> np.ndarray:
    at = np.arange(int(16_000 * seconds)) / 16_000
    return (0.5 * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


def amplitude(x: np.ndarray, hertz: float) -> float:
    at = np.arange(len(x)) / 16_000
    return float(2 * np.abs(np.mean(x * np.exp(-2j * np.pi * hertz * at))))


@given(st.integers(2_000, 60_000), st.integers(100, 90_000))
@settings(max_examples=30, deadline=None)
def test_no_change_leaves_the_samples_and_repeats_what_is_too_short(start: int, count: int) -> None:
    x = np.random.default_rng(0).normal(size=70_000).astype(np.float32)
    got = Change()(x, start, count)
    assert len(got) == count
    know = min(count, len(x) - start)
    assert np.allclose(got[:know], x[start : start + know], atol=1e-4)


@given(st.floats(0.9, 1.1), st.floats(200, 3_000))
@settings(max_examples=20, deadline=None)
def test_a_faster_recording_has_higher_tones_of_the_same_level(speed: float, hertz: float) -> None:
    x = tone(hertz)
    y = Change(speed=speed)(x, 0, 48_000)
    strongest = np.abs(np.fft.rfft(y * np.hanning(len(y)))).argmax() / 3
    assert strongest == pytest.approx(hertz * speed, rel=0.01)
    assert y[2_000:-2_000].std() == pytest.approx(x.std(), rel=0.02)


def test_a_copy_that_is_late_by_half_a_period_cancels_a_tone() -> None:
    late = Change(delay=0.5 / 500, level=1.0)
    assert amplitude(late(tone(500), 0, 48_000), 500) < 0.01
    assert amplitude(late(tone(1000), 0, 48_000), 1000) == pytest.approx(1.0, rel=0.02)


@given(st.floats(3, 18), st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_clipped_tone_gets_odd_harmonics_and_no_aliases(overdrive: float, soft: bool) -> None:
    y = Change(overdrive=overdrive, soft=soft)(tone(1_500), 0, 48_000)
    assert np.abs(y).max() < 0.5 * 10 ** (-overdrive / 20) * 1.4  # and the ripple of the band limit
    assert amplitude(y, 4_500) > 0.01 * amplitude(y, 1_500)
    # the ninth harmonic, folded at 16 kHz, would have a ninth of the amplitude
    assert amplitude(y, 2_500) < 0.06 * amplitude(y, 1_500)


def clouds(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return rng.normal(size=(n, 8)) + np.eye(8)[y] * 4, y


@pytest.mark.parametrize("classes", [2, 5])
def test_a_head_learns_what_can_be_learned(classes: int) -> None:
    x, y = clouds(400, classes)
    head = fit_genre_head(x, y, np.arange(400), 1.0)
    assert head(x).shape == (400, classes)
    assert (head(x).argmax(1) == y).mean() > 0.95


def test_every_class_counts_the_same_and_every_clip_within_it() -> None:
    y = np.array([0, 0, 0, 0, 1, 1])
    clip = np.array([1, 1, 1, 2, 3, 4])
    w = balanced_weights(y, clip)
    assert w[y == 0].sum() == pytest.approx(w[y == 1].sum())
    assert w[:3].sum() == pytest.approx(w[3])


def test_the_music_head_gives_one_logit() -> None:
    x, y = clouds(300, 2)
    head = fit_music_head(x, y == 1, np.arange(300), 1.0)
    assert head(x).shape == (300, 1)
    assert ((head(x)[:, 0] > 0) == (y == 1)).mean() > 0.95


def test_the_temperature_of_overconfident_scores_is_found() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 4)) * 1.5
    p = np.exp(log_softmax(z))
    y = np.array([rng.choice(4, p=row) for row in p])
    assert fit_temperature(log_softmax(z * 2), y) == pytest.approx(2, rel=0.1)


def test_the_exported_file_equals_what_was_trained(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from genretag.features import FrontEnd
    from genretag.inference.metadata import Calibration, ModelMetadata
    from genretag.inference.model import Model
    from genretag.training.export import TwoHeadNetwork, export
    from genretag.training.network import Shape, Student

    torch.manual_seed(0)
    student = Student(
        Shape(n_mels=40, stem=8, widths=(8, 12, 16), pooled=24, embedding=16, classes=5)
    )
    student.train()
    student(torch.randn(8, 40, 124))  # batch norms that are not the identity
    rng = np.random.default_rng(0)
    heads = [LinearHead(rng.normal(size=(16, n)), rng.normal(size=n)) for n in (3, 1)]
    metadata = ModelMetadata(
        "",
        "tiny",
        "1",
        ("A", "B", "C"),
        FrontEnd(n_mels=40),
        (124, 61),
        0.5,
        0.7,
        Calibration(1.2, 0.1),
        {"data": "none"},
    )
    path = tmp_path / "tiny.onnx"
    assert export(TwoHeadNetwork(student.backbone, *heads), metadata, path) < 1e-4
    loaded = Model(path)
    assert loaded.metadata.labels == ("A", "B", "C")
    assert loaded.metadata.calibration == Calibration(1.2, 0.1)


@pytest.mark.parametrize(("bands", "blocks", "hidden"), [(40, 1, 0), (80, 2, 8), (96, 0, 8)])
def test_folding_norms_and_pooling_changes_nothing_whatever_the_length(
    bands: int, blocks: int, hidden: int
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from genretag.training.network import Backbone, Shape, fold

    torch.manual_seed(0)
    shape = Shape(bands, 8, (8, 12, 16), 24, 16, blocks=blocks, hidden=hidden)
    backbone = Backbone(shape)
    backbone.train()
    backbone(torch.randn(8, bands, 124))  # batch norms that are not the identity
    inputs = [torch.randn(2, bands, frames) for frames in (61, 62, 100, 124, 150, 187, 312, 624)]
    with torch.no_grad():
        before = [backbone.eval()(x) for x in inputs]
        for _ in range(2):  # what is folded stays so
            fold(backbone)
            assert (
                max(
                    float((backbone(x) - y).abs().max())
                    for x, y in zip(inputs, before, strict=True)
                )
                < 1e-5
            )
    assert not [
        m for m in backbone.modules() if isinstance(m, torch.nn.AvgPool2d | torch.nn.BatchNorm2d)
    ]


def test_a_quantised_file_says_what_the_float_one_says(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from genretag.features import FrontEnd, LogMel
    from genretag.inference.metadata import Calibration, ModelMetadata
    from genretag.inference.model import Model, cut_chunks
    from genretag.training.export import TwoHeadNetwork, export
    from genretag.training.network import Backbone, Shape, load_backbone
    from models.recipe.quantise import quantise

    torch.manual_seed(0)
    rng, front_end = np.random.default_rng(0), FrontEnd()
    log_mel = LogMel.of(front_end)
    mels = [log_mel(synthesis.piece(seed, 4).mean(0)[: 16_000 * 4]) for seed in range(8)]
    chunks = np.stack([c for mel in mels for c in cut_chunks(mel, (124,))])
    backbone = Backbone(Shape(dropout=0.0, blocks=2, hidden=32))
    backbone.train()
    backbone(torch.from_numpy(chunks))  # batch norms that fit what comes
    heads = [LinearHead(rng.normal(size=(384, n)), rng.normal(size=n)) for n in (3, 1)]
    metadata = ModelMetadata(
        "",
        "tiny",
        "1",
        ("A", "B", "C"),
        front_end,
        (124, 61),
        0.5,
        0.7,
        Calibration(1.2, 0.1),
        {"data": "none"},
    )
    path, small = tmp_path / "float.onnx", tmp_path / "bytes.onnx"
    export(TwoHeadNetwork(backbone.eval(), *heads), metadata, path)
    assert quantise(path, small, chunks) < 0.15
    assert small.stat().st_size < 0.8 * path.stat().st_size
    assert Model(small).metadata.labels == ("A", "B", "C")
    # What --deep reads out of it is the network that it runs, but for the rounding of activations.
    with torch.no_grad():
        torn = load_backbone(small)[0](torch.from_numpy(chunks)).numpy()
    whole = Model(small).run(chunks).embedding
    assert np.sqrt(np.mean((torn - whole) ** 2)) < 0.15 * whole.std()


@settings(max_examples=10, deadline=None)
@given(st.floats(0.4, 2.5), st.floats(-0.4, 0.2))
def test_the_calibration_of_tracks_of_many_lengths_is_found(
    temperature: float, slope: float
) -> None:
    from genretag.inference.metadata import Calibration
    from genretag.training.head import fit_calibration

    rng = np.random.default_rng(0)
    z, length = (
        rng.normal(size=(6000, 4)) * 1.5,
        np.exp(rng.uniform(np.log(1 / 15), np.log(8), 6000)),
    )
    y = np.array([rng.choice(4, p=row) for row in np.exp(log_softmax(z))])
    true = Calibration(temperature, slope)
    found = fit_calibration(
        log_softmax(z * np.array([true.at(n) for n in length])[:, None]), length, y, np.ones(6000)
    )
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.slope == pytest.approx(slope, abs=0.06)


def multi(words: str, artist: str = "a") -> Clip:
    return Clip("x", "taffc", "multi", "", artist, 30.0, tuple(words.split("|")), "Q1")


def test_a_word_allows_its_labels_and_unsupported_music_none() -> None:
    assert multi("Pop/Rock|Rap").choices == [("Pop", "Rock", "Metal"), ("Hip-Hop",)]
    assert multi("Holiday|Latin").choices == [("Latin",)]
    assert multi("Holiday").choices == []
    assert Clip("x", "s", "weak", "pop", "", 30.0, (), "").choices is None


def test_a_word_without_a_label_is_another_kind_of_music() -> None:
    labels = ["Jazz", "Pop", "Rock"]
    assert multi("Pop/Rock|R&B").choices_among(labels) == [("Pop", "Rock"), ("R&B",)]
    assert multi("Holiday|Jazz").choices_among(labels) == [("Jazz",)]
    assert multi("Holiday|Latin").choices_among(labels) == [("Other",)]
    assert Clip("x", "s", "weak", "pop", "", 30.0, (), "").choices_among(labels) is None


def test_genre_head_learns_every_word_and_doubts_unsupported_music() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe.heads import fit_genre

    rng = np.random.default_rng(0)
    clips = [multi(w) for w in ("Rap", "Jazz", "Rap|Jazz", "Holiday") for _ in range(40)]
    centres = np.repeat([[4.0, 0, 0], [0, 4, 0], [2, 2, 0], [0, 0, 4]], 40, axis=0)
    x = centres + rng.normal(0, 0.5, centres.shape)
    use = np.ones(len(clips), bool)
    labels = ["Hip-Hop", "Jazz"]
    head = fit_genre(x, np.arange(len(clips)), clips, use, labels, l2=1e-4)
    p = np.exp(log_softmax(head(centres)))
    assert p.shape[1] == len(labels) + len(KINDS)
    assert p[0, 0] > 0.9
    assert p[40, 1] > 0.9
    assert abs(p[80, 0] - 0.5) < 0.1
    assert p[120, -1] > 0.9


def test_other_kinds_of_music_leave_every_label_unsure() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from genretag.training.export import TwoHeadNetwork
    from genretag.training.network import Backbone, Shape

    rng = np.random.default_rng(0)
    backbone = Backbone(Shape(40, 8, (8, 12, 16), 24, 16)).eval()
    genre, music = (LinearHead(rng.normal(size=(16, n)), rng.normal(size=n)) for n in (5, 1))
    x = torch.randn(4, 40, 124)
    with torch.no_grad():
        all_five = torch.softmax(TwoHeadNetwork(backbone, genre, music)(x)[0], dim=1)
        three = torch.softmax(TwoHeadNetwork(backbone, genre, music, kinds=2)(x)[0], dim=1)
    expected = all_five[:, :3] + all_five[:, 3:].sum(1, keepdim=True) / 3
    np.testing.assert_allclose(three.numpy(), expected.numpy(), atol=1e-5)


def test_a_label_is_never_surer_than_allowed() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from genretag.training.export import TwoHeadNetwork
    from genretag.training.network import Backbone, Shape

    rng = np.random.default_rng(0)
    backbone = Backbone(Shape(40, 8, (8, 12, 16), 24, 16)).eval()
    music = LinearHead(rng.normal(size=(16, 1)), rng.normal(size=1))
    genre = LinearHead(np.zeros((16, 4)), np.array([0.0, 5.0, 0.0, 0.0]))
    network = TwoHeadNetwork(backbone, genre, music, kinds=1, at_most={1: 0.5})
    with torch.no_grad():
        p = torch.softmax(network(torch.randn(2, 40, 124))[0], dim=1).numpy()
    np.testing.assert_allclose(p, [[0.25, 0.5, 0.25]] * 2, atol=1e-5)


def test_lowest_threshold_that_is_right_often_enough() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe.heads import threshold_of

    p = np.linspace(1, 0.01, 100)
    has = np.arange(100) < 40
    found = threshold_of(p, has)
    assert found is not None
    assert found.precision == pytest.approx(0.7, abs=0.02)
    assert found.recall == 1
    assert threshold_of(p, np.arange(100) > 90) is None


def test_the_joint_space_weighs_teachers_and_keeps_what_they_hold() -> None:
    from models.recipe.answers import Joint
    from models.recipe.teachers import DIMS

    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(500, 20))
    x = (hidden @ rng.normal(size=(20, sum(DIMS)))).astype(np.float32)
    joint = Joint.fit(x, 20)
    z = joint(x)
    assert z.var(0).mean() == pytest.approx(1, rel=0.05)
    fitted = np.linalg.lstsq(z, hidden - hidden.mean(0), rcond=None)[0]
    assert np.abs(z @ fitted - (hidden - hidden.mean(0))).std() < 0.2


def test_synthetic_sounds_have_one_level_and_length() -> None:
    from models.recipe.sounds import SAMPLES, synthetic

    rng = np.random.default_rng(0)
    for _ in range(30):
        x = synthetic(rng)
        assert x.shape == (SAMPLES,)
        assert np.sqrt(np.mean(x.astype(np.float64) ** 2)) == pytest.approx(0.1, rel=1e-3)


def test_a_student_starts_as_the_network_of_a_model_file() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from genretag.training.network import Backbone, load_backbone, shape_of
    from models.recipe.distil import _pooled, _unfold

    old = load_backbone(Model().path)[0]
    new = Backbone(replace(shape_of(old.state_dict()), dropout=0.0)).eval()
    x = torch.randn(4, 80, 187, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = _unfold(list(new.features), list(old.features), x.unsqueeze(1))
        _unfold(list(new.across), list(old.across), y)
        assert (_pooled(new, x) - _pooled(old, x)).abs().max() < 1e-4


def test_the_temperatures_of_tracks_and_pieces_are_found() -> None:
    """Scores that are twice as sure as they are right get a temperature of about two."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe.calibrate import Answers, calibration_of

    rng, answers = np.random.default_rng(0), []
    for k in range(1200):
        margin = rng.normal(0, 12)
        jazz = rng.random() < 1 / (1 + np.exp(-margin / 2))
        log_p = log_softmax(np.array([margin, 0.0]))
        word = "Jazz" if jazz else "Rap"
        one = multi(word, str(k))
        if k % 2:
            genre = "jazz" if jazz else "hiphop"
            one = Clip(str(k), "gtzan", "labelled", genre, str(k), 30.0, (genre,), "")
        answers.append(Answers(one, log_p, np.repeat(log_p[None], 6, axis=0)))
    found = calibration_of(answers, ("Jazz", "Hip-Hop"))
    assert found.temperature == pytest.approx(2, abs=0.4)
    assert found.pieces is not None
    assert found.pieces.at(6) == pytest.approx(found.temperature, rel=0.15)
    assert abs(found.pieces.slope) < 0.15


@given(st.floats(0, 4_000))
def test_pieces_of_a_song_lie_in_it_and_apart(seconds: float) -> None:
    starts = starts_of(seconds)
    assert len(starts) == min(songs.PIECES, int(seconds // songs.SECONDS))
    ends = [start + songs.SECONDS for start in starts]
    assert all(start >= 0 for start in starts)
    assert all(end <= seconds + 1e-6 for end in ends)
    assert all(end <= start + 1e-6 for end, start in zip(ends, starts[1:], strict=False))


@pytest.mark.data
def test_the_teachers_answer_to_each_ten_seconds_of_a_song(tmp_path: Path) -> None:
    (tmp_path / "songs").mkdir()
    song, broken = tmp_path / "song.flac", tmp_path / "broken.flac"
    synthesis.encode(song, synthesis.piece(3, 64.0, 22_050), 22_050)
    broken.write_bytes(b"fLaC" + bytes(2_000))
    for path in (song, broken):
        songs.ask_song(SHARED, path, tmp_path / "songs" / f"{path.stem}.npz")
    examples, recordings = songs.read_songs(tmp_path)
    assert sorted(recordings) == [songs.FIRST_ID, songs.FIRST_ID + 1]
    assert [(e.clip, e.start) for e in examples] == [
        (number, start) for number in recordings for start in (0, 625, 1_250)
    ]
    log_mel = LogMel.of(FrontEnd())
    for e in examples:
        first = e.start * 256
        x = recordings[e.clip][first : first + 160_000].astype(np.float32) / 32_768
        mel, _ = parse_front_end(x, log_mel)
        # samples of 16 bits differ where the music is quieter than their steps
        assert np.median(np.abs(mel[2:600] - e.mel[2:600])) < 0.02
        assert e.embedding.shape == (712,)
        assert e.probability.min() >= 0
        assert e.probability.max() <= 1


def test_a_further_genre_gets_the_probability_that_it_has() -> None:
    """Half of the clips have two genres that share the score, half one that takes nearly all."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe.calibrate import Answers, further_of

    labels = ("Blues", "Jazz", "Rock")
    two = Clip("2", "taffc", "multi", "", "x", 30.0, ("Blues", "Jazz"), "")
    one = Clip("1", "taffc", "multi", "", "y", 30.0, ("Jazz",), "")
    shared, alone = np.log([0.25, 0.70, 0.05]), np.log([0.04, 0.94, 0.02])
    answers = [
        Answers(clip, log_softmax(scores), np.zeros((0, 3)))
        for clip, scores in ((two, shared), (one, alone))
        for _ in range(100)
    ]
    # One clip in five that looks as if it had two genres has one.
    answers[:20] = [replace(a, clip=one) for a in answers[:20]]
    further = further_of(answers, 1.0, labels)
    assert 0.7 < further.probability(0.25) < 0.85
    assert further.probability(0.04) < 0.15
