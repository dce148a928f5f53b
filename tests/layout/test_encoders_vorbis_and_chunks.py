"""Files of real encoders: other programs decode and check them as before a write."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from readers import READERS, show

from genretag import tags
from genretag.writing.proof import prove

#: Name of the file -> command that makes it; {i} is a WAV, {o} the file.
ENCODERS = {
    "flac.flac": "flac -s -f -T TITLE=T --padding=100 {i} -o {o}",
    "flac no padding.flac": "flac -s -f --no-padding {i} -o {o}",
    "flac ogg.oga": "flac -s -f --ogg -T TITLE=T {i} -o {o}",
    "opusenc.opus": "opusenc --quiet --title T {i} {o}",
    "oggenc.ogg": "oggenc -Q -t T {i} -o {o}",
    "speexenc.spx": "speexenc --quiet --title T {i} {o}",
    "sox.wav": "sox {i} {o}",
    "sox.aiff": "sox {i} {o}",
    "sox 24.aiff": "sox {i} -b 24 {o}",
    "sox stream.wav": "sox {i} -t wav - > {o}",
    "ffmpeg.wav": "ffmpeg -v error -i {i} -metadata title=T {o}",
    "ffmpeg stream.wav": "ffmpeg -v error -i {i} -metadata title=T -f wav pipe:1 | cat > {o}",
    "ffmpeg rf64.wav": "ffmpeg -v error -i {i} -metadata title=T -rf64 always {o}",
    "ffmpeg bext.wav": "ffmpeg -v error -i {i} -write_bext 1 -metadata title=T {o}",
    "ffmpeg float.wav": "ffmpeg -v error -i {i} -c:a pcm_f32le {o}",
    "ffmpeg.aiff": "ffmpeg -v error -i {i} -metadata title=T -write_id3v2 1 {o}",
    "ffmpeg sowt.aifc": "ffmpeg -v error -i {i} -c:a pcm_s16le -f aiff {o}",
    "ffmpeg.flac": "ffmpeg -v error -i {i} -metadata title=T {o}",
    "ffmpeg.ogg": "ffmpeg -v error -i {i} -c:a libvorbis -metadata title=T {o}",
    "ffmpeg.opus": "ffmpeg -v error -i {i} -c:a libopus -metadata title=T {o}",
    "ffmpeg speex.ogg": "ffmpeg -v error -i {i} -ar 16000 -c:a libspeex -metadata title=T {o}",
    "ffmpeg.oga": "ffmpeg -v error -i {i} -c:a flac -f ogg -metadata title=T {o}",
}
CHECKS = {
    ".flac": "flac -s -t {o}",
    ".ogg": "oggz validate {o}",
    ".oga": "oggz validate {o}",
    ".opus": "oggz validate {o}",
    ".spx": "oggz validate {o}",
}


def run(command: str, **paths: Path) -> subprocess.CompletedProcess[bytes]:
    quoted = {name: f"'{path}'" for name, path in paths.items()}
    return subprocess.run(
        command.format(**quoted), shell=True, capture_output=True, timeout=60, check=False
    )


def decoded(path: Path) -> bytes:
    return run("ffmpeg -v error -i {o} -map 0:a -f md5 -", o=path).stdout


@dataclass(frozen=True)
class Encoded:
    """A file of an encoder, and what other programs say of it; ``why`` if it could not be made."""

    path: Path
    why: str = ""
    audio: bytes = b""
    passes_check: bool = False


@pytest.fixture(scope="module")
def encoded(
    seed_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Encoded]:
    """Return a function that runs an encoder once for the genres of all sizes."""
    folder = tmp_path_factory.mktemp("encoded")

    @cache
    def encode(name: str) -> Encoded:
        path = folder / f"{list(ENCODERS).index(name)}{Path(name).suffix}"
        made = run(ENCODERS[name], i=seed_files[".wav"], o=path)
        if made.returncode or not path.stat().st_size:
            return Encoded(path, f"it could not be made: {made.stderr.decode()[:200]}")
        check = CHECKS.get(path.suffix)
        can_check = check and shutil.which(check.split()[0])
        passes = bool(can_check and check and not run(check, o=path).returncode)
        return Encoded(path, "", decoded(path), passes)

    return encode


@pytest.mark.parametrize("size", [4, 70_000])
@pytest.mark.parametrize("name", ENCODERS)
def test_other_programs_decode_and_check_it_as_before(
    encoded: Callable[[str], Encoded], tmp_path: Path, name: str, size: int
) -> None:
    command = ENCODERS[name]
    if shutil.which(command.split()[0]) is None or shutil.which("ffmpeg") is None:
        pytest.skip(f"{command.split()[0]} or ffmpeg is not installed")
    made = encoded(name)
    if made.why:
        pytest.skip(made.why)
    old, new = made.path, tmp_path / f"new{Path(name).suffix}"
    shutil.copy(old, new)
    genre = "x" * size
    assert tags.read(old).problem is None
    tags.write(new, [genre])
    assert tags.read(new).genres == [genre]
    assert prove(old, new) == []
    assert decoded(new) == made.audio != b""
    if made.passes_check:
        assert run(CHECKS[new.suffix], o=new).returncode == 0
    if "ffprobe" in READERS and old.suffix != ".spx":
        assert (show("ffprobe", new).genre or "")[:4] == "xxxx"
        assert show("ffprobe", new).title == show("ffprobe", old).title
