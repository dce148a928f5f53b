"""Tidying groups and splits the genres that are in the tags, and analyses no music."""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Program
from hypothesis import example, given
from hypothesis import strategies as st
from mutagen.flac import FLAC

from genretag import tags
from genretag.audio import identify
from genretag.decisions.policy import Policy
from genretag.decisions.rows import Row, unanalysed_row
from genretag.decisions.tidy import Tidier
from genretag.decisions.vocabulary import Vocabulary, normalise_genre
from genretag.scan.tidy import plan_tidy, read_genres
from genretag.storage.cache import AnalysisCache
from genretag.tags.id3v1 import listed

MESSY = {
    "a.flac": ["HipHop"],
    "b.flac": ["hip hop"],
    "c.mp3": ["Hip-Hop/Rap"],
    "d.m4a": ["Rock; Pop"],
    "e.ogg": ["Rock/Pop"],
    "f.opus": ["Drum & Bass"],
    "g.mp3": ["R&B"],
    "h.flac": ["Other"],
    "i.flac": ["Nu Foo"],
    "j.flac": ["Nu Foo"],
    "k.flac": ["nu-foo", "Jazz"],
    "l.flac": ["AC/DC"],
    "m.flac": ["(17)"],
    "n.flac": ["Jazz, Funk"],
    "o.flac": ["Country & Folk"],
}
TIDY = {
    **MESSY,
    **{key: ["Hip-Hop"] for key in ("a.flac", "b.flac", "c.mp3")},
    **{key: ["Rock", "Pop"] for key in ("d.m4a", "e.ogg")},
    "k.flac": ["Nu Foo", "Jazz"],
    "m.flac": ["Rock"],
    "n.flac": ["Jazz", "Funk"],
    "o.flac": ["Country", "Folk"],
}


@pytest.fixture
def music(tmp_path: Path, seed_files: dict[str, Path]) -> Path:
    """A small library with messy genres."""
    folder = tmp_path / "music"
    folder.mkdir()
    for name, genres in MESSY.items():
        path = folder / name
        shutil.copy(seed_files[path.suffix], path)
        tags.write(path, genres)
    return folder


def genres_in(folder: Path) -> dict[str, list[str]]:
    return {path.name: tags.read(path).genres for path in sorted(folder.iterdir())}


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def edit(table: Path, changes: dict[str, str]) -> None:
    """Change new values of a table."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = [{**row, "new value": changes.get(row["old value"], row["new value"])}
                for row in csv.DictReader(lines)]  # fmt: skip
    with table.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_tidy_writes_what_its_plan_showed_and_undo_restores_every_byte(
    genretag: Program, music: Path
) -> None:
    before = bytes_in(music)
    shown = genretag("tidy", music, "--dry-run", "--json")
    assert shown.status == 0, shown.err
    assert bytes_in(music) == before
    changed = {name for name in MESSY if TIDY[name] != MESSY[name]}
    assert {Path(row["path"]).name: row["new"] for row in shown.rows} == {
        name: TIDY[name] for name in changed
    }
    assert {(r["action"], r["code"], r["reason"]) for r in shown.rows} == {
        ("write", "tidies", "tidies the genre")
    }
    assert genretag("apply", "--yes").status == 0
    assert genres_in(music) == TIDY
    assert {n for n, data in bytes_in(music).items() if data != before[n]} == changed
    assert genretag("undo", "--yes").status == 0
    assert bytes_in(music) == before


def test_the_table_lists_genres_by_frequency_and_says_what_each_becomes(
    genretag: Program, music: Path
) -> None:
    out = genretag("tidy", music, "--dry-run").out.splitlines()
    assert out[0].split() == ["files", "genre", "in", "the", "tags", "becomes"]
    assert out[1].split() == ["2", "Nu", "Foo"]
    assert any(line.split() == ["1", "Hip-Hop/Rap", "Hip-Hop"] for line in out)
    assert any(line.split() == ["1", "Other", "(says", "nothing)"] for line in out)
    plain = genretag("tidy", music, "--dry-run", "--plain").out
    assert "HipHop in 1 file becomes Hip-Hop." in plain
    assert "Other in 1 file says nothing, and stays." in plain


def test_an_edited_table_decides_what_is_written(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    table = tmp_path / "genres.csv"
    assert genretag("tidy", music, "-O", table, "--dry-run").status == 0
    edit(table, {"Other": "Jazz; Funk", "nu-foo": "", "R&B": "", "Rock/Pop": "Rock/Pop"})
    done = genretag("tidy", music, "--table", table, "--yes", "--json")
    assert done.status == 0, done.err
    by_name = {Path(row["path"]).name: row for row in done.rows}
    assert (by_name["g.mp3"]["action"], by_name["g.mp3"]["reason"]) == (
        "keep",
        "no genre would be left",
    )
    assert genres_in(music) == {
        **TIDY,
        "h.flac": ["Jazz", "Funk"],
        "k.flac": ["Jazz"],
        "e.ogg": ["Rock/Pop"],
    }


def test_a_table_that_names_an_unknown_genre_is_refused_with_the_nearest(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    table, before = tmp_path / "genres.csv", bytes_in(music)
    table.write_text("old value,new value\nHipHop,Rap\nNu Fo,Foo\n")
    done = genretag("tidy", music, "--table", table, "--yes")
    assert done.status == 2
    assert "genres.csv, line 3" in done.err
    assert "did you mean Nu Foo?" in done.err
    table.write_text("HipHop,Rap\n")
    assert "first line" in genretag("tidy", music, "--table", table, "--yes").err
    table.write_text("old value,new value\nHipHop\n")
    assert "line 2" in genretag("tidy", music, "--table", table, "--yes").err
    table.write_text("old value,new value\nHipHop,Rap\nHipHop,Jazz\n")
    assert "two different" in genretag("tidy", music, "--table", table, "--yes").err
    assert genretag("tidy", music, "-O", tmp_path / "genres.txt").status == 2
    assert genretag("tidy", music, "--table", tmp_path / "none.csv").status == 1
    assert genretag("tidy", tmp_path / "gone").status == 2
    assert genretag("tidy").status == 2
    assert bytes_in(music) == before


def test_genres_that_a_table_leaves_out_stay(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    table = tmp_path / "genres.csv"
    table.write_text("\ufeffold value;new value\nHipHop;Rap\n", encoding="utf-8")
    assert genretag("tidy", music, "--dry-run").status == 0
    rows = genretag("tidy", music, "--table", table, "--dry-run", "--json").rows
    assert [(Path(r["path"]).name, r["new"]) for r in rows] == [("a.flac", ["Rap"])]
    # The first plan is not written: the table took its changes back.
    assert genretag("apply", "--yes").status == 0
    assert genres_in(music) == {**MESSY, "a.flac": ["Rap"]}


def test_words_of_the_vocabulary_are_used_and_protected_files_stay(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    (tmp_path / "vocabulary.toml").write_text('[aliases]\nHip-Hop = "Rap"\n"Nu Foo" = "Bar"\n')
    (tmp_path / "config.toml").write_text('[protect]\npaths = ["b.flac"]\ngenres = ["nu-foo"]\n')
    rows = genretag("tidy", music, "--yes", "--json").rows
    by_name = {Path(row["path"]).name: row for row in rows}
    assert by_name["b.flac"]["code"] == "protected"
    assert {row["code"] for row in rows} == {"tidies", "protected"}
    assert genres_in(music) == {
        **MESSY,
        **{key: ["Rap"] for key in ("a.flac", "c.mp3")},
        **{key: TIDY[key] for key in ("d.m4a", "e.ogg", "m.flac", "n.flac", "o.flac")},
    }


def test_other_files_keep_their_plan(genretag: Program, music: Path, seed_files: dict[str, Path],
                                     tmp_path: Path) -> None:  # fmt: skip
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(seed_files[".flac"], other / "x.flac")
    scanned = genretag("scan", other, "--dry-run", "--min-confidence", 0, "--json").rows
    done = genretag("tidy", music / "a.flac", "--yes")
    assert done.status == 0, done.err
    assert tags.read(music / "a.flac").genres == ["Hip-Hop"]
    assert tags.read(other / "x.flac").genres == []
    assert [r for r in genretag("report", "--json").rows if r["code"] != "tidies"] == scanned
    assert genretag("apply", other, "--yes").status == 0
    assert (
        tags.read(other / "x.flac").genres == scanned[0]["new"] or scanned[0]["action"] != "write"
    )


def test_other_fields_keep_their_plan_unless_the_file_changed(music: Path, tmp_path: Path) -> None:
    path = music / "a.flac"
    mood = {"action": "write", "old": [], "new": ["Calm"], "code": "empty", "reason": "fills"}
    planned = {"mood": {**mood, "confidence": 0.9, "tag": "mood"}}
    store = AnalysisCache(tmp_path / "db")
    keys = identify(path)
    row = replace(
        unanalysed_row(path),
        scores={"Jazz": 0.9},
        fields=planned,
        size=path.stat().st_size,
        mtime_ns=path.stat().st_mtime_ns,
        content_key=keys.content_key or "",
        audio_key=keys.audio_key,
    )
    store.begin_scan(1, None, {}, places=[music])
    store.save_plan(1, [(0, path, row.action, row.to_dict())])
    store.finish_scan(1)

    def tidied() -> Row:
        survey = read_genres(store, [path], lambda: None)
        genres = tidier().propose(survey.values)
        rows = plan_tidy(store, survey, tidier(), genres, Policy(), store.last_scan(), lambda: None)
        return next(iter(rows))

    assert (tidied().new, tidied().fields) == (["Hip-Hop"], planned)
    other = FLAC(path)
    other["mood"] = ["Sad"]
    other.save()
    assert (tidied().new, tidied().fields, tidied().scores) == (["Hip-Hop"], {}, {"Jazz": 0.9})
    store.close()


def test_a_new_plan_drops_what_tidy_planned(genretag: Program, music: Path, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.mkdir()
    shutil.copy(music / "a.flac", known)
    assert genretag("scan", known, "--dry-run").status == 0
    assert genretag("tidy", music, "--yes").status == 0
    assert genretag("tidy", known, "--dry-run").status == 0
    rows = genretag("plan", "--min-confidence", 0, "--json").rows
    assert not [row for row in rows if row["action"] == "write"]
    assert "nothing to write" in genretag("apply", "--yes").err


def test_known_files_are_not_opened(genretag: Program, music: Path) -> None:
    folder = music / "known"
    folder.mkdir()
    for name in ("a.flac", "b.flac"):
        (music / name).rename(folder / name)
    assert genretag("scan", folder, "--dry-run", "--windows", "adaptive").status == 0
    for path in folder.iterdir():
        mtime, size = path.stat().st_mtime_ns, path.stat().st_size
        path.write_bytes(bytes(size))
        os.utime(path, ns=(mtime, mtime))
    rows = genretag("tidy", folder, "--dry-run", "--json").rows
    assert [row["new"] for row in rows] == [["Hip-Hop"], ["Hip-Hop"]]
    # Files that are not what they were are left alone by apply.
    assert genretag("apply", "--yes").status == 1
    assert all(set(path.read_bytes()) == {0} for path in folder.iterdir())


def test_tidied_files_are_listed_under_the_same_folder_as_the_others(
    genretag: Program, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (music / "broken.flac").symlink_to("nowhere.flac")
    monkeypatch.chdir(music.parent)
    genretag("scan", "music", "--dry-run")
    genretag("tidy", "music", "--dry-run")
    listed = genretag("report", "--all").out.splitlines()
    assert [line for line in listed if line.strip().endswith("music")] == ["music"]
    # Seen from elsewhere, the relative name would lead nowhere.
    monkeypatch.chdir(music)
    assert str(music) in "".join(genretag("report", "--all").out.splitlines())
    assert f"{music / 'a.flac'}: " in genretag("report", "--all", "--plain").out


def test_a_tidy_library_has_nothing_to_write(genretag: Program, music: Path) -> None:
    assert genretag("tidy", music, "--yes").status == 0
    again = genretag("tidy", music, "--yes", "--json")
    assert (again.status, again.out) == (0, "")
    assert "nothing to write" in again.err


def tidier(vocabulary: Vocabulary | None = None) -> Tidier:
    return Tidier(vocabulary or Vocabulary(), frozenset(map(normalise_genre, listed())))


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("Rock; Pop", ["Rock", "Pop"]),
        ("Rock / Metal", ["Rock", "Metal"]),
        ("Pop/Funk", ["Pop/Funk"]),  # one genre of ID3v1
        ("Singer/Songwriter", ["Singer-Songwriter"]),
        ("Jazz, Funk", ["Jazz", "Funk"]),  # not Jazz-Funk
        ("Pop/Rock", ["Pop", "Rock"]),
        ("Reggae & Ska", ["Reggae", "Ska"]),
        ("R & B", ["R&B"]),
        ("Country & Foo", ["Country & Foo"]),
        ("(9)", ["Metal"]),  # numbers of ID3v1
        ("17/80", ["Rock", "Folk"]),
        ("(4)Eurodisco", ["Disco", "Euro-Disco"]),
        ("(12)", ["(12)"]),
        ("80s", ["80s"]),
        ("Drum & Bass", ["Drum & Bass"]),
        ("DnB", ["Drum and Bass"]),
        ("Rhythm & Blues", ["R&B"]),
        ("Rock & Roll", ["Rock & Roll"]),
        ("Foo/Rock", ["Foo/Rock"]),
        ("Shoegazing, late", ["Shoegazing, late"]),
        ("rock; Rock", ["Rock"]),
        ("Unbekannt", ["Unbekannt"]),
    ],
)
def test_only_joined_genres_are_split(value: str, becomes: list[str]) -> None:
    assert tidier().propose({value: 1}) == {value: becomes}


def test_words_of_several_languages_are_one_genre() -> None:
    alone = {"Klassik": 5, "Pop": 1}
    assert tidier().propose(alone) == {"Klassik": ["Klassik"], "Pop": ["Pop"]}
    mixed = {"Klassik": 5, "Classique": 2, "クラシック": 1, "Jazz": 1}
    assert tidier().propose(mixed) == {
        **{word: ["Classical"] for word in ("Klassik", "Classique", "クラシック")},
        "Jazz": ["Jazz"],
    }
    german = Vocabulary(language="de")
    assert tidier(german).propose({"Classique": 1}) == {"Classique": ["Klassik"]}
    own = Vocabulary(whitelist=("Classique",), drop_unknown=False)
    assert tidier(own).propose({"Classique": 1, "Klassik": 1})["Classique"] == ["Classique"]


def test_a_word_of_the_vocabulary_is_never_split() -> None:
    vocabulary = Vocabulary(aliases=(("Rock/Pop", "Rock; Pop, mostly"),))
    values = {"Rock/Pop": 1, "Rock; Pop, mostly": 1}
    assert tidier(vocabulary).propose(values) == {key: ["Rock; Pop, mostly"] for key in values}


@given(st.dictionaries(st.text(max_size=12), st.integers(1, 9), max_size=6))
@example({"0;": 1})  # 0 is ID3v1's number of Blues
def test_a_proposal_is_tidy_itself(values: dict[str, int]) -> None:
    first = tidier().propose(values)
    words: dict[str, int] = {}
    for value, new in first.items():
        for word in new:
            words[word] = words.get(word, 0) + values[value]
    assert tidier().propose(words) == {word: [word] for word in words}
