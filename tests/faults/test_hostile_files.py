"""Hostile and broken files: every one gets a row, none is changed, none ends the run."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from breaking import make_library, mutated, sha
from conftest import Program

from genretag import tags


def wav_header(rate: int, channels: int, bits: int, size: int) -> bytes:
    block = channels * bits // 8
    fmt = struct.pack(
        "<HHIIHH", 1, channels, rate, min(0xFFFFFFFF, rate * block), block & 0xFFFF, bits
    )
    return (
        b"RIFF"
        + struct.pack("<I", min(0xFFFFFFFF, size + 36))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + fmt
        + b"data"
        + struct.pack("<I", size)
    )


@pytest.mark.slow
def test_mutated_files_of_every_container_cost_themselves_alone(
    genretag: Program, tmp_path: Path
) -> None:
    seeds = make_library(tmp_path / "seeds", 3, big=False)
    folder = tmp_path / "music"
    folder.mkdir()
    rng = np.random.default_rng(11)
    for n in range(25):
        for seed in seeds:
            (folder / f"{n:03d}{seed.suffix}").write_bytes(mutated(seed.read_bytes(), rng))
    before = {p: (sha(p), p.stat().st_mtime_ns) for p in folder.iterdir()}
    ran = genretag("scan", folder, "--dry-run", "--json", "--min-confidence", "0")
    assert ran.status in (0, 1), ran.err
    assert "Traceback" not in ran.err
    assert len(ran.rows) == len(before)
    assert all(r["status"] in ("ok", "unsure", "nonmusic", "failed") for r in ran.rows)
    assert all(r["error"] for r in ran.rows if r["status"] == "failed")
    assert {p: (sha(p), p.stat().st_mtime_ns) for p in folder.iterdir()} == before
    genretag(
        "apply", "--yes"
    )  # whatever can be written is written safely; the rest is left as it was
    written = {r["path"] for r in ran.rows if r["action"] == "write"}
    for path, (was, _) in before.items():
        assert sha(path) == was or str(path) in written
    assert genretag("undo", "--yes").status == 0
    assert {p: sha(p) for p in folder.iterdir()} == {p: was for p, (was, _) in before.items()}


def test_lying_headers_are_survived(genretag: Program, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(200_000)
    cases = {
        "hours.wav": wav_header(44_100, 2, 16, 0xFFFFFFF0) + noise,
        "nothing a second.wav": wav_header(0, 2, 16, len(noise)) + noise,
        "many channels.wav": wav_header(44_100, 64, 16, len(noise)) + noise,
        "too many channels.wav": wav_header(44_100, 255, 16, len(noise)) + noise,
        "very fast.wav": wav_header(384_000, 1, 16, len(noise)) + noise,
        "absurd rate.wav": wav_header(0x7FFFFFFF, 1, 16, len(noise)) + noise,
        "all ones.wav": b"RIFF\xff\xff\xff\xffWAVE\xff\xff\xff\xff\xff\xff\xff\xff",
        "page.mp3": b"<html><script>alert(1)</script></html>" * 100,
        "empty.flac": b"",
        "noise.opus": noise,
        "zeros.m4a": bytes(100_000),
        "long id3.mp3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + noise,
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.mp3")
    ran = genretag("scan", tmp_path, "--dry-run", "--json", "--exclude", "db")
    assert {Path(r["path"]).name for r in ran.rows} == set(cases)
    assert "Traceback" not in ran.err
    failed = {Path(r["path"]).name for r in ran.rows if r["status"] == "failed"}
    assert failed >= {"nothing a second.wav", "page.mp3", "empty.flac", "zeros.m4a", "all ones.wav"}


def dsf(seconds: float, rate: int = 2_822_400) -> bytes:
    """Return a DSF file: one bit a sample, of a slow sine by first-order delta-sigma modulation."""
    n = int(seconds * rate) // 32768 * 32768
    x = 0.5 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)
    total, bits = 0.0, np.empty(n, np.uint8)
    for i, v in enumerate(x.tolist()):
        total += v
        bit = total > 0
        bits[i] = bit
        total -= 1.0 if bit else -1.0
    data = np.packbits(bits, bitorder="little").tobytes()
    head = b"DSD " + struct.pack("<QQQ", 28, 28 + 52 + 12 + len(data), 0)
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, rate, 1, n, 4096, 0)
    return head + fmt + b"data" + struct.pack("<Q", 12 + len(data)) + data


def test_one_bit_dsd_is_analysed_written_and_undone(genretag: Program, tmp_path: Path) -> None:
    path = tmp_path / "x.dsf"
    path.write_bytes(dsf(1.2))
    before = sha(path)
    rows = genretag("scan", path, "--json", "--dry-run", "--min-confidence", "0").rows
    assert rows[0]["status"] != "failed", rows[0]["error"]
    tags.write(path, ["Jazz"])
    assert tags.read(path).genres == ["Jazz"]
    path.write_bytes(dsf(1.2))
    assert sha(path) == before


def test_a_failure_is_remembered_and_tried_again_only_on_request(
    genretag: Program, tmp_path: Path
) -> None:
    (tmp_path / "x.mp3").write_bytes(b"nothing of the kind" * 100)
    for _ in range(2):
        (row,) = genretag("scan", tmp_path / "x.mp3", "--dry-run", "--json").rows
    assert "--retry-failed" in row["error"]
    genretag("scan", tmp_path / "x.mp3", "--dry-run", "--retry-failed")
    assert " 2" in genretag("errors").out


def test_tags_that_are_no_text_are_neutral_everywhere(genretag: Program, tmp_path: Path) -> None:
    from genretag.audio import synthesis

    path = tmp_path / "x.flac"
    synthesis.encode(path, synthesis.piece(1, 3), 44_100)
    tags.write(
        path,
        ["=cmd|'/C calc'!A0", "\x1b[2J[red]x", "\u202egnp", "<script>alert(1)</script>", "a\nb"],
    )
    ran = genretag("scan", path, "--dry-run", "-O", tmp_path / "r.csv")
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    assert "\n=" not in (tmp_path / "r.csv").read_text()
    assert ",=" not in (tmp_path / "r.csv").read_text()
    assert ',"=' not in (tmp_path / "r.csv").read_text()


def test_comments_that_are_not_utf8_stay_as_they_are(tmp_path: Path) -> None:
    from genretag.audio import synthesis

    path = tmp_path / "x.flac"
    synthesis.encode(path, synthesis.piece(1, 2), 44_100, tags={"title": "caffe"})
    path.write_bytes(path.read_bytes().replace(b"caffe", b"caf\xe9!"))
    tags.write(path, ["Jazz"])
    assert tags.read(path).genres == ["Jazz"]
    assert b"caf\xe9!" in path.read_bytes()
