"""Players' servers are asked to read what was written, and never stand in the way of a write.

MPD is a real one. Navidrome, Jellyfin and Plex cannot be installed here: the server of this test
answers as their documentation says, and checks what it gets as they do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from genretag import api
from genretag.audio import synthesis
from genretag.cli import app
from genretag.errors import GenretagError, UsageError
from genretag.notify import limits, sending
from genretag.notify.kinds import Kind
from genretag.notify.servers import Server, ServerError, find_server, is_local
from genretag.notify.subsonic import token_of

SECRET = "p\u00e4ss w\u00f6rd"
VARIABLES = ("URL", "USER", "PASSWORD", "KEY", "TOKEN")


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in Kind:
        for name in VARIABLES:
            monkeypatch.delenv(f"GENRETAG_{kind.upper()}_{name}", raising=False)
    monkeypatch.delenv("MPD_HOST", raising=False)
    monkeypatch.setenv("GENRETAG_CONFIG", str(tmp_path / "config.toml"))


@dataclass(frozen=True)
class Library:
    """A scanned file with a plan that writes its genre."""

    folder: Path
    database: Path

    @property
    def file(self) -> Path:
        return self.folder / "Album" / "one.flac"

    def run(self, *arguments: object) -> str:
        """Run a command in this process; return what it prints on stderr."""
        env = {"GENRETAG_DB": str(self.database), "COLUMNS": "160"}
        done = CliRunner().invoke(app, [*map(str, arguments)], env=env)
        if isinstance(done.exception, GenretagError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stderr


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("notify")
    library = Library(folder / "music", folder / "g.db")
    library.file.parent.mkdir(parents=True)
    synthesis.encode(library.file, synthesis.piece(0, 4), 22_050, tags={"title": "One"})
    os.utime(library.file, (1_000_000_000, 1_000_000_000))
    with api.Library(library.database, jobs=1) as opened:
        opened.hear([library.folder])
    library.run("scan", library.folder, "--dry-run", "--min-confidence", 0)
    return library


@pytest.fixture
def library(scanned: Library) -> Iterator[Library]:
    """Yield the library, and take back what a test wrote."""
    yield scanned
    with contextlib.suppress(UsageError):
        scanned.run("undo", "--all", "--yes")


# --- MPD ---


@dataclass(frozen=True)
class Mpd:
    """A running MPD."""

    socket: Path
    port: int

    def ask(self, command: str) -> list[str]:
        """Return the lines that answer a command (mpd.readthedocs.io, Protocol)."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self.socket))
            stream = line.makefile("rw", encoding="utf-8", newline="\n")
            assert stream.readline().startswith("OK MPD ")
            stream.write(command + "\n")
            stream.flush()
            answer = []
            while (text := stream.readline().rstrip("\n")) != "OK":
                assert text and not text.startswith("ACK"), text
                answer.append(text)
            return answer

    def genres(self) -> list[str]:
        """Return the genres that MPD shows, once no update runs any more."""
        for _ in range(200):
            if not any(line.startswith("updating_db") for line in self.ask("status")):
                break
            time.sleep(0.05)
        return [line.removeprefix("Genre: ") for line in self.ask("listallinfo") if "Genre" in line]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def mpd(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mpd]:
    """Run an MPD of our own over the library, on a socket and, with a password, on a port."""
    if shutil.which("mpd") is None:
        pytest.skip("mpd is not installed")
    pytest.importorskip("mpd")
    folder = tmp_path_factory.mktemp("m")
    made = Mpd(folder / "s", free_port())
    (folder / "mpd.conf").write_text(
        f"""
music_directory "{library.folder}"
db_file "{folder}/db"
bind_to_address "{made.socket}"
bind_to_address "127.0.0.1"
port "{made.port}"
zeroconf_enabled "no"
password "{SECRET}@read,add,control,admin"
default_permissions "read"
local_permissions "read,add,control,admin"
audio_output {{
  type "null"
  name "none"
}}
""",
        encoding="utf-8",
    )
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            ["mpd", "--no-daemon", "--stderr", str(folder / "mpd.conf")], stdout=log, stderr=log
        )
    try:
        for _ in range(200):
            assert running.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError, AssertionError):
                made.ask("status")
                break
            time.sleep(0.05)
        made.ask("update")
        yield made
    finally:
        running.terminate()
        running.wait(20)


@pytest.mark.parametrize("how", [(), ("--preserve-mtimes",)], ids=["new time", "kept time"])
def test_mpd_shows_the_new_genre_and_after_an_undo_none(
    library: Library, mpd: Mpd, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GENRETAG_MPD_URL", str(mpd.socket))
    assert "file: Album/one.flac" in mpd.ask("listall") or mpd.genres() == []
    assert mpd.genres() == []
    err = library.run("apply", "--yes", "--notify", "mpd", *how)
    assert "mpd: it " in err and "(job " in err and "warning" not in err
    assert mpd.genres() == ["Electronic"]
    err = library.run("undo", "--yes", "--notify", "mpd")
    assert "warning" not in err
    if not how:  # a kept time cannot tell MPD of an undo
        assert mpd.genres() == []


def test_mpd_checks_the_password_of_the_usual_variables(
    library: Library, mpd: Mpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPD_PORT", str(mpd.port))
    monkeypatch.setenv("MPD_HOST", "wrong@127.0.0.1")
    err = library.run("apply", "--yes", "--notify", "mpd")
    assert "warning: mpd at 127.0.0.1" in err and "incorrect password" in err
    assert "wrote 1 of 1" in err
    assert mpd.genres() == []
    monkeypatch.setenv("MPD_HOST", f"{SECRET}@127.0.0.1")
    assert "warning" not in library.run("undo", "--yes", "--notify", "mpd")


# --- servers with HTTP ---


@dataclass
class Player:
    """A server that answers as its documentation says, and notes what it is asked."""

    url: str = ""
    music: Path = Path("/music")
    requests: list[str] = field(default_factory=list)
    trouble: Callable[[BaseHTTPRequestHandler], bool] = lambda _: False

    def answer(self, handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        """Return status and body of the answer to a request."""
        parts = urlsplit(handler.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        self.requests.append(f"{handler.command} {parts.path}")
        if parts.path == "/rest/startScan":
            return self.subsonic(query)
        if parts.path == "/Library/Refresh":
            return self.jellyfin(handler)
        if parts.path.startswith("/library/sections"):
            return self.plex(handler, parts.path, query)
        return 404, b""

    def subsonic(self, query: dict[str, str]) -> tuple[int, bytes]:
        """Answer as subsonic.org/pages/api.jsp and opensubsonic.netlify.app say."""
        token = hashlib.md5((SECRET + query["s"]).encode()).hexdigest()
        error = None
        if query["u"] != "anna" or query["t"] != token:
            error = {"code": 40, "message": "Wrong username or password"}
        elif tuple(map(int, query["v"].split("."))) < (1, 15, 0) or not query["c"]:
            error = {"code": 20, "message": "Incompatible client"}
        self.requests[-1] += " full" if query.get("fullScan") == "true" else ""
        state = {"error": error} if error else {"scanStatus": {"scanning": True, "count": 1}}
        status = "failed" if error else "ok"
        body = {"subsonic-response": {"status": status, "version": "1.16.1", **state}}
        return 200, json.dumps(body).encode() if query["f"] == "json" else b"<xml/>"

    def jellyfin(self, handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        """Answer as Jellyfin 12 does: other headers than this one are ignored."""
        if handler.headers.get("Authorization") != 'MediaBrowser Token="a1b2"':
            return 401, b""
        return (204, b"") if handler.command == "POST" else (405, b"")

    def plex(
        self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str]
    ) -> tuple[int, bytes]:
        """Answer as support.plex.tv, "Plex Media Server URL commands", says."""
        if handler.headers.get("X-Plex-Token") != "t0ken":
            return 401, b""
        if path == "/library/sections":
            kinds = (("1", "movie", "/films"), ("7", "artist", str(self.music)))
            places = [
                {"key": k, "type": t, "title": f"L{k}\x1b[31m", "Location": [{"id": 1, "path": p}]}
                for k, t, p in kinds
            ]
            body = {"MediaContainer": {"size": 2, "Directory": places}}
            wants_json = handler.headers.get("Accept") == "application/json"
            return 200, json.dumps(body).encode() if wants_json else b"<MediaContainer/>"
        self.requests[-1] += f" {query.get('path', 'all')}"
        return 200, b""


@pytest.fixture
def player(library: Library, monkeypatch: pytest.MonkeyPatch) -> Iterator[Player]:
    """Run a server that is all three, with their passwords in the environment."""
    made = Player(music=library.folder)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if made.trouble(self):
                return
            status, body = made.answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            **{f"{kind.upper()}_URL": made.url for kind in Kind if kind is not Kind.MPD},
            "NAVIDROME_USER": "anna",
            "NAVIDROME_PASSWORD": SECRET,
            "JELLYFIN_KEY": "a1b2",
            "PLEX_TOKEN": "t0ken",
        }.items():
            monkeypatch.setenv(f"GENRETAG_{name}", value)
        yield made
        server.shutdown()


ALL = [word for kind in ("navidrome", "jellyfin", "plex") for word in ("--notify", kind)]


def test_each_server_gets_what_its_documentation_says(library: Library, player: Player) -> None:
    err = library.run("apply", "--yes", *ALL)
    assert "warning" not in err
    assert "navidrome: a scan has begun" in err
    assert "jellyfin: a scan of all libraries has begun" in err
    assert r"plex: a scan of L7\x1b[31m has begun" in err and "\x1b" not in err
    assert player.requests == [
        "GET /rest/startScan",
        "POST /Library/Refresh",
        "GET /library/sections",
        f"GET /library/sections/7/refresh {library.file.parent}",
    ]


def test_navidrome_scans_in_full_where_times_do_not_show_the_change(
    library: Library, player: Player
) -> None:
    library.run("apply", "--yes", "--notify", "navidrome", "--preserve-mtimes")
    library.run("undo", "--yes", "--notify", "navidrome")
    assert player.requests == ["GET /rest/startScan full"] * 2


def test_plex_scans_all_music_where_it_sees_other_paths(library: Library, player: Player) -> None:
    player.music = Path("/data/music")
    err = library.run("apply", "--yes", "--notify", "plex")
    assert "none of its folders holds the files by these paths" in err
    assert player.requests[-1] == "GET /library/sections/7/refresh all"


def test_nothing_is_sent_in_a_dry_run_or_if_nothing_was_written(
    library: Library, player: Player
) -> None:
    library.run("apply", "--dry-run", *ALL)
    library.run("apply", *ALL)  # there is no terminal to ask on
    library.run("apply", "--yes")
    library.run("apply", "--yes", *ALL)
    assert player.requests == []


def test_the_token_is_that_of_the_documentation() -> None:
    assert token_of("sesame", "c19b2d") == "26719a1196d2a940705a59634eb18eab"


# --- what goes wrong ---


def test_a_server_that_cannot_be_reached_is_a_warning(
    library: Library, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mpd")
    closed = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("GENRETAG_NAVIDROME_URL", closed)
    monkeypatch.setenv("GENRETAG_MPD_URL", str(library.folder / "no socket"))
    err = library.run("apply", "--yes", "--notify", "mpd", *ALL)
    assert f"warning: navidrome at {closed}: connection refused; the files are written" in err
    assert "warning: mpd at " in err and "no such file or directory" in err
    assert "Errno" not in err and "Error" not in err
    assert len(player.requests) == 3  # the others were asked


def refuse(handler: BaseHTTPRequestHandler, status: int, place: str = "") -> bool:
    handler.send_response(status)
    if place:
        handler.send_header("Location", place)
    handler.send_header("Content-Length", "0")
    handler.end_headers()
    return True


def test_a_password_is_not_sent_to_where_a_server_redirects(
    library: Library, player: Player
) -> None:
    seen: list[str] = []

    def redirect(handler: BaseHTTPRequestHandler) -> bool:
        seen.append(handler.path.split("?")[0])
        return refuse(handler, 302, f"{player.url}/elsewhere\x1b[2J")

    player.trouble = redirect
    err = library.run("apply", "--yes", *ALL)
    assert err.count("it redirects to http://127.0.0.1") == 3
    assert "\x1b" not in err and "/elsewhere" not in seen


@pytest.mark.parametrize(
    ("variable", "value", "want"),
    [
        ("NAVIDROME_PASSWORD", "n0t it", "navidrome at {}: user name or password is wrong"),
        ("JELLYFIN_KEY", "n0t it", "jellyfin at {}: it answers 401: the password or key"),
        ("PLEX_TOKEN", "wrong\nX-Evil: 1", "plex at {}: "),
    ],
)
def test_a_refusal_names_server_and_cause(
    library: Library,
    player: Player,
    monkeypatch: pytest.MonkeyPatch,
    *,
    variable: str,
    value: str,
    want: str,
) -> None:
    monkeypatch.setenv(f"GENRETAG_{variable}", value)
    err = library.run("apply", "--yes", *ALL)
    assert "warning: " + want.format(player.url) in err
    assert value not in err and "wrote 1 of 1" in err


@pytest.mark.parametrize(
    "body", [b"<html>\x1b[31m", b"[]", b'{"subsonic-response": 3}', b"x" * 2**21]
)
def test_nonsense_is_a_warning(library: Library, player: Player, body: bytes) -> None:
    def nonsense(handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body)
        return True

    player.trouble = nonsense
    err = library.run("apply", "--yes", "--notify", "navidrome", "--notify", "plex")
    assert err.count("genretag: warning: ") == 2
    assert "\x1b" not in err and "Traceback" not in err


def test_a_server_that_never_finishes_is_left(
    library: Library, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not stop.wait(0.05):
                handler.wfile.write(b" ")
        return True

    player.trouble = drip
    monkeypatch.setattr(sending, "TOTAL_SECONDS", 0.5)
    err = library.run("apply", "--yes", "--notify", "navidrome")
    stop.set()
    assert "no answer within" in err and "wrote 1 of 1" in err


def test_the_limit_passes_on_what_is_raised() -> None:
    def fail() -> str:
        raise ServerError("no")

    with pytest.raises(ServerError, match="no"):
        limits.within(5, fail)


# --- addresses and passwords ---


def test_a_password_in_the_configuration_is_refused_before_anything_is_written(
    library: Library, player: Player, tmp_path: Path
) -> None:
    before = library.file.read_bytes()
    for table in (
        '[servers.navidrome]\npassword = "x"',
        '[servers.plex]\ntoken = "x"',
        '[servers.jellyfin]\napi_key = "x"',
    ):
        (tmp_path / "config.toml").write_text(table)
        with pytest.raises(UsageError, match=r"a password is not read from here; set GENRETAG_"):
            library.run("apply", "--yes", *ALL)
    (tmp_path / "config.toml").write_text('[servers.plex]\nurl = "http://anna:x@nas:32400"')
    with pytest.raises(UsageError, match=r"holds a user or a password; leave them out") as caught:
        library.run("apply", "--yes", *ALL)
    assert "anna:x" not in str(caught.value)
    assert library.file.read_bytes() == before


@pytest.mark.parametrize(
    ("table", "want"),
    [
        ('[servers]\nplex = "x"', r"\[servers.plex\] is no server"),
        ("[servers.winamp]", r"\[servers.winamp\] is no server"),
        ("[servers.plex]\nurl = 3", r"url is a text"),
        ('[servers.plex]\nport = "3"', r"port is no setting"),
        ('[servers.plex]\nurl = "ftp://nas"', r"give an address such as http://localhost:32400"),
        ('[servers.plex]\nurl = "http://na s"', r"is no address"),
        ('[servers.plex]\nurl = "http://nas:x"', r"is no address"),
        ('[servers.mpd]\nurl = "nas:x"', r"is no address"),
        ('[servers.mpd]\nurl = "nas/x"', r"give HOST:PORT"),
    ],
)
def test_mistakes_in_the_configuration_get_a_sentence(
    tmp_path: Path, table: str, want: str
) -> None:
    (tmp_path / "config.toml").write_text(table)
    with pytest.raises(UsageError, match=want):
        find_server(Kind.PLEX)


def test_missing_names_and_passwords_get_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="whose account"):
        find_server(Kind.NAVIDROME)
    monkeypatch.setenv("GENRETAG_NAVIDROME_USER", "anna")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError, match="there is no password; set GENRETAG_NAVIDROME_PASSWORD"):
        find_server(Kind.NAVIDROME)
    assert find_server(Kind.MPD) == Server(Kind.MPD, "localhost:6600")


def test_passwords_come_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend
    from keyring.errors import InitError

    class Memory(KeyringBackend):
        priority = 1
        locked = False

        def get_password(self, service: str, username: str) -> str | None:
            if self.locked:
                raise InitError("it is\x1blocked")
            return {("genretag", "plex"): "kept"}.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

    backend, before = Memory(), keyring.get_keyring()
    keyring.set_keyring(backend)
    try:
        assert find_server(Kind.PLEX).secret == "kept"
        assert "kept" not in repr(find_server(Kind.PLEX))
        with pytest.raises(UsageError, match="there is no password; set GENRETAG_JELLYFIN_KEY"):
            find_server(Kind.JELLYFIN)
        backend.locked = True
        with pytest.raises(UsageError, match=r"the keyring: it is\\x1blocked"):
            find_server(Kind.PLEX)
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize(
    ("url", "secret", "exposed"),
    [
        ("http://music.example.org", "x", True),
        ("http://203.0.113.9:4533", "x", False),  # documentation addresses count as private
        ("http://8.8.8.8:4533", "x", True),
        ("https://music.example.org", "x", False),
        ("http://music.example.org", "", False),
        ("http://nas:4533", "x", False),
        ("http://192.168.1.2:4533", "x", False),
        ("http://[fe80::1%25eth0]:4533", "x", False),
        ("http://[2606:4700::1]:4533", "x", True),
        ("http://music.local", "x", False),
        ("mpd.example.org:6600", "x", True),
        ("/run/mpd/socket", "x", False),
    ],
)
def test_a_password_in_clear_text_on_a_foreign_network_is_noticed(
    url: str, secret: str, exposed: bool
) -> None:
    assert Server(Kind.NAVIDROME, url, "anna", secret).is_exposed is exposed


def test_an_unencrypted_password_is_a_warning_at_once(
    library: Library, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.run("apply", "--yes")
    monkeypatch.setenv("GENRETAG_JELLYFIN_URL", "http://music.example.org")
    err = library.run("apply", "--yes", *ALL)  # nothing is left to write, so nothing is sent
    want = "warning: jellyfin at http://music.example.org: the password crosses the network"
    assert err.count("unencrypted") == 1 and want in err
    assert "unencrypted" not in library.run("-q", "apply", "--yes", *ALL)


@given(st.ip_addresses())
def test_every_public_address_is_foreign(address: IPv4Address | IPv6Address) -> None:
    if address.is_global:
        assert not is_local(str(address))
    if address.is_loopback or address.is_link_local:
        assert is_local(str(address))


def test_the_configuration_chooses_servers_and_flags_override_it(
    library: Library, player: Player, genretag: Program, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('notify = "jellyfin"\n[servers.mpd]\nurl = "nas:6600"\n')
    done = genretag("apply", "--yes", env={"GENRETAG_DB": str(library.database)})
    assert done.status == 0 and "jellyfin: a scan of all libraries has begun" in done.err
    assert player.requests == ["POST /Library/Refresh"]
    shown = genretag("config")
    assert "servers.mpd.url" in shown.out and "sets nothing" not in shown.err
    (tmp_path / "config.toml").write_text('[servers.mpd]\npassword = "hidden"\n')
    shown = genretag("config")
    assert shown.status == 2 and "GENRETAG_MPD_PASSWORD" in shown.err
    assert "hidden" not in shown.out + shown.err


def test_watch_asks_the_server_after_each_arrival(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    monkeypatch.setenv("GENRETAG_DB", str(tmp_path / "w.db"))
    command = ["watch", str(folder), "--settle", "0.5", "--min-confidence", "0", "-j", "1"]
    watching = subprocess.Popen(
        [sys.executable, "-m", "genretag", *command, "--notify", "jellyfin"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        synthesis.encode(folder / "a.flac", synthesis.piece(0, 4), 22_050)
        for _ in range(600):
            if player.requests or watching.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        watching.terminate()
        _, err = watching.communicate(timeout=60)
    assert player.requests == ["POST /Library/Refresh"], err
