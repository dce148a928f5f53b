"""Albums decide together: one vote a sure track, ties told, compilations excepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genretag.decisions.plan import judge
from genretag.decisions.policy import AlbumRule, Policy
from genretag.features import FEATURE_VERSION
from genretag.inference.model import Model
from genretag.records import Album, Analysis, FileRow, Tags
from genretag.scan.replan import settle_albums
from genretag.storage.cache import Store

METADATA = Model().metadata


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "g.db")


def planned(
    store: Store,
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
        logits = np.zeros((1, len(METADATA.labels)), np.float16)
        logits[0, METADATA.labels.index(label)] = logit
        heard = Analysis(
            str(n),
            None,
            30.0,
            1.0,
            np.zeros(1, np.float32),
            logits,
            np.full(1, 5, np.float16),
            np.zeros(4, np.float16),
        )
        path = Path(f"/m/{album or 'folder'}/{n}.mp3")
        f = FileRow(
            path,
            1,
            1,
            n,
            1,
            1,
            "s",
            str(n),
            Tags([], "TCON", Album(artists[n % len(artists)], album, album_artist)),
        )
        store.save_analysis(heard, METADATA.id, FEATURE_VERSION)
        store.save_file(f)
        row = judge(path, f, heard, METADATA, policy)
        rows.append((n, path, row.action, row.to_dict()))
    store.save_plan(1, rows)
    settle_albums(store, 1, METADATA, policy)
    return [(row["genre"], row["reason"], row["new"]) for _, _, row in store.plan(1)]


def test_the_majority_of_sure_tracks_decides_for_all(store: Store) -> None:
    got = planned(
        store,
        [("Jazz", 12), ("Jazz", 12), ("Jazz", 12), ("Rock", 12), ("Jazz", 1)],
        AlbumRule.MAJORITY,
    )
    assert [g[2] for g in got] == [["Jazz"]] * 5
    assert "3 of 4 sure tracks" in got[3][1]
    assert "unsure alone" in got[4][1]


def test_without_a_majority_each_track_is_judged_for_itself(store: Store) -> None:
    got = planned(store, [("Jazz", 12), ("Rock", 12), ("Pop", 12)], AlbumRule.MAJORITY)
    assert [g[2] for g in got] == [["Jazz"], ["Rock"], ["Pop"]]


def test_a_tie_is_broken_by_confidence_and_told(store: Store) -> None:
    got = planned(store, [("Jazz", 9), ("Rock", 20)], AlbumRule.MAJORITY)
    assert [g[2] for g in got] == [["Rock"], ["Rock"]]
    assert "tie" in got[0][1]


def test_all_leaves_an_album_alone_that_does_not_agree(store: Store) -> None:
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
def test_compilations_are_excepted(
    store: Store, artists: tuple[str, ...], album_artist: str, album: str
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


def test_a_folder_is_an_album_where_tags_name_none(store: Store) -> None:
    got = planned(
        store,
        [("Jazz", 12), ("Jazz", 12), ("Rock", 12)],
        AlbumRule.MAJORITY,
        album="",
        album_artist="",
    )
    assert got[2][2] == ["Jazz"]


def test_off_changes_nothing(store: Store) -> None:
    got = planned(store, [("Jazz", 12), ("Jazz", 12), ("Rock", 12)], AlbumRule.OFF)
    assert got[2][2] == ["Rock"]
