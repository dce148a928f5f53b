"""Paths and URLs are both kept as paths, and each is shown as it was given."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from genretag.cluster.source import _found, _nanoseconds, fetched, listing
from genretag.decisions.rows import failed_row
from genretag.errors import TrackError
from genretag.library.urls import absolute, home_relative, is_url, to_url
from genretag.library.walk import Found, Unreadable


@pytest.mark.parametrize(
    "url", ["s3://bucket/a b/c.mp3", "gs://b/é.flac", "https://example.org/x.ogg", "s3://bucket"]
)
def test_a_url_survives_as_a_path(url: str) -> None:
    assert is_url(url)
    assert to_url(Path(url)) == url
    assert absolute(Path(url)) == Path(url)
    assert home_relative(Path(url)) == url
    row = failed_row(Path(url), "why")
    assert row.path == url
    assert to_url(row.absolute) == url


@pytest.mark.parametrize(
    "path",
    [
        "/music/s3:/x.mp3",
        "music/x.mp3",
        "live:/x.mp3",
        "c:/x.mp3",
        "s3:x.mp3",
        os.fsdecode(b"/m/\xe9"),
    ],
)
def test_a_path_stays_a_path(path: str) -> None:
    assert not is_url(path)
    assert to_url(Path(path)) == str(Path(path))
    assert absolute(Path(path)) == Path(os.path.abspath(path))


def test_a_listing_is_in_order_and_leaves_out_what_the_walk_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr("genretag.library.urls.SCHEMES", {"memory"})
    shelf = fsspec.filesystem("memory")
    shelf.store.clear()
    for name in (
        "b.mp3",
        "a.flac",
        ".hidden.mp3",
        "notes.txt",
        "Album/2.ogg",
        "Album/1.ogg",
        ".trash/x.mp3",
        "Live/x.mp3",
        "e\u0301/y.mp3",
    ):
        shelf.pipe(f"/shelf/{name}", b"12345")
    met = list(listing("memory://shelf", ("Live",)))
    assert [to_url(f.path).removeprefix("memory://shelf/") for f in met] == [
        "a.flac",
        "b.mp3",
        "Album/1.ogg",
        "Album/2.ogg",
        "e\u0301/y.mp3",
    ]
    assert all(isinstance(f, Found) and f.size == 5 and f.links == 1 for f in met)
    assert [to_url(f.path) for f in listing("memory://shelf/a.flac")] == ["memory://shelf/a.flac"]


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        (datetime(2024, 1, 2, tzinfo=UTC), 1704153600),
        ("2024-01-02T00:00:00Z", 1704153600),
        (1704153600.0, 1704153600),
        ("today", 0),
        (None, 0),
    ],
)
def test_times_of_all_kinds_of_places_are_understood(when: object, seconds: int) -> None:
    assert _nanoseconds(when) == seconds * 10**9


def test_what_lies_here_is_not_copied_and_what_cannot_be_fetched_leaves_nothing(
    tmp_path: Path,
) -> None:
    with fetched("/music/x.mp3", str(tmp_path)) as path:
        assert path == Path("/music/x.mp3")
    with (
        pytest.raises(TrackError, match="cannot be fetched"),
        fetched("http://127.0.0.1:1/x.mp3", str(tmp_path)),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_name_that_a_path_cannot_hold_is_reported_and_not_mistaken() -> None:
    for name in ("bucket/a//b.mp3", "bucket/./b.mp3"):
        assert isinstance(_found(f"s3://{name}", {"name": name, "size": 1}), Unreadable)
    assert isinstance(_found("s3://bucket/a/b.mp3", {"name": "bucket/a/b.mp3", "size": 1}), Found)
