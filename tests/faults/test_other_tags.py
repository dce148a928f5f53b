"""Other tags, at random: after a write only the genre changed, read by readers that are not
mutagen; after undo nothing did.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from breaking import rows_for, sha
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.mp4 import MP4, MP4FreeForm
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from rawtags import (
    ape_items,
    asf_strings,
    flac_blocks,
    iff_chunks,
    make_apev2,
    make_id3,
    make_id3v1,
    mp4_leaves,
    ogg_comments,
    read_id3,
    syncsafe,
    vorbis_comments,
)

from genretag.storage.cache import AnalysisCache
from genretag.storage.journal import Journal
from genretag.writing.apply import apply_rows, undo_runs
from genretag.writing.target import WriteOptions

EXAMPLES = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

GENRES = st.lists(
    st.sampled_from(["Jazz", "Hip-Hop", "Drum & Bass", "Ωμέγα"]),
    min_size=1,
    max_size=2,
    unique=True,
)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
FRAME = st.tuples(
    st.sampled_from(
        [
            "TIT2",
            "TPE1",
            "TSOP",
            "COMM",
            "TXXX",
            "PRIV",
            "GEOB",
            "UFID",
            "POPM",
            "APIC",
            "USLT",
            "CHAP",
            "CTOC",
            "XABC",
            "WXXX",
        ]
    ),
    st.binary(min_size=1, max_size=300),
)


def written_and_undone(path: Path, genres: list[str], look: Callable[[Path], Any]) -> None:
    """Write genres safely, compare before and after, undo, and compare the bytes."""
    with tempfile.TemporaryDirectory() as folder:
        store, journal = AnalysisCache(Path(folder) / "g.db"), Journal(Path(folder) / "j.db")
        before, seen = sha(path), look(path)
        (row,) = rows_for([path])
        row = type(row)(**{**row.to_dict(), "new": genres})
        errors: list[str | None] = []
        apply_rows(
            store, journal, 1, [(None, row)], WriteOptions(), lambda r: errors.append(r.error)
        )
        assert errors == [None]
        assert look(path) == seen
        undo_runs(store, journal, 2, list(journal.changes()), lambda r: errors.append(r.error))
        assert errors == [None, None]
        assert sha(path) == before
        store.close()
        journal.close()


def stripped(path: Path) -> bytes:
    """Return an MP3's bytes without the tag at its head."""
    data = path.read_bytes()
    return data[10 + syncsafe(data[6:10]) :] if data[:3] == b"ID3" else data


def unsynchronised(tag: bytes) -> bytes:
    """Return a v2.3 tag with unsynchronisation: a zero after every 0xFF that could be taken for a
    sync.
    """
    body, out = tag[10:], bytearray()
    for i, b in enumerate(body):
        out.append(b)
        if b == 0xFF and (i + 1 == len(body) or body[i + 1] >= 0xE0 or body[i + 1] == 0):
            out.append(0)
    n = len(out)
    return (
        tag[:5]
        + b"\x80"
        + bytes([n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127])
        + bytes(out)
    )


@given(
    st.lists(FRAME, max_size=12),
    st.sampled_from([3, 4]),
    st.integers(0, 3000),
    GENRES,
    st.booleans(),
    st.booleans(),
)
@EXAMPLES
def test_id3_frames_of_any_kind_stay(
    seed_files: dict[str, Path],
    tmp_path: Path,
    frames: list[tuple[str, bytes]],
    version: int,
    padding: int,
    genres: list[str],
    v1: bool,
    ape: bool,
) -> None:
    texts = [body for name, body in frames if name.startswith(("T", "COMM", "USLT"))]
    assume(not (v1 and texts and all(len(body) < 2 for body in texts)))  # left alone
    path = tmp_path / "x.mp3"
    tail = (
        make_apev2([("REPLAYGAIN_TRACK_GAIN", b"-1 dB"), ("Genre", b"Other")]) if ape else b""
    ) + (make_id3v1("T", "A", 12) if v1 else b"")
    path.write_bytes(make_id3(version, frames, padding) + stripped(seed_files[".mp3"]) + tail)

    def look(p: Path) -> Any:
        data = p.read_bytes()
        tag = read_id3(data)
        assert tag is not None
        items = {k: v for k, v in ape_items(data).items() if k != "Genre"}
        others = tag.others()
        if v1 and not any(name.startswith(("T", "COMM", "USLT")) for name, _ in frames):
            # A tag without texts repeats those of ID3v1, which it would hide from FFmpeg.
            others = [f for f in others if f[0] not in ("TIT2", "TPE1")]
        return tag.version, others, data[-128:-1] if v1 else None, items

    written_and_undone(path, genres, look)


@given(st.lists(FRAME, min_size=1, max_size=8), GENRES)
@EXAMPLES
def test_unsynchronised_tags_keep_what_their_frames_say(
    seed_files: dict[str, Path], tmp_path: Path, frames: list[tuple[str, bytes]], genres: list[str]
) -> None:
    path = tmp_path / "x.mp3"
    plain = make_id3(3, frames)
    path.write_bytes(unsynchronised(plain) + stripped(seed_files[".mp3"]))
    want = read_id3(plain)
    assert want is not None

    def look(p: Path) -> Any:
        data = p.read_bytes()
        if data[5] & 0x80:
            return want.others()
        after = read_id3(data)
        assert after is not None
        return after.others()

    written_and_undone(path, genres, look)


def test_a_tag_with_a_footer_keeps_its_frames(seed_files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    tag = make_id3(4, [("TIT2", b"\x03Title"), ("PRIV", b"x\x00\xff\xfe")], padding=0)
    path.write_bytes(
        tag[:5]
        + b"\x10"
        + tag[6:]
        + b"3DI"
        + tag[3:5]
        + b"\x10"
        + tag[6:10]
        + stripped(seed_files[".mp3"])
    )
    written_and_undone(path, ["Jazz"], lambda p: read_id3(p.read_bytes()).others())  # type: ignore[union-attr]


KEYS = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7D, exclude_characters="="),
    min_size=1,
    max_size=20,
)
COMMENTS = st.lists(st.tuples(KEYS.filter(lambda k: k.upper() != "GENRE"), TEXT), max_size=15)


@given(
    COMMENTS,
    st.lists(st.sampled_from(["Other", "Unknown"]), max_size=3),
    GENRES,
    st.binary(max_size=400),
    st.integers(0, 5000),
)
@EXAMPLES
def test_vorbis_comments_pictures_and_other_blocks_of_flac_stay(
    seed_files: dict[str, Path],
    tmp_path: Path,
    comments: list[tuple[str, str]],
    old: list[str],
    genres: list[str],
    blob: bytes,
    padding: int,
) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(seed_files[".flac"].read_bytes())
    audio = FLAC(path)
    audio.tags[:] = [*comments, *(("Genre", g) for g in old)]
    audio.save(padding=lambda _: padding)
    data, at = path.read_bytes(), 42
    extra = b"\x02" + struct.pack(">I", len(blob) + 4)[1:] + b"test" + blob  # an APPLICATION block
    picture = (
        struct.pack(">II", 3, 9)
        + b"image/png"
        + struct.pack(">IIIIII", 0, 1, 1, 24, 0, len(blob))
        + blob
    )
    extra += b"\x06" + struct.pack(">I", len(picture))[1:] + picture
    path.write_bytes(data[:at] + extra + data[at:])

    def look(p: Path) -> Any:
        blocks = [b for b in flac_blocks(p) if b[0] not in (1, 4)]
        return blocks, [(k, v) for k, v in vorbis_comments(p) if k.upper() != "GENRE"]

    written_and_undone(path, genres, look)


@pytest.mark.parametrize(("extension", "kind"), [(".ogg", OggVorbis), (".opus", OggOpus)])
@given(
    comments=COMMENTS, old=st.lists(st.sampled_from(["Other", "Misc"]), max_size=2), genres=GENRES
)
@EXAMPLES
def test_comments_of_ogg_stay(
    seed_files: dict[str, Path],
    tmp_path: Path,
    extension: str,
    kind: Any,
    comments: list[tuple[str, str]],
    old: list[str],
    genres: list[str],
) -> None:
    path = tmp_path / f"x{extension}"
    path.write_bytes(seed_files[extension].read_bytes())
    audio = kind(path)
    audio.tags[:] = [*comments, *(("GENRE", g) for g in old)]
    audio.save()
    written_and_undone(
        path, genres, lambda p: [(k, v) for k, v in ogg_comments(p) if k.upper() != "GENRE"]
    )


@given(
    st.dictionaries(
        st.text("abcXYZ ", min_size=1, max_size=12), st.binary(min_size=1, max_size=200), max_size=6
    ),
    TEXT,
    GENRES,
    st.booleans(),
)
@EXAMPLES
def test_freeform_atoms_and_covers_of_mp4_stay(
    seed_files: dict[str, Path],
    tmp_path: Path,
    freeform: dict[str, bytes],
    lyrics: str,
    genres: list[str],
    numeric: bool,
) -> None:
    path = tmp_path / "x.m4a"
    path.write_bytes(seed_files[".m4a"].read_bytes())
    audio = MP4(path)
    for name, value in freeform.items():
        audio[f"----:com.example:{name}"] = [MP4FreeForm(value)]
    audio["\xa9lyr"], audio["tmpo"], audio["disk"] = [lyrics or "x"], [120], [(1, 2)]
    if numeric:
        audio["\xa9gen"] = ["Other"]
    audio.save()
    written_and_undone(
        path,
        genres,
        lambda p: sorted(leaf for leaf in mp4_leaves(p) if leaf[0] not in ("\xa9gen", "gnre")),
    )


@pytest.mark.parametrize("extension", [".wav", ".aiff"])
@given(
    chunks=st.lists(
        st.tuples(
            st.sampled_from([b"bext", b"cue ", b"smpl", b"iXML", b"junk"]), st.binary(max_size=301)
        ),
        max_size=5,
    ),
    genres=GENRES,
)
@EXAMPLES
def test_other_chunks_of_wav_and_aiff_stay(
    seed_files: dict[str, Path],
    tmp_path: Path,
    extension: str,
    chunks: list[tuple[bytes, bytes]],
    genres: list[str],
) -> None:
    path = tmp_path / f"x{extension}"
    data = bytearray(seed_files[extension].read_bytes())
    order: Any = "little" if extension == ".wav" else "big"
    data += b"\0" * (len(data) & 1)
    for name, short in chunks:
        body = short.ljust(602, b"\0") if name == b"bext" else short  # FFmpeg takes no shorter bext
        data += name + len(body).to_bytes(4, order) + body + b"\0" * (len(body) & 1)
    data[4:8] = (len(data) - 8).to_bytes(4, order)
    path.write_bytes(bytes(data))

    def look(p: Path) -> Any:
        kept = [c for c in iff_chunks(p) if c[0].lower() != b"id3 "]
        return [(n, _without_genre(d) if n == b"LIST" else d) for n, d in kept]

    written_and_undone(path, genres, look)


def _without_genre(info: bytes) -> bytes:
    """Return a LIST of INFO, as bytes, without its genre."""
    at = info.find(b"IGNR")
    size = int.from_bytes(info[at + 4 : at + 8], "little")
    return info if at < 0 else info[:at] + info[at + 8 + size + (size & 1) :]


@given(
    st.dictionaries(
        st.text("abcXYZ_", min_size=2, max_size=12),
        st.text("xyzé", min_size=1, max_size=30),
        max_size=8,
    ),
    GENRES,
)
@EXAMPLES
def test_items_of_apev2_stay(
    seed_files: dict[str, Path], tmp_path: Path, items: dict[str, str], genres: list[str]
) -> None:
    from mutagen.wavpack import WavPack

    path = tmp_path / "x.wv"
    path.write_bytes(seed_files[".wv"].read_bytes())
    audio = WavPack(path)
    if audio.tags is None:
        audio.add_tags()
    for key, value in {k.lower(): (k, v) for k, v in items.items()}.values():
        audio[key] = value
    audio.save()
    written_and_undone(
        path, genres, lambda p: {k: v for k, v in ape_items(p.read_bytes()).items() if k != "Genre"}
    )


@given(
    st.dictionaries(st.text("abcXYZ/", min_size=2, max_size=12), TEXT.filter(bool), max_size=6),
    GENRES,
)
@EXAMPLES
def test_attributes_of_asf_stay(
    seed_files: dict[str, Path], tmp_path: Path, items: dict[str, str], genres: list[str]
) -> None:
    from mutagen.asf import ASF

    path = tmp_path / "x.wma"
    path.write_bytes(seed_files[".wma"].read_bytes())
    audio = ASF(path)
    for key, value in items.items():
        audio[key] = value
    audio.save()
    written_and_undone(
        path, genres, lambda p: sorted(s for s in asf_strings(p) if s[0] != "WM/Genre")
    )


def test_the_raw_readers_read(seed_files: dict[str, Path]) -> None:
    assert ("title", "A Title") in [(k.lower(), v) for k, v in ogg_comments(seed_files[".opus"])]
    assert any(name == "\xa9nam" for name, _ in mp4_leaves(seed_files[".m4a"]))
    assert b"data" in dict(iff_chunks(seed_files[".wav"]))
    assert asf_strings(seed_files[".wma"])
