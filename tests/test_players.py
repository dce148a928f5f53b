"""Players and ID3 versions: genres as each player reads them, and lossless conversions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.id3 import ID3
from mutagen.mp4 import MP4
from rawtags import ffmpeg_genre, make_id3, read_id3
from test_hostile_files import dsf
from typer.testing import CliRunner

from genretag import tags
from genretag.cli import app
from genretag.decisions.genre import decide
from genretag.decisions.players import READINGS, Id3Version, Player
from genretag.decisions.policy import Existing, Policy
from genretag.decisions.vote import Status, Verdict
from genretag.errors import TrackError
from genretag.records import Tags
from genretag.tags import TagOptions

SURE = Verdict(Status.OK, "Jazz", 0.9, {"Jazz": 0.6, "Blues": 0.4}, 3, 1.0, 1.0)


def new_genres(player: Player | None, place: str, **rules: object) -> list[str]:
    found = decide(SURE, Tags([], place), Policy(top=2, player=player, **rules))  # type: ignore[arg-type]
    return found[2]


def test_every_fact_about_a_player_has_a_source() -> None:
    assert set(READINGS) == set(Player)
    for reading in READINGS.values():
        assert reading.facts
        assert all(f.says and ("." in f.source or "the same" in f.source) for f in reading.facts)
        assert not (reading.joined or reading.id3 is not Id3Version.KEEP) or reading.facts


@pytest.mark.parametrize(
    ("player", "place", "want"),
    [
        (None, "TCON", ["Jazz", "Blues"]),
        (Player.WINDOWS, "TCON", ["Jazz; Blues"]),
        (Player.WINDOWS, "WM/Genre", ["Jazz", "Blues"]),
        (Player.FOOBAR2000, "©gen", ["Jazz; Blues"]),
        (Player.FOOBAR2000, "GENRE", ["Jazz", "Blues"]),
        (Player.PLEX, "©gen", ["Jazz;Blues"]),
        (Player.SERATO, "GENRE", ["Jazz; Blues"]),
        (Player.NAVIDROME, "TCON", ["Jazz", "Blues"]),
    ],
)
def test_a_player_gets_the_form_that_it_reads(
    player: Player | None, place: str, want: list[str]
) -> None:
    assert new_genres(player, place) == want


def test_the_users_separator_overrides_the_players() -> None:
    assert new_genres(Player.WINDOWS, "TCON", separator="/") == ["Jazz/Blues"]
    assert Policy(player=Player.WINDOWS, id3_version=Id3Version.KEEP).id3 is Id3Version.KEEP
    assert Policy(player=Player.WINDOWS).id3 is Id3Version.V23


def test_joined_genres_are_not_joined_twice() -> None:
    policy = Policy(top=2, player=Player.WINDOWS, existing=Existing.APPEND)
    for there in (["Jazz; Blues"], ["Jazz;Blues"], ["Soul; Jazz; Blues"]):
        _, reason, new, _ = decide(SURE, Tags(there, "TCON"), policy)
        assert sorted(new[0].split("; ")) == sorted({*map(str.strip, there[0].split(";"))}), reason


def test_a_policy_keeps_its_player_and_its_version() -> None:
    policy = Policy(player=Player.SERATO, id3_version=Id3Version.V24)
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@pytest.mark.parametrize("player", list(Player))
@pytest.mark.parametrize("extension", [".mp3", ".m4a", ".flac", ".opus", ".wma", ".wv"])
def test_the_file_says_what_was_planned(
    seed_files: dict[str, Path], tmp_path: Path, player: Player, extension: str
) -> None:
    path = Path(shutil.copy(seed_files[extension], tmp_path / f"x{extension}"))
    policy = Policy(player=player, top=2)
    new = new_genres(player, tags.read(path).field or "")
    tags.write(path, new, TagOptions(id3_version=policy.id3.number))
    assert tags.read(path).genres == new
    if player is Player.WINDOWS and extension == ".mp3":
        assert path.read_bytes()[3] == 3
        assert ffmpeg_genre(path) == ["Jazz", " Blues"]
    if extension == ".m4a":
        assert MP4(path)["\xa9gen"] == new


def test_players_lists_each_player_with_its_facts() -> None:
    out = CliRunner().invoke(app, ["players", "--json"])
    listed = [json.loads(line) for line in out.stdout.splitlines()]
    assert [entry["player"] for entry in listed] == [str(p) for p in READINGS]
    assert all(entry["facts"] for entry in listed)
    assert "learn.microsoft.com" in CliRunner().invoke(app, ["players"]).stdout


def test_apply_writes_for_the_player_of_the_scan(
    genretag: Program, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for extension in (".mp3", ".flac"):
        shutil.copy(seed_files[extension], music / f"x{extension}")
    version = (music / "x.mp3").read_bytes()[3]
    scan = genretag(
        "scan",
        music,
        "--dry-run",
        "--json",
        "--existing",
        "replace",
        "--min-confidence",
        0,
        "--top",
        3,
        "--player",
        "windows",
    )
    rows = {Path(r["path"]).suffix: r for r in scan.rows}
    assert len(rows[".mp3"]["new"]) == 1
    assert genretag("apply", "--yes").status == 0
    assert (version, (music / "x.mp3").read_bytes()[3]) == (4, 3)
    assert tags.read(music / "x.mp3").genres == rows[".mp3"]["new"]
    assert genretag("undo", "--yes").status == 0
    assert (music / "x.mp3").read_bytes()[3] == 4
    assert genretag("apply", "--yes", "--id3v2-version", "keep").status == 0
    assert (music / "x.mp3").read_bytes()[3] == 4
    assert genretag("scan", music, "--player", "winamp").status == 2


COMMON = [
    ("COMM", b"\x00eng\x00first"),
    ("COMM", b"\x00eng\x00first"),
    ("TXXX", b"\x00MOOD\x00calm"),
    ("PRIV", b"owner\x00\x01\x02\xff\x00"),
    ("GEOB", b"\x00application/octet-stream\x00cue\x00Serato Markers_\x00\x01\x00\xff"),
    ("POPM", b"me@x\x00\xff\x00\x00\x00\x01"),
    ("APIC", b"\x00image/png\x00\x03\x00\x89PNG..." + bytes(range(256)) * 8),
    ("TSOP", b"\x00Sort"),
    ("XSOT", b"\x00nobody knows this frame"),
    ("TCON", b"\x00Other"),
    ("TPE1", b"\x00One/Two"),
]
OLD = [
    *COMMON,
    ("TYER", b"\x002001"),
    ("TDAT", b"\x000405"),
    ("TIME", b"\x001020"),
    ("TORY", b"\x001999"),
    ("RVAD", b"\x03\x10\x01\x02"),
]
NEW = [
    *COMMON,
    ("TDRC", b"\x032001-05-04T10:20"),
    ("TDOR", b"\x031999-12-31"),
    ("TIT2", "\x03Ωμέγα".encode()),
    ("TMCL", b"\x03guitar\x00Someone"),
    ("TMOO", b"\x00calm"),
    ("TIPL", b"\x03producer\x00Another"),
    ("TKWD", b"\x03word"),
]


def mp3_with(seed_files: dict[str, Path], folder: Path, head: bytes) -> Path:
    data = seed_files[".mp3"].read_bytes()
    start = 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9])
    path = folder / "x.mp3"
    path.write_bytes(head + data[start:])
    return path


@pytest.mark.parametrize(
    ("frames", "found", "wanted"), [(OLD, 3, 4), (NEW, 4, 3)], ids=["to v2.4", "to v2.3"]
)
def test_a_change_of_version_keeps_the_content_of_every_frame(
    seed_files: dict[str, Path],
    tmp_path: Path,
    frames: list[tuple[str, bytes]],
    found: int,
    wanted: int,
) -> None:
    path = mp3_with(seed_files, tmp_path, make_id3(found, frames))
    before, full = tags.non_genre_tags(path, TagOptions(id3_version=wanted)), ID3(path)
    tags.write(path, ["Jazz", "Blues"], TagOptions(id3_version=wanted))
    assert path.read_bytes()[3] == wanted
    assert (
        tags.changed_places(before, tags.non_genre_tags(path, TagOptions(id3_version=wanted))) == []
    )
    assert tags.read(path).genres == ["Jazz", "Blues"]
    after = ID3(path)  # both as v2.4: mutagen's own translation is the second opinion
    for key, frame in full.items():
        if key == "TDRC":
            assert (
                str(after[key])[:16] == str(frame)[:16] == "2001-05-04 10:20"
            )  # mutagen adds seconds to v2.3's
        elif key != "TCON":
            assert after[key] == frame, key


def test_frames_that_both_versions_have_stay_byte_for_byte(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = mp3_with(seed_files, tmp_path, make_id3(3, COMMON))
    tags.write(path, ["Jazz"], TagOptions(id3_version=4))
    tag = read_id3(path.read_bytes())
    assert tag is not None
    assert [(name, raw[10:]) for name, raw in tag.others()] == [f for f in COMMON if f[0] != "TCON"]


def test_dates_go_where_each_version_keeps_them(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    path = mp3_with(seed_files, tmp_path, make_id3(3, OLD))
    tags.write(path, ["Jazz"], TagOptions(id3_version=4))
    tag = read_id3(path.read_bytes())
    assert tag is not None
    assert ("TDRC", b"\x002001-05-04T10:20") in [(n, raw[10:]) for n, raw in tag.frames]
    assert not {"TYER", "TDAT", "TIME", "TORY"} & {n for n, _ in tag.frames}
    tags.write(path, ["Jazz"], TagOptions(id3_version=3))
    back = read_id3(path.read_bytes())
    assert back is not None
    assert {(n, raw[10:]) for n, raw in back.others()} == {f for f in OLD if f[0] != "TCON"}


@pytest.mark.parametrize(
    "date", ["2001-05", "2001", "2001-05-04", "2001-05-04T10:20:30", "05/04/01", "2001\x002002"]
)
def test_a_date_too_fine_for_v23_stays_beside_its_year(
    seed_files: dict[str, Path], tmp_path: Path, date: str
) -> None:
    path = mp3_with(
        seed_files,
        tmp_path,
        make_id3(4, [("TDRC", b"\x03" + date.encode()), ("TCON", b"\x00Other")]),
    )
    before = tags.non_genre_tags(path, TagOptions(id3_version=3))
    tags.write(path, ["Jazz"], TagOptions(id3_version=3))
    assert tags.changed_places(before, tags.non_genre_tags(path, TagOptions(id3_version=3))) == []
    names = [n for n, _ in read_id3(path.read_bytes()).frames]  # type: ignore[union-attr]
    assert ("TYER" in names) == date.startswith("2001")
    assert ("TDRC" in names) == (date not in ("2001", "2001-05-04"))


@pytest.mark.parametrize("flags", [0x08, 0x04, 0x40], ids=["compressed", "encrypted", "grouped"])
def test_a_frame_that_cannot_be_converted_is_named_or_unpacked(
    seed_files: dict[str, Path], tmp_path: Path, flags: int
) -> None:
    import zlib

    text = b"\x03A Title"
    body = zlib.compress(text) if flags == 0x08 else b"\x01" + text
    whole = (len(text).to_bytes(4, "big") + body) if flags == 0x08 else body
    head = make_id3(4, [("TIT2", whole), ("TCON", b"\x00Other")])
    head = head.replace(
        b"TIT2" + len(whole).to_bytes(4, "big") + b"\0\0",
        b"TIT2" + len(whole).to_bytes(4, "big") + bytes([0, flags | (flags == 8)]),
    )
    path = mp3_with(seed_files, tmp_path, head)
    if flags != 0x08:
        with pytest.raises(TrackError, match="TIT2"):
            tags.write(path, ["Jazz"], TagOptions(id3_version=3))
        return
    tags.write(path, ["Jazz"], TagOptions(id3_version=3))
    assert ID3(path)["TIT2"].text == ["A Title"]


def test_an_unsynchronised_tag_keeps_its_content(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    """v2.4 marks each frame, some writers only the tag; without its mark the frames need theirs."""
    picture = b"\x00image/png\x00\x03\x00" + b"\xff\xe0\xff\x00x" * 20
    stuffed = picture.replace(b"\xff\x00", b"\xff\x00\x00").replace(b"\xff\xe0", b"\xff\x00\xe0")
    head = bytearray(make_id3(4, [("APIC", stuffed), ("TCON", b"\x00Other")]))
    head[5] = 0x80
    for form in (TagOptions(), TagOptions(id3_version=3), TagOptions(id3_version=4)):
        path = mp3_with(seed_files, tmp_path, bytes(head))
        want = ID3(path)["APIC:"].data
        assert b"\xff\xe0\xff\x00x" in want
        before = tags.non_genre_tags(path, form)
        tags.write(path, ["Jazz"], form)
        assert ID3(path)["APIC:"].data == want
        assert tags.changed_places(before, tags.non_genre_tags(path, form)) == []


def _without_info(data: bytes) -> bytes:
    """Return a WAV whose INFO, which would take the genre, is something else."""
    return data.replace(b"INFO", b"none")


@pytest.mark.parametrize("extension", [".wav", ".aiff", ".dsf"])
def test_id3_in_other_containers_takes_the_version_too(
    seed_files: dict[str, Path], tmp_path: Path, extension: str
) -> None:
    path = tmp_path / f"x{extension}"
    path.write_bytes(
        _without_info(seed_files[extension].read_bytes()) if extension != ".dsf" else dsf(1.2)
    )
    for number in (3, 4, 3):
        form = TagOptions(id3_version=number)
        before = tags.non_genre_tags(path, form)
        tags.write(path, [f"Jazz {number}"], form)
        assert tags.changed_places(before, tags.non_genre_tags(path, form)) == []
        assert tags.read(path).genres == [f"Jazz {number}"]
        assert b"ID3" + bytes([number]) in path.read_bytes()


TEXTS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=20
)
NAMES = st.sampled_from(
    [
        "TIT2",
        "TPE1",
        "TALB",
        "TSOP",
        "TKWD",
        "TPE2",
        "TCOM",
        "TORY",
        "TDRC",
        "TYER",
        "TDAT",
        "TIPL",
        "IPLS",
    ]
)


@given(
    pairs=st.lists(st.tuples(NAMES, TEXTS), max_size=6, unique_by=lambda p: p[0]),
    found=st.sampled_from([3, 4]),
)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_survives_a_change_of_version(
    seed_files: dict[str, Path], tmp_path: Path, pairs: list[tuple[str, str]], found: int
) -> None:
    frames = [
        (n, (b"\x03" + t.encode()) if found == 4 else b"\x01" + t.encode("utf-16"))
        for n, t in pairs
    ]
    path = mp3_with(seed_files, tmp_path, make_id3(found, [*frames, ("TCON", b"\x00Other")]))
    form = TagOptions(id3_version=7 - found)
    before = tags.non_genre_tags(path, form)
    tags.write(path, ["Jazz"], form)
    assert path.read_bytes()[3] == 7 - found
    assert tags.changed_places(before, tags.non_genre_tags(path, form)) == []
