"""Teaching: folds that do not leak, heads, calibration, and an export that equals what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag import demo
from genretag.ear.corpus import LABELS, Clip, grouped_folds, read_clips
from genretag.train.head import Linear, balanced_weights, fit_genre_head, fit_music_head, fit_temperature
from genretag.vote import log_softmax


def clips_of(artists: list[int]) -> list[Clip]:
    return [Clip(str(i), "s", "labelled", "jazz" if a % 2 else "rock", f"Artist {a}", "clip30", 30.0) for i, a in enumerate(artists)]


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
    from genretag.card import Calibration, Card
    from genretag.features import FrontEnd
    from genretag.model import Model
    from genretag.train.export import Ear, export
    from genretag.train.network import Shape, Student

    torch.manual_seed(0)
    student = Student(Shape(n_mels=40, stem=8, widths=(8, 12, 16), pooled=24, embedding=16, classes=5))
    student.train()
    student(torch.randn(8, 40, 124))  # batch norms that are not the identity
    rng = np.random.default_rng(0)
    heads = [Linear(rng.normal(size=(16, n)), rng.normal(size=n)) for n in (3, 1)]
    card = Card("", "tiny", "1", ("A", "B", "C"), FrontEnd(n_mels=40), (124, 61), 0.5, 0.7, Calibration(1.2, 0.1), {"data": "none"})
    path = tmp_path / "tiny.onnx"
    assert export(Ear(student.backbone, *heads), card, path) < 1e-4
    loaded = Model(path)
    assert loaded.card.labels == ("A", "B", "C")
    assert loaded.card.calibration == Calibration(1.2, 0.1)


def test_a_quantised_file_says_what_the_float_one_says(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from genretag.card import Calibration, Card
    from genretag.ear.quantise import quantise
    from genretag.features import FrontEnd, LogMel
    from genretag.model import Model, cut_chunks
    from genretag.train.export import Ear, export
    from genretag.train.network import Backbone, Shape, from_onnx

    torch.manual_seed(0)
    rng, front_end = np.random.default_rng(0), FrontEnd()
    log_mel = LogMel.of(front_end)
    mels = [log_mel(demo.piece(seed, 4).mean(0)[: 16_000 * 4]) for seed in range(8)]
    chunks = np.stack([c for mel in mels for c in cut_chunks(mel, (124,))])
    backbone = Backbone(Shape(dropout=0.0))
    backbone.train()
    backbone(torch.from_numpy(chunks))  # batch norms that fit what comes
    heads = [Linear(rng.normal(size=(384, n)), rng.normal(size=n)) for n in (3, 1)]
    card = Card("", "tiny", "1", ("A", "B", "C"), front_end, (124, 61), 0.5, 0.7, Calibration(1.2, 0.1), {"data": "none"})
    path, small = tmp_path / "float.onnx", tmp_path / "bytes.onnx"
    export(Ear(backbone.eval(), *heads), card, path)
    assert quantise(path, small, chunks) < 0.15
    assert small.stat().st_size < 0.8 * path.stat().st_size
    assert Model(small).card.labels == ("A", "B", "C")
    # What --deep reads out of it is the network that it runs, but for the rounding of activations.
    with torch.no_grad():
        torn = from_onnx(small)[0](torch.from_numpy(chunks)).numpy()
    said = Model(small).run(chunks).embedding
    assert np.sqrt(np.mean((torn - said) ** 2)) < 0.15 * said.std()


def test_distilling_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from genretag.ear import distill

    data, cache = tmp_path / "data", tmp_path / "cache"
    make_corpus(data, cache)
    plan = distill.Plan(data, cache, tmp_path / "s.pt", steps=6, hold_out=None)
    distill.distil(plan)
    assert torch.load(plan.out, weights_only=True)["step"] == 6
    distill.distil(distill.Plan(data, cache, tmp_path / "s.pt", steps=8, hold_out=0))
    assert torch.load(plan.out, weights_only=True)["step"] == 8
    out = distill.load(plan.out)(torch.zeros(1, 80, 124))
    assert out[0].shape == (1, 4)


def make_corpus(data: Path, cache: Path) -> None:
    """Write a corpus of the real layout: twelve made-up clips and a teacher's answers to them."""
    rng = np.random.default_rng(0)
    data.mkdir()
    cache.mkdir()
    rows = [f"c{i},s,labelled,{'jazz' if i % 2 else 'rock'},Artist {i},train,clip30,11.0,none" for i in range(12)]
    (data / "clips.csv").write_text("id,source,role,genre,artist,official_split,kind,seconds,licence\n" + "\n".join(rows) + "\n")
    length = 11 * 16_000
    np.save(cache / "audio.npy", (rng.normal(0, 3000, 12 * length)).astype(np.int16))
    np.save(cache / "off.npy", np.arange(13) * length)
    n = 12
    np.savez(
        data / "teacher.npz", clean_clip=np.arange(8), clean_start=np.zeros(8), clean_logits=rng.normal(size=(8, 5)),
        clean_emb=rng.normal(size=(8, 4)), mix_a=rng.integers(0, 8, n), mix_start_a=np.zeros(n), mix_b=rng.integers(-1, 8, n),
        mix_start_b=np.zeros(n), mix_weight=np.full(n, 0.8), mix_logits=rng.normal(size=(n, 5)), mix_emb=rng.normal(size=(n, 4)),
    )  # fmt: skip


def test_another_temperature_is_what_a_scan_with_it_would_have_said() -> None:
    from genretag.ear.folds import recalibrated, temperature_of
    from genretag.vote import log_softmax

    rng = np.random.default_rng(0)
    labels = sorted(LABELS.values())
    z = rng.normal(0, 2, (60, 11))
    z[np.arange(60), np.arange(60) % 11] += 3.0
    word = {label: genre for genre, label in LABELS.items()}
    clips = [Clip(str(i), "s", "labelled", word[labels[i % 11]], "", "clip30", 30.0) for i in range(60)]
    rows = {str(i): {"scores": dict(zip(labels, np.exp(log_softmax(z[i])), strict=True)), "confidence": 0.0} for i in range(60)}
    same = recalibrated(rows["0"], 1.0)
    assert same["scores"] == pytest.approx(rows["0"]["scores"], abs=1e-3)
    doubled = {k: {**r, "scores": dict(zip(labels, np.exp(log_softmax(z[int(k)] * 2)), strict=True))} for k, r in rows.items()}
    ratio = temperature_of(clips, doubled) / temperature_of(clips, rows)
    assert ratio == pytest.approx(2, rel=0.1)
    assert recalibrated({"scores": {}, "confidence": None}, 2.0)["confidence"] is None


def test_changes_for_the_robustness_table_are_what_they_are_called(tmp_path: Path) -> None:
    from genretag import audio
    from genretag.ear.robust import CHANGES, RATE

    y = demo.piece(1, 6, RATE).mean(0).astype(np.float32)
    for n, change in enumerate(CHANGES):
        path = tmp_path / f"{n}{change.extension}"
        demo.encode(path, change.sound(y), change.heard_at, change.container)
        listening = audio.Listening()
        heard = np.concatenate(list(audio.decode(path, 16_000, listening)))
        want = {"3 % faster": 6 / 1.03, "3 % slower": 6 * 1.03, "from 1.7 s on": 4.3, "the middle third": 2.0}.get(change.name, 6.0)
        assert len(heard) / 16_000 == pytest.approx(want, abs=0.1), change.name
        assert heard.std() > 0.001
