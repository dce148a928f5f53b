"""The audio key survives retagging everywhere, and which remuxes it survives is known."""

from __future__ import annotations

import shutil
import subprocess
import wave
from pathlib import Path

import mutagen
import numpy as np
import pytest

from genretag import audio, tags
from genretag.audio import synthesis
from genretag.audio.audio_key import audio_key, audio_sketch

LONG = "x" * 30_000  # four of these are more than one page of Ogg holds
TAGGED = [e for e in synthesis.CONTAINERS if e != ".mka"]  # genretag does not write Matroska

#: (container, target of a stream copy by FFmpeg, whether the audio key stays). The content key
#: stays in all of them.
REMUXES = [
    (".flac", ".flac", True),
    (".flac", ".oga", False),
    (".flac", ".mka", False),
    (".ogg", ".ogg", True),
    (".opus", ".opus", True),
    (".opus", ".mka", False),
    (".m4a", ".m4a", True),
    (".m4a", ".mka", False),
    (".wav", ".wav", True),
    (".aiff", ".aiff", True),
    (".wma", ".wma", True),
    (".wv", ".wv", True),
    (".tta", ".tta", True),
    (".mka", ".mka", True),
    (".mp3", ".mka", False),
]


@pytest.mark.parametrize("extension", TAGGED)
def test_a_retagged_and_renamed_file_keeps_its_key(
    seed_files: dict[str, Path], tmp_path: Path, extension: str
) -> None:
    path = tmp_path / f"other name{extension}"
    shutil.copy(seed_files[extension], path)
    before = audio_key(path)
    assert before is not None
    for genres in (["Rock"], ["Rock", LONG], ["Jazz"]):
        tags.write(path, genres)
        assert audio_key(path) == before


@pytest.mark.parametrize("extension", [".mp3", ".flac", ".ogg", ".opus"])
def test_no_tags_and_many_tags_have_the_same_key(
    seed_files: dict[str, Path], tmp_path: Path, extension: str
) -> None:
    path = tmp_path / f"a{extension}"
    shutil.copy(seed_files[extension], path)
    before = audio_key(path)
    file = mutagen.File(path, easy=True)
    file["title"] = [LONG * 4]
    file.save()
    assert audio_key(path) == before
    file.delete()
    assert audio_key(path) == before


@pytest.mark.parametrize(("source", "target", "stays"), REMUXES)
def test_a_stream_copy_keeps_the_key_where_the_table_says_so(
    seed_files: dict[str, Path], tmp_path: Path, source: str, target: str, stays: bool
) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    path, out = seed_files[source], tmp_path / f"copy{target}"
    command = ["ffmpeg", "-v", "error", "-i"]
    if source == target:  # PyAV's FFmpeg may write Matroska otherwise than the system's
        path = tmp_path / f"first{source}"
        subprocess.run([*command, seed_files[source], "-c", "copy", path], check=True)
    comment = ["-metadata", f"comment={LONG * 4}"]
    subprocess.run([*command, path, "-c", "copy", *comment, out], check=True)
    assert (audio_key(path) == audio_key(out)) is stays
    assert audio.identify(path).content_key == audio.identify(out).content_key


@pytest.mark.parametrize("extension", sorted(synthesis.CONTAINERS))
def test_other_audio_has_another_key(
    seed_files: dict[str, Path], tmp_path: Path, extension: str
) -> None:
    data = bytearray(seed_files[extension].read_bytes())
    for share in (0.3, 0.7):
        changed = bytearray(data)
        at = int(len(changed) * share)
        size = max(1 << 10, len(changed) // 5)
        changed[at : at + size] = np.random.default_rng(0).bytes(len(changed[at : at + size]))
        path = tmp_path / f"changed{extension}"
        path.write_bytes(changed)
        assert audio_key(path) != audio_key(seed_files[extension])
    path.write_bytes(data[: len(data) // 2])
    assert audio_key(path) != audio_key(seed_files[extension])


def test_few_bytes_are_read(
    seed_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 25 * 44_100).astype(np.float32)
    for extension in (".wav", ".flac", ".ogg", ".mka"):
        path = tmp_path / f"long{extension}"
        synthesis.encode(path, samples, 44_100)
        read = 0

        class Counted:
            def __init__(self, handle: object) -> None:
                self._handle = handle

            def __enter__(self) -> Counted:
                return self

            def __exit__(self, *error: object) -> None:
                self._handle.close()  # type: ignore[attr-defined]

            def seek(self, *where: int) -> int:
                return int(self._handle.seek(*where))  # type: ignore[attr-defined]

            def read(self, size: int) -> bytes:
                nonlocal read
                data = bytes(self._handle.read(size))  # type: ignore[attr-defined]
                read += len(data)
                return data

        original = Path.open
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", lambda p, *a, **k: Counted(original(p, *a, **k)))  # noqa: B023
            assert audio_key(path) is not None
        assert read < 150 << 10


@pytest.mark.parametrize("data", [b"", b"no music at all", b"OggS", b"RIFF", b"fLaC\x84\0\0\x01"])
def test_what_is_no_audio_has_no_key_and_does_no_harm(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    assert audio_key(tmp_path / "a") is None


@pytest.mark.parametrize("extension", sorted(synthesis.CONTAINERS))
def test_a_file_cut_anywhere_does_no_harm(
    seed_files: dict[str, Path], tmp_path: Path, extension: str
) -> None:
    data = seed_files[extension].read_bytes()
    path = tmp_path / f"cut{extension}"
    for size in (1, 13, 40, 90, 300, 5000):
        path.write_bytes(data[:size])
        audio_key(path)


def test_equal_samples_at_another_rate_are_other_audio(tmp_path: Path) -> None:
    for rate in (22_050, 44_100):
        with wave.open(str(tmp_path / f"{rate}.wav"), "wb") as out:
            out.setparams((1, 2, rate, 0, "NONE", ""))
            out.writeframes(bytes(range(256)) * 400)
    keys = [audio_key(tmp_path / f"{rate}.wav") for rate in (22_050, 44_100)]
    sketches = [audio_sketch(tmp_path / f"{rate}.wav") for rate in (22_050, 44_100)]
    assert keys[0] != keys[1] and sketches[0] != sketches[1]
