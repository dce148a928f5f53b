"""Pieces that are found by seeking lie where they should, and what cannot be found is noticed."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genretag import audio
from genretag.audio import synthesis
from genretag.audio.mpeg import BlockReader, Span, SpanReader
from genretag.audio.opening import opened

RATE = 16_000
SECONDS = 48
STARTS = (2.0, 17.3, 31.11, 38.5)
TOLERANCE = 0.1  # s, as genretag.audio.pieces states it
#: Files of encoders that PyAV does not bring, and how far a piece may be off in s.
OTHERS = {
    "vbr.mp3": (("lame", "--quiet", "-V2"), SECONDS / 100),
    "vbr-without-index.mp3": (("lame", "--quiet", "-V2", "-t"), SECONDS / 20),
    "cbr-without-index.mp3": (("lame", "--quiet", "-b192", "-t"), TOLERANCE),
    "xiph.ogg": (("oggenc", "-Q", "-q5", "-o"), TOLERANCE),
    "xiph.opus": (("opusenc", "--quiet"), TOLERANCE),
}


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one piece in every container; no two seconds of it are alike."""
    folder = tmp_path_factory.mktemp("pieces")
    noise = np.random.default_rng(1).standard_normal(SECONDS * 44_100).astype(np.float32)
    samples = synthesis.piece(5, SECONDS).mean(0) + 0.02 * noise
    for extension in synthesis.CONTAINERS:
        synthesis.encode(folder / f"a{extension}", samples, 44_100)
    return folder


def pieces(path: Path, starts: tuple[float, ...] = STARTS) -> list[audio.Window]:
    return list(audio.read_pieces(path, RATE, lambda _: starts, audio.DecodeLog()))


def offset(whole: np.ndarray, piece: audio.Window) -> float:
    """Return how many s behind its place a piece lies in the whole decoding."""
    probe = piece.samples[RATE : 3 * RATE]
    size = 1 << (len(whole) + len(probe)).bit_length()
    product = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(probe, size))
    at = int(np.fft.irfft(product, size)[: len(whole) - len(probe)].argmax())
    assert np.corrcoef(whole[at : at + len(probe)], probe)[0, 1] > 0.95
    return at / RATE - 1 - piece.start


def check_places(path: Path, tolerance: float) -> None:
    whole = np.concatenate(list(audio.decode(path, RATE, audio.DecodeLog())))
    found = pieces(path)
    assert [p.start for p in found] == list(STARTS)
    for piece in found:
        assert len(piece.samples) == pytest.approx(5.02 * RATE, abs=1)
        assert abs(offset(whole, piece)) <= tolerance


@pytest.mark.parametrize("extension", sorted(synthesis.CONTAINERS))
def test_a_piece_lies_where_it_should(music: Path, extension: str) -> None:
    check_places(music / f"a{extension}", TOLERANCE)


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_a_piece_of_another_encoder_s_file_lies_where_it_should(
    music: Path, tmp_path: Path, name: str
) -> None:
    (program, *options), tolerance = OTHERS[name]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    wav, out = str(music / "a.wav"), str(tmp_path / name)
    order = [out, wav] if options[-1] == "-o" else [wav, out]
    subprocess.run([program, *options, *order], check=True, stderr=subprocess.DEVNULL)
    check_places(tmp_path / name, tolerance)


def test_the_length_of_the_track_is_known_before_the_pieces(music: Path) -> None:
    for path in sorted(music.iterdir()):
        log = audio.DecodeLog()
        assert list(audio.read_pieces(path, RATE, lambda _: (), log)) == []
        assert log.seconds == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("extension", sorted(synthesis.CONTAINERS))
def test_most_of_the_file_is_not_read_and_nothing_twice(
    music: Path, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    reads: list[tuple[int, int]] = []
    original = SpanReader.read

    def count(self: SpanReader, size: int = -1) -> bytes:
        at = self.tell()
        data = original(self, size)
        reads.append((at, len(data)))
        return data

    monkeypatch.setattr(SpanReader, "read", count)
    path = music / f"a{extension}"
    pieces(path, (10.0, 30.0))
    if extension not in (".ogg", ".opus"):  # the search takes most of a file as short as this
        assert sum(length for _, length in reads) < path.stat().st_size / 2
    assert len({at for at, length in reads if length}) == sum(length > 0 for _, length in reads)


@given(
    st.binary(max_size=500),
    st.integers(0, 60),
    st.lists(st.tuples(st.integers(0, 500), st.integers(-1, 200)), max_size=20),
)
def test_blocks_give_the_bytes_of_the_span(
    data: bytes, start: int, reads: list[tuple[int, int]]
) -> None:
    class SmallBlocks(BlockReader):
        BLOCK, _KEPT = 16, 3

    span = Span(min(start, len(data)), max(start, len(data) - 7))
    plain, blocks = SpanReader(io.BytesIO(data), span), SmallBlocks(io.BytesIO(data), span)
    for at, size in reads:
        assert plain.seek(at) == blocks.seek(at)
        assert plain.read(size) == blocks.read(size)
        assert plain.tell() == blocks.tell()


@pytest.mark.parametrize("extension", [".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wv"])
def test_a_damaged_piece_is_noticed(music: Path, tmp_path: Path, extension: str) -> None:
    data = bytearray((music / f"a{extension}").read_bytes())
    middle = slice(len(data) * 2 // 5, len(data) * 3 // 5)
    data[middle] = np.random.default_rng(0).bytes(middle.stop - middle.start)
    path = tmp_path / f"hurt{extension}"
    path.write_bytes(data)
    with pytest.raises(audio.NoPieces):
        pieces(path, (1.0, SECONDS / 2))


@pytest.mark.parametrize("extension", [".flac", ".wv", ".tta", ".alac"])
def test_a_piece_behind_the_end_of_a_truncated_file_is_noticed(
    music: Path, tmp_path: Path, extension: str
) -> None:
    # MP4 has its index at the end: there the samples are cut out of the middle instead.
    data = (music / f"a{extension}").read_bytes()
    path = tmp_path / f"cut{extension}"
    half = len(data) // 2
    path.write_bytes(data[:half] + bytes(len(data) - half) if extension == ".alac" else data[:half])
    with pytest.raises((audio.NoPieces, audio.decoding.TrackError)):
        pieces(path)


def test_a_track_whose_rate_changes_has_no_pieces(music: Path, tmp_path: Path) -> None:
    synthesis.encode(
        tmp_path / "low.mp3",
        synthesis.piece(1, 4).mean(0),
        22_050,
        synthesis.Container("libmp3lame", rate=22_050),
    )
    data = (music / "a.mp3").read_bytes()
    half = len(data) // 2
    path = tmp_path / "mixed.mp3"
    path.write_bytes(data[:half] + (tmp_path / "low.mp3").read_bytes() + data[half:])
    with opened(path) as container:
        seconds = container.duration / 1e6
    starts = tuple(float(s) for s in np.arange(0, seconds - 6, 2.0))
    with pytest.raises(audio.NoPieces):
        pieces(path, starts)


def test_a_file_that_is_no_audio_is_a_track_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_text("no music")
    with pytest.raises(audio.decoding.TrackError):
        pieces(tmp_path / "a.mp3")
