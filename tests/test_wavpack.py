"""A piece of a WavPack file is what the whole decoding has there, and little is read to find it."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag import audio
from genretag.audio import synthesis, wavpack
from genretag.audio.mpeg import SpanReader

RATE = 44_100
SECONDS = 40
#: Ways to encode, by name: options of the reference encoder, and channels.
ENCODERS = {
    "small blocks": (["--blocksize=2000", "-f"], 2),
    "large blocks": (["--blocksize=131072"], 1),
    "lossy": (["-b256"], 2),
    "six channels": (["-f"], 6),
}


def uneven(channels: int) -> np.ndarray:
    """Return samples [n, channels]: noise of which some seconds take much less space."""
    rng = np.random.default_rng(1)
    level = rng.choice([3, 3_000], SECONDS).repeat(RATE)[:, None]
    return (level * rng.standard_normal((SECONDS * RATE, channels))).astype("<i2")


def encode(folder: Path, name: str) -> Path:
    """Encode a file, and return its path."""
    out = folder / f"{name}.wv"
    if name == "FFmpeg":
        synthesis.encode(out, uneven(1)[:, 0].astype(np.float32) / 32_768, RATE)
        return out
    if (program := shutil.which("wavpack")) is None:
        pytest.skip("wavpack is not installed")
    options, channels = ENCODERS[name]
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((channels, 2, RATE, 0, "NONE", ""))
        file.writeframes(uneven(channels).tobytes())
    subprocess.run([program, "-q", "-y", *options, folder / "a.wav", "-o", out], check=True)
    return out


@pytest.fixture(scope="module", params=["FFmpeg", *ENCODERS])
def track(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray]:
    """Return a file of an encoder, and its whole decoding."""
    path = encode(tmp_path_factory.mktemp("wavpack"), request.param)
    return path, np.concatenate(list(audio.decode(path, RATE, audio.DecodeLog())))


def pieces(path: Path, starts: list[float]) -> list[audio.Window]:
    return list(audio.read_pieces(path, RATE, lambda _: starts, audio.DecodeLog()))


@settings(max_examples=10, deadline=None)
@given(starts=st.lists(st.integers(0, (SECONDS - 6) * RATE), min_size=1, max_size=4))
def test_a_piece_is_what_the_whole_decoding_has_there(
    track: tuple[Path, np.ndarray], starts: list[int]
) -> None:
    path, whole = track
    found = pieces(path, [n / RATE for n in starts])
    for start, piece in zip(starts, found, strict=True):
        assert np.array_equal(piece.samples, whole[start : start + len(piece.samples)])


def test_little_is_read_beside_the_pieces(
    track: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = track
    read, original = list[int](), SpanReader.read

    def count(self: SpanReader, size: int = -1) -> bytes:
        data = original(self, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(SpanReader, "read", count)
    pieces(path, [29.0])
    # The piece is an eighth of the track, and may be twice that where it is loud.
    assert sum(read) < path.stat().st_size * 0.45


@pytest.mark.parametrize("damage", ["noise", "zeros", "gap", "twice"])
def test_a_damaged_file_gives_its_own_samples_or_none(
    track: tuple[Path, np.ndarray], tmp_path: Path, damage: str
) -> None:
    path, whole = track
    data = bytearray(path.read_bytes())
    part = slice(len(data) * 2 // 5, len(data) * 3 // 5)
    size = part.stop - part.start
    data[part] = {
        "noise": np.random.default_rng(0).bytes(size),
        "zeros": bytes(size),
        "gap": b"",
        "twice": bytes(data[part]) * 2,
    }[damage]
    hurt = tmp_path / "hurt.wv"
    hurt.write_bytes(data)
    for start in (1.0, SECONDS / 2, SECONDS - 8.0):
        try:
            (piece,) = pieces(hurt, [start])
        except audio.NoPieces:
            continue
        first = round(start * RATE)
        assert np.array_equal(piece.samples, whole[first : first + len(piece.samples)])


# --- made-up blocks -----------------------------------------------------------------------------


def block(first: int, samples: int, extra: int, flags: int = wavpack._INITIAL) -> bytes:
    fields = (b"wvpk", 24 + extra, 0x410, 0, 0, 0, first, samples, flags, 0)
    return wavpack._HEADER.pack(*fields) + b"w" * extra


@given(
    blocks=st.lists(
        st.tuples(st.integers(0, 5_000), st.integers(0, 60_000), st.integers(1, 3)),
        min_size=1,
        max_size=150,
    ),
    data=st.data(),
)
def test_each_sample_is_found_in_its_block(
    blocks: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    file, starts, total = bytearray(), list[int](), 0
    for samples, extra, channels in blocks:
        starts += [len(file)] * samples
        for channel in range(channels):
            file += block(total, samples, extra, 0 if channel else wavpack._INITIAL)
        total += samples
    handle = io.BytesIO(bytes(file))
    handle.seek(7)
    for sample in data.draw(st.lists(st.integers(0, max(0, total - 1)), max_size=5)):
        expected = starts[sample] if total else None
        assert wavpack.find_block(handle, sample, total) == expected
        assert handle.tell() == 7


@given(st.binary(max_size=300), st.integers(0, 1 << 33), st.integers(0, 1 << 33))
def test_other_bytes_have_no_blocks(data: bytes, sample: int, total: int) -> None:
    handle = io.BytesIO(block(0, 1000, len(data)) + data)
    assert wavpack.find_block(handle, sample, total) in (None, 0)
