"""MP4 and QuickTime files as FFmpeg makes them: audio, seeking and all other tags stay."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from readers import READERS, show

from genretag import tags
from genretag.writing.proof import prove

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="no ffmpeg"
)

FRAGMENTS = ("-frag_duration", "2000000", "-movflags")
KEY = "76a6c65c5ea762046bd749a2e632ccbb"
ENCRYPTED = (
    *("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY, "-encryption_kid", KEY),
    *("-movflags", "faststart"),
)
LAYOUTS: dict[str, tuple[str, ...]] = {
    "usual.m4a": (),
    "front.m4a": ("-movflags", "faststart"),
    "disc.m4a": ("-metadata", "disc=1/2", "-metadata", "track=3/9"),
    "filler.mp4": ("-moov_size", "20000"),
    "genre.m4a": ("-metadata", "genre=Jazz"),
    "fragments.mp4": (*FRAGMENTS, "frag_keyframe+empty_moov"),
    "hybrid.mp4": (*FRAGMENTS, "frag_keyframe"),
    "default-base.mp4": (*FRAGMENTS, "default_base_moof+frag_keyframe+empty_moov"),
    "dash.mp4": (*FRAGMENTS, "dash+frag_keyframe+delay_moov"),
    "index.mp4": (*FRAGMENTS, "dash+global_sidx+frag_keyframe"),
    "encrypted.mp4": ENCRYPTED,
    "quicktime.mov": ("-metadata", "genre=Jazz"),
    "phone.3gp": ("-metadata", "genre=Jazz"),
}


def output(*command: str | Path) -> bytes:
    """Return what a program writes."""
    return subprocess.run(command, capture_output=True, check=True).stdout


def hashes_and_tags(path: Path) -> list[bytes]:
    """Return hashes of the audio and of what a seek leads to, and the tags but the genre."""
    start = ("ffmpeg", "-v", "quiet")
    whole = output(*start, "-i", path, "-map", "0", "-c", "copy", "-f", "streamhash", "-")
    seek = ("-ss", "7.3", "-i", path, "-t", "1", "-c", "copy", "-f", "md5", "-")
    entries = ("-show_entries", "format_tags:stream_tags", "-of", "default=nw=1")
    lines = output("ffprobe", "-v", "quiet", *entries, path).splitlines()
    rest = sorted(line for line in lines if not line.lower().startswith(b"tag:genre="))
    return [whole, output(*start, *seek), *rest]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_of_ffmpeg_plays_and_seeks_as_before(name: str, tmp_path: Path) -> None:
    old, new = tmp_path / name, tmp_path / f"new-{name}"
    names = [w for n in ("title=T", "artist=A", "album=L") for w in ("-metadata", n)]
    source = ("-f", "lavfi", "-i", "sine=d=10", "-c:a", "aac", *names, *LAYOUTS[name])
    if subprocess.run(["ffmpeg", "-v", "quiet", *source, old]).returncode:
        pytest.skip("this FFmpeg does not make it")
    shutil.copy(old, new)
    before = hashes_and_tags(old)
    for genres in (["Rock"], ["A rather long name of a genre", "Pop"], ["R"]):
        tags.write(new, genres)
        assert tags.read(new).genres == genres
        assert prove(old, new) == []
        assert hashes_and_tags(new) == before
    for reader in READERS:
        was, now = show(reader, old), show(reader, new)
        assert (now.title, now.artist, now.album) == (was.title, was.artist, was.album)
        # QuickTime's own texts are no list of tags: the readers that show them show the genre.
        if reader != "mutagen" and (was.genre or not name.endswith(".mov")):
            assert now.genre == "R"
