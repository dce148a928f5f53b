"""WAV, AIFF, DSDIFF and DSF: the genre changes, and every other chunk, frame and byte stays."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from builders_chunks import (
    DFF,
    KINDS,
    WAV,
    build,
    chunk,
    dsf,
    id3,
    info,
    items_without,
    read_chunks,
    read_dsf,
    read_id3,
    read_info,
    rf64,
    sound,
    streamed,
)
from builders_vorbis import kept
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag.errors import TrackError
from genretag.layout import dsf as dsf_layout
from genretag.layout import iff as iff_layout
from genretag.layout.account import UnexplainedError
from genretag.tags.chunks import iff_edits, packed_size
from genretag.tags.dsf import dsf_edits
from genretag.tags.edits import edited
from genretag.tags.options import KEEP_AS_IS

EXAMPLES = settings(max_examples=150, deadline=None)
SOUND = sound(0.1)
NAMES = [b"bext", b"cue ", b"JUNK", b"iXML", b"ANNO", b"odd\x7e"]
CHUNK = st.tuples(st.sampled_from(NAMES), st.binary(max_size=41), st.sampled_from([b"\0", b"\xee"]))
ITEM = st.tuples(st.sampled_from([b"INAM", b"IART", b"ISFT", b"IGNR"]), st.binary(max_size=9))
FRAME = st.tuples(
    st.sampled_from([b"TIT2", b"TPE1", b"PRIV", b"XABC", b"TCON"]),
    st.binary(min_size=1, max_size=40).map(lambda b: b"\0" + b.replace(b"\0", b".")),
)
GENRES = st.lists(st.sampled_from(["Jazz", "Ωμέγα", "x" * 33]), min_size=1, max_size=2)


@dataclass(frozen=True)
class Parts:
    """What a test reads of a file."""

    chunks: list[tuple[bytes, bytes]]  # all but ID3 and INFO, in order
    tags: list[list[tuple[bytes, bytes]]]  # frames but TCON
    lists: list[list[tuple[bytes, bytes]]]  # items but IGNR
    tail: bytes
    genres: list[bytes] = field(compare=False, default_factory=list)  # of every tag and list


def parts(kind: object, data: bytes) -> Parts:
    chunks, tail = read_chunks(kind, data)  # type: ignore[arg-type]
    tags = [read_id3(d) for n, d in chunks if n.lower() == b"id3 "]
    lists = [read_info(d) for n, d in chunks if n == b"LIST" and d[:4] == b"INFO"]
    genres = [d for t in tags for n, d in t if n == b"TCON"]
    genres += [d for t in lists for n, d in t if n == b"IGNR"]
    return Parts(
        [(n, d) for n, d in chunks if n.lower() != b"id3 " and d[:4] != b"INFO" and n != b"ds64"],
        [items_without(t, b"TCON") for t in tags],
        [items_without(t, b"IGNR") for t in lists],
        tail,
        genres,
    )


def written(data: bytes, genres: list[str]) -> bytes:
    return edited(data, iff_edits(memoryview(data), genres, KEEP_AS_IS))


def explained(data: bytes) -> list[tuple[str, bytes]]:
    return kept(iff_layout.account(memoryview(data), ("genre",)), data)


@pytest.mark.parametrize("extension", KINDS)
@given(
    before=st.lists(CHUNK, max_size=3),
    behind=st.lists(CHUNK, max_size=3),
    frames=st.one_of(st.none(), st.lists(FRAME, max_size=4)),
    padding=st.integers(0, 60),
    items=st.one_of(st.none(), st.lists(ITEM, max_size=4)),
    tail=st.sampled_from([b"", b"behind", b"\xff"]),
    genres=GENRES,
)
@EXAMPLES
def test_all_but_the_genre_stays(
    extension: str,
    before: list[tuple[bytes, bytes, bytes]],
    behind: list[tuple[bytes, bytes, bytes]],
    frames: list[tuple[bytes, bytes]] | None,
    padding: int,
    items: list[tuple[bytes, bytes]] | None,
    tail: bytes,
    genres: list[str],
) -> None:
    kind = KINDS[extension]
    made = [chunk(kind, *c) for c in behind]
    if items is not None and kind is WAV:
        made.insert(len(made) // 2, info(*items))
    if frames is not None:
        made.append(chunk(kind, kind.id3.swapcase(), id3(*frames, padding=padding)))
    first = b"".join(chunk(kind, *c) for c in before)
    old = build(kind, SOUND, *made, before=first, tail=tail)
    new = written(old, genres)
    was, now = parts(kind, old), parts(kind, new)
    assert (now.chunks, now.lists, now.tail) == (was.chunks, was.lists, was.tail)
    assert now.genres
    if not was.tags or not any(was.tags):
        now.tags[:] = [[f for f in t if f[0] not in (b"TSSE",)] for t in now.tags]
    assert [t for t in now.tags if t] == [t for t in was.tags if t]
    if len(was.tags) == len(now.tags) and all(was.tags):
        assert explained(new) == explained(old)


@pytest.mark.parametrize("extension", KINDS)
def test_a_new_tag_goes_behind_a_chunk_whose_pad_byte_is_missing(extension: str) -> None:
    kind = KINDS[extension]
    whole = build(kind, SOUND, chunk(kind, b"odd ", b"123"))
    for size in (len(whole) - 1, len(whole)):
        number = (size - 4 - kind.width).to_bytes(kind.width, kind.order)
        old = whole[:4] + number + whole[4 + kind.width : -1]
        new = written(old, ["Jazz"])
        chunks, tail = read_chunks(kind, new)
        assert (chunks[-2], tail) == ((b"odd ", b"123"), b"")
        assert chunks[-1][0] == kind.id3


@pytest.mark.parametrize("extension", KINDS)
def test_a_size_that_leaves_the_last_pad_byte_out_is_set_right(extension: str) -> None:
    kind = KINDS[extension]
    whole = build(kind, SOUND, chunk(kind, kind.id3, id3((b"TIT2", b"\0T"), (b"TCON", b"\0Rock"))))
    assert whole.endswith(b"Rock\0")
    short = (len(whole) - 5 - kind.width).to_bytes(kind.width, kind.order)
    old = whole[:4] + short + whole[4 + kind.width :]
    assert read_chunks(kind, written(old, ["Dub"]))[1] == b""


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_rf64_keeps_its_sizes_of_64_bits(magic: bytes) -> None:
    old = rf64(SOUND, chunk(WAV, b"bext", bytes(603)), magic=magic)
    new = written(old, ["Jazz"])
    assert new[4:8] == b"\xff" * 4
    assert int.from_bytes(new[20:28], "little") == len(new) - 8
    assert new[28:36] == old[28:36]
    assert parts(WAV, new).chunks == parts(WAV, old).chunks
    assert explained(new)[: len(explained(old))][:-1] == explained(old)[:-1]


SOX = (0x7FFFF024, 0x7FFFF000)


@pytest.mark.parametrize("sizes", [(0xFFFFFFFF, 0xFFFFFFFF), SOX], ids=["ffmpeg", "sox"])
@pytest.mark.parametrize("items", [(), ((b"ISFT", b"Lavf\0"),), ((b"INAM", b"T\0"),)])
def test_a_stream_of_unknown_length_gets_its_genre_before_the_audio(
    sizes: tuple[int, int], items: tuple[tuple[bytes, bytes], ...]
) -> None:
    old = streamed(build(WAV, SOUND, before=info(*items) if items else b""), sizes)
    new = written(old, ["Jazz"])
    assert new.endswith(b"data" + sizes[1].to_bytes(4, "little") + SOUND)
    assert new[4:8] == sizes[0].to_bytes(4, "little")
    assert (b"IGNR\x05\0\0\0Jazz\0" in new) == bool(items)
    assert (b"TCON" in new) == (b"INAM" not in old)
    explained(new)


def test_info_that_tells_a_title_gets_the_genre_and_no_id3_tag_hides_it() -> None:
    old = build(WAV, SOUND, info((b"INAM", b"Title\0"), (b"IART", b"Artist\0")))
    new = written(old, ["Jazz", "Dub"])
    assert parts(WAV, new).tags == []
    assert parts(WAV, new).genres == [b"Jazz; Dub\0"]


def test_every_place_with_a_genre_gets_the_new_one() -> None:
    lists = info((b"INAM", b"T\0"), (b"IGNR", b"one\0")), info((b"IGNR", b"two\0"))
    tags = [chunk(WAV, b"id3 ", id3((b"TIT2", b"\0T"), (b"TCON", b"\0three")))] * 2
    new = written(build(WAV, SOUND, *lists, *tags), ["Jazz"])
    assert parts(WAV, new).genres == [b"\0Jazz"] * 2 + [b"Jazz\0"] * 2


def test_diin_keeps_title_and_artist_in_a_new_id3_tag() -> None:
    """TagLib shows DIIN only where there is no ID3 tag."""
    title = chunk(DFF, b"DITI", b"\0\0\0\x05Title")
    artist = chunk(DFF, b"DIAR", b"\0\0\0\x03Art")
    diin = chunk(DFF, b"DIIN", title + artist)
    new = written(build(DFF, SOUND, diin), ["Jazz"])
    chunks, _ = read_chunks(DFF, new)
    assert (b"DIIN", title + artist) in chunks
    frames = read_id3(chunks[-1][1])
    assert frames == [(b"TIT2", b"\0Title"), (b"TPE1", b"\0Art"), (b"TCON", b"\0Jazz")]


@pytest.mark.parametrize("extension", KINDS)
@pytest.mark.parametrize("missing", [1, 2, 1000])
def test_a_file_that_was_cut_off_is_left_alone(extension: str, missing: int) -> None:
    data = build(KINDS[extension], SOUND)
    with pytest.raises(UnexplainedError, match="cut off"):
        written(data[:-missing], ["Jazz"])


@pytest.mark.parametrize(
    ("data", "clause"),
    [
        (b"RIFF\x10\0\0\0WAVE\0\0\0\0\0\0\0\0\0\0\0\0", "do not lead"),
        (b"RIFF\0\0\0\0WAVEfmt ", "hold no audio"),
        (build(WAV, SOUND, chunk(WAV, b"LIST", b"INFOIGNR\xff\0\0\0x")), "list cannot"),
        (build(WAV, SOUND, chunk(WAV, b"id3 ", b"ID3\4\0\0\0\0\x7f\0")), "longer than the file"),
        (b"RF64\xff\xff\xff\xffWAVEfmt " + bytes(40), "ds64"),
        (b"FORM\0\0\0\x04ABCD", "no file of chunks"),
    ],
)
def test_what_cannot_be_explained_is_left_alone(data: bytes, clause: str) -> None:
    with pytest.raises(UnexplainedError, match=clause):
        written(data, ["Jazz"])


def test_a_file_as_large_as_its_sizes_allow_is_left_alone() -> None:
    with pytest.raises(TrackError, match="as large as"):
        packed_size(0xFFFFFFFF, 4, "little")


# --- DSF ------------------------------------------------------------------------------------------


def dsf_written(data: bytes, genres: list[str]) -> bytes:
    return edited(data, dsf_edits(memoryview(data), genres, KEEP_AS_IS))


@given(
    frames=st.one_of(st.none(), st.lists(FRAME, min_size=1, max_size=4)),
    padding=st.integers(0, 60),
    tail=st.binary(max_size=20).filter(lambda b: not b.startswith(b"ID3")),
    genres=GENRES,
)
@EXAMPLES
def test_a_dsf_keeps_all_but_the_genre(
    frames: list[tuple[bytes, bytes]] | None, padding: int, tail: bytes, genres: list[str]
) -> None:
    old = dsf(SOUND, id3(*frames, padding=padding) if frames is not None else b"", tail)
    new = dsf_written(old, genres)
    audio, tag, rest = read_dsf(new)
    assert (audio, rest) == (read_dsf(old)[0], tail)
    assert items_without(read_id3(tag), b"TCON") == items_without(frames or [], b"TCON")
    assert [n for n, _ in read_id3(tag)].count(b"TCON") == 1
    if frames is not None:
        fields = ("genre",)
        before = kept(dsf_layout.account(memoryview(old), fields), old)
        assert kept(dsf_layout.account(memoryview(new), fields), new) == before


@pytest.mark.parametrize("pointer", ["end", "beyond"])
def test_an_offset_that_leads_to_no_tag_is_set_right(pointer: str) -> None:
    plain = dsf(SOUND)
    old = dsf(SOUND, pointer=len(plain) if pointer == "end" else 1 << 40)
    audio, tag, rest = read_dsf(dsf_written(old, ["Jazz"]))
    assert (audio, rest) == (read_dsf(plain)[0], b"")
    assert read_id3(tag) == [(b"TCON", b"\0Jazz")]


def test_a_total_that_is_wrong_is_set_right() -> None:
    whole = dsf(SOUND, id3((b"TIT2", b"\0T")))
    read_dsf(dsf_written(whole[:12] + bytes(8) + whole[20:], ["Jazz"]))


@pytest.mark.parametrize(
    ("data", "clause"),
    [
        (dsf(SOUND)[:-1], "cut off"),
        (dsf(SOUND)[:90], "cut off"),
        (dsf(SOUND, pointer=100), "leads to no tag"),
        (dsf(SOUND).replace(b"fmt ", b"FMT "), "fmt chunk"),
    ],
)
def test_a_dsf_that_cannot_be_explained_is_left_alone(data: bytes, clause: str) -> None:
    with pytest.raises(UnexplainedError, match=clause):
        dsf_written(data, ["Jazz"])
