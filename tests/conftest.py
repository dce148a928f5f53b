"""What the tests share: small music that they make, and the program run as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Chromium
from command_server import CommandServer

# Tests run in parallel, and each program has its own workers: libraries must not take all cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts background jobs with Ctrl-C ignored, which programs inherit and then do not heed.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from genretag.audio import synthesis

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
HAS_DATA = (SHARED / "clips.csv").exists()


#: The modules that take longest. They begin first, so that none of them runs alone at the end.
LONGEST = (
    *("test_train.py", "test_cli.py", "test_html.py", "test_baselines.py", "test_docs.py"),
    *("test_trust.py", "test_walkthrough.py", "test_deep.py", "test_sparse.py", "test_tidy.py"),
    *("test_undo.py", "test_replace.py", "test_audio.py", "test_real_disks.py", "test_watch.py"),
    *("test_settings.py", "test_review_keys.py", "test_hostile_files.py", "test_audit.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    for item in items:
        if item.get_closest_marker("data") and not HAS_DATA:
            item.add_marker(pytest.mark.skip(reason="the training data is not here"))


@dataclass(frozen=True)
class Ran:
    """What a run of the program gave."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Program = Callable[..., Ran]


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let reports of failures name files whose names are not UTF-8: xdist would stop at them."""
    return _without_surrogates((yield))


def _without_surrogates(value: Any) -> Any:
    """Return a value of strings, lists, tuples and dictionaries with lone surrogates escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_without_surrogates, value))
    return value


@pytest.fixture(scope="session")
def command_server() -> Iterator[CommandServer | None]:
    """Start the process that commands are forked from, where the system can fork safely."""
    if sys.platform != "linux":
        yield None
        return
    server = CommandServer()
    yield server
    server.close()


@pytest.fixture
def genretag(tmp_path: Path, command_server: CommandServer | None) -> Program:
    """Run the program in a process of its own, with a database of its own."""
    return program(tmp_path, command_server)


def program(folder: Path, server: CommandServer | None) -> Program:
    """Return a function that runs the program with its database and settings in a folder.

    With ``fresh=True`` it runs in an interpreter of its own, else where possible in a process
    forked from the server.
    """

    def run(
        *arguments: object, env: dict[str, str] | None = None, stdin: str = "", fresh: bool = False
    ) -> Ran:
        environment = {
            **os.environ,
            "GENRETAG_DB": str(folder / "db" / "genretag.db"),
            "GENRETAG_CONFIG": str(folder / "config.toml"),
            "COLUMNS": "160",
            **(env or {}),
        }
        environment.pop("FORCE_COLOR", None)
        words = ["-m", "genretag", *(os.fspath(_text(argument)) for argument in arguments)]
        done = run_python(words, environment, stdin.encode(), None if fresh else server)
        return Ran(
            done.returncode,
            done.stdout.decode("utf-8", "replace"),
            done.stderr.decode("utf-8", "replace"),
        )

    return run


def run_python(
    arguments: list[str],
    environment: dict[str, str],
    stdin: bytes = b"",
    server: CommandServer | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``python -m`` or ``python -c``, in a process forked from the server where possible."""
    if server and server.fits(environment):
        return server.run(arguments, environment, stdin, 200)
    return subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        env=environment,
        timeout=200,
        check=False,
    )


def _text(argument: object) -> str | Path:
    return argument if isinstance(argument, Path) else str(argument)


@pytest.fixture(scope="session")
def seed_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Encode a piece of twelve seconds in every container, with title and artist, without genre."""
    folder = tmp_path_factory.mktemp("seeds")
    samples = synthesis.piece(7, 12)
    made = {}
    for extension in synthesis.CONTAINERS:
        made[extension] = folder / f"seed{extension}"
        synthesis.encode(
            made[extension],
            samples,
            44_100,
            tags={"title": "A Title", "artist": "An Artist", "comment": "keep me"},
        )
    return made


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    process = Chromium(tmp_path_factory.mktemp("chromium"))
    yield process
    process.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Browser]:
    page = Browser(chromium)
    yield page
    page.close()
