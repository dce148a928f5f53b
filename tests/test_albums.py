"""The tracks of an album decide together; ties and compilations do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genretag.decisions.albums import AlbumTally, AlbumVerdict, key_of
from genretag.decisions.plan import judge
from genretag.decisions.policy import AlbumRule, Existing, Policy
from genretag.features import FEATURE_VERSION
from genretag.inference.model import Model
from genretag.records import Album, Analysis, FileRow, Tags
from genretag.scan.replan import settle_albums
from genretag.storage.cache import AnalysisCache

METADATA = Model().metadata


@pytest.fixture
def store(tmp_path: Path) -> AnalysisCache:
    return AnalysisCache(tmp_path / "g.db")


def analysis(n: int, label: str, logit: float) -> Analysis:
    """Return the analysis of a window that has one logit for a label and 0 for all others."""
    logits = np.zeros((1, len(METADATA.labels)), np.float16)
    logits[0, METADATA.labels.index(label)] = logit
    start, music = np.zeros(1, np.float32), np.full(1, 5, np.float16)
    return Analysis(str(n), None, 30.0, 1.0, start, logits, music, np.zeros(4, np.float16))


def file_row(
    n: int, artists: tuple[str, ...] = ("A",), album: str = "", album_artist: str = ""
) -> FileRow:
    path = Path(f"/m/{album or 'folder'}/{n}.mp3")
    tags = Tags([], "TCON", Album(artists[n % len(artists)], album, album_artist))
    return FileRow(path, 1, 1, n, 1, 1, "s", str(n), tags)


def planned(
    store: AnalysisCache,
    tracks: list[tuple[str, float]],
    rule: AlbumRule,
    artists: tuple[str, ...] = ("A",),
    album_artist: str = "A",
    album: str = "One",
) -> list[tuple[str | None, str, list[str]]]:
    """Plan tracks that sound like a label with a logit; return (genre, reason, new) of each."""
    policy = Policy(album=rule)
    store.begin_scan(1, METADATA.id, policy.to_dict())
    rows = []
    for n, (label, logit) in enumerate(tracks):
        scored, f = analysis(n, label, logit), file_row(n, artists, album, album_artist)
        store.save_analysis(scored, METADATA.id, FEATURE_VERSION)
        store.save_file(f)
        row = judge(f.path, f, scored, METADATA, policy)
        rows.append((n, f.path, row.action, row.to_dict()))
    store.save_plan(1, rows)
    settle_albums(store, 1, METADATA, policy)
    return [(row["genre"], row["reason"], row["new"]) for _, _, row in store.plan(1)]


def test_the_majority_of_sure_tracks_decides_for_all(store: AnalysisCache) -> None:
    got = planned(
        store,
        [("Jazz", 12), ("Jazz", 12), ("Jazz", 12), ("Rock", 12), ("Jazz", 1)],
        AlbumRule.MAJORITY,
    )
    assert [g[2] for g in got] == [["Jazz"]] * 5
    assert "3 of 4 sure tracks" in got[3][1]
    assert "unsure alone" in got[4][1]


def test_without_a_majority_each_track_is_judged_for_itself(store: AnalysisCache) -> None:
    got = planned(store, [("Jazz", 12), ("Rock", 12), ("Pop", 12)], AlbumRule.MAJORITY)
    assert [g[2] for g in got] == [["Jazz"], ["Rock"], ["Pop"]]


def test_a_tie_leaves_each_track_its_own_verdict(store: AnalysisCache) -> None:
    got = planned(store, [("Jazz", 9), ("Rock", 20)], AlbumRule.MAJORITY)
    assert [g[2] for g in got] == [["Jazz"], ["Rock"]]


def test_a_tie_writes_none_of_its_genres_over_another() -> None:
    tied = AlbumVerdict(None, 1, 2, frozenset({"Jazz", "Rock"}))
    policy = Policy(album=AlbumRule.MAJORITY, existing=Existing.REPLACE)
    rows = []
    for old in (["Rock"], ["Polka"], []):
        f = replace(file_row(0, album="One"), tags=Tags(old, "TCON"))
        rows.append(judge(f.path, f, analysis(0, "Jazz", 12), METADATA, policy, album=tied).new)
    assert rows == [["Rock"], ["Jazz"], ["Jazz"]]


@pytest.mark.parametrize(("logit", "new"), [(12, ["Jazz", "Rock"]), (0.5, ["Jazz"])])
def test_a_genre_that_its_album_overrules_is_a_further_one_where_it_is_sure(
    logit: float, new: list[str]
) -> None:
    album, f = AlbumVerdict("Jazz", 3, 4), file_row(0, album="One")
    policy = Policy(album=AlbumRule.MAJORITY, top=2)
    assert METADATA.calibration.further is not None
    assert judge(f.path, f, analysis(0, "Rock", logit), METADATA, policy, album=album).new == new


@pytest.mark.parametrize(
    "rows",
    [
        [{"artist": "X"}, {"artist": "X feat. Y"}, {"artist": "X (ft. Z)"}],
        [{"path": "/m/Set/CD1/1.mp3"}, {"path": "/m/Set/CD 2/1.mp3"}, {"path": "/m/Set/Disc 3/1"}],
        [{"album_artist": "A", "path": "/a/1"}, {"album_artist": "a", "path": "/b/2"}],
    ],
)
def test_guests_and_discs_stay_in_their_album(rows: list[dict[str, str]]) -> None:
    assert len({key_of({"path": "/m/Set/1.mp3", "album": "Set", **row}) for row in rows}) == 1


def test_albums_of_one_name_in_two_folders_are_two() -> None:
    rows = [{"path": f"/m/{folder}/1.mp3", "album": "Greatest Hits"} for folder in ("A", "B")]
    assert len({key_of(row) for row in rows}) == 2


def test_the_compilation_flag_makes_a_compilation() -> None:
    tally = AlbumTally()
    for genre in ("Jazz", "Jazz", "Rock"):
        tally.add({"status": "ok", "genre": genre, "album": "Hits", "compilation": True})
    assert tally.verdict(AlbumRule.MAJORITY) is None


def test_all_leaves_an_album_alone_that_does_not_agree(store: AnalysisCache) -> None:
    got = planned(store, [("Jazz", 12), ("Jazz", 12), ("Rock", 12)], AlbumRule.ALL)
    assert [g[2] for g in got] == [[], [], []]
    assert all("does not agree" in g[1] for g in got)
    assert [
        g[2] for g in planned(store, [("Jazz", 12), ("Jazz", 12), ("Pop", 1)], AlbumRule.ALL)
    ] == [["Jazz"]] * 3


@pytest.mark.parametrize(
    ("artists", "album_artist", "album"),
    [(("A", "B"), "Various Artists", "Hits"), (("A", "B", "C", "D"), "", "")],
)
def test_tracks_of_compilations_are_judged_by_themselves(
    store: AnalysisCache, artists: tuple[str, ...], album_artist: str, album: str
) -> None:
    got = planned(
        store,
        [("Jazz", 12), ("Jazz", 12), ("Jazz", 12), ("Rock", 12)],
        AlbumRule.MAJORITY,
        artists,
        album_artist,
        album,
    )
    assert got[3][2] == ["Rock"]


def test_a_folder_is_an_album_where_tags_name_none(store: AnalysisCache) -> None:
    got = planned(
        store,
        [("Jazz", 12), ("Jazz", 12), ("Rock", 12)],
        AlbumRule.MAJORITY,
        album="",
        album_artist="",
    )
    assert got[2][2] == ["Jazz"]


def test_off_changes_nothing(store: AnalysisCache) -> None:
    got = planned(store, [("Jazz", 12), ("Jazz", 12), ("Rock", 12)], AlbumRule.OFF)
    assert got[2][2] == ["Rock"]
