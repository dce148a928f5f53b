"""MP4: the genre changes in its atom, and every other atom and each stored offset hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders_mp4 import (
    Part,
    Places,
    assembled,
    atom,
    chunk_offsets,
    data_atom,
    freeform,
    genres,
    handler,
    iloc,
    meta,
    moof,
    numbers,
    pointed,
    rest,
    saio,
    sidx,
    text_item,
    tfra,
    track,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag import tags
from genretag.errors import TrackError
from genretag.layout.account import UnexplainedError, differences
from genretag.layout.mapping import mapped
from genretag.layout.mp4 import account, parse_mp4
from genretag.layout.mp4_samples import chunk_sizes
from genretag.tags.edits import edited
from genretag.tags.mp4 import album_of, genre_places
from genretag.tags.mp4_edits import field_name, mp4_edits
from genretag.tags.options import KEEP_AS_IS
from genretag.tags.records import Album

EXAMPLES = settings(max_examples=200, deadline=None)
FTYP = atom(b"ftyp", b"M4A \0\0\0\0")
#: Each group of four bytes in it is there once.
AUDIO = numbers(4, *range(0x10000000, 0x10000400))


def written(data: bytes, values: list[str]) -> bytes:
    """Return a file with its genres set, once the account allows it."""
    old = memoryview(data)
    new = edited(data, mp4_edits(old, values, KEEP_AS_IS))
    before, after = account(old, ("genre",)), account(memoryview(new), ("genre",))
    assert differences(before, old, after, memoryview(new)) == []
    return new


def tagged(*items: bytes, more: bytes = b"", moov_first: bool = True, gap: bytes = b"") -> bytes:
    """Build a file with a track and a list of tags."""

    def moov(places: Places) -> bytes:
        chunks = [places["mdat"] + 8 + 4 * i for i in range(5)]
        tags = atom(b"udta", meta(*items, more=more))
        return atom(b"moov", atom(b"mvhd", bytes(100)), track(chunk_offsets(chunks)), tags)

    ends: list[tuple[str, Part]] = [("moov", moov), ("gap", lambda _: gap)]
    audio: list[tuple[str, Part]] = [("mdat", lambda _: atom(b"mdat", AUDIO))]
    parts = [*ends, *audio] if moov_first else [*audio, *ends]
    return assembled([("ftyp", lambda _: FTYP), *parts])


def shown(data: bytes) -> list[str]:
    """Return the genres of the first place that has one."""
    return next(filter(None, genre_places(memoryview(data))), [])


TITLE = text_item(b"\xa9nam", "T")
ODD_ITEMS = {
    "disk of eight bytes": atom(b"disk", data_atom(numbers(2, 0, 1, 2, 0), 0)),
    "trkn of six bytes": atom(b"trkn", data_atom(numbers(2, 0, 3, 9), 0)),
    "two artists": text_item(b"\xa9ART", "A") + text_item(b"\xa9ART", "B"),
    "two values": text_item(b"\xa9ART", "A", "B"),
    "freeform twice": freeform("ARTISTS", "A") + freeform("ARTISTS", "B"),
    "tempo of four bytes": atom(b"tmpo", data_atom(numbers(4, 120), 21)),
    "locale": atom(b"\xa9ART", data_atom(b"A", locale=0x00150000)),
    "invalid UTF-8": atom(b"\xa9cmt", data_atom(b"caf\xe9")),
    "unknown type": atom(b"\xa9cmt", data_atom(b"x", 77)),
    "unknown name": atom(b"xyz1", data_atom(b"abc", 0)) + atom(b"\xa9zzz", b"odd"),
    "no data": atom(b"\xa9cmt", atom(b"name", b"\0")),
    "foreign genre": freeform("GENRE", "Jazz", domain="com.example"),
    "text in filler": atom(b"free", b"a program's name"),
}


@pytest.mark.parametrize("name", ODD_ITEMS)
@pytest.mark.parametrize("moov_first", [True, False])
def test_odd_atoms_stay_byte_for_byte(name: str, moov_first: bool) -> None:
    old = tagged(TITLE, ODD_ITEMS[name], moov_first=moov_first)
    new = written(old, ["Rock", "Pop"])
    assert ODD_ITEMS[name] in new
    assert rest(new) == rest(old)
    assert pointed(new) == pointed(old)
    assert genres(new)["\xa9gen"] == ["Rock", "Pop"]


def test_the_older_and_further_places_of_the_genre_follow() -> None:
    number = atom(b"gnre", data_atom(b"\0\x12", 0))
    old = tagged(number, TITLE, freeform("GENRE", "Jazz"), text_item(b"\xa9gen", "Folk"))
    new = written(old, ["Rock", "Pop"])
    assert genres(new) == {"\xa9gen": ["Rock", "Pop"], "----": ["Rock", "Pop"]}
    assert rest(new) == rest(old)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (text_item(b"\xa9gen", "Jazz", "Soul"), ["Jazz", "Soul"]),
        (text_item(b"\xa9gen", "Jazz") + text_item(b"\xa9gen", "Soul"), ["Jazz", "Soul"]),
        (atom(b"\xa9gen", data_atom("Ж".encode("utf-16-be"), 2)), ["Ж"]),
        (atom(b"\xa9gen", data_atom(b"caf\xe9")), ["café"]),
        (atom(b"gnre", data_atom(b"\0\x12", 0)), ["Rock"]),
        (atom(b"gnre", data_atom(b"\x12", 0)), ["Rock"]),
        (atom(b"gnre", data_atom(b"\0\0", 0)), []),
        (freeform("Genre", "Jazz"), ["Jazz"]),
    ],
)
def test_every_place_of_the_genre_is_read(item: bytes, expected: list[str]) -> None:
    assert shown(tagged(TITLE, item)) == expected


@pytest.mark.parametrize(
    "item",
    [
        atom(b"\xa9gen", data_atom(b"x", 13)),
        atom(b"\xa9gen", b"Jazz"),
        atom(b"gnre", data_atom(b"\xff\xff", 0)),
    ],
)
def test_a_genre_that_cannot_be_decoded_is_not_empty(item: bytes) -> None:
    with pytest.raises(TrackError, match="its genre cannot be read"):
        shown(tagged(TITLE, item))


@pytest.mark.parametrize("size", [20, 28, 29, 500])
def test_filler_takes_up_the_change_so_that_the_audio_stays(size: int) -> None:
    filler = atom(b"free", bytes(size - 8))
    takes = size == 28 or size >= 28 + 8
    for old in (tagged(TITLE, more=filler), tagged(TITLE, gap=filler)):
        new = written(old, ["Rock"])
        assert (len(new) == len(old)) is takes
        assert pointed(new) == pointed(old)
        again = written(new, ["R"])
        assert rest(again) == rest(old)
        assert pointed(again) == pointed(old)


def test_tags_are_made_where_there_are_none() -> None:
    for inner in (
        b"",
        atom(b"udta"),
        atom(b"udta", atom(b"chpl", b"chapters"), bytes(4)),
        atom(b"udta", atom(b"meta", bytes(4), handler())),
        atom(b"udta", atom(b"meta", bytes(4), handler(vendor=b"\0\0\0\0"), atom(b"xxxx"))),
    ):
        old = FTYP + atom(b"moov", atom(b"mvhd", bytes(100)), inner) + atom(b"mdat", AUDIO)
        new = written(old, ["Rock"])
        assert genres(new) == {"\xa9gen": ["Rock"]}
        assert rest(new) == rest(old)


def test_quicktimes_own_genre_follows() -> None:
    text = atom(b"\xa9gen", numbers(2, 4, 0x55C4), b"Jazz")
    old = FTYP + atom(b"moov", atom(b"udta", text, bytes(4))) + atom(b"mdat", AUDIO)
    assert shown(old) == ["Jazz"]
    new = written(old, ["Rock", "Ж"])
    joined = "Rock; Ж".encode()
    assert atom(b"\xa9gen", numbers(2, len(joined), 0x55C4), joined) in new
    # FFmpeg 8 would show a list's genre beside it: "Rock; Ж;Rock".
    assert genres(new) == {}
    assert shown(new) == ["Rock", "Ж"]


def test_a_genre_in_a_second_place_for_texts_is_left_alone() -> None:
    text = atom(b"\xa9gen", numbers(2, 4, 0x55C4), b"Jazz")
    old = FTYP + atom(b"moov", atom(b"udta", meta()), atom(b"udta", text))
    with pytest.raises(TrackError, match="two lists"):
        field_name(memoryview(old))


# --- offsets --------------------------------------------------------------------------------------

items_of_tags = st.lists(
    st.one_of(
        st.sampled_from(sorted(ODD_ITEMS)).map(ODD_ITEMS.__getitem__),
        st.builds(
            lambda n, b: atom(n, b),
            st.binary(min_size=3, max_size=3).map(b"#".__add__),
            st.binary(max_size=40),
        ),
        st.just(text_item(b"\xa9gen", "Jazz")),
        st.just(atom(b"gnre", data_atom(b"\0\x12", 0))),
        st.just(freeform("GENRE", "Jazz")),
    ),
    max_size=5,
)
fillers = st.one_of(
    st.just(b""),
    st.integers(0, 120).map(lambda n: atom(b"free", bytes(n))),
    st.just(ODD_ITEMS["text in filler"]),
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw an MP4 file with tables of all kinds."""
    flag = st.booleans()
    fragments = [f"f{i}" for i in range(draw(st.integers(0, 3)))]
    offsets = draw(st.lists(st.integers(0, 1000), max_size=5))
    large = [draw(flag) for _ in range(8)]
    has_base = draw(flag)
    tags = draw(st.sampled_from(["none", "empty", "some"]))
    items, more, below, gap = (draw(s) for s in (items_of_tags, fillers, fillers, fillers))
    end = bytes(draw(st.sampled_from([0, 4])))
    sizes = draw(st.integers(0, 63))

    def moov(places: Places) -> bytes:
        start = places["mdat"] + (16 if large[0] else 8)
        targets = [start + o for o in offsets]
        tables = [chunk_offsets(targets, large[1]), saio(targets, large[2], large[3])]
        udta = [atom(b"udta", meta(*items, more=more), below, end, large=large[4])]
        if tags != "some":
            udta = [atom(b"udta", end)] if tags == "empty" else []
        return atom(b"moov", track(*tables), *udta, track(*tables[:1]), large=large[5])

    def index(places: Places) -> bytes:
        inner = tfra([places[f] for f in fragments], large[6], sizes)
        return atom(b"mfra", inner, atom(b"mfro", bytes(8)))

    def segments(places: Places) -> bytes:
        start = places["sidx"] + len(sidx(0, [1] * len(fragments), large[7]))
        size = len(fragment(0, places))
        first = places[fragments[0]] - start if fragments else 0
        return sidx(max(first, 0), [size] * len(fragments), large[7])

    def fragment(number: int, places: Places) -> bytes:
        body = moof(number, places[f"f{number}"] if has_base else None)
        return body + atom(b"mdat", numbers(4, *range(number << 24, (number << 24) + 20)))

    def located(places: Places) -> bytes:
        return atom(b"meta", bytes(4), handler(b"pict"), iloc(places["mdat"], [8, 12]))

    head: list[tuple[str, Part]] = [
        ("moov", moov),
        ("gap", lambda _: gap),
        ("meta", located),
        ("mdat", lambda _: atom(b"mdat", AUDIO, large=large[0])),
    ]
    if fragments:
        head.append(("sidx", segments))
    order = draw(st.permutations(head))
    rows: list[tuple[str, Part]] = [
        (f"f{i}", lambda p, i=i: fragment(i, p)) for i in range(len(fragments))
    ]
    return assembled([("ftyp", lambda _: FTYP), *order, *rows, ("mfra", index)])


@EXAMPLES
@given(data=files(), values=st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=3))
def test_every_offset_leads_to_the_same_bytes(data: bytes, values: list[str]) -> None:
    values = [v.replace("\0", "x").encode("utf-8", "replace").decode() for v in values]
    new = written(data, values)
    assert pointed(new) == pointed(data)
    assert rest(new) == rest(data)
    assert genres(new)["\xa9gen"] == values
    assert "gnre" not in genres(new)
    again = written(new, ["R"])
    assert pointed(again) == pointed(data)
    assert rest(again) == rest(data)


def test_audio_that_ends_with_the_file_states_no_size() -> None:
    def moov(places: Places) -> bytes:
        return atom(b"moov", track(chunk_offsets([places["mdat"] + 8])))

    parts: list[tuple[str, Part]] = [("moov", moov), ("mdat", lambda _: bytes(4) + b"mdat" + AUDIO)]
    old = assembled(parts)
    new = written(old, ["Rock"])
    assert new.endswith(bytes(4) + b"mdat" + AUDIO)
    assert pointed(new) == pointed(old)


def test_an_offset_that_would_become_too_large_is_refused(tmp_path: Path) -> None:
    """The file is sparse: it takes no space."""
    path, size = tmp_path / "x.m4a", (1 << 32) + 100
    moov = atom(b"moov", track(chunk_offsets([(1 << 32) - 4])))
    head = moov + b"\0\0\0\1mdat" + (size - len(moov)).to_bytes(8, "big")
    with path.open("wb") as handle:
        handle.write(head)
        handle.truncate(size)
    with mapped(path) as data:
        account(data, ("genre",))
        with pytest.raises(TrackError, match="too large"):
            field_name(data)


def test_an_index_that_spans_the_tags_is_refused() -> None:
    moov = atom(b"moov", track())
    fragment = moof(0, None) + atom(b"mdat", AUDIO)
    index = sidx(0, [len(fragment) + len(moov), len(fragment)])
    with pytest.raises(TrackError, match="spans its tags"):
        field_name(memoryview(FTYP + index + fragment + moov + fragment))


# --- files that are left alone --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (FTYP + atom(b"mdat", AUDIO), "no moov"),
        (tagged(TITLE)[:-10], "cut off"),
        (FTYP + atom(b"moov") + atom(b"moov"), "more than one moov"),
        (FTYP + atom(b"moov", atom(b"cmov")), "compressed"),
        (FTYP + atom(b"moov", track(self_contained=False)), "in another file"),
        (FTYP + atom(b"moov", track(chunk_offsets([99999]))), "beyond the end"),
        (FTYP + atom(b"moov", track(atom(b"stco", bytes(4), b"\xff" * 4))), "damaged"),
        (FTYP + atom(b"moov", b"abcd"), "cannot be explained"),
        (FTYP + atom(b"moov", atom(b"mdia")), "not where it belongs"),
        (FTYP + atom(b"moov", atom(b"udta", b"\0\0\xff\0abcd")), "cannot be explained"),
    ],
)
def test_a_file_that_cannot_be_explained_is_left_alone(data: bytes, reason: str) -> None:
    with pytest.raises(UnexplainedError, match=reason):
        account(memoryview(data), ("genre",))


@pytest.mark.parametrize(
    "udta",
    [
        atom(b"udta", meta(kind=b"mdta")),
        atom(b"udta", meta(), meta()),
        atom(b"udta", atom(b"meta", bytes(4), handler(), atom(b"ilst"), atom(b"ilst"))),
    ],
)
def test_tags_that_programs_read_in_different_ways_are_left_alone(udta: bytes) -> None:
    with pytest.raises(TrackError, match=r"its tags|two lists"):
        field_name(memoryview(FTYP + atom(b"moov", udta)))


def test_millions_of_atoms_end_soon() -> None:
    with pytest.raises(UnexplainedError, match="more than"):
        parse_mp4(memoryview(FTYP + atom(b"free") * 400_000))


def test_what_follows_the_atoms_stays() -> None:
    old = tagged(TITLE) + b"TAG" + bytes(125)
    assert written(old, ["Rock"]).endswith(b"TAG" + bytes(125))


def test_artist_album_and_the_flag_of_a_compilation_are_read() -> None:
    flag = atom(b"cpil", data_atom(b"\1", 21))
    names = [text_item(n, n.decode("latin-1")) for n in (b"\xa9ART", b"\xa9alb", b"aART")]
    album = album_of(memoryview(tagged(TITLE, *names, flag)))
    assert album == Album("\xa9ART", "\xa9alb", "aART", True)


# --- samples --------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.lists(st.integers(0, 900), min_size=60, max_size=70),
)
def test_the_size_of_a_chunk_is_that_of_its_samples(counts: list[int], sizes: list[int]) -> None:
    stsz = numbers(4, 0, 0, len(sizes), *sizes)
    runs = [r for i, n in enumerate(counts, 1) for r in (i, n, 1)]
    stsc = numbers(4, 0, len(counts), *runs)
    left = iter(sizes)
    wanted = [sum(next(left) for _ in range(n)) for n in counts]
    found = chunk_sizes(memoryview(stsz), memoryview(stsc), len(counts))
    assert found is not None
    assert found.tolist() == wanted


@pytest.mark.parametrize("name", [".m4a", ".alac"])
def test_a_file_whose_samples_reach_into_its_tags_is_left_alone(
    seed_files: dict[str, Path], tmp_path: Path, name: str
) -> None:
    data = bytearray(seed_files[name].read_bytes())
    path = tmp_path / f"a{name}"
    path.write_bytes(data)
    assert tags.read(path).problem is None
    at = data.rindex(b"stsz") + 12
    count = int.from_bytes(data[at : at + 4], "big")
    last = at + 4 * count
    size = int.from_bytes(data[last : last + 4], "big")
    data[last : last + 4] = (size + 30).to_bytes(4, "big")
    path.write_bytes(data)
    assert "samples reach beyond" in str(tags.read(path).problem)


@pytest.mark.parametrize("name", [".m4a", ".alac"])
@pytest.mark.parametrize("place", [b"", b"ftyp", b"mdat", b"moov", b"udta"])
def test_a_file_whose_samples_begin_outside_the_audio_is_left_alone(
    seed_files: dict[str, Path], tmp_path: Path, name: str, place: bytes
) -> None:
    data = bytearray(seed_files[name].read_bytes())
    path = tmp_path / f"a{name}"
    # The offset of the first chunk is moved, to the header or the content of an atom.
    for beside in (-4, 4):
        at = data.rindex(b"stco") + 12
        data[at : at + 4] = max(0, data.index(place) + beside).to_bytes(4, "big")
        # All samples are one chunk, which would reach beyond any other atom.
        size_at = data.rindex(b"stsz") + 16
        data[size_at : size_at + 4] = len(data).to_bytes(4, "big")
        path.write_bytes(data)
        assert "samples reach beyond" in str(tags.read(path).problem)


def test_samples_without_an_atom_that_holds_them_are_refused(seed_files: dict[str, Path]) -> None:
    data = seed_files[".m4a"].read_bytes()
    at = data.index(b"moov") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    with pytest.raises(UnexplainedError, match="samples reach beyond"):
        account(memoryview(data[at : at + size]), ("genre",))
