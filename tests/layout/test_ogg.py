"""Ogg: the genre changes in the comment header, and every other packet and page stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders_vorbis import (
    Page,
    comment_list,
    crc,
    genres_in,
    kept,
    ogg,
    pack,
    packets_of,
    pages_of,
    read_comments,
    without_genre,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genretag import tags
from genretag.audio import synthesis
from genretag.errors import TrackError
from genretag.layout import ogg as layout
from genretag.layout.account import Account, UnexplainedError
from genretag.layout.ogg import account
from genretag.layout.ogg_pages import page_checksum
from genretag.tags.edits import edited
from genretag.tags.ogg import ogg_edits

EXAMPLES = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
EXTENSIONS = [".ogg", ".opus", ".oga"]
FRAMING = {".ogg": b"\x01", ".opus": b"", ".oga": b""}
ENTRY = st.one_of(
    st.binary(max_size=60),  # without an "=", not UTF-8, empty
    st.builds(
        lambda name, value: name + b"=" + value,
        st.sampled_from(
            [b"TITLE", b"title", "GRÖSSE".encode(), b"", b"GENRE", b"genre", b"GENRES"]
        ),
        st.binary(max_size=400),
    ),
    st.just(b"METADATA_BLOCK_PICTURE=" + b"A" * 30_000),  # runs over several pages
)
GENRES = st.lists(st.sampled_from(["Jazz", "Ωμέγα", "x" * 300]), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return a short file of each codec, of several pages; FLAC has the most bytes a second."""
    folder = tmp_path_factory.mktemp("ogg")
    made = {e: folder / f"seed{e}" for e in (".wav", ".ogg", ".opus", ".oga")}
    for extension, seconds in ((".wav", 3), (".ogg", 4), (".opus", 9)):
        tags = {"title": "A Title", "artist": "An Artist", "comment": "keep me"}
        synthesis.encode(made[extension], synthesis.piece(7, seconds), 44_100, tags=tags)
    transcode(made[".wav"], made[".oga"], "flac", "ogg")
    seeds = {e: made[e].read_bytes() for e in (".ogg", ".opus", ".oga")}
    assert all(len(list(pages_of(data))) > 5 for data in seeds.values())
    return seeds


def transcode(source: Path, target: Path, codec: str, container: str) -> None:
    import av

    with av.open(str(source)) as read, av.open(str(target), "w", format=container) as out:
        stream = out.add_stream(codec, rate=44_100)
        for frame in read.decode(audio=0):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def written(data: bytes, genres: list[str]) -> bytes:
    return edited(data, ogg_edits(memoryview(data), 0, "genre", genres))


def explained(data: bytes) -> Account:
    return account(memoryview(data), ("genre",))


def check(extension: str, old: bytes, new: bytes, genres: list[str]) -> None:
    """Hold a written file against the old one, by the tests' own reader."""
    before, after = list(pages_of(old)), list(pages_of(new))
    assert all(p.sound for p in after)
    for serial in {p.serial for p in before}:
        numbers = [p.sequence for p in after if p.serial == serial]
        assert numbers == list(range(len(numbers)))
    serial = before[0].serial
    was, now = packets_of(before, serial), packets_of(after, serial)
    assert (was[0], was[2:]) == (now[0], now[2:])
    vendor, entries, rest = read_comments(extension, was[1])
    vendor_now, entries_now, rest_now = read_comments(extension, now[1])
    assert genres_in(entries_now) == [g.encode() for g in genres]
    assert (vendor_now, without_genre(entries_now)) == (vendor, without_genre(entries))
    assert rest_now.rstrip(b"\0") == rest.rstrip(b"\0")
    audio = [p for p in before if p.granule not in (0, (1 << 64) - 1)]
    audio_now = [p for p in after if p.granule not in (0, (1 << 64) - 1)]
    assert [replace(p, sequence=0) for p in audio] == [replace(p, sequence=0) for p in audio_now]
    assert kept(explained(old), old) == kept(explained(new), new)


@pytest.mark.parametrize("extension", EXTENSIONS)
@given(
    entries=st.lists(ENTRY, max_size=8),
    vendor=st.binary(max_size=20),
    rest=st.sampled_from([b"", bytes(5), bytes(700), b"\x01kept", b"\x00\x07 odd"]),
    segments=st.sampled_from([1, 17, 255]),
    genres=GENRES,
)
@EXAMPLES
def test_all_but_the_genre_stays(
    seeds: dict[str, bytes],
    extension: str,
    entries: list[bytes],
    vendor: bytes,
    rest: bytes,
    segments: int,
    genres: list[str],
) -> None:
    comments = comment_list(*entries, vendor=vendor)
    old = ogg(seeds[extension], extension, comments, FRAMING[extension] + rest, segments)
    check(extension, old, written(old, genres), genres)


@given(st.binary(max_size=2000))
@EXAMPLES
def test_the_fast_checksum_is_that_of_the_definition(data: bytes) -> None:
    assert page_checksum(data) == crc(data)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_new_genre_stands_where_the_old_one_stood(
    seeds: dict[str, bytes], extension: str
) -> None:
    comments = comment_list(b"A=1", b"Genre=Other", b"B=2", b"GENRE=Misc", b"C=3")
    old = ogg(seeds[extension], extension, comments, FRAMING[extension])
    new = written(old, ["Jazz", "Dub"])
    packet = packets_of(list(pages_of(new)), next(pages_of(new)).serial)[1]
    assert read_comments(extension, packet)[1] == [
        b"A=1", b"Genre=Jazz", b"Genre=Dub", b"B=2", b"C=3",
    ]  # fmt: skip


@pytest.mark.parametrize("extension", [".ogg", ".opus"])
def test_padding_behind_the_comments_takes_the_genre_so_that_no_page_moves(
    seeds: dict[str, bytes], extension: str
) -> None:
    old = ogg(seeds[extension], extension, comment_list(), FRAMING[extension] + bytes(100))
    assert len(written(old, ["Jazz"])) == len(old)


def test_binary_data_behind_the_comments_of_opus_stays(seeds: dict[str, bytes]) -> None:
    old = ogg(seeds[".opus"], ".opus", comment_list(b"TITLE=T"), b"\x01binary" + bytes(200))
    new = written(old, ["Jazz"])
    packet = packets_of(list(pages_of(new)), next(pages_of(new)).serial)[1]
    assert read_comments(".opus", packet)[2] == b"\x01binary" + bytes(200)


def interleaved(data: bytes, other: bytes) -> bytes:
    """Return two Ogg files as one of two streams in parallel: first pages first, then by turns."""
    a, b = list(pages_of(data)), [replace(p, serial=99) for p in pages_of(other)]
    turns = [page for pair in zip(a[3:], b[1:], strict=False) for page in pair]
    rest = [*a[3:][len(b) - 1 :], *b[1:][len(a) - 3 :]]
    return b"".join(map(pack, [a[0], b[0], *a[1:3], *turns, *rest]))


@pytest.mark.parametrize("size", [10, 200_000])
def test_streams_in_parallel_keep_their_pages(seeds: dict[str, bytes], size: int) -> None:
    old = interleaved(seeds[".ogg"], seeds[".opus"])
    genres = ["x" * size]
    new = written(old, genres)
    check(".ogg", old, new, genres)
    others = [p for p in pages_of(old) if p.serial == 99]
    assert [p for p in pages_of(new) if p.serial == 99] == others


@pytest.mark.parametrize("size", [10, 200_000])
def test_chained_streams_keep_their_pages(seeds: dict[str, bytes], size: int) -> None:
    """The second one has the same serial number; only the first is renumbered."""
    first, second = seeds[".ogg"], seeds[".ogg"]
    new = written(first + second, ["x" * size])
    assert new.endswith(second)
    check(".ogg", first, new[: -len(second)], ["x" * size])


@pytest.mark.parametrize("size", [10, 200_000])
def test_bytes_behind_the_last_page_stay(seeds: dict[str, bytes], size: int) -> None:
    new = written(seeds[".ogg"] + b"behind", ["x" * size])
    assert new.endswith(b"behind")
    check(".ogg", seeds[".ogg"], new[:-6], ["x" * size])


def test_numbers_that_are_missing_stay_missing(seeds: dict[str, bytes]) -> None:
    pages = list(pages_of(seeds[".opus"]))
    assert len(pages) > 8
    old = b"".join(map(pack, pages[:5] + pages[7:]))
    new = list(pages_of(written(old, ["x" * 200_000])))
    shift = new[-1].sequence - pages[-1].sequence
    assert shift > 0
    assert [p.sequence - shift for p in new][-len(pages) + 7 :] == [p.sequence for p in pages[7:]]


def test_a_gap_that_is_not_kept_shows_in_the_account(seeds: dict[str, bytes]) -> None:
    pages = list(pages_of(seeds[".opus"]))
    old = b"".join(map(pack, pages))
    new = b"".join(
        map(pack, [*pages[:5], *(replace(p, sequence=p.sequence + 1) for p in pages[5:])])
    )
    assert kept(explained(old), old) != kept(explained(new), new)


def test_a_damaged_page_stays_as_it_is(seeds: dict[str, bytes]) -> None:
    pages = list(pages_of(seeds[".ogg"]))
    pages[-2] = replace(pages[-2], sound=False)
    old = b"".join(map(pack, pages))
    assert not list(pages_of(written(old, ["Jazz"])))[-2].sound
    with pytest.raises(TrackError, match="damaged"):
        written(old, ["x" * 200_000])


SKELETON = 0x5EE1


def with_skeleton(data: bytes, offsets: tuple[int, int] | None) -> bytes:
    """Put a Skeleton 4.0 in front; ``offsets`` are what it states of length and content."""
    first, *rest = pages_of(data)
    bone = b"fisbone\0" + bytes(44)
    size = 80 if offsets is not None else 64
    head = b"fishead\0" + (4 if offsets else 3).to_bytes(2, "little") + bytes(54)
    head += b"".join(n.to_bytes(8, "little") for n in offsets or ())
    assert len(head) == size
    pages = [
        Page(2, 0, SKELETON, 0, bytes([size]), head),
        first,
        Page(0, 0, SKELETON, 1, bytes([len(bone)]), bone),
        *rest[:1],
        Page(4, 0, SKELETON, 2, b"\0", b""),
        *rest[1:],
    ]
    return b"".join(map(pack, pages))


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("offsets", [None, (0, 0)])
def test_a_skeleton_without_offsets_stays(
    seeds: dict[str, bytes], size: int, offsets: tuple[int, int] | None
) -> None:
    old = with_skeleton(seeds[".opus"], offsets)
    new = written(old, ["x" * size])
    stays = [p for p in pages_of(old) if p.serial == SKELETON]
    assert [p for p in pages_of(new) if p.serial == SKELETON] == stays


@pytest.mark.parametrize("size", [10, 200_000])
def test_the_offsets_of_a_skeleton_follow(seeds: dict[str, bytes], size: int) -> None:
    plain = with_skeleton(seeds[".opus"], (0, 0))
    audio = next(p for p in pages_of(plain) if p.granule not in (0, (1 << 64) - 1))
    old = with_skeleton(seeds[".opus"], (len(plain), plain.index(pack(audio))))
    new = written(old, ["x" * size])
    pages = list(pages_of(new))
    assert all(p.sound for p in pages)
    head = pages[0].body
    assert int.from_bytes(head[64:72], "little") == len(new)
    at = int.from_bytes(head[72:80], "little")
    assert next(pages_of(new[at:])).body == audio.body
    assert kept(explained(old), old) == kept(explained(new), new)


def test_a_skeleton_with_an_index_is_left_alone(seeds: dict[str, bytes]) -> None:
    pages = list(pages_of(with_skeleton(seeds[".opus"], (0, 0))))
    pages[2] = replace(pages[2], body=b"index\0" + pages[2].body[6:])
    with pytest.raises(UnexplainedError, match="index"):
        written(b"".join(map(pack, pages)), ["Jazz"])


def test_a_chain_of_different_codecs_is_left_alone(seeds: dict[str, bytes]) -> None:
    with pytest.raises(UnexplainedError, match="different codecs"):
        written(seeds[".oga"] + seeds[".ogg"], ["Jazz"])


def test_a_film_is_left_alone(seeds: dict[str, bytes]) -> None:
    film = Page(2, 0, 7, 0, b"\x0a", b"\x80theora\3\2\1")
    with pytest.raises(UnexplainedError, match="film"):
        written(pack(film) + seeds[".ogg"], ["Jazz"])


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (lambda d: d[:-1], "cut off"),
        (lambda d: d[: len(d) // 2] + b"junk" + d[len(d) // 2 :], "belong to none|cut off"),
        (lambda d: d[:100], "."),
        (lambda d: b"OggS" + bytes(23), "."),
        (lambda d: d.replace(b"\x03vorbis", b"\x04vorbis"), "no comment header"),
    ],
)
def test_what_cannot_be_explained_is_left_alone(
    seeds: dict[str, bytes], change: object, clause: str
) -> None:
    with pytest.raises(UnexplainedError, match=clause):
        written(change(seeds[".ogg"]), ["Jazz"])  # type: ignore[operator]


def refusal(explain: Callable[[memoryview, Sequence[str]], object], data: bytes) -> str | None:
    """Return why a file cannot be explained; None if it can."""
    try:
        explain(memoryview(data), ("genre",))
    except UnexplainedError as error:
        return str(error)
    return None


@pytest.mark.parametrize("extension", EXTENSIONS)
@given(
    at=st.one_of(st.floats(0, 1), st.integers(0, 700)),
    damage=st.sampled_from([b"", b"\0", b"\xff", b"OggS", b"index\0"]),
    removed=st.sampled_from([0, 1, 6, 5000]),
    bones=st.booleans(),
)
@EXAMPLES
def test_page_headers_suffice_to_find_what_an_account_refuses(
    seeds: dict[str, bytes],
    extension: str,
    at: float,
    damage: bytes,
    removed: int,
    bones: bool,
) -> None:
    old = with_skeleton(seeds[extension], (0, 0)) if bones else seeds[extension]
    place = at if isinstance(at, int) else round(at * len(old))
    new = old[:place] + damage + old[place + removed :]
    assert refusal(layout.explained, new) == refusal(account, new)


def test_a_damaged_comment_header_is_a_problem_and_damaged_audio_is_none(
    seeds: dict[str, bytes], tmp_path: Path
) -> None:
    pages = list(pages_of(seeds[".ogg"]))
    path = tmp_path / "a.ogg"
    for damaged, problem in ((1, "the checksum of its Ogg comment header is wrong"), (-2, None)):
        changed = [*pages]
        changed[damaged] = replace(pages[damaged], sound=False)
        path.write_bytes(b"".join(map(pack, changed)))
        assert tags.read(path).problem == problem
