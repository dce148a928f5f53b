"""ASF: the genre changes in one place, and every other object and attribute stays."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from builders_asf import (
    EXTENDED,
    INDEX,
    LIBRARY,
    METADATA,
    PADDING,
    SIGNATURE,
    Attribute,
    asf,
    asf_object,
    content,
    extended,
    extension,
    genres,
    kept,
    metadata,
    padding,
    read,
    text,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import READERS, show

from genretag.errors import TrackError
from genretag.layout.account import UnexplainedError, differences
from genretag.layout.asf import account
from genretag.tags.asf import album_of, asf_edits, field_name, genres_of
from genretag.tags.edits import edited
from genretag.tags.options import KEEP_AS_IS
from genretag.tags.records import Album

EXAMPLES = settings(max_examples=150, deadline=None)
AUDIO = bytes(range(256)) * 4
CONTENT = content("T", "A", "", "", "")
ALBUM = text("WM/AlbumTitle", "L")


def written(data: bytes, values: list[str]) -> bytes:
    """Return a file with its genres set, once the account allows it."""
    old = memoryview(data)
    new = edited(data, asf_edits(old, values, KEEP_AS_IS))
    before, after = account(old, ("genre",)), account(memoryview(new), ("genre",))
    assert differences(before, old, after, memoryview(new)) == []
    return new


names = st.sampled_from(["WM/Genre", "wm/genre", "WM/AlbumTitle", "WM/Mood", "Länge", "x" * 30])
attributes = st.builds(
    Attribute,
    names,
    st.binary(max_size=40),
    st.integers(0, 6),
    st.integers(0, 2),
    st.integers(0, 2),
)
lists = st.lists(attributes, max_size=4)
unknown = st.builds(asf_object, st.binary(min_size=16, max_size=16), st.binary(max_size=30))
paddings = st.one_of(
    st.integers(0, 200).map(padding), st.just(asf_object(PADDING, b"a program's name"))
)
inner = st.one_of(
    lists.map(lambda a: metadata(METADATA, *a)),
    lists.map(lambda a: metadata(LIBRARY, *a)),
    paddings,
    unknown,
)
extensions = st.lists(inner, max_size=3).map(lambda objects: extension(*objects))
descriptions = st.builds(lambda a, r: extended(*a, rest=r), lists, st.sampled_from([b"", b"odd"]))
objects = st.lists(
    st.one_of(descriptions, extensions, paddings, st.just(CONTENT), unknown), max_size=5
)


@EXAMPLES
@given(
    objects=objects,
    values=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=3
    ),
    later=st.sampled_from([b"", asf_object(INDEX, b"index"), b"junk"]),
    broadcast=st.booleans(),
)
def test_all_but_the_genre_stays(
    objects: list[bytes], values: list[str], later: bytes, broadcast: bool
) -> None:
    old = asf(objects, AUDIO, later, broadcast)
    new = written(old, values)
    assert kept(new) == kept(old)
    assert list(dict.fromkeys(g for _, g in genres(new))) == list(dict.fromkeys(values))
    assert {guid for guid, _ in genres(new)} == {EXTENDED}
    assert read(new).total == (0 if broadcast else len(new))
    again = written(new, ["R"])
    assert kept(again) == kept(old)
    assert genres(again) == [(EXTENDED, "R")]


@pytest.mark.parametrize("where", ["header", "extension"])
def test_filler_takes_up_the_change(where: str) -> None:
    filler = padding(500)
    parts = [filler] if where == "header" else [extension(filler)]
    old = asf([CONTENT, extended(ALBUM), *parts], AUDIO)
    new = written(old, ["Rock"])
    assert len(new) == len(old)
    assert kept(new) == kept(old)


def test_empty_filler_at_the_end_of_the_header_grows() -> None:
    old = asf([extended(text("WM/Genre", "A long genre")), extension(padding(0))], AUDIO)
    new = written(old, ["R"])
    assert len(new) == len(old)
    assert kept(new) == kept(old)


def test_the_genre_is_read_in_all_places_and_any_case() -> None:
    for part in (
        extended(text("WM/Genre", "Jazz")),
        extended(text("wm/genre", "Jazz")),
        extension(metadata(METADATA, text("WM/Genre", "Jazz"))),
        extension(metadata(LIBRARY, text("WM/GENRE", "Jazz"))),
    ):
        assert genres_of(memoryview(asf([part], AUDIO))) == ["Jazz"]


def test_a_genre_that_is_no_text_is_not_empty() -> None:
    data = asf([extended(Attribute("WM/Genre", b"\1\2", 1))], AUDIO)
    with pytest.raises(TrackError, match="its genre cannot be read"):
        genres_of(memoryview(data))


def test_artist_album_and_the_flag_of_a_compilation_are_read() -> None:
    for flag in (Attribute("WM/IsCompilation", b"\1\0\0\0", 2), text("compilation", "1")):
        parts = [CONTENT, extended(ALBUM, text("WM/AlbumArtist", "AA"), flag)]
        assert album_of(memoryview(asf(parts, AUDIO))) == Album("A", "L", "AA", True)


def test_a_wrong_file_size_is_set_right() -> None:
    data = bytearray(asf([CONTENT], AUDIO))
    data[70:78] = bytes(8)
    assert read(written(bytes(data), ["Rock"])).total == len(written(bytes(data), ["Rock"]))


@pytest.fixture(scope="module")
def wma(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a file that FFmpeg made."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg")
    path = tmp_path_factory.mktemp("wma") / "x.wma"
    tags = ["-metadata", "title=T", "-metadata", "artist=A", "-metadata", "album=L"]
    source = ["-f", "lavfi", "-i", "sine=d=2", *tags, "-c:a", "wmav2"]
    subprocess.run(["ffmpeg", "-v", "error", *source, path], check=True)
    return path.read_bytes()


@pytest.mark.parametrize("reader", READERS)
def test_every_program_shows_the_first_genre_first(reader: str, wma: bytes, tmp_path: Path) -> None:
    """FFmpeg shows the last attribute of a name, the other programs the first one."""
    path = tmp_path / "x.wma"
    path.write_bytes(wma)
    before = show(reader, path)
    path.write_bytes(written(wma, ["Jazz", "Rock", "Pop"]))
    after = show(reader, path)
    assert (after.title, after.artist, after.album) == (before.title, before.artist, before.album)
    if reader != "mutagen":  # the helper asks it for the keys of other containers
        assert after.genre is not None
        assert after.genre.split("; ")[0] == "Jazz"


# --- files that are left alone --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (asf([CONTENT], AUDIO)[:-1], "cut off"),
        (asf([CONTENT], AUDIO)[:100], "cut off"),
        (asf([asf_object(SIGNATURE, bytes(20))], AUDIO), "signed"),
        (asf([CONTENT[:-1]], AUDIO), "cannot be explained"),
        (asf([extension(extension())], AUDIO), "cannot be explained"),
        (asf([asf_object(EXTENDED, b"\xff\xff\0\0")], AUDIO), "beyond their end"),
    ],
)
def test_a_file_that_cannot_be_explained_is_left_alone(data: bytes, reason: str) -> None:
    with pytest.raises(UnexplainedError, match=reason):
        account(memoryview(data), ("genre",))


def test_a_genre_that_is_too_long_is_refused() -> None:
    data = memoryview(asf([CONTENT], AUDIO))
    assert field_name(data) == "WM/Genre"
    with pytest.raises(TrackError, match="too long"):
        asf_edits(data, ["x" * 40_000], KEEP_AS_IS)
