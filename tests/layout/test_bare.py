"""Streams without a container: nothing but the genre changes, whatever tags surround them."""

from __future__ import annotations

import string
import zlib
from pathlib import Path

import pytest
from builders_id3 import (
    TEXTS,
    ape,
    ape_texts,
    frame,
    id3v1,
    id3v2,
    id3v2_texts,
    item,
    lyrics3_v2,
    syncsafe,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from genretag import tags
from genretag.audio import identify, synthesis
from genretag.errors import TrackError
from genretag.layout import bare, id3
from genretag.layout.account import Kind, UnexplainedError
from genretag.layout.detect import account
from genretag.writing.proof import prove

#: Two frames of MPEG-1 layer III silence, 128 kbit/s at 44.1 kHz.
AUDIO = (b"\xff\xfb\x90\x44" + bytes(413)) * 2

#: A WavPack block, as far as its size goes.
WAVPACK = b"wvpk" + (100).to_bytes(4, "little") + bytes(100)

PICTURE = frame(b"APIC", b"\0image/png\0\3\0" + bytes(range(256)) * 3)


def split_collection(data: bytes) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of all kept regions."""
    view = memoryview(data)
    return [(r.name, data[r.start : r.end]) for r in account(view).kept()]


def write(path: Path, data: bytes, genres: list[str]) -> bytes:
    """Write genres into a file of these bytes, prove it, and return the new bytes."""
    path.write_bytes(data)
    copy = path.with_name("copy" + path.suffix)
    copy.write_bytes(data)
    tags.write(copy, genres)
    assert prove(path, copy) == []
    assert tags.read(copy).genres == genres
    return copy.read_bytes()


V24_PLAIN = id3v2(
    frame(b"TIT2", b"\0" + b"t" * 200, plain=True)
    + frame(b"APIC", b"\0image/png\0\3\0" + b"\x89PNG" * 10_000, plain=True)
    + frame(b"TPE1", b"\0Artist"),
    padding=30,
)
UNSYNC = bytes.fromhex("fffb00") + b"\xff\x00\x00" + b"\xff\x00\xe0"
CASES = {
    "empty frame": id3v2(frame(b"TIT2", b"\0T", 3) + frame(b"TPE1", b"", 3), 3, padding=20),
    "v2.2 name with a space": id3v2(frame(b"TCP ", b"\x001", 3), 3, padding=20),
    "v2.2 name with a zero": id3v2(frame(b"TCP\0", b"\x001", 3), 3, padding=20),
    "lower-case name": id3v2(frame(b"Txyz", b"\x001"), padding=20),
    "duplicates": id3v2(frame(b"TIT2", b"\0A") + frame(b"TIT2", b"\0B"), padding=5),
    "bytes behind the padding": id3v2(frame(b"TIT2", b"\0A") + bytes(30) + b"text behind it"),
    "odd rest": id3v2(frame(b"TIT2", b"\0A", 3) + b"abc", 3),
    "plain sizes": V24_PLAIN,
    "unsynchronised v2.3": id3v2(
        frame(b"PRIV", UNSYNC, 3)[:4]
        + (len(UNSYNC) - 2).to_bytes(4, "big")
        + b"\0\0"
        + UNSYNC
        + frame(b"TIT2", b"\0T", 3),
        3,
        padding=40,
        flags=0x80,
    ),
    "unsynchronised v2.4": id3v2(frame(b"PRIV", UNSYNC, flags=2), flags=0x80, padding=9),
    "extended header v2.3": id3v2(
        frame(b"TIT2", b"\0T", 3),
        3,
        padding=50,
        flags=0x40,
        extended=(6).to_bytes(4, "big") + bytes(2) + (50).to_bytes(4, "big"),
    ),
    "extended header v2.4": id3v2(
        frame(b"TIT2", b"\0T"), flags=0x40, extended=syncsafe(6) + b"\1\0"
    ),
    "footer": id3v2(frame(b"TIT2", b"\0T"), flags=0x10),
    "no padding": id3v2(frame(b"TIT2", b"\0T") + PICTURE),
    "genre twice": id3v2(
        frame(b"TCON", b"\0A") + frame(b"TIT2", b"\0T") + frame(b"TCON", b"\0B"), padding=3
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "genres", [["Jazz"], ["Ωμέγα", "Drum and Bass" * 30]], ids=["short", "long"]
)
def test_frames_of_every_kind_stay(tmp_path: Path, name: str, genres: list[str]) -> None:
    data = CASES[name] + AUDIO + ape_texts(b"Other")
    after = write(tmp_path / "x.mp3", data, genres)
    assert split_collection(data) == split_collection(after)


def test_a_picture_in_a_tag_with_plain_sizes_keeps_its_length(tmp_path: Path) -> None:
    after = write(tmp_path / "x.mp3", V24_PLAIN + AUDIO, ["Jazz"])
    tag = id3.parse_tag(memoryview(after), 0)
    sizes = {f.name: f.end - f.body_at for f in tag.frames}
    assert sizes[b"APIC"] == 40_013
    assert sizes[b"TPE1"] == 7


def test_extended_header_and_footer_follow_the_size(tmp_path: Path) -> None:
    after = write(tmp_path / "x.mp3", CASES["extended header v2.3"] + AUDIO, ["Jazz"])
    tag = id3.parse_tag(memoryview(after), 0)
    stated = int.from_bytes(after[16:20], "big")
    assert stated == tag.padding_end - tag.frames_end
    after = write(tmp_path / "x.mp3", CASES["footer"] + AUDIO, ["Jazz"])
    tag = id3.parse_tag(memoryview(after), 0)
    assert after[tag.end - 10 : tag.end] == b"3DI" + after[3:10]


def test_apev2_keeps_order_flags_and_duplicates(tmp_path: Path) -> None:
    items = [
        item(b"Title", b"T", flags=1),
        item(b"Cover Art (Front)", b"c.png\0\x89PNG", flags=2),
        item(b"genre", b"Other", flags=1),
        item(b"Title", b"again"),
        item(b"Link", b"http://example.org", flags=4),
    ]
    after = write(tmp_path / "x.mp3", AUDIO + ape(items), ["Jazz", "Blues"])
    items[2] = item(b"genre", b"Jazz\0Blues", flags=1)
    assert after == AUDIO + ape(items)


def test_apev2_without_a_header_stays_without_one(tmp_path: Path) -> None:
    data = AUDIO + ape([item(b"Title", b"T")], header=False)
    after = write(tmp_path / "x.mp3", data, ["Jazz"])
    assert after == AUDIO + ape([item(b"Title", b"T"), item(b"Genre", b"Jazz")], header=False)


def test_id3v1_behind_apev2_stays(tmp_path: Path) -> None:
    data = WAVPACK + ape_texts(b"Other") + id3v1(b"Other")
    after = write(tmp_path / "x.wv", data, ["Jazz"])
    assert after == WAVPACK + ape_texts(b"Jazz") + id3v1(b"Jazz")


def test_lyrics3_stays_where_it_is(tmp_path: Path) -> None:
    data = AUDIO + lyrics3_v2() + id3v1(b"Other")
    assert write(tmp_path / "x.mp3", data, ["Jazz"]) == AUDIO + lyrics3_v2() + id3v1(b"Jazz")


def test_id3v1_alone_is_repeated_in_a_new_tag_where_it_has_no_number(tmp_path: Path) -> None:
    data = AUDIO + id3v1(b"Other")
    after = write(tmp_path / "x.mp3", data, ["Zydeco-Punk"])
    album = tags.read(tmp_path / "copy.mp3").album
    assert (album.artist, album.album) == ("Artist", "Album")
    assert after.endswith(AUDIO + id3v1(b""))
    wv = write(tmp_path / "x.wv", WAVPACK + id3v1(b"Other"), ["Zydeco-Punk"])
    assert all(text in wv for text in TEXTS.values())


@pytest.mark.parametrize(
    ("tag", "genres"),
    [
        (id3v2(frame(b"TCON", b"\x0017/80", 3), 3), ["Rock", "Folk"]),
        (id3v2(frame(b"TCON", b"\0(RX)(CR)", 3), 3), ["Remix", "Cover"]),
        (id3v2(frame(b"TCON", b"\0(17)Punk", 3), 3), ["Rock", "Punk"]),
        (id3v2(frame(b"TCON", b"Polka")), ["Polka"]),  # no encoding byte
        (id3v2(frame(b"TCON", b"\1J\0a\0z\0z\0")), ["Jazz"]),  # no byte order mark
        (id3v2(frame(b"TCON", b"\2\0J\0a\0z\0z")), ["Jazz"]),
        (id3v2_texts(b"") + id3v2_texts(b"Jazz"), ["Jazz"]),  # the second tag in a row
    ],
)
def test_the_old_genre_is_read_leniently(tmp_path: Path, tag: bytes, genres: list[str]) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(tag + AUDIO)
    assert tags.read(path).genres == genres


@pytest.mark.parametrize(
    "body", [b"\x05\0\1", b"\1\xff\xfe\x00\xd8\x00\xd8"], ids=["encoding", "surrogates"]
)
def test_a_genre_that_cannot_be_read_is_a_problem_and_not_empty(
    tmp_path: Path, body: bytes
) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(id3v2(frame(b"TCON", body)) + AUDIO)
    assert tags.read(path).problem == "its genre cannot be read"


@pytest.mark.parametrize(
    ("tag", "genres"),
    [
        (frame(b"TCON", syncsafe(6) + zlib.compress(b"\0Polka"), flags=9), ["Polka"]),
        (frame(b"TCON", b"G\0Polka", flags=0x40), ["Polka"]),  # a group's byte in front
        (frame(b"TCON", b"\x01\0Polka", flags=4), None),  # encrypted
        (frame(b"TCON", syncsafe(6) + b"no zlib", flags=9), None),
    ],
    ids=["compressed", "grouped", "encrypted", "broken"],
)
def test_a_frame_of_another_form_is_read_or_the_file_left_alone(
    tmp_path: Path, tag: bytes, genres: list[str] | None
) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(id3v2(tag, padding=9) + AUDIO)
    found = tags.read(path)
    assert (found.genres or None, found.problem) == (
        genres,
        None if genres else "its genre cannot be read",
    )


@pytest.mark.parametrize(("value", "genres"), [(b"Polka", ["Polka"]), (b"\x89PNG\r\n\x1a", None)])
def test_a_binary_genre_item_is_read_or_the_file_left_alone(
    tmp_path: Path, value: bytes, genres: list[str] | None
) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(AUDIO + ape([item(b"Genre", value, flags=2)]))
    found = tags.read(path)
    assert (found.genres or None, bool(found.problem)) == (genres, not genres)


@pytest.mark.parametrize(
    "data",
    [
        id3v2(b"", flags=0x40, extended=syncsafe(12) + b"\1\x20" + bytes(6)) + AUDIO,
        AUDIO + ape([item(b"Title", b"T")]).replace(b"\1\0\0\0\0\0\0\xa0", b"\2\0\0\0\0\0\0\xa0"),
        b"ID3\4\0\0\x7f\x7f\x7f\x7f" + AUDIO,
        b"ID3\5\0\0" + syncsafe(20) + bytes(20) + AUDIO,
    ],
    ids=["checksum", "count", "size", "version"],
)
def test_a_tag_that_cannot_be_explained_is_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(data)
    with pytest.raises((TrackError, UnexplainedError)):
        account(memoryview(data))
        tags.write(path, ["Jazz"])
    assert path.read_bytes() == data


def test_a_cut_wavpack_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.wv"
    path.write_bytes(WAVPACK + WAVPACK[:-1])
    assert tags.read(path).problem == "its WavPack blocks do not lead to its end"


@pytest.mark.parametrize(
    "body",
    [
        frame(b"TIT2", b"\0T") + b"\xffPE1" + bytes(20),
        frame(b"TIT2", b"\0T")[:4] + b"\0\0\x10\0\0\0" + bytes(40),
    ],
    ids=["name", "size"],
)
def test_frames_that_lead_nowhere_are_left_alone(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(id3v2(body) + AUDIO)
    assert tags.read(path).problem == "the frames of its ID3v2 tag do not lead to its end"


def test_a_genre_behind_the_padding_is_not_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    hidden = frame(b"TIT2", b"\0T") + bytes(20) + frame(b"TCON", b"\0Polka")
    path.write_bytes(id3v2(hidden) + AUDIO)
    assert tags.read(path).problem == "its genre cannot be read"


def test_a_tag_that_begins_with_a_zero_is_not_thrown_away(tmp_path: Path) -> None:
    rest = b"\t\0\0\x03A Title"
    after = write(tmp_path / "x.mp3", id3v2(b"\0" + rest) + AUDIO, ["Jazz"])
    assert rest in after


def test_id3v1_is_repeated_in_a_tag_that_has_no_texts(tmp_path: Path) -> None:
    data = id3v2(PICTURE) + AUDIO + id3v1(b"Other")
    after = write(tmp_path / "x.mp3", data, ["Jazz"])
    names = [f.name for f in id3.parse_tag(memoryview(after), 0).frames]
    assert names == [b"APIC", b"TIT2", b"TPE1", b"TALB", b"TCON"]


def test_an_empty_tag_takes_the_genre_and_keeps_its_header(tmp_path: Path) -> None:
    after = write(tmp_path / "x.mp3", b"ID3\4\1\4" + bytes(4) + AUDIO, ["Jazz"])
    assert after.startswith(b"ID3\4\1\4")


def test_an_empty_v22_tag_is_not_made_another_version_unasked(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(id3v2(b"", 2, padding=20) + AUDIO)
    assert tags.read(path).field == tags.V22
    with pytest.raises(TrackError, match=r"v2\.2"):
        tags.write(path, ["Jazz"])


def test_an_empty_apev2_tag_hides_nothing(tmp_path: Path) -> None:
    after = write(tmp_path / "x.wv", WAVPACK + ape([]) + id3v1(b"Other"), ["Zydeco-Punk"])
    assert all(text in after[: -len(id3v1(b""))] for text in TEXTS.values())
    cover = item(b"Cover Art (Front)", b"c.png\0\x89PNG", flags=2)
    after = write(tmp_path / "x.wv", WAVPACK + ape([cover]) + id3v1(b"Other"), ["Zydeco-Punk"])
    assert all(text in after[: -len(id3v1(b""))] for text in TEXTS.values())
    data = id3v2_texts(b"Other") + b"TTA1" + bytes(50) + ape([])
    assert write(tmp_path / "x.tta", data, ["Jazz"]).endswith(ape([]))


def test_zeros_end_a_v24_tag_as_ffmpeg_wants_them_behind_long_frames(tmp_path: Path) -> None:
    data = id3v2(frame(b"TCON", b"\0Other") + frame(b"TIT2", b"\0" + b"t" * 200), padding=4)
    after = write(tmp_path / "x.mp3", data + AUDIO, ["Electronic"])
    tag = id3.parse_tag(memoryview(after), 0)
    assert tag.padding_end - tag.frames_end == 10


NAMES = st.text(string.ascii_uppercase + string.digits, min_size=4, max_size=4)
FRAMES = st.lists(
    st.tuples(NAMES.filter(lambda n: n != "TCON"), st.binary(max_size=200), st.integers(0, 0x7000)),
    max_size=6,
)
KEYS = st.text(string.ascii_letters + " ", min_size=2, max_size=12).filter(
    lambda k: k.lower() not in ("genre", "id3", "tag", "oggs", "mp+")
)
ITEMS = st.lists(st.tuples(KEYS, st.binary(max_size=100), st.integers(0, 7)), max_size=5)


@given(
    frames=FRAMES,
    items=st.none() | ITEMS,
    version=st.sampled_from([3, 4]),
    padding=st.integers(0, 200),
    tail=st.booleans(),
    genre=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30),
)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nothing_but_the_genre_changes_in_any_file(
    tmp_path: Path,
    frames: list[tuple[str, bytes, int]],
    items: list[tuple[str, bytes, int]] | None,
    version: int,
    padding: int,
    tail: bool,
    genre: str,
) -> None:
    genre = genre.strip() or "Jazz"
    texts = [body for name, body, _ in frames if name.startswith(("T", "COMM", "USLT"))]
    assume(not (tail and texts and all(len(body) < 2 for body in texts)))  # left alone
    body = b"".join(frame(n.encode(), b, version, f & 0x7000) for n, b, f in frames)
    end = ape(item(k.encode(), v, f) for k, v, f in items) if items is not None else b""
    data = id3v2(body, version, padding=padding) + AUDIO + end + (id3v1(b"Other") if tail else b"")
    path = tmp_path / "x.mp3"
    path.write_bytes(data)
    tags.write(path, [genre])
    after = path.read_bytes()
    # An independent reader: the frames and items must be there as they were built, in order.
    assert body in _without_genre(after, version)
    for key, value, flags in items or []:
        assert item(key.encode(), value, flags) in after
    assert AUDIO in after
    copy = tmp_path / "y.mp3"
    copy.write_bytes(data)
    assert prove(copy, path) == []


def _without_genre(data: bytes, version: int) -> bytes:
    """Return an ID3v2 tag's body without its TCON frame, by a reader of its own."""
    size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]
    out, at, body = b"", 0, data[10 : 10 + size]
    while at + 10 <= len(body) and body[at]:
        raw = body[at + 4 : at + 8]
        length = int.from_bytes(raw, "big")
        if version == 4:
            length = raw[0] << 21 | raw[1] << 14 | raw[2] << 7 | raw[3]
        if body[at : at + 4] != b"TCON":
            out += body[at : at + 10 + length]
        at += 10 + length
    return out


@given(data=st.binary(max_size=600), front=st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_account_covers_every_byte_or_refuses(data: bytes, front: bool) -> None:
    whole = (id3v2_texts(b"Jazz") if front else b"") + AUDIO + data
    try:
        regions = bare.account(memoryview(whole), ("genre",)).regions
    except UnexplainedError:
        return
    assert b"".join(whole[r.start : r.end] for r in regions) == whole
    assert any(r.kind is Kind.AUDIO for r in regions)


@pytest.mark.parametrize("version", [3, 4])
def test_the_proof_sees_a_change_outside_the_genre(tmp_path: Path, version: int) -> None:
    old, new = tmp_path / "old.mp3", tmp_path / "new.mp3"
    old.write_bytes(id3v2_texts(b"Other", version) + AUDIO + ape_texts(b"Other"))
    for change in (
        id3v2_texts(b"Jazz", version).replace(b"Album", b"album") + AUDIO + ape_texts(b"Other"),
        id3v2_texts(b"Jazz", version) + AUDIO + ape_texts(b"Jazz").replace(b"Artist", b"artist"),
        id3v2_texts(b"Jazz", version) + AUDIO[:-1] + b"x" + ape_texts(b"Jazz"),
        id3v2_texts(b"Jazz", version) + AUDIO,
        id3v2(frame(b"TIT2", b"\0Title", version), version) + AUDIO + ape_texts(b"Jazz"),
    ):
        new.write_bytes(change)
        assert prove(old, new) != []


def test_an_artist_that_cannot_be_decoded_is_no_reason_to_leave_a_file_alone(
    tmp_path: Path,
) -> None:
    after = write(tmp_path / "x.mp3", id3v2(frame(b"TPE1", b"\4")) + AUDIO, ["Jazz"])
    assert frame(b"TPE1", b"\4") in after


@pytest.mark.parametrize(
    "flag",
    [
        frame(b"TCMP", b"\0" + b"1"),
        frame(b"TXXX", b"\3TCMP\0" + b"1\0"),
        frame(b"TXXX", b"\1" + "Compilation".encode("utf-16") + b"\0\0" + "1".encode("utf-16")),
    ],
)
def test_the_flag_of_a_compilation_is_read(tmp_path: Path, flag: bytes) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(id3v2(frame(b"TXXX", b"\0other\0" + b"1") + flag) + AUDIO)
    assert tags.read(path).album.compilation
    path.write_bytes(id3v2(frame(b"TXXX", b"\0other\0" + b"1")) + AUDIO)
    assert not tags.read(path).album.compilation


def test_a_tag_of_empty_texts_beside_id3v1_is_left_alone(tmp_path: Path) -> None:
    data = id3v2(frame(b"TIT2", b"\0")) + AUDIO + id3v1(b"Other")
    path = tmp_path / "x.mp3"
    path.write_bytes(data)
    with pytest.raises(TrackError, match="would hide those of ID3v1"):
        tags.write(path, ["Jazz"])
    assert path.read_bytes() == data
    assert tags.read(path).problem is not None


#: Formats that hold MPEG frames, or bytes that look like them -> encoder settings.
STRANGERS = {
    "mpeg": synthesis.Container("mp2", format="mpeg"),
    "mpegts": synthesis.Container("mp2", format="mpegts"),
    "flv": synthesis.Container("libmp3lame", format="flv"),
    "ac3": synthesis.Container("ac3", format="ac3"),
    "latm": synthesis.Container("aac", format="latm"),
    "nut": synthesis.Container("mp2", format="nut"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_no_id3_tag_is_put_in_front_of_another_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.mp3"
    synthesis.encode(path, synthesis.piece(3, 2), 44_100, STRANGERS[name])
    assert tags.read(path).field is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x7f\xfe\x80\x01" + AUDIO * 20,  # DTS
        b"\0\0\1\xba" + AUDIO * 20,  # an MPEG program stream
        b"unknown" + AUDIO * 4 + b"unknown" + AUDIO * 4,
        b"unknown" + b"\xff\xfb\x90\x44".join([bytes(413), *(bytes(400) for _ in range(40))]),
    ],
)
def test_a_few_sync_bytes_make_no_mpeg_stream(data: bytes) -> None:
    assert bare.kind_of(memoryview(data), 0) is None
    assert bare.kind_of(memoryview(bytes(300) + AUDIO * 20), 0) == "MP3"


@given(
    st.one_of(st.binary(max_size=8), st.sampled_from([b"OggS", b"fLaC", b"wvpk", b"\xff\xfb\x90"]))
)
def test_only_junk_needs_more_than_the_first_bytes(start: bytes) -> None:
    head = start.ljust(bare.HEAD_BYTES, b"\0")
    alone = bare.kind_of(memoryview(head), 0)
    if not bare.begins_with_junk(head):
        assert bare.kind_of(memoryview(head + bytes(300) + AUDIO * 20), 0) == alone
    else:
        assert alone is None


@pytest.mark.parametrize("junk", [bytes(1700), b"junk \xff\xfb", bytes(range(256)) * 20])
def test_mpeg_audio_behind_junk_is_written_and_keeps_its_content_key(
    tmp_path: Path, junk: bytes
) -> None:
    path = tmp_path / "a.mp3"
    synthesis.encode(path, synthesis.piece(3, 2), 44_100)
    # FFmpeg takes sync bytes in a tag behind the audio for one more frame.
    tag = ape([item(b"Cover Art (Front)", AUDIO * 3), item(b"Title", b"T")])
    stream = path.read_bytes()
    stream = stream[bare.audio_start(memoryview(stream)) :]
    path.write_bytes(junk + stream + tag)
    before = identify(path).content_key
    tags.write(path, ["Jazz"])
    assert identify(path).content_key == before
    path.write_bytes(id3v2_texts(b"Jazz") + path.read_bytes())
    assert identify(path).content_key == before


@pytest.mark.parametrize(
    "tag",
    [
        b"\0\0" + id3v2_texts(b"Jazz"),  # TagLib shows its title, until one stands in front
        b"junk" * 100 + id3v2_texts(b"Jazz"),
        ape_texts(b"Jazz"),  # mutagen does
    ],
)
def test_a_tag_where_few_programs_look_is_neither_hidden_nor_ignored(
    tmp_path: Path, tag: bytes
) -> None:
    path, stream = tmp_path / "a.mp3", (b"\xff\xfb\x90\x44" + bytes(413)) * 40
    path.write_bytes(tag + stream)
    assert "only some programs" in str(tags.read(path).problem)
    path.write_bytes(bytes(len(tag)) + stream)
    assert tags.read(path).problem is None
