"""Tags: the genre goes where each container keeps it, and nothing else moves. Read back by FFmpeg
as well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from rawtags import ffmpeg_genre, make_apev2, make_id3, make_id3v1, read_id3, vorbis_comments

from genretag import audio, tags
from genretag.audio import mpeg, synthesis
from genretag.errors import TrackError
from genretag.tags.generic import is_generic
from genretag.tags.id3v1 import resolve

WRITABLE = [e for e in synthesis.CONTAINERS if e != ".mka"]


def copy(seed_files: dict[str, Path], extension: str, folder: Path) -> Path:
    return Path(shutil.copy(seed_files[extension], folder / f"x{extension}"))


@pytest.mark.parametrize("extension", WRITABLE)
@pytest.mark.parametrize(
    "genres",
    [["Jazz"], ["Drum & Bass, Dub/Roots"], ["Électronique", "宇宙"]],
    ids=["one", "commas", "two"],
)
class TestEveryContainer:
    def test_genres_read_back_and_the_audio_is_the_same(
        self, seed_files: dict[str, Path], tmp_path: Path, extension: str, genres: list[str]
    ) -> None:
        path = copy(seed_files, extension, tmp_path)
        before, others = audio.identify(path).content_key, tags.non_genre_tags(path)
        tags.write(path, genres)
        assert tags.read(path).genres == genres
        assert audio.identify(path).content_key == before
        assert tags.changed_places(others, tags.non_genre_tags(path)) == []

    def test_ffmpeg_reads_the_same(
        self, seed_files: dict[str, Path], tmp_path: Path, extension: str, genres: list[str]
    ) -> None:
        if (extension == ".aiff" and len(genres) > 1) or extension == ".tta":
            pytest.skip("FFmpeg reads the first value, or none, here")
        path = copy(seed_files, extension, tmp_path)
        tags.write(path, genres)
        read = ffmpeg_genre(path)
        assert (
            read == genres
            or read == genres[:1]
            or read == "; ".join(genres).split(";")
            or read[-1:] == genres[-1:]
        )

    def test_writing_the_other_tags_stay(
        self, seed_files: dict[str, Path], tmp_path: Path, extension: str, genres: list[str]
    ) -> None:
        path = copy(seed_files, extension, tmp_path)
        artist = tags.read(path).album.artist
        tags.write(path, genres)
        assert tags.read(path).album.artist == artist


def test_ffprobe_agrees(seed_files: dict[str, Path], tmp_path: Path) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    for extension in (".mp3", ".flac", ".m4a", ".ogg", ".opus", ".wma", ".wv"):
        path = copy(seed_files, extension, tmp_path)
        tags.write(path, ["Jazz"])
        out = subprocess.run(
            ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path)],
            capture_output=True,
            check=True,
        )
        data = json.loads(out.stdout)
        found = {**data["format"].get("tags", {}), **data["streams"][0].get("tags", {})}
        assert {k.lower(): v for k, v in found.items()}["genre"] == "Jazz", extension
        assert {k.lower(): v for k, v in found.items()}["title"] == "A Title", extension


def test_a_container_that_holds_no_genre_is_reported(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = copy(seed_files, ".mka", tmp_path)
    assert tags.read(path).problem is not None
    with pytest.raises(TrackError, match="no genre"):
        tags.write(path, ["Jazz"])


FRAMES = [
    ("TIT2", b"\x00A Title"),
    ("TSOP", b"\x00Sort"),
    ("COMM", b"\x00eng\x00first"),
    ("COMM", b"\x00deudesc\x00zweiter"),
    ("TXXX", b"\x00MOOD\x00calm"),
    ("TXXX", b"\x00MOOD\x00again"),
    ("PRIV", b"owner\x00\x01\x02\xff\x00"),
    ("GEOB", b"\x00application/octet-stream\x00cue\x00Serato Markers_\x00\x01\x00\xff"),
    ("UFID", b"http://x\x00id"),
    ("POPM", b"me@x\x00\xff\x00\x00\x00\x01"),
    ("APIC", b"\x00image/png\x00\x03\x00\x89PNG..."),
    ("XSOT", b"\x00nobody knows this frame"),
    ("TCON", b"\x00Other"),
    ("TPE1", b"\x00One/Two"),
    ("TYER", b"\x002001"),
]


def mp3_with(seed_files: dict[str, Path], folder: Path, head: bytes, tail: bytes = b"") -> Path:
    data = seed_files[".mp3"].read_bytes()
    size = read_id3(data)
    body = (
        data[10 + int.from_bytes(bytes([0]), "big") :]
        if size is None
        else data[_tag_length(data) :]
    )
    path = folder / "x.mp3"
    path.write_bytes(head + body + tail)
    return path


def _tag_length(data: bytes) -> int:
    return 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9])


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize(
    "genres", [["Jazz"], ["Jazz", "Bebop"], ["Ωμέγα"]], ids=["one", "two", "greek"]
)
def test_id3_keeps_its_version_and_every_other_frame_in_order(
    seed_files: dict[str, Path], tmp_path: Path, version: int, genres: list[str]
) -> None:
    path = mp3_with(seed_files, tmp_path, make_id3(version, FRAMES))
    before = read_id3(path.read_bytes())
    tags.write(path, genres)
    after = read_id3(path.read_bytes())
    assert before is not None
    assert after is not None
    assert after.version == version
    assert after.others() == before.others()
    assert tags.read(path).genres == genres


def test_id3v1_keeps_all_but_its_genre_byte(seed_files: dict[str, Path], tmp_path: Path) -> None:
    block = make_id3v1("Other Title", "Other Artist", 17)
    path = mp3_with(seed_files, tmp_path, make_id3(3, FRAMES), block)
    tags.write(path, ["Jazz"])
    assert path.read_bytes()[-128:] == block[:127] + b"\x08"


def test_a_file_with_id3v1_alone_changes_by_one_byte(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = mp3_with(seed_files, tmp_path, b"", make_id3v1("Title", "Artist", 12))
    before = path.read_bytes()
    assert tags.read(path).genres == ["Other"]
    tags.write(path, ["Jazz"])
    assert path.read_bytes() == before[:-1] + b"\x08"


def test_a_word_id3v1_does_not_know_gets_a_new_tag_that_takes_title_and_artist_over(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = mp3_with(seed_files, tmp_path, b"", make_id3v1("Title", "Artist", 12))
    tags.write(path, ["Cumbia"])
    frames = dict(read_id3(path.read_bytes()).frames)  # type: ignore[union-attr]
    assert b"Title" in frames["TIT2"]
    assert b"Artist" in frames["TPE1"]
    assert tags.read(path).genres == ["Cumbia"]


def test_a_stale_genre_in_apev2_beside_id3_is_renewed(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    ape = make_apev2(
        [
            ("REPLAYGAIN_TRACK_GAIN", b"-3.2 dB"),
            ("Genre", b"Other"),
            ("Junk", b"\xff\xfb\x90\x00" * 40),
        ]
    )
    path = mp3_with(seed_files, tmp_path, make_id3(4, FRAMES), ape)
    key = audio.identify(path).content_key
    tags.write(path, ["Jazz"])
    data = path.read_bytes()
    assert b"Genre\0Jazz" in data
    assert b"REPLAYGAIN_TRACK_GAIN\0-3.2 dB" in data
    assert audio.identify(path).content_key == key


def test_the_name_of_an_apev2_tag_is_not_taken_for_id3v1(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    """An APEv2 tag of 131 bytes puts the TAG of its APETAGEX where an ID3v1 block would begin."""
    for length in range(120, 140):
        tail = make_apev2([("Genre", b"x" * (length - 78))])
        assert len(tail) == length
        path = mp3_with(seed_files, tmp_path, b"", tail)
        plain = len(path.read_bytes()) - length
        with path.open("rb") as handle:
            assert mpeg.audio_span(handle).stop == plain, length


def test_an_id3v1_block_behind_an_apev2_tag_stays(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    block = make_id3v1("T", "A", 12)
    path = mp3_with(
        seed_files, tmp_path, make_id3(3, FRAMES), make_apev2([("Genre", b"Other")]) + block
    )
    tags.write(path, ["Jazz"])
    assert path.read_bytes()[-128:] == block[:127] + b"\x08"
    assert b"Genre\0Jazz" in path.read_bytes()


def test_sync_bytes_in_apev2_are_not_taken_for_music(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    """FFmpeg alone reads them as audio; the demuxer is bounded to the bytes between the tags."""
    plain = mp3_with(seed_files, tmp_path, make_id3(4, FRAMES)).rename(tmp_path / "plain.mp3")
    frame = seed_files[".mp3"].read_bytes()[_tag_length(seed_files[".mp3"].read_bytes()) :][
        2000:6000
    ]
    tagged = mp3_with(
        seed_files, tmp_path, make_id3(4, FRAMES), make_apev2([("Cover Art (Front)", frame)])
    )
    assert audio.identify(plain).content_key == audio.identify(tagged).content_key


def test_id3v22_is_left_alone_by_default(seed_files: dict[str, Path], tmp_path: Path) -> None:
    body = (
        b"TT2"
        + (8).to_bytes(3, "big")
        + b"\x00A Title"
        + b"TCO"
        + (6).to_bytes(3, "big")
        + b"\x00Other"
    )
    path = mp3_with(
        seed_files,
        tmp_path,
        b"ID3\x02\x00\x00" + bytes([0, 0, 0, len(body) + 10]) + body + bytes(10),
    )
    assert tags.read(path).genres == ["Other"]
    with pytest.raises(TrackError, match="convert-v22"):
        tags.write(path, ["Jazz"])
    tags.write(path, ["Jazz"], tags.TagOptions(convert_v22=True))
    after = read_id3(path.read_bytes())
    assert after is not None
    assert after.version == 3
    assert {"TIT2", "TCON"} <= {name for name, _ in after.frames}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("(17)", ["Rock"]),
        ("17", ["Rock"]),
        ("(12)", ["Other"]),
        ("(4)Eurodisco", ["Disco", "Eurodisco"]),
        ("(17)(39)", ["Rock", "Noise"]),
        ("Rock", ["Rock"]),
        ("((x)", ["(x)"]),
        ("(RX)", ["Remix"]),
        ("1979", ["1979"]),
        ("(250)", ["Unknown"]),
        ("", []),
    ],
)
def test_numbers_are_resolved_by_id3v1s_table(text: str, want: list[str]) -> None:
    assert resolve(text) == want


@pytest.mark.parametrize("word", ["", " ", "Other", "UNKNOWN", "misc", "Music", "Genre"])
def test_words_that_say_nothing_are_generic(word: str) -> None:
    assert is_generic(word)
    assert not is_generic(word + " Blues")


def test_riff_info_genre_is_renewed_with_the_id3_tag(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    synthesis.encode(
        path, synthesis.piece(1, 2), 44_100, tags={"title": "T", "genre": "Other", "artist": "A"}
    )
    data = path.read_bytes()
    assert b"IGNR" in data
    before = tags.non_genre_tags(path)
    tags.write(path, ["Drum & Bass"])
    after = path.read_bytes()
    assert b"IGNR\x0c\0\0\0Drum & Bass\0" in after
    assert int.from_bytes(after[4:8], "little") == len(after) - 8
    assert tags.changed_places(before, tags.non_genre_tags(path)) == []
    assert ffmpeg_genre(path) == ["Drum & Bass"]


def test_several_vorbis_lines_become_the_new_ones_where_the_first_stood(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    synthesis.encode(path, synthesis.piece(1, 2), 44_100)
    from mutagen.flac import FLAC

    audio_file = FLAC(path)
    audio_file.tags[:] = [
        ("TITLE", "T"),
        ("Genre", "Other"),
        ("custom", "a=b"),
        ("GENRE", "Misc"),
        ("ARTIST", "A"),
    ]
    audio_file.save()
    tags.write(path, ["Jazz", "Bebop"])
    assert vorbis_comments(path) == [
        ("TITLE", "T"),
        ("Genre", "Jazz"),
        ("Genre", "Bebop"),
        ("custom", "a=b"),
        ("ARTIST", "A"),
    ]


def test_hurt_tags_are_a_problem_and_no_exception(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff")
    (tmp_path / "y.flac").write_bytes(b"fLaC\x00\x00\x00\x22" + b"\0" * 5)
    for path in tmp_path.iterdir():
        assert tags.read(path).problem
