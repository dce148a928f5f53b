"""``genretag audit`` lists the tags that are most likely wrong, from stored scores alone."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from test_review_keys import Screen

from genretag import tags
from genretag.audio import synthesis
from genretag.decisions.audit import (
    ALBUM_WEIGHT,
    AlbumScores,
    Finding,
    LabelFinder,
    combined,
    joint,
)
from genretag.decisions.vocabulary import Vocabulary
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import read_metadata
from genretag.report.suspects import describe, print_findings, sentence
from genretag.storage.cache import AnalysisCache

LABELS = ("Blues", "Electronic", "Hip-Hop", "Jazz", "Metal", "Pop", "Rock")


@pytest.mark.parametrize(
    ("genres", "labels"),
    [
        (["jazz"], {"Jazz"}),
        (["Hip-Hop/Rap"], {"Hip-Hop"}),
        (["Elektronisch"], {"Electronic"}),
        (["ヒップホップ"], {"Hip-Hop"}),
        (["rap"], {"Hip-Hop"}),
        (["Bebop"], {"Jazz"}),  # judged by its parent
        (["Blues Rock"], {"Blues", "Rock"}),  # may sound like either
        (["Jazz Hip Hop"], {"Jazz", "Hip-Hop"}),
        (["Rock; Pop"], {"Rock", "Pop"}),
        (["Rock/Pop"], {"Rock", "Pop"}),
        (["Other", "Jazz"], {"Jazz"}),
        (["Other"], set()),
        ([], set()),
        (["My Favourites"], None),
        (["Rhythm and Blues"], None),  # R&B, and no kind of Blues
        (["Jazz", "My Favourites"], None),  # it may be right about the part that is not known
    ],
)
def test_tags_mean_labels_of_the_model(genres: list[str], labels: set[str] | None) -> None:
    assert LabelFinder(LABELS, Vocabulary()).labels_of(genres) == labels


def test_words_of_the_vocabulary_mean_the_labels_that_they_replace() -> None:
    words = Vocabulary(aliases=(("Hip\\-Hop", "Rumba Rap"), ("Metal", "Rock")))
    finder = LabelFinder(LABELS, words)
    assert finder.labels_of(["Rumba Rap"]) == {"Hip-Hop"}
    assert finder.labels_of(["Rock"]) == {"Rock"}


@given(
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(0, 1)),
    st.lists(st.floats(0, 1), max_size=5),
)
def test_probabilities_stay_between_their_sources(
    track: float, album: float | None, scores: list[float]
) -> None:
    both = combined(track, album)
    assert min(track, track if album is None else album) - 1e-9 <= both
    assert both <= max(track, track if album is None else album) + 1e-9
    for exclusive in (True, False):
        assert max(scores, default=0) <= joint(scores, exclusive=exclusive) <= 1


def test_the_album_speaks_only_without_the_track_itself() -> None:
    album = AlbumScores()
    for score in (0.0, 0.9, 0.9):
        album.add({"Jazz": score, "Rock": 1 - score})
        album.tally.add({"path": "/a/1", "status": "ok", "genre": "Jazz", "artist": "A"})
    assert album.mean_of_others({"Jazz": 0.0}) == {"Jazz": pytest.approx(0.9)}
    album.tally.compilation = True
    assert album.mean_of_others({"Jazz": 0.0}) is None


FINDING = Finding(
    path="/music/" + "ä very long folder name/" * 4 + "01 日本語の曲 with a long name.flac",
    tags=["Hip-Hop/Rap", "\x1b[31mred"],
    labels=["Hip-Hop"],
    probability=0.0123456,
    track_probability=0.001,
    album_probability=0.02,
    album_tracks=9,
    album_votes=7,
    genre="Jazz",
    confidence=0.98765,
    sure=True,
)


@given(
    st.integers(40, 200), st.lists(st.sampled_from(["Jazz", "x" * 210, "日本" * 20]), max_size=4)
)
def test_the_table_fits_and_its_columns_stand_below_each_other(
    width: int, names: list[str]
) -> None:
    findings = [FINDING, *(replace(FINDING, path=f"/{n}.mp3", tags=[n]) for n in names)]
    console = Console(width=width, color_system=None, file=None, record=True, quiet=False)
    with console.capture() as captured:
        print_findings(console, findings)
    lines = captured.get().splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert "\x1b" not in captured.get()
    assert sum(line.startswith("  0.012  ") for line in lines) == len(findings)
    assert max(map(len, names), default=0) < width or any("…" in line for line in lines)


def test_sentences_say_tag_model_and_album() -> None:
    assert describe(FINDING) == "Jazz 0.98, as 7 of 9 in its album"
    assert "tagged Hip-Hop/Rap and \\x1b[31mred" in sentence(FINDING)
    assert json.loads(json.dumps(FINDING.to_dict()))["probability"] == 0.0123


#: name -> (genre in the tags, label that the stored scores are made to say)
ALBUM = {
    "1 right": ("Jazz", "Jazz"),
    "2 right": ("Bebop", "Jazz"),
    "3 right": ("jazz", "Jazz"),
    "4 wrong": ("Metal", "Jazz"),
    "5 alone": ("Jazz", "Metal"),  # the album speaks for this tag
    "6 unknown": ("Zydeco Nights", "Jazz"),
    "7 generic": ("Other", "Jazz"),
    "8 other": ("Hip-Hop", "Jazz"),
}


def set_logits(database: Path, wanted: dict[Path, dict[str, float]]) -> None:
    """Replace the stored logits of files; labels that are not named get 0, and all is music."""
    store = AnalysisCache(database)
    scan = store.last_scan()
    assert scan is not None
    assert scan.model is not None
    card = store.model_metadata(scan.model)
    assert card is not None
    metadata = read_metadata(Path("card"), scan.model, card)
    for path, by_label in wanted.items():
        known = store.known(path, scan.model, FEATURE_VERSION)
        assert known is not None
        logits = np.zeros_like(known[1].logits)
        for label, logit in by_label.items():
            logits[:, metadata.labels.index(label)] = logit
        music = np.full_like(known[1].music, 9)
        changed = replace(known[1], logits=logits, music=music)
        store.save_analysis(changed, scan.model, FEATURE_VERSION)
    store.close()


@pytest.fixture
def music(genretag: Program, tmp_path: Path) -> Path:
    """An album whose stored scores are those of ``ALBUM``."""
    folder = tmp_path / "music"
    folder.mkdir()
    for n, (name, (genre, _)) in enumerate(ALBUM.items()):
        path = folder / f"{name}.flac"
        fields = {"artist": "A", "album": "B", "albumartist": "A"}
        synthesis.encode(path, synthesis.piece(n, 3), 44_100, tags=fields)
        tags.write(path, [genre])
    assert genretag("scan", folder, "--dry-run").status == 0
    wanted = {folder / f"{name}.flac": {label: 30.0} for name, (_, label) in ALBUM.items()}
    set_logits(tmp_path / "db" / "genretag.db", wanted)
    assert genretag("plan").status == 0
    return folder


def test_wrong_tags_are_listed_and_the_rest_is_counted(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    ran = genretag("audit", music, "--json")
    assert [Path(row["path"]).stem for row in ran.rows] == ["8 other", "4 wrong"]
    row = ran.rows[1]
    assert (row["tags"], row["labels"], row["genre"]) == (["Metal"], ["Metal"], "Jazz")
    assert row["track_probability"] < 0.01
    assert row["album_probability"] == pytest.approx(1 / 7, abs=0.02)  # of the track "5 alone"
    expected = (1 - ALBUM_WEIGHT) * row["track_probability"]
    expected += ALBUM_WEIGHT * row["album_probability"]
    assert row["probability"] == pytest.approx(expected, abs=0.001)
    assert "6 tags judged, 2 less likely than 0.1" in ran.err
    assert "1 with a genre that the model cannot judge (Zydeco Nights 1)" in ran.err
    assert "1 without a genre" in ran.err
    # A higher limit lists what the album speaks for, after what nothing speaks for.
    wide = genretag("audit", "--below", 0.9, "--json")
    assert [Path(row["path"]).stem for row in wide.rows] == ["8 other", "4 wrong", "5 alone"]
    shown = genretag("audit")
    assert re.search(r"Jazz (0\.9\d|1\.00), as 6 of 7 in its album", shown.out)
    table = tmp_path / "suspects.csv"
    genretag("audit", "-O", table)
    with table.open(encoding="utf-8", newline="") as lines:
        assert [row["tags"] for row in csv.DictReader(lines)] == ["Hip-Hop", "Metal"]
    playlist = tmp_path / "suspects.m3u8"
    genretag("audit", "-O", playlist)
    assert "4 wrong.flac" in playlist.read_text(encoding="utf-8")
    assert genretag("audit", "--plain").out.count("Probability of the tag") == 2


def test_files_without_scores_or_changed_since_are_counted(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    (music / "empty.flac").touch()
    genretag("scan", music / "empty.flac", "--dry-run")
    synthesis.encode(music / "new.flac", synthesis.piece(90, 3), 44_100)
    tags.write(music / "1 right.flac", ["Rock"])
    set_logits(tmp_path / "db" / "genretag.db", {music / "2 right.flac": {"Jazz": np.nan}})
    before = {path: path.read_bytes() for path in music.iterdir()}
    ran = genretag("audit", music)
    assert "1 file could not be analysed: genretag errors" in ran.err
    assert "2 files have no stored scores" in ran.err  # none, and NaN
    assert "1 file changed since the scan" in ran.err
    assert {path: path.read_bytes() for path in music.iterdir()} == before
    synthesis.encode(music / "empty.flac", synthesis.piece(91, 3), 44_100)
    again = genretag("audit", music).err  # a file that failed may have been replaced
    assert "2 files changed since the scan" in again and "could not be analysed" not in again


def test_a_link_to_a_file_elsewhere_is_judged_as_the_scan_stored_it(
    genretag: Program, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "links", tmp_path / "elsewhere.flac"
    folder.mkdir()
    synthesis.encode(elsewhere, synthesis.piece(1, 3), 44_100, tags={"genre": "Jazz"})
    (folder / "link.flac").symlink_to(elsewhere)
    (folder / "broken.flac").symlink_to(tmp_path / "text.flac")
    (tmp_path / "text.flac").write_bytes(b"no music")
    genretag("scan", folder, "--dry-run")
    ran = genretag("audit", folder)
    assert "no stored scores" not in ran.err
    assert "1 file could not be analysed" in ran.err


def test_mistakes_get_a_message(genretag: Program, tmp_path: Path) -> None:
    assert "nothing was analysed yet" in genretag("audit").err
    wrong = genretag("audit", tmp_path / "none")
    assert (wrong.status, "nothing was analysed yet" in wrong.err) == (2, True)
    assert genretag("audit", "-O", "x.png").status == 2


def test_answers_are_kept_written_and_taken_back(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    before = {path: path.read_bytes() for path in music.iterdir()}
    assert "needs a terminal" in genretag("audit", "--review").err
    screen = Screen(tmp_path, 80, ["audit", "--review", "--below", "0.9"])
    try:
        screen.wait_for("1 of 3")
        assert "k keep it" in screen.wait_for("probably wrong: its probability is 0.000; sounds")
        screen.press("t")
        screen.press(*"Swing", "Enter")  # another word
        screen.wait_for("2 of 3")
        screen.press("1")  # the model's
        screen.wait_for("3 of 3")
        screen.press("k")
        screen.wait_for("not asked again")
        screen.leave()
    finally:
        screen.kill()
    again = genretag("audit", "--below", 0.9)
    assert "8 tags" not in again.err
    assert "3 answered in a review" in again.err
    assert not again.out
    assert len(genretag("audit", "--below", 0.9, "--again", "--json").rows) == 3
    rows = {Path(r["path"]).stem: r for r in genretag("report", "--json").rows}
    assert {rows[name]["source"] for name in ("4 wrong", "5 alone", "8 other")} == {"person"}
    assert genretag("apply", "--yes").status == 0
    written = {name: tags.read(music / f"{name}.flac").genres for name in ALBUM}
    changed = {"4 wrong": ["Jazz"], "8 other": ["Swing"], "7 generic": ["Jazz"]}
    assert written == {name: changed.get(name, [genre]) for name, (genre, _) in ALBUM.items()}
    assert genretag("undo", "--yes").status == 0
    assert {path: path.read_bytes() for path in music.iterdir()} == before


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_the_page_counts_confusions_and_exports_what_is_changed(
    genretag: Program, music: Path, browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "suspects.html"
    assert genretag("audit", "--html", "-O", page).status == 0
    browser.open(f"file://{page}")
    browser.until("document.querySelectorAll('.row').length === 2")
    assert "Nothing is written before you change it" in browser.run(
        "document.getElementById('overview').textContent"
    )
    reasons = browser.run("document.getElementById('reasons').textContent")
    assert "tagged Metal, sounds like Jazz1" in reasons
    lines = browser.run("change([1], 'Jazz'); plan()").splitlines()
    exported = [json.loads(line) for line in lines]
    assert [row["action"] for row in exported] == ["keep", "write"]
    assert [row["source"] for row in exported] == ["tags", "person"]
    (tmp_path / "config.toml").write_text('[protect]\ngenres = ["Metal", "Hip-Hop"]\n')
    ran = genretag("audit", "--json")
    assert not ran.rows
    assert "2 protected" in ran.err
