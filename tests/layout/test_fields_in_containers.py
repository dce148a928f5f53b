"""Mood, style, grouping and evidence in every container: written, read back, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import builders_chunks as chunks
import pytest
from builders_id3 import ape_texts, id3v1, id3v2_texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import READERS, field_text, show

from genretag import tags
from genretag.errors import TrackError
from genretag.layout.fields import FIELDS
from genretag.writing.proof import prove

OTHERS = [field for field in FIELDS if field != "genre"]
ENCODED = (".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wma", ".wv", ".tta", ".aiff")


@pytest.fixture(scope="module")
def music(seed_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each container and of each layout of older tags."""
    folder = tmp_path_factory.mktemp("fields")
    made = {extension: seed_files[extension] for extension in ENCODED if extension in seed_files}
    mp3 = seed_files[".mp3"].read_bytes()
    audio = mp3[int(tags_end(mp3)) :]
    sound = chunks.sound(0.3)
    built = {
        "v2.3.mp3": id3v2_texts(b"Jazz", 3) + audio,
        "v2.3 and APEv2.mp3": id3v2_texts(b"Jazz", 3) + audio + ape_texts(b"Jazz"),
        "APEv2.mp3": audio + ape_texts(b"Jazz"),
        "ID3v1.mp3": audio + id3v1(b"Jazz"),
        "bare.mp3": audio,
        "x.dsf": chunks.dsf(sound, id3v2_texts(b"")),
        "x.dff": chunks.build(
            chunks.DFF, sound, chunks.chunk(chunks.DFF, b"ID3 ", id3v2_texts(b""))
        ),
    }
    for name, data in built.items():
        made[name] = folder / name
        made[name].write_bytes(data)
    return made


def tags_end(data: bytes) -> int:
    """Return the end of an ID3v2 tag in front of MP3."""
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte
    return size + 10 if data[:3] == b"ID3" else 0


#: Readers that need no process of their own.
IN_PROCESS = [reader for reader in READERS if reader != "ffprobe"]
NAMES = (
    *ENCODED,
    *("v2.3.mp3", "v2.3 and APEv2.mp3", "APEv2.mp3", "ID3v1.mp3", "bare.mp3", "x.dsf", "x.dff"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_field_is_written_and_nothing_else_changes(
    music: dict[str, Path], tmp_path: Path, name: str
) -> None:
    before = {reader: show(reader, music[name]) for reader in IN_PROCESS}
    genres = tags.read(music[name]).genres
    copy, old = tmp_path / music[name].name, tmp_path / f"old{music[name].suffix}"
    for field in OTHERS:
        shutil.copy(music[name], copy)
        for number, values in enumerate((["Träumerei", "Ruhig"], ["Calm"])):
            shutil.copy(copy, old)
            tags.write(copy, values, field=field)
            read = tags.read(copy)
            assert read.fields is not None and read.fields.values[field] == values
            assert (read.problem, read.genres) == (None, genres)
            assert prove(old, copy, (field,)) == []
            if number:  # the first write may make a tag
                assert prove(old, copy, ("genre",)) != []
        assert {reader: show(reader, copy) for reader in IN_PROCESS} == before


@pytest.mark.parametrize("name", NAMES)
def test_all_fields_stand_beside_each_other(
    music: dict[str, Path], tmp_path: Path, name: str
) -> None:
    copy = tmp_path / music[name].name
    shutil.copy(music[name], copy)
    for field in FIELDS:
        tags.write(copy, [f"My {field}"], field=field)
    read = tags.read(copy)
    assert read.fields is not None and read.fields.problems == {}
    assert read.genres == ["My genre"]
    assert read.fields.values == {field: [f"My {field}"] for field in OTHERS}
    assert prove(music[name], copy, tuple(FIELDS)) == []


#: Reader -> fields that it shows in all of these containers.
SHOWN = {
    "FFmpeg (PyAV)": (".mp3", ".flac", ".ogg", ".wv", ".aiff"),
    "TagLib": (".mp3", ".flac", ".ogg", ".m4a", ".wma", ".wv", ".aiff"),
    "mutagen": (".mp3", ".flac", ".ogg", ".m4a", ".wma", ".wv", ".aiff"),
}


@pytest.mark.parametrize("field", ["mood", "style"])
@pytest.mark.parametrize("reader", [reader for reader in SHOWN if reader in READERS])
def test_other_programs_show_mood_and_style(
    music: dict[str, Path], tmp_path: Path, reader: str, field: str
) -> None:
    shown = {}
    for extension in SHOWN[reader]:
        copy = tmp_path / f"x{extension}"
        shutil.copy(music[extension], copy)
        tags.write(copy, ["Calm"], field=field)
        shown[extension] = field_text(reader, copy, field)
    expected = dict.fromkeys(SHOWN[reader], "Calm")
    if (reader, field) == ("TagLib", "style"):  # ASF has no name of a style that it maps
        expected[".wma"] = None  # type: ignore[assignment]
    assert shown == expected


def test_riff_info_has_no_place_for_a_mood(seed_files: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "x.wav"
    shutil.copy(seed_files[".wav"], copy)
    read = tags.read(copy)
    if not show("TagLib", copy).title:
        pytest.skip("the seed has no LIST INFO")
    assert read.fields is not None and "RIFF INFO" in read.fields.problems["mood"]
    data = copy.read_bytes()
    with pytest.raises(TrackError, match="RIFF INFO"):
        tags.write(copy, ["Calm"], field="mood")
    assert copy.read_bytes() == data


def test_a_mood_in_either_frame_is_read_and_kept_in_step(
    music: dict[str, Path], tmp_path: Path
) -> None:
    from mutagen.id3 import ID3, TMOO, TXXX

    copy = tmp_path / "x.mp3"
    shutil.copy(music[".mp3"], copy)
    tag = ID3(copy)
    tag.add(TXXX(encoding=3, desc="Mood", text=["Old"]))
    tag.save(copy)
    assert tags.read(copy).fields.values["mood"] == ["Old"]  # type: ignore[union-attr]
    tags.write(copy, ["Calm"], field="mood")
    new = ID3(copy)
    assert [str(new["TMOO"]), str(new["TXXX:MOOD"])] == ["Calm", "Calm"]
    assert isinstance(new["TMOO"], TMOO)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(NAMES),
    writes=st.lists(
        st.tuples(
            st.sampled_from(list(FIELDS)),
            st.lists(
                st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40),
                min_size=1,
                max_size=3,
                unique=True,
            ),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_any_values_in_any_order_leave_all_else_as_it_was(
    music: dict[str, Path], tmp_path: Path, name: str, writes: list[tuple[str, list[str]]]
) -> None:
    copy = tmp_path / music[name].name
    shutil.copy(music[name], copy)
    for field, values in writes:
        if field == "genre":
            values = [f"G{value}" for value in values]
        tags.write(copy, values, field=field)
        read = tags.read(copy)
        assert read.fields is not None
        found = read.genres if field == "genre" else read.fields.values[field]
        assert found == values
    assert prove(music[name], copy, tuple({field for field, _ in writes})) == []


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("wanted", [3, 4])
def test_a_mood_is_written_while_a_tag_is_converted(
    music: dict[str, Path], tmp_path: Path, version: int, wanted: int
) -> None:
    form = tags.TagOptions(convert_v22=True, id3_version=wanted)
    audio = music["bare.mp3"].read_bytes()
    old, copy = tmp_path / "old.mp3", tmp_path / "x.mp3"
    for path in (old, copy):
        path.write_bytes(id3v2_texts(b"Jazz", version) + audio)
    tags.write(copy, ["Calm", "Warm"], form, "mood")
    assert copy.read_bytes()[3] == wanted
    read = tags.read(copy)
    assert read.genres == ["Jazz"]
    assert read.fields is not None and read.fields.values == {"mood": ["Calm", "Warm"]}
    assert prove(old, copy, ("mood",), converted=True) == []
    before, after = (tags.other_tags(path, ("mood",), form) for path in (old, copy))
    assert tags.changed_places(before, after) == []
    name = b"TMOO" if wanted == 4 else b"TXXX"
    assert name in copy.read_bytes()[:1000]
