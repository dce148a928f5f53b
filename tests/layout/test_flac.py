"""FLAC: the genre changes in the comments, and every other block and the audio stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders_id3 import ape_texts, frame, id3v1, id3v2
from builders_vorbis import (
    comment_list,
    flac,
    genres_in,
    kept,
    read_flac,
    read_list,
    without_genre,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genretag import tags
from genretag.errors import TrackError
from genretag.layout.account import UnexplainedError
from genretag.layout.flac import account, parse_flac
from genretag.tags.edits import edited
from genretag.tags.flac import comment_edits

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
COMMENT, PADDING = 4, 1
NAMES = [b"TITLE", b"title", "GRÖSSE".encode(), b"", b"GENRE", b"genre", b"GENRES"]
ENTRY = st.one_of(
    st.binary(max_size=60),  # without an "=", not UTF-8, empty
    st.builds(lambda n, v: n + b"=" + v, st.sampled_from(NAMES), st.binary(max_size=400)),
)
BLOCK = st.one_of(
    st.tuples(st.sampled_from([2, 3, 5, 6, 7, 126]), st.binary(max_size=300)),
    st.tuples(st.just(PADDING), st.integers(0, 900).map(bytes)),
    st.tuples(st.just(PADDING), st.just(b"not only zeros")),
    st.tuples(st.just(COMMENT), st.lists(ENTRY, max_size=6).map(lambda e: comment_list(*e))),
)
GENRES = st.lists(st.sampled_from(["Jazz", "Ωμέγα", "x" * 300]), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def seed(seed_files: dict[str, Path]) -> bytes:
    return seed_files[".flac"].read_bytes()


def written(data: bytes, genres: list[str]) -> bytes:
    view = memoryview(data)
    return edited(data, comment_edits(view, parse_flac(view, 0), "genre", genres))


def others(blocks: list[tuple[int, bytes]]) -> list[object]:
    """Return the blocks without the genre and without padding of zeros."""
    out: list[object] = []
    for kind, data in blocks:
        if kind == COMMENT:
            vendor, entries, rest = read_list(data)
            out.append((vendor, without_genre(entries), rest))
        elif kind != PADDING or any(data):
            out.append((kind, data))
    return out


@given(blocks=st.lists(BLOCK, max_size=6), genres=GENRES)
@EXAMPLES
def test_all_but_the_genre_stays(
    seed: bytes, blocks: list[tuple[int, bytes]], genres: list[str]
) -> None:
    old = flac(seed, *blocks)
    new = written(old, genres)
    was, audio = read_flac(old)
    now, audio_now = read_flac(new)
    assert audio_now == audio
    lists = [read_list(data) for kind, data in now if kind == COMMENT]
    assert genres_in(lists[0][1]) == [g.encode() for g in genres]
    assert not any(genres_in(entries) for _, entries, _ in lists[1:])
    if any(kind == COMMENT for kind, _ in was):
        assert others(now) == others(was)
        fields = ("genre",)
        before = kept(account(memoryview(old), fields), old)
        assert kept(account(memoryview(new), fields), new) == before
    else:
        assert [o for o in others(now) if len(o) == 2] == others(was)  # type: ignore[arg-type]


@pytest.mark.parametrize("padding", [200, 5, 4])
def test_padding_takes_the_genre_so_that_the_audio_stays_where_it_is(
    seed: bytes, padding: int
) -> None:
    blocks = (COMMENT, comment_list(b"GENRE=Oth")), (PADDING, bytes(padding))
    old = flac(seed, *blocks, (6, b"picture"))
    new = written(old, ["Jazzrock"])
    assert len(new) - len(old) == (5 if padding < 5 else 0)
    assert [k for k, _ in read_flac(new)[0]] == [0, COMMENT, PADDING, 6]
    assert written(new, ["Oth"])[: -len(read_flac(old)[1])].count(0) >= padding


def test_a_file_without_comments_gets_a_block_before_the_padding(seed: bytes) -> None:
    old = flac(seed, (6, b"picture"), (PADDING, bytes(100)))
    new = written(old, ["Jazz"])
    assert [k for k, _ in read_flac(new)[0]] == [0, 6, COMMENT, PADDING]
    assert len(new) == len(old)


def test_a_later_comment_block_loses_its_genre(seed: bytes) -> None:
    """FFmpeg would show both; mutagen and TagLib read the first block alone."""
    blocks = [comment_list(b"TITLE=T"), comment_list(b"GENRE=Other", b"DATE=1")]
    now, _ = read_flac(written(flac(seed, *((COMMENT, b) for b in blocks)), ["Jazz"]))
    lists = [read_list(data)[1] for kind, data in now if kind == COMMENT]
    assert lists == [[b"TITLE=T", b"GENRE=Jazz"], [b"DATE=1"]]


def test_comments_as_large_as_a_block_can_be_are_left_alone(seed: bytes) -> None:
    full = comment_list(b"X=" + bytes((1 << 24) - 30))
    with pytest.raises(TrackError, match="no space"):
        written(flac(seed, (COMMENT, full)), ["A genre of some length"])


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (lambda d: d[:60], "beyond its end"),
        (lambda d: d.replace(b"\xff\xf8", b"\0\0"), "lead to the audio"),
        (lambda d: d[:4] + b"\x81" + d[5:], "lead to the audio|parameters"),
        (lambda d: d[:42] + b"\x7f" + d[43:], "invalid block"),
    ],
)
def test_what_cannot_be_explained_is_left_alone(seed: bytes, change: object, clause: str) -> None:
    with pytest.raises(UnexplainedError, match=clause):
        written(change(flac(seed, (COMMENT, comment_list()))), ["Jazz"])  # type: ignore[operator]


@pytest.mark.parametrize(
    "tag",
    [
        id3v2(frame(b"TCON", b"\0Jazz"), flags=0x10),
        ape_texts(b"Jazz"),
        id3v1(b"Jazz"),
    ],
)
def test_a_genre_in_any_tag_behind_the_audio_is_not_taken_for_none(
    seed: bytes, tmp_path: Path, tag: bytes
) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(flac(seed, (4, comment_list(b"TITLE=T"))) + tag)
    assert tags.read(path).genres == ["Jazz"]
    tags.write(path, ["Zydeco"])
    assert tags.read(path).genres == ["Zydeco"]
