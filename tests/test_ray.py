"""A scan on a Ray cluster: the local engine's verdicts, whatever workers are lost; results that
travel; music behind URLs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Program
from crashers import serve_slowly

if (
    find_spec("ray") is None or find_spec("pyarrow") is None
):  # not importorskip: Ray is imported only after its settings are made
    pytest.skip("Ray is not installed: pip install 'genretag[ray]'", allow_module_level=True)

from genretag import tags
from genretag.audio import synthesis
from genretag.cluster import machines, result_files, results, source
from genretag.cluster.actors import DECODE_CPUS, SCORE_CPUS, Actors
from genretag.cluster.engine import RayEngine
from genretag.cluster.importing import import_results
from genretag.cluster.operators import check_kept
from genretag.cluster.options import ClusterOptions
from genretag.cluster.setup import Setup, Shipped
from genretag.cluster.stages import Keep
from genretag.decisions.policy import Policy
from genretag.errors import RunError, UsageError
from genretag.features import FEATURE_VERSION
from genretag.inference.model import Model
from genretag.scan.local import LocalEngine
from genretag.scan.options import Options
from genretag.scan.scanner import Engine, Scanner
from genretag.writing.session import Databases, open_databases

pytestmark = pytest.mark.cluster

#: More windows than travel together: such a track is scored where it is decoded.
LONG_SECONDS = 660


@pytest.fixture(scope="session")
def storage() -> Iterator[dict[str, str] | None]:
    """An S3 server on this machine: the environment that leads there; None where moto is not
    installed.
    """
    if find_spec("moto") is None or find_spec("flask") is None or find_spec("s3fs") is None:
        yield None
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


@pytest.fixture(scope="module")
def cluster(storage: dict[str, str] | None) -> Iterator[str]:
    """A cluster of this machine, for all tests; its address. Its workers know the S3 server, and
    the decoders of the tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (storage or {}).items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        machines.settle_ray(local=True)
        import ray

        folder = Path("/tmp") / f"genretag-test-{os.getpid()}"  # a socket's path must be short
        ray.init(
            **machines.init_arguments(None, 2, str(folder)), num_gpus=1
        )  # there is none: with ``auto``, scoring falls back to the CPU
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Music in several containers, a long track, a name that is not UTF-8, noise, a broken file, an
    empty one.
    """
    folder = tmp_path_factory.mktemp("music")
    for n, extension in enumerate((".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wma", ".mka")):
        seconds = 41 if n % 2 else 12
        synthesis.encode(
            folder / f"{n}{extension}",
            synthesis.piece(n, seconds),
            44_100,
            tags={"artist": f"Artist {n}", "album": "Album"},
        )
    (folder / os.fsdecode(b"caf\xe9.mp3")).write_bytes((folder / "0.mp3").read_bytes())
    long = np.tile(synthesis.piece(9, 30, 8_000), LONG_SECONDS // 30)
    synthesis.encode(
        folder / "long.flac", long, 8_000, synthesis.Container("flac", 8_000, sample_format="s16")
    )
    synthesis.encode(
        folder / "noise.flac",
        np.random.default_rng(0).normal(0, 0.1, 12 * 44_100).astype(np.float32),
        44_100,
    )
    (folder / "broken.mp3").write_bytes((folder / "0.mp3").read_bytes()[:600] + os.urandom(3_000))
    (folder / "empty.flac").touch()
    return folder


@dataclass(frozen=True)
class Scanned:
    """A finished scan: its scanner, and its plan by path."""

    scanner: Scanner
    rows: dict[str, dict[str, Any]]


def rows_of(given: Databases, run: int) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for _, _, row in given.store.plan(run)}


def scanned(
    database: Path, folder: Path | None, cluster: ClusterOptions | None = None, **options: Any
) -> Scanned:
    """Scan in process, by the local engine or on the cluster."""
    with open_databases(database) as given:
        run = given.journal.begin("scan", "test", {})
        model, paths = Model(), () if folder is None else (folder,)
        engine: Engine = LocalEngine(model) if cluster is None else RayEngine(model, cluster)
        scanner = Scanner(given.store, engine, Options(paths, jobs=2, **options), run)
        scanner.scan()
        return Scanned(scanner, rows_of(given, run))


@pytest.fixture(scope="module")
def local(music: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The local engine's plan of the music."""
    return scanned(tmp_path_factory.mktemp("local") / "g.db", music).rows


@pytest.fixture(scope="module")
def cluster_scan(
    music: Path, cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A scan of the music on the cluster: its database and its results."""
    folder = tmp_path_factory.mktemp("scan")
    scanned(folder / "g.db", music, ClusterOptions(results=str(folder / "results")))
    return folder / "g.db", folder / "results"


def last_rows(database: Path) -> dict[str, dict[str, Any]]:
    with open_databases(database) as given:
        last = given.store.last_scan()
        assert last is not None
        return rows_of(given, last.run)


def test_the_plan_of_the_cluster_equals_that_of_the_local_engine(
    local: dict[str, dict[str, Any]], cluster_scan: tuple[Path, Path]
) -> None:
    there = last_rows(cluster_scan[0])
    assert list(there) == list(local)
    assert there == local
    assert {r["status"] for r in local.values()} >= {"ok", "failed", "nonmusic"}
    assert sum(r["status"] == "failed" for r in local.values()) == 2
    assert next(r["windows"] for p, r in local.items() if p.endswith("long.flac")) > 20


def test_known_tracks_need_no_cluster_and_moved_tracks_no_decoding(
    cluster_scan: tuple[Path, Path], music: Path, tmp_path: Path
) -> None:
    (tmp_path / "g.db").write_bytes(cluster_scan[0].read_bytes())
    (tmp_path / "elsewhere").mkdir()
    again = scanned(tmp_path / "g.db", music, ClusterOptions(address="127.0.0.1:1"))
    assert again.scanner.decoded_tracks == 0
    assert {p: r["genre"] for p, r in again.rows.items()} == {
        p: r["genre"] for p, r in last_rows(cluster_scan[0]).items()
    }
    for n in (1, 3):
        original = next(music.glob(f"{n}.*"))
        (tmp_path / "elsewhere" / original.name).write_bytes(original.read_bytes())
    moved = scanned(tmp_path / "g.db", tmp_path / "elsewhere", ClusterOptions())
    assert moved.scanner.decoded_tracks == 0
    assert [r["confidence"] for r in moved.rows.values()] == [
        again.rows[str(next(music.glob(f"{n}.*")))]["confidence"] for n in (1, 3)
    ]


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Six short tracks."""
    folder = tmp_path / "short"
    folder.mkdir()
    for n in range(6):
        synthesis.encode(folder / f"{n}.flac", synthesis.piece(n, 5), 44_100)
    return folder


def test_copies_are_decoded_once_on_a_cluster(cluster: str, short: Path, tmp_path: Path) -> None:
    for n in range(3):
        shutil.copyfile(short / "0.flac", short / f"copy {n}.flac")
    tags.write(short / "copy 1.flac", ["Polka"])
    shutil.copyfile(short / "1.flac", short / "a copy.flac")
    there = scanned(tmp_path / "g.db", short, ClusterOptions(results=str(tmp_path / "results")))
    assert there.scanner.decoded_tracks == 6
    assert there.rows == expected(short, tmp_path)
    with open_databases(tmp_path / "other.db") as given:
        import_results(given.store, tmp_path / "results", Policy(), 1)
        assert rows_of(given, 1) == there.rows


def test_each_import_makes_a_plan_of_its_own(
    cluster_scan: tuple[Path, Path], tmp_path: Path
) -> None:
    head, table = next(result_files.read(cluster_scan[1]))
    whole = table.filter(table["error"].is_null())
    for name, part in (("one", whole.slice(0, 1)), ("all", whole)):
        result_files.write(str(tmp_path / name), "x.parquet", part, head)
    with open_databases(tmp_path / "g.db") as given:
        for run, name in enumerate(("one", "all"), 1):
            import_results(given.store, tmp_path / name, Policy(), run)
        assert len(rows_of(given, 1)) == 1
        assert len(rows_of(given, 2)) == whole.num_rows > 1


def expected(folder: Path, tmp_path: Path) -> dict[str, dict[str, Any]]:
    return scanned(tmp_path / "expected.db", folder).rows


def kill_a_decoder(folder: Path, killed: list[int]) -> None:
    """Kill the first process that decodes for the cluster, as soon as it does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not killed:
        for mark in folder.glob("*.pid"):
            os.kill(int(mark.stem), signal.SIGKILL)
            killed.append(int(mark.stem))
            return
        time.sleep(0.05)


def test_a_decoder_that_is_killed_loses_nothing(cluster: str, short: Path, tmp_path: Path) -> None:
    right = expected(short, tmp_path)
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_decoder, args=(short, killed))
    killer.start()
    there = scanned(tmp_path / "g.db", short, ClusterOptions(decoder=serve_slowly))
    killer.join()
    assert len(killed) == 1
    assert there.rows == right


def test_a_track_that_takes_workers_down_costs_its_task_and_no_other(
    cluster: str, short: Path, tmp_path: Path
) -> None:
    right = expected(short, tmp_path)
    (short / "fatal.flac").write_bytes((short / "0.flac").read_bytes() + b"\0")
    (short / "segfault.flac").write_bytes((short / "1.flac").read_bytes() + b"\0")
    there = scanned(tmp_path / "g.db", short, ClusterOptions(decoder=serve_slowly, retries=0)).rows
    assert "was lost" in there.pop(str(short / "fatal.flac"))["error"]
    lost = {path for path, row in there.items() if "was lost" in (row["error"] or "")}
    assert len(lost) <= 2  # they were in its task, and Ray did not give back what the worker held
    if str(short / "segfault.flac") not in lost:
        assert "SIGSEGV" in there.pop(str(short / "segfault.flac"))["error"]
    assert {p: row for p, row in there.items() if p not in lost} == {
        p: row for p, row in right.items() if p not in lost
    }
    with open_databases(tmp_path / "g.db") as given:
        assert given.store.failure(short / "fatal.flac") is None  # the next scan tries it
        assert all(given.store.failure(Path(p)) is None for p in lost)


def test_known_tracks_are_in_the_results_too(
    cluster_scan: tuple[Path, Path], music: Path, tmp_path: Path
) -> None:
    (tmp_path / "g.db").write_bytes(cluster_scan[0].read_bytes())
    scanned(
        tmp_path / "g.db",
        music,
        ClusterOptions(address="127.0.0.1:1", results=str(tmp_path / "results")),
    )
    with open_databases(tmp_path / "fresh.db") as given:
        import_results(given.store, tmp_path / "results", Policy(), 1)
        imported = rows_of(given, 1)
    assert {p: r["genre"] for p, r in imported.items()} == {
        p: r["genre"] for p, r in last_rows(cluster_scan[0]).items()
    }


def test_results_are_applied_and_undone_on_a_machine_that_analysed_nothing(
    genretag: Program,
    cluster_scan: tuple[Path, Path],
    local: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    reported = genretag("report", cluster_scan[1], "--json")
    assert reported.status == 0, reported.err
    assert {r["path"]: {**r} for r in reported.rows} == local
    before = {p: Path(p).read_bytes() for p, r in local.items() if r["action"] == "write"}
    assert before
    assert "dry run" in genretag("apply", cluster_scan[1], "--dry-run").err
    applied = genretag("apply", cluster_scan[1], "--yes")
    assert applied.status == 0, applied.err
    assert f"wrote {len(before)}" in applied.err
    assert all(Path(p).read_bytes() != data for p, data in before.items())
    assert (
        "nothing to write" in genretag("apply", cluster_scan[1], "--yes").err
    )  # the files were written since
    assert genretag("undo", "--yes").status == 0
    assert all(Path(p).read_bytes() == data for p, data in before.items())


def test_results_of_several_scans_make_one_plan_with_the_later_results(
    cluster_scan: tuple[Path, Path], tmp_path: Path
) -> None:
    both = tmp_path / "both"
    both.mkdir()
    for file in cluster_scan[1].iterdir():
        (both / file.name).write_bytes(file.read_bytes())
        head, table = next(result_files.read(file))
        later = result_files.Head(head.metadata, "later")
        result_files.write(str(both), "zlater-000000000000.parquet", table.slice(0, 3), later)
    with open_databases(tmp_path / "g.db") as given:
        import_results(given.store, both, Policy(), 1)
        assert rows_of(given, 1).keys() == last_rows(cluster_scan[0]).keys()


@pytest.mark.parametrize("what", ["nothing", "another's", "cut off", "of another time"])
def test_other_files_than_results_are_refused(
    cluster_scan: tuple[Path, Path], tmp_path: Path, what: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = tmp_path / "x.parquet"
    whole = next(cluster_scan[1].glob("*.parquet"))
    if what == "another's":
        pq.write_table(pa.table({"a": [1]}), place)
    elif what == "cut off":
        place.write_bytes(whole.read_bytes()[:-100])
    elif what == "of another time":
        head, table = next(result_files.read(whole))
        result_files.write(
            str(tmp_path), place.name, table, result_files.Head(head.metadata, features=99)
        )
    with open_databases(tmp_path / "g.db") as given, pytest.raises(RunError, match=r"x\.parquet"):
        import_results(given.store, place, Policy(), 1)
    assert last_scan(tmp_path / "g.db") is None


@pytest.mark.parametrize("what", ["file", "tags", "starts", "logits"])
def test_results_that_no_scan_wrote_are_refused(
    cluster_scan: tuple[Path, Path], tmp_path: Path, what: str
) -> None:
    import pyarrow as pa

    head, table = next(result_files.read(cluster_scan[1]))
    wrong = {
        "file": b"music/x.mp3",
        "tags": '{"genres": [7], "field": null, "album": {}, "problem": null}',
        "starts": [0.0] * 7,
        "logits": [1.0],
    }
    at = table.schema.get_field_index(what)
    table = table.set_column(
        at,
        table.schema.field(at),
        pa.array([wrong[what]] * table.num_rows, table.schema.field(at).type),
    )
    result_files.write(str(tmp_path), "x.parquet", table, head)
    with (
        open_databases(tmp_path / "g.db") as given,
        pytest.raises(RunError, match="cannot be imported"),
    ):
        import_results(given.store, tmp_path, Policy(), 1)
    assert last_scan(tmp_path / "g.db") is None


def last_scan(database: Path) -> object:
    with open_databases(database) as given:
        return given.store.last_scan()


@pytest.fixture
def bucket(storage: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the S3 server, with a bucket ``music``; the environment leads there."""
    if storage is None:
        pytest.skip("moto[server] and s3fs are not installed")
    for name, value in storage.items():
        monkeypatch.setenv(name, value)
    import botocore.session
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    client = botocore.session.get_session().create_client("s3")
    client.create_bucket(Bucket="music")
    return client


def test_object_storage_is_analysed_and_reported_and_never_written(
    cluster: str,
    bucket: Any,
    music: Path,
    local: dict[str, dict[str, Any]],
    tmp_path: Path,
    genretag: Program,
) -> None:
    here = {
        Path(p).name: r
        for p, r in local.items()
        if (Path(p).suffix in (".opus", ".m4a", ".mp3") and p.isascii()) or "noise" in p
    }
    for name, row in here.items():
        bucket.put_object(
            Bucket="music", Key=f"shelf/an album/{name}", Body=Path(row["path"]).read_bytes()
        )
    bucket.put_object(Bucket="music", Key="shelf/.hidden.mp3", Body=b"x")
    bucket.put_object(Bucket="music", Key="shelf/notes.txt", Body=b"x")
    ran = genretag(
        "scan",
        "s3://music/shelf",
        "--engine",
        "ray",
        "--address",
        cluster,
        "--results",
        "s3://music/results",
        "--yes",
        "--json",
    )
    assert {r["path"] for r in ran.rows} == {
        f"s3://music/shelf/an album/{name}" for name in here
    }, ran.err
    for row in ran.rows:
        same = here[row["path"].rpartition("/")[2]]
        assert all(
            row[k] == same[k]
            for k in (
                "status",
                "genre",
                "confidence",
                "windows",
                "scores",
                "content_key",
                "file_check",
                "audio_key",
                "error",
            )
        )
        assert row["action"] == "skip"
        assert row["status"] != "ok" or "object storage" in row["reason"]
    assert "nothing to write" in ran.err
    again = genretag("apply", "--min-confidence", 0, "--json", "--yes")
    assert all(
        r["path"].startswith("s3://music/shelf/") and r["action"] == "skip" for r in again.rows
    )
    reported = genretag("report", "s3://music/results", "--json", "--db", tmp_path / "other.db")
    assert {r["path"]: r["scores"] for r in reported.rows} == {
        r["path"]: r["scores"] for r in ran.rows
    }, reported.err
    known = genretag(
        "scan", "s3://music/shelf", "--engine", "ray", "--address", "127.0.0.1:1", "--dry-run"
    )
    assert "nothing new to analyse" in known.err


def test_unreachable_places_are_reported_at_once(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    with pytest.raises(UsageError, match="nothing there"):
        list(source.listing("s3://music/no such shelf"))
    with pytest.raises(UsageError, match="password"):
        list(source.listing("ftp://me:secret@example.org/music"))
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(UsageError, match="cannot be reached"):
        list(source.listing("s3://elsewhere/shelf"))


def test_a_private_cluster_is_silent_and_leaves_nothing_behind(
    genretag: Program, short: Path, tmp_path: Path
) -> None:
    temporary = Path("/tmp") / f"g{os.getpid()}"  # a socket's path must be short
    temporary.mkdir()
    ran = genretag(
        "-q",
        "scan",
        short,
        "--engine",
        "ray",
        "--dry-run",
        "--json",
        "--results",
        tmp_path / "r",
        env={"TMPDIR": str(temporary)},
    )
    assert ran.status == 0, ran.err
    assert len(ran.rows) == 6
    writes = sum(r["action"] == "write" for r in ran.rows)
    assert ran.err == (
        f"dry run: nothing was changed; {writes} genres to write\n" if writes else ""
    )
    assert not list(temporary.glob("[!.]*"))
    shutil.rmtree(temporary)


def test_ctrl_c_keeps_finished_analyses(cluster: str, short: Path, tmp_path: Path) -> None:
    for n in range(10, 60):
        (short / f"{n}.flac").write_bytes((short / "0.flac").read_bytes() + bytes(n))
    command = [
        sys.executable,
        "-m",
        "genretag",
        "scan",
        str(short),
        "--engine",
        "ray",
        "--address",
        cluster,
        "--db",
        str(tmp_path / "g.db"),
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    wait_until(lambda: (tmp_path / "g.db").exists() and file_count(tmp_path / "g.db") > 0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == b""
    # Ray's core sometimes ends its driver by itself, silently and with 1, in the middle of tasks.
    stopped = b"stopped; finished analyses are kept, and the next scan goes on from there\n"
    assert (process.returncode, err) in ((130, stopped), (1, b""))
    assert file_count(tmp_path / "g.db") > 0


def file_count(database: Path) -> int:
    import contextlib
    import sqlite3

    with (
        contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db,
        contextlib.suppress(sqlite3.Error),
    ):
        return int(db.execute("SELECT count(*) FROM file").fetchone()[0])
    return 0


def wait_until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_options_that_do_not_fit_are_reported_with_the_cause(
    genretag: Program, short: Path
) -> None:
    for words, message in (
        (
            ("--engine", "ray", "--address", "127.0.0.1:1"),
            "--address 127.0.0.1:1: nothing answers there",
        ),
        (("--engine", "ray", "--address", "here"), "HOST:PORT, or auto"),
        (("--engine", "ray", "--address", "ray://127.0.0.1:10001"), "HOST:PORT"),
        (("--address", "127.0.0.1:1"), "--address: that needs --engine ray"),
        (("--results", "x"), "--results: that needs --engine ray"),
        (("s3://music/shelf",), "s3://music/shelf: that needs --engine ray"),
    ):
        ran = genretag("scan", short, *words, "--dry-run")
        assert ran.status == 2, (words, ran.err)
        assert message in ran.err
        assert len(ran.err.splitlines()) == 1


def test_missing_packages_are_reported_with_the_command_to_install_them() -> None:
    from genretag.cli.cluster import require_packages

    with pytest.raises(
        UsageError, match=r"no_such_ray is not installed; pip install 'genretag\[ray\]'"
    ):
        require_packages("--engine ray", "ray", "no_such_ray")


def test_results_that_cannot_be_kept_end_the_scan(
    cluster_scan: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    _, table = next(result_files.read(cluster_scan[1]))
    kept = Keep(Setup(Shipped(Model().metadata)), str(tmp_path / "file"), "scan")(table)
    assert kept.num_rows == table.num_rows
    with pytest.raises(RunError, match="results cannot be written"):
        check_kept(kept)


def test_actors_fit_their_clusters() -> None:
    for cpus in (1, 2, 3, 4, 8, 64, 1000):
        actors = Actors.of({"CPU": float(cpus)}, None, "auto")
        needed = actors.decoders * DECODE_CPUS + actors.scorers * SCORE_CPUS
        assert needed <= cpus
    assert Actors.of({"CPU": 16.0, "GPU": 2.0}, None, "auto") == Actors(16, 2, 1.0)
    assert Actors.of({"CPU": 16.0, "GPU": 2.0}, None, "cpu").gpus == 0
    assert Actors.of({"CPU": 16.0}, 4, "auto").decoders == 4
    with pytest.raises(UsageError, match="GPU"):
        Actors.of({"CPU": 16.0}, None, "cuda")


def test_rows_come_back_from_parquet_bit_by_bit(cluster_scan: tuple[Path, Path]) -> None:
    with open_databases(cluster_scan[0]) as given:
        for _, table in result_files.read(cluster_scan[1]):
            for track, file in results.track_results(table):
                f = given.store.file(file)
                if track.error is not None:
                    assert f is None
                    continue
                assert f is not None
                assert track.identity is not None
                assert track.analysis is not None
                assert (f.file_check, f.audio_key, f.content_key, f.tags, f.size) == (
                    track.identity.file_check,
                    track.identity.audio_key,
                    track.identity.content_key,
                    track.tags,
                    track.found.size,
                )
                kept = given.store.analysis(f.content_key, Model().metadata.id, FEATURE_VERSION)
                assert kept is not None
                assert json.dumps([kept.seconds, kept.share, kept.second_key]) == json.dumps(
                    [track.analysis.seconds, track.analysis.share, track.analysis.second_key]
                )
                for name in ("starts", "logits", "music", "embedding"):
                    assert np.array_equal(getattr(kept, name), getattr(track.analysis, name))
                assert kept.picture == track.analysis.picture
