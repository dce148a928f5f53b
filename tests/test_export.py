"""Exported embeddings: what other programs read is what the database holds, for any file name."""

from __future__ import annotations

import ast
import os
import sqlite3
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from genretag.cli import app
from genretag.decisions.vote import vote
from genretag.errors import GenretagError, RunError, UsageError
from genretag.features import FEATURE_VERSION
from genretag.inference.metadata import metadata_to_json
from genretag.inference.model import Model
from genretag.records import Analysis, FileRow, Tags
from genretag.report import embeddings as exporting
from genretag.storage.cache import AnalysisCache

MODEL = Model().metadata
DIMS, WINDOWS = 24, 3
NAMES = (b"one.flac", b"caf\xe9.flac", b"line\nbreak \x1b[31m.flac", "日本.flac".encode())


def make(folder: Path, n: int) -> tuple[FileRow, Analysis]:
    rng = np.random.default_rng(n)
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + NAMES[n]))
    path.touch()
    key = f"{n:032x}"
    numbers = Analysis(
        *(key, None, 90.0, 1.0, np.arange(WINDOWS, dtype=np.float32) * 30),
        rng.normal(0, 3, (WINDOWS, len(MODEL.labels))).astype(np.float16),
        np.full(WINDOWS, 5, np.float16),
        rng.normal(0, 2, DIMS).astype(np.float16),
    )
    tags = Tags(["Jazz", "a\x1bb"], "GENRE")
    return FileRow(path, 1, 1, 1, 1, 1, "0" * 64, key, tags), numbers


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Make a database with files whose names are hard to export."""
    folder = tmp_path / "music"
    folder.mkdir()
    store = AnalysisCache(tmp_path / "g.db")
    with store.transaction():
        store.save_model(MODEL.id, metadata_to_json(MODEL))
        for n in range(len(NAMES)):
            file, numbers = make(folder, n)
            store.save_file(file)
            store.save_analysis(numbers, MODEL.id, FEATURE_VERSION)
    store.close()
    return folder


def run(library: Path, *arguments: object) -> str:
    env = {"GENRETAG_DB": str(library.parent / "g.db"), "COLUMNS": "160"}
    done = CliRunner().invoke(app, ["export", *map(str, arguments)], env=env)
    if isinstance(done.exception, GenretagError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stderr


def expected(library: Path) -> dict[bytes, tuple[FileRow, Analysis]]:
    made = [make(library, n) for n in range(len(NAMES))]
    return {os.fsencode(f.path): (f, a) for f, a in made}


def read_npy(data: bytes) -> tuple[str, tuple[int, ...], bytes]:
    """Read an array by NumPy's published format, without NumPy."""
    assert data[:8] == b"\x93NUMPY\x01\x00"
    (length,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10 : 10 + length].decode("latin-1"))
    assert header["fortran_order"] is False
    return header["descr"], header["shape"], data[10 + length :]


def test_npz_holds_the_database(library: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "LOT", 3)
    target = tmp_path / "e.npz"
    assert "4 files" in run(library, "--embeddings", target)
    with zipfile.ZipFile(target) as archive:
        arrays = {n.removesuffix(".npy"): read_npy(archive.read(n)) for n in archive.namelist()}
    kind, shape, raw = arrays["path"]
    width = int(kind.removeprefix("|S"))
    paths = [raw[i * width : (i + 1) * width].rstrip(b"\0") for i in range(shape[0])]
    want = expected(library)
    assert paths == sorted(want)
    assert arrays["embedding"][:2] == ("<f4", (4, DIMS))
    floats = struct.unpack(f"<{4 * DIMS}f", arrays["embedding"][2])
    for n, path in enumerate(paths):
        assert list(floats[n * DIMS : (n + 1) * DIMS]) == want[path][1].embedding.tolist()
    with np.load(target, allow_pickle=False) as loaded:
        assert str(loaded["model"]) == MODEL.id and str(loaded["version"]) == MODEL.version
        assert tuple(loaded["labels"]) == MODEL.labels
        for n, path in enumerate(paths):
            file, analysis = want[path]
            verdict = vote(analysis, MODEL)
            scores = dict(zip(MODEL.labels, loaded["scores"][n], strict=True))
            assert scores == pytest.approx(verdict.scores, abs=1e-6)
            assert loaded["genre"][n] == verdict.genre
            assert loaded["content_key"][n] == file.content_key.encode()


def test_parquet_is_read_by_another_library(library: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    target = tmp_path / "e.parquet"
    run(library, "--embeddings", target)
    table = duckdb.read_parquet(str(target))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]
    want = expected(library)
    assert [row["path_bytes"] for row in rows] == sorted(want)
    for row in rows:
        file, analysis = want[row["path_bytes"]]
        verdict = vote(analysis, MODEL)
        assert list(row["embedding"]) == analysis.embedding.tolist()
        assert row["scores"] == pytest.approx(verdict.scores, abs=1e-6)
        assert (row["genre"], row["model"]) == (verdict.genre, MODEL.id)
        assert row["content_key"] == file.content_key
        assert row["model_version"] == MODEL.version
        assert row["path"].isprintable() and all(map(str.isprintable, row["tags"]))
    assert any(r"caf\xe9.flac" in row["path"] for row in rows)


def test_an_export_that_fails_leaves_the_old_file(
    library: Path, tmp_path: Path, monkeypatch
) -> None:
    target = tmp_path / "e.npz"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting.shutil, "copyfileobj", fail)
    with pytest.raises(RunError, match=r"e\.npz: the embeddings cannot be written: No space"):
        run(library, "--embeddings", target)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.glob("*e.*")] == ["e.npz"]


def test_damaged_and_missing_files_are_left_out_and_counted(library: Path, tmp_path: Path) -> None:
    (library / "one.flac").unlink()
    with sqlite3.connect(library.parent / "g.db") as db:
        nan = np.full(DIMS, np.nan, np.float16).tobytes()
        db.execute("UPDATE heard SET embedding = ? WHERE content_key = ?", (nan, f"{1:032x}"))
        db.execute("UPDATE heard SET logits = x'00' WHERE content_key = ?", (f"{2:032x}",))
    err = run(library, "--embeddings", tmp_path / "e.npz")
    assert "1 file\n" in err
    assert "1 file left out: no longer there" in err
    assert "2 files left out: the stored numbers are damaged" in err


def test_only_files_below_the_paths_are_exported(library: Path, tmp_path: Path) -> None:
    target = tmp_path / "e.npz"
    assert "1 file\n" in run(library, library / "one.flac", "--embeddings", target)
    with pytest.raises(RunError, match="no file there was analysed"):
        run(library, tmp_path / "elsewhere", "--embeddings", target)


def test_mistakes_get_a_sentence(library: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(UsageError, match="choose what to export"):
        run(library)
    with pytest.raises(UsageError, match=r"must end in \.parquet or \.npz"):
        run(library, "--embeddings", tmp_path / "e.csv")
    with pytest.raises(RunError, match=r"no/e\.npz: .*No such file"):
        run(library, "--embeddings", tmp_path / "no" / "e.npz")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RunError, match=r"pip install 'genretag\[parquet\]'"):
        run(library, "--embeddings", tmp_path / "e.parquet")
