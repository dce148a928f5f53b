"""The decode contract holds in every container, and bad input is reported."""

from __future__ import annotations

import shutil
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from genretag import audio
from genretag.audio import mpeg, synthesis
from genretag.errors import TrackError

RATE = 16_000
LOSSLESS = [".flac", ".oga", ".alac", ".wav", ".aiff", ".wv", ".tta", ".mka"]
LOSSY = [".mp3", ".ogg", ".opus", ".m4a", ".wma"]


def decoded(path: Path) -> tuple[np.ndarray, audio.DecodeLog]:
    log = audio.DecodeLog()
    blocks = list(audio.decode(path, RATE, log))
    return np.concatenate(blocks), log


def expected() -> np.ndarray:
    """The contract in one line: the mean of the channels, resampled by soxr HQ."""
    return soxr.resample(synthesis.piece(7, 12).mean(0), 44_100, RATE, quality="HQ")


@pytest.mark.parametrize("extension", LOSSLESS)
def test_lossless_containers_keep_the_contract_to_16_bits(
    seed_files: dict[str, Path], extension: str
) -> None:
    got, log = decoded(seed_files[extension])
    want = expected()
    assert abs(len(got) - len(want)) <= 2
    n = min(len(got), len(want))
    assert np.abs(got[:n] - want[:n]).max() < 2e-4  # three steps of 16 bits
    assert log.share == pytest.approx(1)
    assert log.seconds == pytest.approx(12, abs=0.001)


@pytest.mark.parametrize("extension", LOSSY)
def test_lossy_containers_give_the_same_music(seed_files: dict[str, Path], extension: str) -> None:
    got, log = decoded(seed_files[extension])
    want = expected()
    assert log.seconds == pytest.approx(12, abs=0.15)
    # Encoders shift by their delay where the container does not tell it: compare at the best shift.
    middle = want[RATE : 3 * RATE]
    scores = [np.corrcoef(middle, got[RATE + s : 3 * RATE + s])[0, 1] for s in range(-800, 1600)]
    assert max(scores) > 0.97
    assert got[RATE:].std() == pytest.approx(want[RATE:].std(), rel=0.05)


def test_mono_and_stereo_of_the_same_sound_are_equal(tmp_path: Path) -> None:
    mono = synthesis.piece(3, 4).mean(0)
    synthesis.encode(tmp_path / "mono.flac", mono, 44_100)
    synthesis.encode(tmp_path / "both.flac", np.stack([mono, mono]), 44_100)
    a, b = decoded(tmp_path / "mono.flac")[0], decoded(tmp_path / "both.flac")[0]
    assert np.array_equal(a, b)


@pytest.mark.parametrize("extension", sorted(synthesis.CONTAINERS))
def test_content_key_is_the_same_demuxed_or_decoded(
    seed_files: dict[str, Path], extension: str
) -> None:
    _, log = decoded(seed_files[extension])
    assert audio.identify(seed_files[extension]).content_key == log.content_key


def test_content_keys_do_not_change_between_versions(tmp_path: Path) -> None:
    """Another one needs a way to renew what is known under these: journals live on."""
    with wave.open(str(tmp_path / "fixed.wav"), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(range(256)) * 64)
    assert audio.identify(tmp_path / "fixed.wav").content_key == "46a3db949fd853041519da38f4b841ca"


def test_content_keys_of_different_music_differ(tmp_path: Path) -> None:
    keys = set()
    for seed in (1, 2):
        synthesis.encode(tmp_path / f"{seed}.mp3", synthesis.piece(seed, 3), 44_100)
        keys.add(audio.identify(tmp_path / f"{seed}.mp3").content_key)
    assert len(keys) == 2


@pytest.mark.parametrize("extension", LOSSLESS)
def test_a_rate_that_the_caller_takes_is_kept(seed_files: dict[str, Path], extension: str) -> None:
    log = audio.DecodeLog()
    blocks = audio.decode(seed_files[extension], RATE, log, native_rates=(44_100, 96_000))
    got = np.concatenate(list(blocks))
    assert log.rate == 44_100
    assert np.abs(got - synthesis.piece(7, 12).mean(0)[: len(got)]).max() < 1e-4
    collectors = dict.fromkeys((RATE, 44100), audio.Samples)
    results = audio.read_results(seed_files[extension], collectors, audio.DecodeLog())
    assert [(start, len(samples)) for start, samples in results] == [(0.0, len(got))]


def test_recompressed_flac_is_known_by_its_second_key(tmp_path: Path) -> None:
    samples = synthesis.piece(1, 5)
    for level in ("0", "8"):
        how = synthesis.Container("flac", options=(("compression_level", level),))
        synthesis.encode(tmp_path / f"{level}.flac", samples, 44_100, how)
    a, b = audio.identify(tmp_path / "0.flac"), audio.identify(tmp_path / "8.flac")
    assert a.content_key != b.content_key
    assert a.second_key == b.second_key is not None


def test_equal_samples_of_another_shape_have_another_second_key(tmp_path: Path) -> None:
    samples = synthesis.piece(1, 5)
    shapes = {"a": (samples, 44_100), "b": (samples, 48_000)}
    # One channel with the samples of two has the same MD5.
    shapes["c"] = (samples.T.reshape(1, -1), 44_100)
    keys = set()
    for name, (shaped, rate) in shapes.items():
        path = tmp_path / f"{name}.flac"
        synthesis.encode(path, shaped, rate, synthesis.Container("flac", rate=rate))
        keys.add(audio.identify(path).second_key)
    assert None not in keys
    assert len({key.rpartition(":")[2] for key in keys}) == 1
    assert len(keys) == 3


def lengths(seconds: float, rate: int = 100) -> list[float]:
    total = round(seconds * rate)
    blocks = iter(np.array_split(np.zeros(total, np.float32), max(1, total // 777)))
    return [len(w.samples) / rate for w in audio.windows(blocks, rate)]


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        (1, [1]),
        (12, [12]),
        (29.9, [29.9]),
        (30, [30]),
        (39.9, [30]),
        (40, [30, 10]),
        (75, [30, 30, 15]),
        (60, [30, 30]),
    ],
)
def test_windows_cover_the_track_and_keep_a_long_enough_rest(
    seconds: float, want: list[float]
) -> None:
    assert lengths(seconds) == pytest.approx(want)


def test_a_track_under_one_second_is_too_short() -> None:
    with pytest.raises(TrackError, match="too short"):
        lengths(0.94)


def test_encoders_that_cut_a_second_short_by_a_frame_leave_a_second() -> None:
    assert lengths(0.95) == [0.95]


@given(st.lists(st.integers(0, 500), max_size=40), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_windows_lose_and_invent_nothing(sizes: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).normal(size=sum(sizes) + 30).astype(np.float32)
    blocks = iter(np.split(samples, np.cumsum(sizes)))
    got = list(audio.windows(blocks, 10))
    joined = np.concatenate([w.samples for w in got])
    assert np.array_equal(joined, samples[: len(joined)])
    assert len(samples) - len(joined) < 100  # what is left out is under ten seconds
    assert [w.start for w in got] == [30.0 * i for i in range(len(got))]


def test_a_page_named_mp3_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "page.mp3"
    path.write_text("<html><body>404</body></html>" * 50)
    with pytest.raises(TrackError, match=r"no decoder|no audio"):
        decoded(path)


def test_an_empty_file_is_reported_as_empty(tmp_path: Path) -> None:
    (tmp_path / "none.flac").touch()
    with pytest.raises(TrackError, match="empty"):
        decoded(tmp_path / "none.flac")


def test_a_file_with_tags_that_are_not_utf8_is_analysed(tmp_path: Path) -> None:
    synthesis.encode(tmp_path / "x.flac", synthesis.piece(1, 2), 44_100, tags={"title": "caffe"})
    data = (tmp_path / "x.flac").read_bytes()
    assert b"caffe" in data
    (tmp_path / "x.flac").write_bytes(data.replace(b"caffe", b"caf\xe9\xff"))
    assert decoded(tmp_path / "x.flac")[1].seconds == pytest.approx(2, abs=0.01)


def test_a_missing_file_is_a_track_error(tmp_path: Path) -> None:
    with pytest.raises(TrackError, match="No such file"):
        decoded(tmp_path / "gone.mp3")


def test_a_flac_truncated_at_three_quarters_is_analysed_with_its_share(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    data = seed_files[".flac"].read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) * 3 // 4])
    samples, log = decoded(tmp_path / "cut.flac")
    assert 0.55 < log.share < 0.95
    assert len(samples) / RATE == pytest.approx(log.seconds, abs=0.1)


def test_a_flac_truncated_at_a_quarter_fails_with_its_share(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    data = seed_files[".flac"].read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 4])
    with pytest.raises(TrackError, match=r"only \d+% of it decodes"):
        decoded(tmp_path / "cut.flac")


def test_garbage_inside_an_mp3_costs_only_its_own_length(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    data = bytearray(seed_files[".mp3"].read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
    (tmp_path / "hurt.mp3").write_bytes(bytes(data))
    samples, _ = decoded(tmp_path / "hurt.mp3")
    assert len(samples) / RATE > 11


def test_bytes_before_the_first_mp3_frame_do_no_harm(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "junk.mp3").write_bytes(b"\0" * 700 + seed_files[".mp3"].read_bytes())
    samples, _ = decoded(tmp_path / "junk.mp3")
    assert len(samples) / RATE > 11


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kind", "huge"), [("float32", 1e30), ("float32", np.inf), ("float64", 1e300)]
)
def test_a_float_wav_with_nan_and_huge_values_gives_finite_samples(
    tmp_path: Path, kind: str, huge: float
) -> None:
    for channels in (1, 2):
        data = np.zeros((44_100 * 3, channels), kind)
        data[::100], data[50::100], data[75::100] = np.nan, huge, -huge
        data[25::100] = [huge, -huge][:channels]
        wavfile.write(tmp_path / "wild.wav", 44_100, data)
        samples, _ = decoded(tmp_path / "wild.wav")
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() < 1000


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_sample_format_is_the_mean_of_its_channels(
    tmp_path: Path, kind: str, channels: int
) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE * 2, channels))
    scale, zero = {"uint8": (127, 128), "int16": (32767, 0), "int32": (2**31 - 1, 0)}.get(
        kind, (1, 0)
    )
    wavfile.write(tmp_path / "a.wav", RATE, (sound * scale + zero).astype(kind))
    assert np.abs(decoded(tmp_path / "a.wav")[0] - sound.mean(1)).max() < (
        0.02 if kind == "uint8" else 1e-4
    )


def test_channels_and_rate_may_change_within_a_stream(tmp_path: Path) -> None:
    sound = synthesis.piece(3, 4)
    synthesis.encode(tmp_path / "both.mp3", sound, 44_100)
    synthesis.encode(tmp_path / "mono.mp3", sound.mean(0), 44_100)
    synthesis.encode(tmp_path / "slow.mp3", synthesis.piece(3, 4).mean(0), 22_050)
    parts = [(tmp_path / f"{name}.mp3").read_bytes() for name in ("both", "mono", "both", "slow")]
    (tmp_path / "all.mp3").write_bytes(
        b"".join(part[mpeg.id3v2_size(part[:10]) :] for part in parts)
    )
    samples, log = decoded(tmp_path / "all.mp3")
    assert log.seconds == pytest.approx(20, abs=0.5)
    assert len(samples) / RATE == pytest.approx(log.seconds, abs=0.1)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_track(tmp_path: Path) -> None:
    """A ten-hour mix (a sparse file of 8-bit silence) needs little more than a minute does."""
    peaks = []
    for seconds in (60, 36_000):
        path = tmp_path / f"{seconds}.wav"
        size = seconds * 8000
        header = (
            b"RIFF" + (size + 36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
        )
        header += b"".join(
            n.to_bytes(k, "little")
            for n, k in ((1, 2), (1, 2), (8000, 4), (8000, 4), (1, 2), (8, 2))
        )
        with path.open("wb") as out:
            out.write(header + b"data" + size.to_bytes(4, "little"))
            out.truncate(44 + size)
        code = (
            "import sys, resource; from pathlib import Path; from genretag import audio\n"
            "n = sum(1 for _ in audio.read_windows(Path(sys.argv[1]), 16000, audio.DecodeLog()))\n"
            "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        out = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        windows, peak = map(int, out.stdout.split())
        assert windows == seconds // 30
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 40_000  # KiB


OTHERS = {
    "lame": ("x.mp3", ["lame", "--quiet", "-b", "192", "{wav}", "{out}"]),
    "flac": ("x.flac", ["flac", "--silent", "-f", "-o", "{out}", "{wav}"]),
    "oggenc": ("x.ogg", ["oggenc", "-Q", "-o", "{out}", "{wav}"]),
    "opusenc": ("x.opus", ["opusenc", "--quiet", "{wav}", "{out}"]),
    "wavpack": ("x.wv", ["wavpack", "-q", "-y", "{wav}", "-o", "{out}"]),
    "mpcenc": ("x.mpc", ["mpcenc", "--silent", "--overwrite", "{wav}", "{out}"]),
    "speexenc": ("x.spx", ["speexenc", "--quiet", "-w", "{wav}", "{out}"]),
}


@pytest.mark.parametrize("tool", OTHERS)
def test_files_of_other_encoders_are_decoded(
    tool: str, seed_files: dict[str, Path], tmp_path: Path
) -> None:
    name, command = OTHERS[tool]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    out = tmp_path / name
    subprocess.run(
        [c.format(wav=seed_files[".wav"], out=out) for c in command],
        check=True,
        capture_output=True,
    )
    samples, log = decoded(out)
    assert log.seconds == pytest.approx(12, abs=0.2)
    assert samples.std() == pytest.approx(
        expected().std(), rel=0.6
    )  # speexenc keeps the speech band alone


def _id3v24_appended() -> bytes:
    """Return an ID3v2.4 tag with a footer, as it stands at the end of a file."""
    frame = b"TIT2" + bytes([0, 0, 0, 2]) + b"\0\0" + b"\0T"
    rest = bytes([4, 0, 0x10, 0, 0, 0, len(frame)])
    return b"ID3" + rest + frame + b"3DI" + rest


def _apev2() -> bytes:
    """Return an APEv2 tag with one item whose value looks like MP3 frames."""
    item = (400).to_bytes(4, "little") + bytes(4) + b"Comment\0" + b"\xff\xfb\x90\x44" * 100
    size, ends = (len(item) + 32).to_bytes(4, "little"), bytes(8)
    footer = b"APETAGEX" + (2000).to_bytes(4, "little") + size + (1).to_bytes(4, "little")
    return item + footer + (0).to_bytes(4, "little") + ends


_ID3V1 = b"TAG" + b"x" * 124 + b"\xff"
_TAILS = {
    "ID3v1": _ID3V1,
    "enhanced ID3v1": b"TAG+" + bytes(223) + _ID3V1,
    "Lyrics3 v1": b"LYRICSBEGIN" + b"[00:01]la la la" + b"LYRICSEND" + _ID3V1,
    "Lyrics3 v2": b"LYRICSBEGIN" + b"IND00002" + b"10" + b"000021" + b"LYRICS200" + _ID3V1,
    "appended ID3v2.4": _id3v24_appended(),
    "APEv2": _apev2(),
    "APEv2 and ID3v1": _apev2() + _ID3V1,
}


@pytest.mark.parametrize("tail", _TAILS)
@pytest.mark.parametrize("extension", [".mp3", ".flac", ".wv", ".tta"])
def test_tags_at_the_end_do_not_change_the_content_key(
    seed_files: dict[str, Path], tmp_path: Path, extension: str, tail: str
) -> None:
    plain = seed_files[extension]
    tagged = tmp_path / f"tagged{extension}"
    tagged.write_bytes(plain.read_bytes() + _TAILS[tail])
    assert audio.identify(tagged).content_key == audio.identify(plain).content_key


@pytest.mark.parametrize("channels", [7, 8])
@pytest.mark.parametrize(
    ("codec", "container"), [("aac", "mp4"), ("wavpack", "wv"), ("pcm_s16le", "wav")]
)
def test_many_channels_are_mixed(tmp_path: Path, codec: str, container: str, channels: int) -> None:
    layout = {7: "6.1", 8: "7.1"}[channels]
    path = tmp_path / f"many.{container}"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000, layout=layout)
        name = stream.codec_context.format.name
        resampler = av.AudioResampler(name, layout, 48_000, stream.codec_context.frame_size or 4096)
        tone = np.sin(np.arange(96_000) / 20).astype(np.float32) * 0.5
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, channels)[None], "flt", layout)
        frame.sample_rate = 48_000
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))
    log = audio.DecodeLog()
    samples = np.concatenate(list(audio.decode(path, 16_000, log)))
    assert 1.8 < len(samples) / 16_000 < 2.2
    assert 0.2 < np.abs(samples).max() <= 0.7


def test_a_codec_without_a_decoder_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "odd.wav"
    synthesis.encode(path, synthesis.piece(1, 2), 44_100)
    data = bytearray(path.read_bytes())
    at = data.index(b"fmt ") + 8
    data[at : at + 2] = b"\x99\x99"
    path.write_bytes(data)
    with pytest.raises(TrackError, match=r"no decoder|no audio") as error:
        list(audio.decode(path, 16_000, audio.DecodeLog()))
    assert "object" not in str(error.value)


@pytest.mark.parametrize("format_tag", [0x000A, 0x0162, 0x0163], ids=["voice", "pro", "lossless"])
def test_windows_media_audio_that_ffmpeg_refuses_is_reported(
    seed_files: dict[str, Path], tmp_path: Path, format_tag: int, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(seed_files[".wma"].read_bytes())
    at = data.index((0x0161).to_bytes(2, "little") + b"\2\0")  # Windows Media Audio 2, stereo
    data[at : at + 2] = format_tag.to_bytes(2, "little")
    path = tmp_path / "refused.wma"
    path.write_bytes(data)
    with pytest.raises(TrackError, match="no audio"):
        list(audio.decode(path, 16_000, audio.DecodeLog()))
    audio.identify(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kept", [(), (44_100,), (22_050,)])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_chain_of_other_parameters_is_analysed_as_far_as_it_goes(
    tmp_path: Path, order: tuple[int, int], kept: tuple[int, ...]
) -> None:
    parts = [tmp_path / "a.ogg", tmp_path / "b.ogg"]
    for path, rate in zip(parts, (44_100, 22_050), strict=True):
        kind = synthesis.Container("vorbis", rate, options=(("strict", "experimental"),))
        synthesis.encode(path, synthesis.piece(1, 4), 44_100, kind)
    chain = tmp_path / "chain.ogg"
    chain.write_bytes(b"".join(parts[n].read_bytes() for n in order))
    log = audio.DecodeLog()
    samples = np.concatenate(list(audio.decode(chain, 16_000, log, kept)))
    first = (44_100, 22_050)[order[0]]
    assert log.rate == (first if first in kept else 16_000)
    assert len(samples) / log.rate == pytest.approx(log.seconds, abs=0.01)
    assert log.seconds > 3.5
    assert audio.identify(chain).content_key == log.content_key
