"""Training on a user's folders: it learns what can be learned, judges itself honestly, and makes a file that a scan uses."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import labelled
import numpy as np
import onnx
import pytest
from conftest import Program
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag import tags
from genretag.audio import synthesis
from genretag.errors import RunError, UsageError
from genretag.evaluation import metrics
from genretag.inference.model import Model, bundled_model
from genretag.storage.cache import Store
from genretag.training import layouts
from genretag.training.collection import analyse_tracks
from genretag.training.head import LinearHead, fold_scaler
from genretag.training.split import (
    Pair,
    Part,
    assign_folds,
    find_near_duplicates,
    group_tracks,
    split_at_random,
    split_by_group,
)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled music, and beside it a store that heard it: hearing is not what is tested here."""
    folder = tmp_path_factory.mktemp("labelled") / "Labelled"
    store = Store(folder.parent / "genretag.db")
    analyse_tracks(store, Model(threads=2), labelled.make(folder), 2)
    store.close()
    return folder


@pytest.fixture
def library(music: Path, tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir()
    shutil.copy(music.parent / "genretag.db", tmp_path / "db")
    return Path(shutil.copytree(music, tmp_path / "Labelled"))


# --- from folders to written tags --------------------------------------------------------------------------------


def test_it_learns_folders_and_the_model_tags_new_music(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    done = genretag("train", library, "-O", tmp_path / "my.onnx", "--json")
    assert done.status == 0, done.err
    (figures,) = done.rows
    assert figures["labels"] == dict.fromkeys(labelled.KINDS, 12)
    assert figures["test"]["accuracy"]["value"] >= 0.8
    assert figures["test"]["majority"] <= 0.5
    assert sum(figures["parts"].values()) == 36
    new = tmp_path / "new"
    new.mkdir()
    for n, kind in enumerate(labelled.KINDS):
        synthesis.encode(new / f"{n}.mp3", labelled.sound(kind, 9000 + n, 8), labelled.RATE)
    rows = genretag(
        "scan", new, "--model", tmp_path / "my.onnx", "--yes", "--min-confidence", 0, "--json"
    ).rows
    assert [r["genre"] or r["status"] for r in rows[:2]] == list(labelled.KINDS[:2])
    assert tags.read(new / "0.mp3").genres == [labelled.KINDS[0]]
    assert genretag("undo", "--yes").status == 0
    assert tags.read(new / "0.mp3").genres == []


def test_the_report_is_whole_and_stands_alone(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    (library / "Chords" / "not music.mp3").write_text("<html><script>alert(1)</script></html>")
    shutil.copy(library / "Beats" / "00-0.flac", library / "Beats" / "<b>copy.flac")
    done = genretag("train", library, "-O", tmp_path / "my.onnx")
    assert done.status == 1  # one file could not be heard, and it is named
    assert "not music.mp3" in done.out
    assert "the same recording" in done.out
    page = (tmp_path / "my.html").read_text()
    assert "<script" not in page
    assert "&lt;b&gt;copy" in page
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)
    assert {p.stem for p in (tmp_path / "my.pictures").iterdir()} == {
        "learning",
        "confusion",
        "reliability",
        "risk-coverage",
        "map",
    }
    assert "| label | learned |" in (tmp_path / "my.md").read_text()


def test_two_labels_make_a_model_of_two(genretag: Program, library: Path, tmp_path: Path) -> None:
    assert (
        genretag("train", library, "--classes", "beats, CHORDS", "-O", tmp_path / "two.onnx").status
        == 0
    )
    assert Model(tmp_path / "two.onnx").metadata.labels == ("Beats", "Chords")


def test_a_model_can_be_made_the_default_and_the_bundled_one_again(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    assert genretag("train", library, "-O", tmp_path / "my.onnx").status == 0
    (tmp_path / "config.toml").write_text("# mine\n")
    assert genretag("models", "use", tmp_path / "my.onnx").status == 0
    assert (tmp_path / "config.toml").read_text().startswith("# mine")
    assert set(
        genretag("scan", library, "--dry-run", "--json", "--limit", 1).rows[0]["scores"]
    ) == set(labelled.KINDS)
    (tmp_path / "my.onnx").unlink()
    assert "is not there" in genretag("scan", library, "--dry-run").err
    assert genretag("models", "use", "--bundled").status == 0
    assert (
        "Jazz" in genretag("scan", library, "--dry-run", "--json", "--limit", 1).rows[0]["scores"]
    )


def test_a_corrected_plan_teaches(genretag: Program, library: Path, tmp_path: Path) -> None:
    rows = genretag("scan", library, "--dry-run", "--json").rows
    for row in rows:
        row["new"] = ["Loud" if "Beats" in row["path"] else "Soft"]
    rows[0]["new"] = rows[0]["old"]  # not corrected
    (tmp_path / "fixed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = genretag(
        "train", "--from-review", tmp_path / "fixed.jsonl", "-O", tmp_path / "r.onnx", "--json"
    )
    assert done.status == 0, done.err
    assert done.rows[0]["labels"] == {"Loud": 11, "Soft": 24}


# --- honesty -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.2, 0.95), min_size=40, max_size=80), st.integers(0, 9))
def test_chance_makes_a_calibration_error_that_goes_with_the_number_of_tracks(
    confidences: list[float], seed: int
) -> None:
    few, many = np.array(confidences), np.repeat(confidences, 36)
    mean, high = metrics.exact_calibration_error(few, seed)
    assert 0 < mean < high
    assert (
        0.1 < metrics.exact_calibration_error(many, seed)[0] / mean < 0.3
    )  # a sixth, by the root of the number
    right = np.random.default_rng(seed).random(len(many)) < np.maximum(0.0, many - 0.2)
    assert (
        metrics.calibration_error(many, right) > 2 * metrics.exact_calibration_error(many, seed)[1]
    )  # one who boasts is found out


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=12, max_size=200),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_no_artist_is_in_two_parts_and_every_label_can_be_learned(
    rows: list[tuple[int, int]], seed: int
) -> None:
    rows = [*rows, *((c, 100 + c) for c in range(4))]
    y, groups = np.array([r[0] for r in rows]), group_tracks([(str(r[1]),) for r in rows], [])
    part = split_by_group(y, groups, seed)
    for group in np.unique(groups):
        assert len(set(part[groups == group].tolist())) == 1
    for label in np.unique(y):
        assert ((y == label) & (part == Part.TRAIN)).any()
    folds = assign_folds(y, groups)
    assert all(len(set(folds[groups == g].tolist())) == 1 for g in np.unique(groups))


def test_folds_are_fewer_where_no_label_has_as_many_tracks() -> None:
    folds = assign_folds(np.repeat(np.arange(4), 4), np.arange(16))
    assert 2 <= len(set(folds.tolist())) <= 4


def test_parts_are_64_16_and_20_percent_of_every_label() -> None:
    y = np.repeat(np.arange(4), 100)
    groups = np.arange(400) // 2
    part = split_by_group(y, groups)
    for label in range(4):
        shares = [(part[y == label] == p).mean() for p in Part]
        assert shares == pytest.approx([0.64, 0.16, 0.2], abs=0.03)


def test_the_artist_that_leaks_is_kept_on_one_side(genretag: Program, tmp_path: Path) -> None:
    """Every track of a label is of two artists: a random split would have both on both sides, and be called out."""
    labelled.make(tmp_path / "L", kinds=labelled.KINDS[:2], artists=2, each=6)
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "a.onnx", "--json")
    assert done.rows[0]["groups"] == 4
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "b.onnx", "--split", "random")
    assert "compare with nothing" in done.err
    assert "compare with nothing" in done.out
    assert "random split" in (tmp_path / "b.md").read_text()


def test_a_label_of_one_artist_is_told_not_to_be_judged(genretag: Program, tmp_path: Path) -> None:
    labelled.make(tmp_path / "L", kinds=labelled.KINDS[:2], artists=5, each=2)
    labelled.make(tmp_path / "L", kinds=labelled.KINDS[2:], artists=1, each=5)
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "a.onnx", "--json")
    assert done.status == 0
    assert any("one artist" in note and "Hiss & Hum" in note for note in done.rows[0]["notes"])
    classes = {c["label"]: c for c in done.rows[0]["test"]["classes"]}
    assert classes["Hiss & Hum"]["test"] == 0
    assert classes["Hiss & Hum"]["recall"] is None


def test_one_recording_under_two_labels_is_found_and_left_out(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    shutil.copy(library / "Beats" / "00-0.flac", library / "Chords" / "stolen.flac")
    synthesis.encode(
        library / "Chords" / "re-encoded.mp3",
        labelled.sound("Chords", 1000),
        labelled.RATE,
        tags={"artist": "Someone Else"},
    )
    done = genretag("train", library, "-O", tmp_path / "a.onnx", "--json")
    pairs = {
        frozenset((Path(d["a"]).name, Path(d["b"]).name)): d for d in done.rows[0]["duplicates"]
    }
    assert pairs[frozenset(("00-0.flac", "stolen.flac"))]["cosine"] == 1.0
    assert frozenset(("00-0.flac", "re-encoded.mp3")) in pairs
    assert done.rows[0]["tracks"] == 36 + 2 - 2
    assert any("under different labels" in note for note in done.rows[0]["notes"])


def test_near_copies_are_one_group_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 64))
    x[7] = x[3] + rng.normal(size=64) * 0.02
    pairs = find_near_duplicates(x, [str(i) for i in range(48)] + ["1", "2"])
    assert {(p.a, p.b) for p in pairs} == {(3, 7), (1, 48), (2, 49)}
    groups = group_tracks([()] * 50, pairs)
    assert groups[3] == groups[7]
    assert len(set(groups.tolist())) == 47


def test_compilations_do_not_make_one_artist_of_many() -> None:
    groups = group_tracks(
        [("A", "Various Artists"), ("B", "various artists"), ("a",), ("",), ("",)],
        [Pair(3, 1, 1.0)],
    )
    assert groups.tolist() == [0, 1, 0, 1, 2]


def test_random_parts_have_every_label_everywhere() -> None:
    y = np.repeat(np.arange(3), 20)
    part = split_at_random(y)
    assert all(((y == c) & (part == p)).any() for c in range(3) for p in Part)


# --- layouts -----------------------------------------------------------------------------------------------------


def touched(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    return top


def labels_of(found: layouts.LabelledTracks) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for e in found.examples:
        out.setdefault(e.label, []).append(e.path.name)
    return {k: sorted(v) for k, v in out.items()}


def test_nested_folders_and_artist_folders_are_read(tmp_path: Path) -> None:
    top = touched(
        tmp_path,
        "wrap/Jazz/Miles/Album/a.flac",
        "wrap/Jazz/b.mp3",
        "wrap/Rock/c.mp3",
        "wrap/Empty/notes.txt",
    )
    found = layouts.read_labelled(top)
    assert labels_of(found) == {"Jazz": ["a.flac", "b.mp3"], "Rock": ["c.mp3"]}
    assert [e.folder for e in found.examples if e.path.name == "a.flac"] == ["Miles"]
    assert any("Empty" in note for note in found.notes)


def test_labels_that_differ_by_case_or_space_are_one_and_told(tmp_path: Path) -> None:
    found = layouts.read_labelled(
        touched(tmp_path, "Hip Hop/a.mp3", "Hip Hop/b.mp3", "hip  hop/c.mp3", "Jazz/d.mp3")
    )
    assert labels_of(found) == {"Hip Hop": ["a.mp3", "b.mp3", "c.mp3"], "Jazz": ["d.mp3"]}
    assert any("one label" in note for note in found.notes)


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.mp3,Jazz\nb.mp3,Rock\n",
        "\ufeffGenre,Filename,Artist\nJazz,a.mp3,X\nRock,b.mp3,\n",
        "a.mp3,Jazz\nb.mp3,Rock\n",
        "path\tlabel\na.mp3\tJazz\nb.mp3\tRock\n",
    ],
)
def test_tables_of_path_and_label_are_read(tmp_path: Path, text: str) -> None:
    touched(tmp_path, "a.mp3", "b.mp3")
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert labels_of(layouts.read_labelled(tmp_path / "t.csv")) == {
        "Jazz": ["a.mp3"],
        "Rock": ["b.mp3"],
    }


def test_a_table_says_what_is_missing(tmp_path: Path) -> None:
    touched(tmp_path, "a.mp3")
    (tmp_path / "t.csv").write_text("path,label\na.mp3,Jazz\ngone.mp3,Rock\n,Rock\n")
    found = layouts.read_labelled(tmp_path / "t.csv")
    assert any("gone.mp3" in note for note in found.notes)
    assert any("line 4" in note for note in found.notes)
    (tmp_path / "u.csv").write_text("x,y\n1,2\n")
    with pytest.raises(RunError, match="column"):
        layouts.read_labelled(tmp_path / "u.csv")


def fma(folder: Path) -> Path:
    """Write FMA's layout: metadata with a header of two rows and the ids' row, and clips in folders of thousands."""
    rows = [
        ["", "album", "artist", "set", "set", "track"],
        ["", "title", "id", "split", "subset", "genre_top"],
        ["track_id", "", "", "", "", ""],
        ["2", "A", "1", "training", "small", "Hip-Hop"],
        ["140", "B", "54", "validation", "medium", "Folk"],
        ["5000", "C", "9", "test", "small", "Folk"],
        ["5001", "C", "9", "test", "large", "Jazz"],
        ["5002", "C", "9", "test", "small", ""],
    ]
    path = folder / "fma_metadata" / "tracks.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    touched(folder / "fma_small", "000/000002.mp3", "005/005000.mp3")
    touched(folder / "fma_medium", "000/000002.mp3", "005/005000.mp3", "000/000140.mp3")
    return path


def test_fma_tables_are_read_with_their_subsets_and_split(tmp_path: Path) -> None:
    path = fma(tmp_path)
    small = layouts.read_labelled(path, subset="small")
    assert labels_of(small) == {"Hip-Hop": ["000002.mp3"], "Folk": ["005000.mp3"]}
    assert [e.part for e in small.examples] == ["training", "test"]
    assert small.examples[1].path == tmp_path / "fma_small" / "005" / "005000.mp3"
    assert labels_of(layouts.read_labelled(path, subset="medium"))["Folk"] == [
        "000140.mp3",
        "005000.mp3",
    ]
    with pytest.raises(UsageError, match="small, medium"):
        layouts.read_labelled(path, subset="tiny")


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "say"),
    [
        ((), "one folder a genre"),
        (("a.mp3",), "one folder a genre"),
        (("Jazz/a.mp3", "Jazz/b.mp3"), "two labels"),
        (("Jazz/a.mp3", "Rock/b.mp3"), "two labels"),
        (("Jazz/a.mp3", "Jazz/b.mp3", "Rock/c.mp3", "Rock/d.mp3"), "could not be heard"),
    ],
)
def test_bad_folders_are_one_clear_sentence(
    genretag: Program, tmp_path: Path, names: tuple[str, ...], say: str
) -> None:
    (tmp_path / "L").mkdir()
    touched(tmp_path / "L", *names)
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "x.onnx")
    assert done.status in (1, 2)
    assert say in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "x.onnx").exists()


def test_wrong_usage_is_told_before_anything_is_heard(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    assert "ends in .onnx" in genretag("train", library, "-O", tmp_path / "x.pt").err
    assert "no such label" in genretag("train", library, "--classes", "Polka").err
    assert genretag("train").status == 2
    assert (
        "no split of its own"
        in genretag("train", library, "--split", "official", "-O", tmp_path / "x.onnx").err
    )


# --- parts -------------------------------------------------------------------------------------------------------


def test_the_grafted_file_keeps_the_backbone_and_says_what_was_fitted(tmp_path: Path) -> None:
    from genretag.training.attach_head import attach_head

    base, rng = Model(), np.random.default_rng(0)
    head = LinearHead(rng.normal(size=(384, 5)) * 0.1, rng.normal(size=5))
    metadata = type(base.metadata)(
        **{**vars(base.metadata), "labels": tuple("abcde"), "name": "five"}
    )
    assert attach_head(bundled_model(), head, metadata, tmp_path / "five.onnx") < 1e-4
    made, was = onnx.load(str(tmp_path / "five.onnx")), onnx.load(str(bundled_model()))
    assert made.ir_version == was.ir_version
    assert [(o.domain, o.version) for o in made.opset_import] == [
        (o.domain, o.version) for o in was.opset_import
    ]
    assert not [w.name for w in made.graph.initializer if w.name.startswith("genre.")]
    x = rng.normal(size=(3, 80, 312)).astype(np.float32)
    ours, theirs = Model(tmp_path / "five.onnx").run(x), base.run(x)
    np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-6)
    np.testing.assert_allclose(ours.music, theirs.music, atol=1e-5)
    np.testing.assert_allclose(ours.logits, head(theirs.embedding), atol=1e-4)


def test_a_scaler_folds_into_the_head() -> None:
    rng = np.random.default_rng(0)
    head, mean, std, x = (
        LinearHead(rng.normal(size=(6, 3)), rng.normal(size=3)),
        rng.normal(size=6),
        rng.uniform(0.5, 2, 6),
        rng.normal(size=(9, 6)),
    )
    np.testing.assert_allclose(fold_scaler(head, mean, std)(x), head((x - mean) / std), atol=1e-9)


def test_figures_of_known_answers() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.5, 0.1, 0.4], [0.1, 0.6, 0.3]])
    y, groups = np.array([0, 1, 2, 2]), np.array([0, 1, 2, 2])
    j = metrics.compute_metrics(p, y, groups, ["a", "b", "c"], np.array([2, 2, 0]))
    assert j.accuracy.value == 0.5
    assert j.macro_recall.value == pytest.approx(2 / 3)
    assert j.macro_f1.value == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert j.top2.value == 1.0
    assert j.majority == 0.5
    assert j.confusion == [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert (j.coverage, j.precision) == (0.5, 1.0)
    assert j.accuracy.low <= 0.5 <= j.accuracy.high


def test_an_interval_over_artists_is_wider_than_one_over_tracks() -> None:
    rng = np.random.default_rng(0)
    artist_is_right = rng.random(20) < 0.6
    right = np.repeat(artist_is_right, 20)
    by_artist = metrics.interval(lambda rows: float(right[rows].mean()), np.arange(400) // 20)
    by_track = metrics.interval(lambda rows: float(right[rows].mean()), np.arange(400))
    assert by_artist.high - by_artist.low > 2 * (by_track.high - by_track.low)


# --- evaluate ----------------------------------------------------------------------------------------------------


def test_evaluate_holds_a_model_against_folders(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    assert genretag("train", library, "-O", tmp_path / "my.onnx").status == 0
    shutil.copytree(library / "Beats", library / "Polka")
    done = genretag("evaluate", library, "--model", tmp_path / "my.onnx", "--json")
    assert done.status == 0, done.err
    (figures,) = done.rows
    assert figures["tracks"] == 36
    assert figures["unknown_labels"] == {"Polka": 12}
    assert figures["accuracy"]["value"] > 0.9
    assert "none of the labels" in genretag("evaluate", library).err


def test_evaluate_tags_shows_what_looks_wrong_and_exports_it(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    assert genretag("train", library, "-O", tmp_path / "my.onnx").status == 0
    import mutagen

    for path in sorted(library.rglob("*.flac")):
        audio = mutagen.File(path)
        audio["genre"] = (
            "chords" if path.name == "03-1.flac" and "Beats" in str(path) else path.parent.name
        )
        audio["album"] = f"Album of {path.parent.name}"
        audio.save()
    synthesis.encode(
        library / "odd.mp3",
        labelled.sound("Beats", 5),
        labelled.RATE,
        tags={"genre": "Chamber Music"},
    )
    before = {p: p.read_bytes() for p in library.rglob("*.*")}
    plan = tmp_path / "wrong.jsonl"
    done = genretag(
        "evaluate",
        "--tags",
        library,
        "--model",
        tmp_path / "my.onnx",
        "--json",
        "-O",
        plan,
        "--min-confidence",
        0,
    )
    assert done.status == 0, done.err
    wrong = [d for d in done.rows if Path(d["path"]).name == "03-1.flac"]
    assert [(d["tag"], d["said"]) for d in wrong] == [("chords", "Beats")]
    assert [d["confidence"] for d in done.rows] == sorted(
        (d["confidence"] for d in done.rows), reverse=True
    )
    assert {p: p.read_bytes() for p in library.rglob("*.*")} == before
    shown = genretag(
        "evaluate", "--tags", library, "--model", tmp_path / "my.onnx", "-O", tmp_path / "w.m3u8"
    ).out
    assert "Chamber Music (1)" in shown
    assert "03-1.flac" in (tmp_path / "w.m3u8").read_text()
    assert genretag("apply", plan, "--yes").status == 0
    assert tags.read(library / "Beats" / "03-1.flac").genres == ["Beats"]


# --- calibrate ---------------------------------------------------------------------------------------------------


def test_a_model_is_calibrated_on_other_labelled_music(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    """A head that is far too sure of one thing is brought back, and its verdicts stay."""
    from dataclasses import replace

    from genretag.training.attach_head import attach_head

    base, rng = Model(), np.random.default_rng(0)
    metadata = replace(base.metadata, labels=labelled.KINDS, name="loud")
    attach_head(
        bundled_model(),
        LinearHead(rng.normal(size=(384, 3)) * 0.01, np.array([9.0, 0, 0])),
        metadata,
        tmp_path / "loud.onnx",
    )
    labelled.make(library, artists=8, each=2)  # some more: 48 tracks
    done = genretag("models", "calibrate", tmp_path / "loud.onnx", library)
    assert done.status == 0, done.err
    before, after = map(
        float, re.search(r"calibration error ([\d.]+) -> ([\d.]+)", done.out).groups()
    )  # type: ignore[union-attr]
    assert after < before
    made = Model(tmp_path / "loud.calibrated.onnx").metadata
    assert made.calibration.temperature > 1.5
    assert made.calibration.slope == base.metadata.calibration.slope
    assert made.labels == labelled.KINDS
    x = rng.normal(size=(2, 80, 312)).astype(np.float32)
    np.testing.assert_array_equal(
        Model(tmp_path / "loud.calibrated.onnx").run(x).logits,
        Model(tmp_path / "loud.onnx").run(x).logits,
    )
    assert (
        "calibrated" in genretag("models", "info", tmp_path / "loud.calibrated.onnx", "--json").out
    )
    shutil.rmtree(library / "Beats")
    assert (
        "the least to calibrate on"
        in genretag("models", "calibrate", tmp_path / "loud.onnx", library).err
    )
