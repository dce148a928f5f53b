"""Other programs read MP3, AAC, TTA, WavPack and Musepack files as before after a write."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from builders_id3 import ape, ape_texts, id3v1, id3v2_texts, item, lyrics3_v2
from readers import READERS, Shown, show

from genretag import tags

Build = Callable[[bytes, bytes], bytes]  # audio, genre -> file


def around(front: Callable[[bytes], bytes] | None, *tail: Callable[[bytes], bytes]) -> Build:
    def build(audio: bytes, genre: bytes) -> bytes:
        head = front(genre) if front else b""
        return head + audio + b"".join(part(genre) for part in tail)

    return build


def v22(genre: bytes) -> bytes:
    return id3v2_texts(genre, 2)


def v23(genre: bytes) -> bytes:
    return id3v2_texts(genre, 3)


def no_genre(tag: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda _: tag(b"")


def ape_genre(genre: bytes) -> bytes:
    return ape([item(b"Genre", genre)] if genre else [])


def lyrics3(_: bytes) -> bytes:
    return lyrics3_v2()


LAYOUTS: dict[str, Build] = {
    "ID3v2.4": around(id3v2_texts),
    "ID3v2.3": around(v23),
    "ID3v2.3, ID3v1": around(v23, id3v1),
    "ID3v2.3, APEv2": around(v23, ape_texts),
    "ID3v2.3, APEv2 without genre": around(v23, no_genre(ape_texts)),
    "ID3v2.3, APEv2, ID3v1": around(v23, ape_texts, id3v1),
    "ID3v2.4, Lyrics3, ID3v1": around(id3v2_texts, lyrics3, id3v1),
    "APEv2": around(None, ape_texts),
    "APEv2, ID3v1": around(None, ape_texts, id3v1),
    "APEv2 without genre, ID3v1": around(None, no_genre(ape_texts), id3v1),
    "Lyrics3, ID3v1": around(None, lyrics3, id3v1),
    "ID3v1": around(None, id3v1),
}

#: Layouts without a tag, and references that have the genre where programs would put it.
PREFERRED = {
    ".mp3": around(id3v2_texts),
    ".aac": around(id3v2_texts),
    ".tta": around(id3v2_texts),
    ".wv": around(None, ape_texts),
    ".mpc": around(None, ape_texts),
}


@pytest.fixture(scope="module")
def audio(
    seed_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("bare")
    found = {e: _bare_audio(seed_files[e].read_bytes()) for e in (".mp3", ".wv", ".tta")}
    if shutil.which("ffmpeg"):
        aac = folder / "a.aac"
        command = ["ffmpeg", "-v", "error", "-i", seed_files[".wav"], "-c:a", "aac", "-f", "adts"]
        subprocess.run([*command, aac], check=True)
        found[".aac"] = aac.read_bytes()
    if shutil.which("mpcenc"):
        mpc = folder / "a.mpc"
        command = ["mpcenc", "--silent", "--overwrite", seed_files[".wav"], mpc]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            found[".mpc"] = mpc.read_bytes()
    return found


def _bare_audio(data: bytes) -> bytes:
    """Return a stream without the tags that the encoder wrote."""
    from genretag.layout import bare, tail

    view = memoryview(data)
    start = bare.audio_start(view)
    return data[start : tail.tail_start(view, start)]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("old", [b"", b"Other"], ids=["no genre", "Other"])
@pytest.mark.parametrize("layout", [*LAYOUTS, "nothing"])
@pytest.mark.parametrize("extension", PREFERRED)
def test_a_reader_shows_the_new_genre_and_all_else_as_before(
    audio: dict[str, bytes],
    tmp_path: Path,
    extension: str,
    layout: str,
    old: bytes,
    reader: str,
) -> None:
    if extension not in audio:
        pytest.skip("no encoder for it here")
    path = tmp_path / f"x{extension}"
    build = LAYOUTS.get(layout, lambda a, _: a)
    reference = LAYOUTS.get(layout, PREFERRED[extension])
    path.write_bytes(reference(audio[extension], b"Other"))
    can = show(reader, path).genre is not None
    path.write_bytes(build(audio[extension], old))
    before = show(reader, path)
    tags.write(path, ["Jazz"])
    after = show(reader, path)
    assert lost(before, after) == []
    if can or before.genre:
        assert after.genre == "Jazz"


def lost(before: Shown, after: Shown) -> list[str]:
    """Return the texts that a reader showed and does not show any more."""
    pairs = {n: (getattr(before, n), getattr(after, n)) for n in ("title", "artist", "album")}
    return [f"{n}: {a} became {b}" for n, (a, b) in pairs.items() if a is not None and a != b]
