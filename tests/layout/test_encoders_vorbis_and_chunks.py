"""Files of real encoders: other programs decode and check them as before a write."""

from __future__ import annotations

import shutil
import subprocess
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


@pytest.mark.parametrize("size", [4, 70_000])
@pytest.mark.parametrize("name", ENCODERS)
def test_other_programs_decode_and_check_it_as_before(
    seed_files: dict[str, Path], tmp_path: Path, name: str, size: int
) -> None:
    command = ENCODERS[name]
    if shutil.which(command.split()[0]) is None or shutil.which("ffmpeg") is None:
        pytest.skip(f"{command.split()[0]} or ffmpeg is not installed")
    old, new = tmp_path / f"old{Path(name).suffix}", tmp_path / f"new{Path(name).suffix}"
    made = run(command, i=seed_files[".wav"], o=old)
    if made.returncode or not old.stat().st_size:
        pytest.skip(f"it could not be made: {made.stderr.decode()[:200]}")
    shutil.copy(old, new)
    genre = "x" * size
    assert tags.read(old).problem is None
    tags.write(new, [genre])
    assert tags.read(new).genres == [genre]
    assert prove(old, new) == []
    assert decoded(new) == decoded(old) != b""
    check = CHECKS.get(old.suffix)
    if check and shutil.which(check.split()[0]) and not run(check, o=old).returncode:
        assert run(check, o=new).returncode == 0
    if "ffprobe" in READERS and old.suffix != ".spx":
        assert (show("ffprobe", new).genre or "")[:4] == "xxxx"
        assert show("ffprobe", new).title == show("ffprobe", old).title
