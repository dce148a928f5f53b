"""Training on labelled folders: honest evaluation, and a model file that a scan uses."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import labelled
import numpy as np
import onnx
import pytest
from command_server import CommandServer
from conftest import Program, program
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag import tags
from genretag.audio import synthesis
from genretag.errors import RunError, UsageError
from genretag.evaluation import metrics
from genretag.evaluation.evaluate import match_label
from genretag.inference.model import Model, bundled_model
from genretag.storage.cache import AnalysisCache
from genretag.training import layouts
from genretag.training.collection import analyse_tracks
from genretag.training.head import LinearHead, fold_scaler
from genretag.training.provenance import sketch_of, training_overlap
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
    """Labelled music, with its analyses in a cache beside it, so that no test repeats them."""
    folder = tmp_path_factory.mktemp("labelled") / "Labelled"
    store = AnalysisCache(folder.parent / "genretag.db")
    analyse_tracks(store, Model(threads=2), labelled.make(folder), 2)
    store.close()
    return folder


@pytest.fixture(scope="module")
def trained(
    music: Path, command_server: CommandServer | None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Train a model on the labelled music, once for the tests that only use it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "db").mkdir()
    shutil.copy(music.parent / "genretag.db", folder / "db")
    done = program(folder, command_server)("train", music, "-O", folder / "my.onnx")
    assert done.status == 0, done.err
    return folder / "my.onnx"


@pytest.fixture
def library(music: Path, tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir()
    shutil.copy(music.parent / "genretag.db", tmp_path / "db")
    return Path(shutil.copytree(music, tmp_path / "Labelled"))


def test_model_trained_on_folders_tags_new_music(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    done = genretag("train", library, "-O", tmp_path / "my.onnx", "--json", fresh=True)
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


def test_report_is_complete_and_self_contained(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    (library / "Chords" / "not music.mp3").write_text("<html><script>alert(1)</script></html>")
    shutil.copy(library / "Beats" / "00-0.flac", library / "Beats" / "<b>copy.flac")
    done = genretag("train", library, "-O", tmp_path / "my.onnx")
    assert done.status == 1  # one file cannot be analysed, and is named
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
    assert "| label | training |" in (tmp_path / "my.md").read_text()


def test_classes_selects_labels(genretag: Program, library: Path, tmp_path: Path) -> None:
    assert (
        genretag("train", library, "--classes", "beats, CHORDS", "-O", tmp_path / "two.onnx").status
        == 0
    )
    assert Model(tmp_path / "two.onnx").metadata.labels == ("Beats", "Chords")


def test_folders_of_symbolic_links_train_and_evaluate(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    links = tmp_path / "Links"
    for path in library.rglob("*.flac"):
        link = links / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    done = genretag("train", links, "-O", tmp_path / "my.onnx", "--json")
    assert done.status == 0, done.err
    (figures,) = done.rows
    assert (figures["tracks"], figures["unreadable"]) == (36, [])
    done = genretag("evaluate", links, "--model", tmp_path / "my.onnx", "--json")
    assert done.status == 0, done.err
    assert (done.rows[0]["tracks"], done.rows[0]["unheard"]) == (36, [])


def test_folder_links_and_two_links_to_one_file_are_one_recording(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    (tmp_path / "Links").mkdir()
    for kind in labelled.KINDS:
        (tmp_path / "Links" / kind).symlink_to(library / kind)
    (library / "Beats" / "again.flac").symlink_to(library / "Chords" / "00-0.flac")
    done = genretag("train", tmp_path / "Links", "-O", tmp_path / "my.onnx", "--json")
    assert done.status == 0, done.err
    (figures,) = done.rows
    assert figures["tracks"] == 35  # the file under two labels is left out
    assert any("under different labels" in note for note in figures["notes"])


def test_model_no_better_than_guessing_is_advised_against(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    """Labels that say nothing about the sound: each has tracks of every kind."""
    mixed = tmp_path / "Mixed"
    for n, path in enumerate(sorted(library.rglob("*.flac"))):
        folder = mixed / f"Label {(n // 2) % 3}"  # both tracks of an artist have one label
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{n}.flac")
    done = genretag("train", mixed, "-O", tmp_path / "my.onnx", "--json")
    assert done.status == 0, done.err
    (figures,) = done.rows
    assert "not shown to be better than guessing" in figures["advice"]
    assert figures["test"]["chance"]["high"] >= figures["test"]["accuracy"]["value"]
    done = genretag("train", mixed, "-O", tmp_path / "my.onnx")
    assert "not shown to be better than guessing" in done.out
    assert "Do not rely on this model" in done.out
    assert "models use" not in done.err
    assert "not shown to be better than guessing" in (tmp_path / "my.md").read_text()
    assert "not shown to be better than guessing" in (tmp_path / "my.html").read_text()


def test_better_model_gets_no_advice_against_it(genretag: Program, tmp_path: Path) -> None:
    labelled.make(tmp_path / "L", artists=18, each=1)
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "my.onnx")
    assert "guessing:" in done.out
    assert "not shown to be better than guessing" not in done.out
    assert "models use" in done.err


def test_models_use_sets_and_resets_the_default(
    genretag: Program, library: Path, trained: Path, tmp_path: Path
) -> None:
    shutil.copy(trained, tmp_path / "my.onnx")
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


def test_corrected_plan_is_training_data(genretag: Program, library: Path, tmp_path: Path) -> None:
    rows = genretag("scan", library, "--dry-run", "--json").rows
    for row in rows:
        row["new"] = ["Loud" if "Beats" in row["path"] else "Soft"]
    rows[0]["new"] = rows[0]["old"]  # unchanged
    (tmp_path / "fixed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = genretag(
        "train", "--from-review", tmp_path / "fixed.jsonl", "-O", tmp_path / "r.onnx", "--json"
    )
    assert done.status == 0, done.err
    assert done.rows[0]["labels"] == {"Loud": 11, "Soft": 24}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.2, 0.95), min_size=40, max_size=80), st.integers(0, 9))
def test_calibration_error_by_chance_falls_with_the_number_of_tracks(
    confidences: list[float], seed: int
) -> None:
    few, many = np.array(confidences), np.repeat(confidences, 36)
    mean, high = metrics.exact_calibration_error(few, seed)
    assert 0 < mean < high
    assert (
        0.1 < metrics.exact_calibration_error(many, seed)[0] / mean < 0.3
    )  # a sixth: the square root of 36
    right = np.random.default_rng(seed).random(len(many)) < np.maximum(0.0, many - 0.2)
    assert (
        metrics.calibration_error(many, right) > 2 * metrics.exact_calibration_error(many, seed)[1]
    )  # overconfidence is detected


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=12, max_size=200),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_no_artist_is_in_two_parts_and_every_label_is_trained(
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


def test_no_more_folds_than_tracks_of_a_label() -> None:
    folds = assign_folds(np.repeat(np.arange(4), 4), np.arange(16))
    assert 2 <= len(set(folds.tolist())) <= 4


def test_parts_are_64_16_and_20_percent_of_each_label() -> None:
    y = np.repeat(np.arange(4), 100)
    groups = np.arange(400) // 2
    part = split_by_group(y, groups)
    for label in range(4):
        shares = [(part[y == label] == p).mean() for p in Part]
        assert shares == pytest.approx([0.64, 0.16, 0.2], abs=0.03)


def test_artist_is_in_one_part_unless_the_split_is_random(
    genretag: Program, tmp_path: Path
) -> None:
    """With two artists per label, a random split has both in all parts, and says so."""
    labelled.make(tmp_path / "L", kinds=labelled.KINDS[:2], artists=2, each=6)
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "a.onnx", "--json")
    assert done.rows[0]["groups"] == 4
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "b.onnx", "--split", "random")
    assert "figures are too good" in done.err
    assert "comparable with nothing" in done.out
    assert "random split" in (tmp_path / "b.md").read_text()


def test_label_of_one_artist_is_not_evaluated(genretag: Program, tmp_path: Path) -> None:
    labelled.make(tmp_path / "L", kinds=labelled.KINDS[:2], artists=5, each=2)
    labelled.make(tmp_path / "L", kinds=labelled.KINDS[2:], artists=1, each=5)
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "a.onnx", "--json")
    assert done.status == 0
    assert any("one artist" in note and "Hiss & Hum" in note for note in done.rows[0]["notes"])
    classes = {c["label"]: c for c in done.rows[0]["test"]["classes"]}
    assert classes["Hiss & Hum"]["test"] == 0
    assert classes["Hiss & Hum"]["recall"] is None


def test_recording_under_two_labels_is_left_out(
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


def test_near_copies_are_one_group() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 64))
    x[7] = x[3] + rng.normal(size=64) * 0.02
    pairs = find_near_duplicates(x, [str(i) for i in range(48)] + ["1", "2"])
    assert {(p.a, p.b) for p in pairs} == {(3, 7), (1, 48), (2, 49)}
    groups = group_tracks([()] * 50, pairs)
    assert groups[3] == groups[7]
    assert len(set(groups.tolist())) == 47


def test_various_artists_is_not_an_artist() -> None:
    groups = group_tracks(
        [("A", "Various Artists"), ("B", "various artists"), ("a",), ("",), ("",)],
        [Pair(3, 1, 1.0)],
    )
    assert groups.tolist() == [0, 1, 0, 1, 2]


def test_random_split_has_every_label_in_every_part() -> None:
    y = np.repeat(np.arange(3), 20)
    part = split_at_random(y)
    assert all(((y == c) & (part == p)).any() for c in range(3) for p in Part)


def touch(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    return top


def labels_of(found: layouts.LabelledTracks) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for e in found.examples:
        out.setdefault(e.label, []).append(e.path.name)
    return {k: sorted(v) for k, v in out.items()}


def test_nested_folders_are_read(tmp_path: Path) -> None:
    top = touch(
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


def test_spellings_of_a_label_are_merged_with_a_note(tmp_path: Path) -> None:
    found = layouts.read_labelled(
        touch(tmp_path, "Hip Hop/a.mp3", "Hip Hop/b.mp3", "hip  hop/c.mp3", "Jazz/d.mp3")
    )
    assert labels_of(found) == {"Hip Hop": ["a.mp3", "b.mp3", "c.mp3"], "Jazz": ["d.mp3"]}
    assert any("one label" in note for note in found.notes)


def test_ampersand_and_hyphen_do_not_make_another_label(tmp_path: Path) -> None:
    found = layouts.read_labelled(
        touch(tmp_path, "Drum & Bass/a.mp3", "Drum and Bass/b.mp3", "Hip-Hop/c.mp3", "hiphop/d.mp3")
    )
    assert sorted(map(sorted, labels_of(found).values())) == [
        ["a.mp3", "b.mp3"],
        ["c.mp3", "d.mp3"],
    ]
    assert match_label("Drum and Bass", ["Drum & Bass", "Jazz"]) == "Drum & Bass"
    assert match_label("Bebop Jazz", ["Drum & Bass", "Jazz"]) == "Jazz"


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.mp3,Jazz\nb.mp3,Rock\n",
        "\ufeffGenre,Filename,Artist\nJazz,a.mp3,X\nRock,b.mp3,\n",
        "a.mp3,Jazz\nb.mp3,Rock\n",
        "path\tlabel\na.mp3\tJazz\nb.mp3\tRock\n",
    ],
)
def test_tables_are_read(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "a.mp3", "b.mp3")
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert labels_of(layouts.read_labelled(tmp_path / "t.csv")) == {
        "Jazz": ["a.mp3"],
        "Rock": ["b.mp3"],
    }


def test_table_with_gaps_is_noted(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp3")
    (tmp_path / "t.csv").write_text("path,label\na.mp3,Jazz\ngone.mp3,Rock\n,Rock\n")
    found = layouts.read_labelled(tmp_path / "t.csv")
    assert any("gone.mp3" in note for note in found.notes)
    assert any("line 4" in note for note in found.notes)
    (tmp_path / "u.csv").write_text("x,y\n1,2\n")
    with pytest.raises(RunError, match="column"):
        layouts.read_labelled(tmp_path / "u.csv")


def write_fma(folder: Path) -> Path:
    """Write FMA's layout: a table with three header rows, and clips in folders of a thousand."""
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
    touch(folder / "fma_small", "000/000002.mp3", "005/005000.mp3")
    touch(folder / "fma_medium", "000/000002.mp3", "005/005000.mp3", "000/000140.mp3")
    return path


def test_fma_table_is_read_with_subsets_and_split(tmp_path: Path) -> None:
    path = write_fma(tmp_path)
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


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "one folder per genre"),
        (("a.mp3",), "one folder per genre"),
        (("Jazz/a.mp3", "Jazz/b.mp3"), "two labels"),
        (("Jazz/a.mp3", "Rock/b.mp3"), "two labels"),
        (("Jazz/a.mp3", "Jazz/b.mp3", "Rock/c.mp3", "Rock/d.mp3"), "could not be analysed"),
    ],
)
def test_unusable_folder_is_one_clear_error(
    genretag: Program, tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    (tmp_path / "L").mkdir()
    touch(tmp_path / "L", *names)
    done = genretag("train", tmp_path / "L", "-O", tmp_path / "x.onnx")
    assert done.status in (1, 2)
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "x.onnx").exists()


def test_wrong_usage_is_an_error_before_the_analysis(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    assert "end in .onnx" in genretag("train", library, "-O", tmp_path / "x.pt").err
    assert "no such label" in genretag("train", library, "--classes", "Polka").err
    assert genretag("train").status == 2
    assert (
        "no official split"
        in genretag("train", library, "--split", "official", "-O", tmp_path / "x.onnx").err
    )


def test_attached_head_keeps_the_backbone(tmp_path: Path) -> None:
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


def test_scaler_folds_into_the_head() -> None:
    rng = np.random.default_rng(0)
    head, mean, std, x = (
        LinearHead(rng.normal(size=(6, 3)), rng.normal(size=3)),
        rng.normal(size=6),
        rng.uniform(0.5, 2, 6),
        rng.normal(size=(9, 6)),
    )
    np.testing.assert_allclose(fold_scaler(head, mean, std)(x), head((x - mean) / std), atol=1e-9)


def test_metrics_of_known_predictions() -> None:
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


def test_chance_interval_contains_guesses_and_not_a_good_model() -> None:
    rng = np.random.default_rng(0)
    y, groups = rng.integers(0, 4, 200), np.arange(200) // 2
    guesses = metrics.chance_interval(rng.integers(0, 4, 200), y, groups)
    assert guesses.low < 0.25 < guesses.high
    p = np.full((200, 4), 0.1)
    p[np.arange(200), y] = 0.7
    good = metrics.compute_metrics(p, y, groups, list("abcd"), y)
    assert good.chance.high < 0.4
    assert good.beats_guessing
    constant = np.tile([0.7, 0.1, 0.1, 0.1], (200, 1))
    assert not metrics.compute_metrics(constant, y, groups, list("abcd"), y).beats_guessing


def test_few_tracks_cannot_show_that_a_model_is_better() -> None:
    y = np.arange(3)
    assert not metrics.compute_metrics(np.eye(3), y, y, list("abc"), y).beats_guessing


def test_unbalanced_model_that_finds_the_rare_label_beats_guessing() -> None:
    y = np.repeat([0, 1], [180, 20])
    predicted = y.copy()
    predicted[:25] = 1  # accuracy 87.5 %, below the 90 % of always guessing label 0
    m = metrics.compute_metrics(np.eye(2)[predicted], y, np.arange(200), ["a", "b"], y)
    assert m.accuracy.value < m.majority
    assert m.beats_guessing


def test_interval_over_artists_is_wider_than_over_tracks() -> None:
    rng = np.random.default_rng(0)
    artist_is_right = rng.random(20) < 0.6
    right = np.repeat(artist_is_right, 20)
    by_artist = metrics.interval(lambda rows: float(right[rows].mean()), np.arange(400) // 20)
    by_track = metrics.interval(lambda rows: float(right[rows].mean()), np.arange(400))
    assert by_artist.high - by_artist.low > 2 * (by_track.high - by_track.low)


def test_evaluate_compares_a_model_with_folders(
    genretag: Program, library: Path, trained: Path
) -> None:
    shutil.copytree(library / "Beats", library / "Polka")
    done = genretag("evaluate", library, "--model", trained, "--json", fresh=True)
    assert done.status == 0, done.err
    (figures,) = done.rows
    assert figures["tracks"] == 36
    assert figures["unknown_labels"] == {"Polka": 12}
    assert figures["accuracy"]["value"] > 0.9
    assert "none of the labels" in genretag("evaluate", library).err


def test_evaluate_tags_lists_and_exports_disagreements(
    genretag: Program, library: Path, trained: Path, tmp_path: Path
) -> None:
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
        trained,
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
    output = genretag(
        "evaluate", "--tags", library, "--model", trained, "-O", tmp_path / "w.m3u8"
    ).out
    assert "Chamber Music (1)" in output
    assert "03-1.flac" in (tmp_path / "w.m3u8").read_text()
    assert genretag("apply", plan, "--yes").status == 0
    assert tags.read(library / "Beats" / "03-1.flac").genres == ["Beats"]


def test_models_calibrate_reduces_the_calibration_error(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    """An overconfident head gets a higher temperature; its verdicts stay."""
    from genretag.training.attach_head import attach_head

    base, rng = Model(), np.random.default_rng(0)
    metadata = replace(base.metadata, labels=labelled.KINDS, name="loud")
    attach_head(
        bundled_model(),
        LinearHead(rng.normal(size=(384, 3)) * 0.01, np.array([9.0, 0, 0])),
        metadata,
        tmp_path / "loud.onnx",
    )
    labelled.make(library, artists=8, each=2)  # 48 tracks
    done = genretag("models", "calibrate", tmp_path / "loud.onnx", library, fresh=True)
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
        "calibration needs at least"
        in genretag("models", "calibrate", tmp_path / "loud.onnx", library).err
    )


def test_calibrate_warns_about_the_training_folder(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    labelled.make(library, artists=8, each=2)
    assert genretag("train", library, "-O", tmp_path / "my.onnx").status == 0
    done = genretag("models", "calibrate", tmp_path / "my.onnx", library)
    assert done.status == 0
    assert "100% of these tracks were used to train the model" in done.err
    labelled.make(tmp_path / "Other", artists=8, each=2, first_seed=50_000)
    done = genretag("models", "calibrate", tmp_path / "my.onnx", tmp_path / "Other")
    assert done.status == 0
    assert "used to train" not in done.err


def test_sketch_estimates_the_overlap_of_large_collections() -> None:
    metadata = replace(Model().metadata, about=sketch_of(f"track {n}" for n in range(20_000)))
    assert len(json.dumps(metadata.about)) < 9_000
    given = [f"track {n}" for n in range(15_000, 25_000)]
    assert training_overlap(metadata, given) == pytest.approx(0.5, abs=0.1)
    assert training_overlap(metadata, [f"other {n}" for n in range(10_000)]) == 0
    assert training_overlap(Model().metadata, given) == 0
