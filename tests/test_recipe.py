"""Teaching: folds that do not leak, heads, calibration, and an export that equals what was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag.audio import synthesis
from genretag.decisions.vote import log_softmax
from models.recipe.corpus import LABELS, Clip, grouped_folds, read_clips
from genretag.training.head import (
    LinearHead,
    balanced_weights,
    fit_genre_head,
    fit_music_head,
    fit_temperature,
)


def clips_of(artists: list[int]) -> list[Clip]:
    return [
        Clip(str(i), "s", "labelled", "jazz" if a % 2 else "rock", f"Artist {a}", "clip30", 30.0)
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
        if clip.role == "labelled":
            of_artist.setdefault(clip.group, set()).add(int(fold))
    assert all(len(f) == 1 for f in of_artist.values())
    assert {f for fs in of_artist.values() for f in fs} == {0, 1, 2, 3, 4}


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


@pytest.mark.parametrize("bands", [40, 80, 96])
def test_folding_norms_and_pooling_changes_nothing_whatever_the_length(bands: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from genretag.training.network import Backbone, Shape, fold

    torch.manual_seed(0)
    backbone = Backbone(Shape(n_mels=bands, stem=8, widths=(8, 12, 16), pooled=24, embedding=16))
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
    from models.recipe.quantise import quantise
    from genretag.features import FrontEnd, LogMel
    from genretag.inference.metadata import Calibration, ModelMetadata
    from genretag.inference.model import Model, cut_chunks
    from genretag.training.export import TwoHeadNetwork, export
    from genretag.training.network import Backbone, Shape, load_backbone

    torch.manual_seed(0)
    rng, front_end = np.random.default_rng(0), FrontEnd()
    log_mel = LogMel.of(front_end)
    mels = [log_mel(synthesis.piece(seed, 4).mean(0)[: 16_000 * 4]) for seed in range(8)]
    chunks = np.stack([c for mel in mels for c in cut_chunks(mel, (124,))])
    backbone = Backbone(Shape(dropout=0.0))
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
    said = Model(small).run(chunks).embedding
    assert np.sqrt(np.mean((torn - said) ** 2)) < 0.15 * said.std()


def test_distilling_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe import distill

    data, cache = tmp_path / "data", tmp_path / "cache"
    make_corpus(data, cache)
    plan = distill.Plan(data, cache, tmp_path / "s.pt", steps=6, hold_out=None)
    distill.distil(plan)
    assert torch.load(plan.out, weights_only=True)["step"] == 6
    distill.distil(distill.Plan(data, cache, tmp_path / "s.pt", steps=8, hold_out=0))
    assert torch.load(plan.out, weights_only=True)["step"] == 8
    out = distill.load(plan.out)(torch.zeros(1, 80, 124))
    assert out[0].shape == (1, 4)


def test_a_student_of_two_teachers_learns_their_joint_embedding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe import distill, tutor

    data, cache = tmp_path / "data", tmp_path / "cache"
    make_corpus(data, cache)
    answers = tutor.book(cache, 20)
    assert np.isnan(answers).all()
    asked = np.arange(20) != 5  # one that was not asked yet is left out
    answers[asked] = np.random.default_rng(1).normal(size=(19, *answers.shape[1:]))
    answers.flush()
    plan = distill.Plan(data, cache, tmp_path / "s.pt", steps=3, hold_out=None)
    distill.distil(plan)
    assert '"lessons": 19' in capsys.readouterr().out
    assert distill.load(plan.out)(torch.zeros(1, 80, 124))[0].shape == (1, tutor.DIMS)
    assert (cache / "joint.npz").exists()


def test_the_joint_embedding_weighs_blocks_alike_and_keeps_what_they_hold() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe.tutor import Joint

    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(500, 3)).astype(np.float32)
    blocks = [
        100 * hidden @ rng.normal(size=(3, 40)).astype(np.float32),
        (hidden @ rng.normal(size=(3, 7))).astype(np.float32),
    ]
    joint = Joint.fit(blocks, 3)
    x = joint(blocks)
    assert x.var(0).mean() == pytest.approx(1, rel=0.05)
    assert np.allclose(np.corrcoef(x, rowvar=False), np.eye(3), atol=0.05)
    told, *_ = np.linalg.lstsq(np.c_[x, np.ones(500)], hidden, rcond=None)
    assert np.abs(np.c_[x, np.ones(500)] @ told - hidden).std() < 0.1 * hidden.std()


def test_another_fold_s_embedding_is_brought_into_one_s_own_basis() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe.tutor import Joint

    rng = np.random.default_rng(0)
    ways = [rng.normal(size=(6, n)).astype(np.float32) for n in (40, 12)]

    def numbers(n: int) -> list[np.ndarray]:
        hidden = rng.normal(size=(n, 6)).astype(np.float32)
        return [hidden @ way for way in ways]

    ours, theirs, asked = Joint.fit(numbers(300), 6), Joint.fit(numbers(200), 6), numbers(50)
    assert np.abs(ours(asked) - theirs(asked)).max() > 0.5
    assert np.abs(ours.from_other(theirs, theirs(asked)) - ours(asked)).max() < 0.05


def test_a_head_learns_each_clip_from_a_student_that_never_heard_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from types import SimpleNamespace

    from models.recipe import pieces

    clips = clips_of([i // 2 for i in range(60)])
    clips[7] = replace(clips[7], role="weak")
    folds = grouped_folds(clips)
    for fold in range(5):
        (tmp_path / f"fold{fold}.pt").touch()
    monkeypatch.setattr(pieces, "load", lambda path: SimpleNamespace(backbone=int(path.stem[-1])))
    monkeypatch.setattr(pieces.Sound, "open", lambda _: None)
    monkeypatch.setattr(pieces, "Listener", lambda backbone, *_: backbone)
    monkeypatch.setattr(
        pieces,
        "pieces_of",
        lambda who, own, seed: pieces.Pieces(
            np.full((len(own), 4), who, np.float32), np.array(own)
        ),
    )
    labelled = np.array([c.role == "labelled" for c in clips])
    for hold_out in (None, 2):
        theirs = pieces.unheard(tmp_path, clips, hold_out)
        assert (theirs.x[:, 0] == folds[theirs.clip]).all()
        assert set(theirs.clip) == set(np.flatnonzero(labelled & (folds != hold_out)))


def test_a_genre_head_is_fitted_without_what_is_held_out() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe.bundle import fit_heads
    from models.recipe.corpus import Lessons
    from models.recipe.pieces import Pieces

    clips, rng = clips_of(list(range(40))), np.random.default_rng(0)
    clips[:4] = [replace(c, role="nonmusic") for c in clips[:4]]
    truth = np.array([float(c.genre == "rock") for c in clips])
    x = (np.c_[truth, 1 - truth] * 6 + rng.normal(size=(40, 2))).astype(np.float32)
    every, none = np.arange(40), np.zeros(40)
    some = every % 3 == 0
    lie = np.where(some[:, None], x, x[:, ::-1])  # what is held out would teach the contrary
    lessons = Lessons(every, none, every * 0 - 1, none, none, lie[:, None], lie[:, None])
    pieces = Pieces(np.repeat(lie, 30, axis=0), np.repeat(every, 30))
    for train, right in ((some, 1.0), (~some, 0.0)):
        head = fit_heads(clips, pieces, pieces, train, ["Jazz", "Rock"], lessons).genre
        assert (head(x).argmax(1) == truth).mean() == right


def test_a_piece_gets_the_answers_of_the_parts_that_it_overlaps() -> None:
    from models.recipe.corpus import Lessons

    one = np.zeros(1)
    said = np.arange(3, dtype=np.float32).reshape(1, 3, 1)
    spans = np.array([[0.0, 3.0], [3.5, 6.5], [7.0, 10.0]])
    lessons = Lessons(one, one, one - 1, one, one, said * 10, said, spans)
    rows = np.zeros(4, np.int64)
    embedding, logits = lessons.answers(rows, np.array([0.0, 7.5, 2.0, 0.0]), 2.0)
    assert embedding[:, 0] == pytest.approx([0, 2, 1 / 3, 0], abs=2e-3)
    assert logits[:, 0] == pytest.approx(10 * embedding[:, 0])
    assert lessons.answers(rows[:1], np.zeros(1), 10.0)[0][0, 0] == pytest.approx(1)


def test_the_second_teacher_is_the_published_network() -> None:
    """The fast form of its convolutions gives what the plain form of the paper's code gives, with weights at random."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from models.recipe.musicnn import ANSWER, Musicnn

    values = random_musicnn(torch)
    x = np.random.default_rng(0).normal(1, 0.5, (2, 187, 96)).astype(np.float32)
    with torch.no_grad():
        plain = plain_musicnn(torch, values, torch.from_numpy(x)).numpy()
    said = Musicnn(values)(x)
    assert said.shape == (2, ANSWER)
    assert np.sqrt(np.mean((said - plain) ** 2)) < 0.02 * plain.std()


def random_musicnn(torch: Any) -> dict[str, Any]:
    """Return weights of MusiCNN's shapes under its own names."""
    torch.manual_seed(0)
    convolutions = [
        (7, 38, 1, 204),
        (7, 67, 1, 204),
        (128, 1, 1, 51),
        (64, 1, 1, 51),
        (32, 1, 1, 51),
        (7, 561, 1, 64),
        (7, 64, 1, 64),
        (7, 64, 1, 64),
    ]
    widths = [1, *(shape[-1] for shape in convolutions), 1506, 200]
    values = {}
    for i, shape in enumerate(convolutions):
        name = f"conv2d_{i}" if i else "conv2d"
        values[f"{name}/kernel"] = torch.randn(shape) / (shape[0] * shape[1]) ** 0.5
        values[f"{name}/bias"] = torch.randn(shape[-1]) * 0.1
    for i, width in enumerate(widths):
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        for part in ("gamma", "beta", "moving_mean"):
            values[f"{name}/{part}"] = torch.randn(
                width
            )  # gammas below zero too: they turn a maximum into a minimum
        values[f"{name}/moving_variance"] = torch.rand(width) + 0.5
    for name, shape in (("dense", (1506, 200)), ("dense_1", (200, 50))):
        values[f"{name}/kernel"], values[f"{name}/bias"] = (
            torch.randn(shape) / shape[0] ** 0.5,
            torch.randn(shape[1]),
        )
    return values


def plain_musicnn(torch: Any, v: dict[str, Any], x: Any) -> Any:
    """MusiCNN as its paper's code has it: 2-D convolutions over [n, 1, frames, bands], ReLU, norm, maximum over the bands."""
    relu, pad, conv2d = torch.relu, torch.nn.functional.pad, torch.nn.functional.conv2d

    def norm(i: int, y: Any) -> Any:
        n = f"batch_normalization_{i}" if i else "batch_normalization"
        return torch.nn.functional.batch_norm(
            y,
            v[f"{n}/moving_mean"],
            v[f"{n}/moving_variance"],
            v[f"{n}/gamma"],
            v[f"{n}/beta"],
            eps=1e-3,
        )

    def block(i: int, y: Any) -> Any:
        n = f"conv2d_{i}" if i else "conv2d"
        return norm(i + 1, relu(conv2d(y, v[f"{n}/kernel"].permute(3, 2, 0, 1), v[f"{n}/bias"])))

    def middle(i: int, y: Any) -> Any:
        return block(i, pad(y.transpose(1, 2)[:, None], (0, 0, 3, 3)))[..., 0]

    y = norm(0, x[:, None])
    front = [block(i, pad(y, (0, 0, 3, 3))).amax(3) for i in (0, 1)]
    front += [
        block(i, pad(y, (0, 0, (k - 1) // 2, k // 2))).amax(3)
        for i, k in ((2, 128), (3, 64), (4, 32))
    ]
    front = torch.cat(front, 1)
    first = middle(5, front)
    second = middle(6, first) + first
    third = middle(7, second) + second
    features = torch.cat([front, first, second, third], 1)
    pool = torch.stack([features.amax(2), features.mean(2)], 2).flatten(1)
    hidden = norm(10, relu(norm(9, pool) @ v["dense/kernel"] + v["dense/bias"]))
    return torch.cat([pool, hidden, hidden @ v["dense_1/kernel"] + v["dense_1/bias"]], 1)


def make_corpus(data: Path, cache: Path) -> None:
    """Write a corpus of the real layout: twelve made-up clips and a teacher's answers to them."""
    rng = np.random.default_rng(0)
    data.mkdir()
    cache.mkdir()
    rows = [
        f"c{i},s,labelled,{'jazz' if i % 2 else 'rock'},Artist {i},train,clip30,11.0,none"
        for i in range(12)
    ]
    (data / "clips.csv").write_text(
        "id,source,role,genre,artist,official_split,kind,seconds,licence\n" + "\n".join(rows) + "\n"
    )
    length = 11 * 16_000
    np.save(cache / "audio.npy", (rng.normal(0, 3000, 12 * length)).astype(np.int16))
    np.save(cache / "off.npy", np.arange(13) * length)
    n = 12
    np.savez(
        data / "teacher.npz",
        clean_clip=np.arange(8),
        clean_start=np.zeros(8),
        clean_logits=rng.normal(size=(8, 5)),
        clean_emb=rng.normal(size=(8, 4)),
        mix_a=rng.integers(0, 8, n),
        mix_start_a=np.zeros(n),
        mix_b=rng.integers(-1, 8, n),
        mix_start_b=np.zeros(n),
        mix_weight=np.full(n, 0.8),
        mix_logits=rng.normal(size=(n, 5)),
        mix_emb=rng.normal(size=(n, 4)),
    )


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


def test_another_calibration_is_what_a_scan_with_it_would_have_said() -> None:
    from genretag.decisions.vote import vote
    from models.recipe.folds import calibration_of, recalibrated
    from genretag.features import FrontEnd
    from genretag.inference.metadata import Calibration, ModelMetadata
    from genretag.records import Analysis

    rng = np.random.default_rng(0)
    labels = sorted(LABELS.values())
    z = rng.normal(0, 2, (60, 11))
    z[np.arange(60), np.arange(60) % 11] += 3.0
    word = {label: genre for genre, label in LABELS.items()}
    clips = [
        Clip(str(i), "s", "labelled", word[labels[i % 11]], "", "clip30", [2.5, 30.0][i % 2])
        for i in range(60)
    ]

    def row(i: int, times: float = 1.0) -> dict[str, Any]:
        return {
            "scores": dict(zip(labels, np.exp(log_softmax(z[i] * times)), strict=True)),
            "confidence": 0.0,
            "windows": 1,
        }

    rows = {str(i): row(i) for i in range(60)}
    other, none = Calibration(0.8, -0.2), np.zeros(1, np.float16)
    metadata = ModelMetadata("", "", "", tuple(labels), FrontEnd(), (124,), 0.5, 0.7, other)
    for i, clip in enumerate(clips):
        heard = Analysis(
            "",
            None,
            clip.seconds,
            1.0,
            none.astype(np.float32),
            z[i : i + 1].astype(np.float16),
            none + 9,
            none,
        )
        assert recalibrated(clip, rows[clip.id], other)["scores"] == pytest.approx(
            vote(heard, metadata).scores, abs=2e-2
        )
    ratio = (
        calibration_of(clips, {str(i): row(i, 2.0) for i in range(60)}).temperature
        / calibration_of(clips, rows).temperature
    )
    assert ratio == pytest.approx(2, rel=0.1)
    assert recalibrated(clips[0], {"scores": {}, "confidence": None}, other)["confidence"] is None


def test_a_made_up_song_is_one_artist_s_and_gets_the_vote_of_its_windows() -> None:
    from genretag.decisions.vote import log_softmax, vote
    from models.recipe.songs import songs_of
    from genretag.features import FrontEnd
    from genretag.inference.metadata import Calibration, ModelMetadata
    from genretag.records import Analysis

    rng, clips = np.random.default_rng(0), clips_of([i // 5 for i in range(60)])
    z = {c.id: rng.normal(0, 2, 3) for c in clips}
    rows = {
        k: {"scores": dict(zip("ABC", np.exp(log_softmax(x)), strict=True)), "status": "ok"}
        for k, x in z.items()
    }
    songs, said = songs_of(clips, rows, 2)
    assert len(songs) == len(said) == 12 * 2  # of five clips of an artist one is left
    parts = [song.id.split("+") for song in songs]
    assert len({i for ids in parts for i in ids}) == 48
    artist = {c.id: c.artist for c in clips}
    assert all(
        {artist[i] for i in ids} == {song.artist} for song, ids in zip(songs, parts, strict=True)
    )
    metadata = ModelMetadata(
        "", "", "", ("A", "B", "C"), FrontEnd(), (124,), 0.5, 0.7, Calibration(1.0)
    )
    for song, ids in zip(songs, parts, strict=True):
        none = np.zeros(1, np.float16)
        heard = Analysis(
            "",
            None,
            60.0,
            1.0,
            np.arange(2, dtype=np.float32),
            np.stack([z[i] for i in ids]).astype(np.float16),
            none + 9,
            none,
        )
        assert said[song.id]["scores"] == pytest.approx(vote(heard, metadata).scores, abs=5e-3)


def test_changes_for_the_robustness_table_are_what_they_are_called(tmp_path: Path) -> None:
    from genretag import audio
    from models.recipe.robust import CHANGES, RATE

    y = synthesis.piece(1, 6, RATE).mean(0).astype(np.float32)
    for n, change in enumerate(CHANGES):
        path = tmp_path / f"{n}{change.extension}"
        synthesis.encode(path, change.sound(y), change.heard_at, change.container)
        listening = audio.DecodeLog()
        heard = np.concatenate(list(audio.decode(path, 16_000, listening)))
        want = {
            "3 % faster": 6 / 1.03,
            "3 % slower": 6 * 1.03,
            "from 1.7 s on": 4.3,
            "the middle third": 2.0,
            "2 s of the middle": 2.0,
        }.get(change.name, 6.0)
        assert len(heard) / 16_000 == pytest.approx(want, abs=0.1), change.name
        assert heard.std() > 0.001
        if change.name == "12 dB louder (float)":
            assert np.abs(heard).max() > 1  # nothing was clipped
