"""Addresses and passwords of players' servers.

Addresses come from ``GENRETAG_<SERVER>_URL`` or ``[servers]`` in config.toml; passwords only from
the environment or the system's keyring, because config.toml is often copied and shared.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from genretag.errors import RunError, UsageError
from genretag.notify.kinds import Kind
from genretag.storage import config
from genretag.text import escape_control

KEYRING_SERVICE = "genretag"
_LOCAL_SUFFIXES = (".local", ".localhost", ".lan", ".home.arpa", ".internal")


@dataclass(frozen=True)
class _Facts:
    """What a kind of server needs."""

    url: str  # default address
    secret: str  # name of the password in variables: PASSWORD, KEY or TOKEN
    needs_user: bool = False
    needs_secret: bool = True


_FACTS = {
    Kind.NAVIDROME: _Facts("http://localhost:4533", "PASSWORD", needs_user=True),
    Kind.JELLYFIN: _Facts("http://localhost:8096", "KEY"),
    Kind.PLEX: _Facts("http://localhost:32400", "TOKEN"),
    Kind.MPD: _Facts("localhost:6600", "PASSWORD", needs_secret=False),
}
_KEYS = ("url", "user")  # of a table in [servers]

#: Environment variables that are read here.
VARIABLES = frozenset(
    f"GENRETAG_{kind}_{name}".upper()
    for kind, facts in _FACTS.items()
    for name in ("url", *(["user"] if facts.needs_user else []), facts.secret)
)


class ServerError(RunError):
    """A server that cannot be reached, or refuses; the message names the cause."""


@dataclass(frozen=True)
class Server:
    """A server with its address and password."""

    kind: Kind
    url: str  # of MPD: HOST:PORT, or the path of a socket
    user: str = ""
    secret: str = field(default="", repr=False)

    @property
    def is_exposed(self) -> bool:
        """Whether the password would cross a foreign network in clear text."""
        if not self.secret or self.url.startswith(("https:", "/", "@")):
            return False
        host = (urlsplit(self.url) if "//" in self.url else urlsplit(f"//{self.url}")).hostname
        return not is_local(host or "")


@dataclass(frozen=True)
class Change:
    """What was written."""

    folders: frozenset[Path]
    # Servers compare modification times; an older or unchanged one may not be noticed.
    times_kept: bool = False  # files have the same modification time as before
    times_older: bool = False  # files got an earlier one back


def is_local(host: str) -> bool:
    """Return whether a host name or address is of this machine or a private network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "." not in host or host.lower().rstrip(".").endswith(_LOCAL_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local


def find_server(kind: Kind) -> Server:
    """Return the address and password of a server.

    Raises:
        UsageError: something is missing, or a password is in config.toml; the message says what
            to do.
    """
    facts, table = _FACTS[kind], _table_of(kind)
    url = os.environ.get(f"GENRETAG_{kind}_URL".upper()) or table.get("url") or _mpd_host(kind)
    user = os.environ.get(f"GENRETAG_{kind}_USER".upper()) or table.get("user") or ""
    if facts.needs_user and not user:
        raise UsageError(
            f"--notify {kind}: whose account? Set GENRETAG_{kind.upper()}_USER, or user in"
            f" [servers.{kind}] of {config.config_path()}"
        )
    checked = _check_url(kind, url or facts.url)
    secret = _find_secret(kind, facts)
    return Server(kind, checked, user, secret)


def _mpd_host(kind: Kind) -> str:
    """Return MPD_HOST and MPD_PORT, which mpc and other clients of MPD read, as an address."""
    host = os.environ.get("MPD_HOST", "") if kind is Kind.MPD else ""
    host = host.rpartition("@")[2] if host[:1] not in ("@", "/") else host
    if not host or host.startswith(("/", "@")):
        return host
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{os.environ.get('MPD_PORT') or 6600}"


def _table_of(kind: Kind) -> dict[str, str]:
    """Return a server's table in config.toml.

    Raises:
        UsageError: it holds a password, or something that is no setting.
    """
    check_tables()
    servers = config.read().get("servers", {})
    return dict(servers.get(kind.value, {}))


def check_tables() -> None:
    """Check ``[servers]`` in config.toml.

    Raises:
        UsageError: it holds a password, or something that is no setting.
    """
    servers, place = config.read().get("servers", {}), config.config_path()
    kinds = ", ".join(Kind)
    if not isinstance(servers, dict):
        raise UsageError(f"{place}: [servers] is a table with one table per server: {kinds}")
    for name, table in servers.items():
        if name not in set(Kind) or not isinstance(table, dict):
            raise UsageError(
                f"{place}: [servers.{name}] is no server; there are [servers.NAME] with {kinds}"
            )
        for key, value in table.items():
            _check_entry(Kind(name), key, value)


def _check_entry(kind: Kind, key: str, value: Any) -> None:
    """Raise ``UsageError`` for a key that has no place in a server's table."""
    place = f"{config.config_path()}: [servers.{kind}]"
    if key not in _KEYS:
        if any(word in key.lower() for word in ("pass", "token", "secret", "key", "auth")):
            raise UsageError(f"{place} {key}: a password is not read from here; {_advice(kind)}")
        raise UsageError(f"{place} {key} is no setting; there are url and user")
    if not isinstance(value, str):
        raise UsageError(f'{place} {key} is a text: {key} = "..."')
    if key == "url":
        _check_url(kind, value)


def _advice(kind: Kind) -> str:
    """Return where a password belongs."""
    variable = f"GENRETAG_{kind}_{_FACTS[kind].secret}".upper()
    return (
        f"set {variable}, or keep it in the keyring: keyring set {KEYRING_SERVICE} {kind}"
        " (pip install 'genretag[keyring]')"
    )


def _check_url(kind: Kind, url: str) -> str:
    """Return an address without a trailing slash.

    Raises:
        UsageError: it is no address, or holds a password.
    """
    shown = escape_control(url)
    if kind is Kind.MPD and url.startswith(("/", "@")):  # a socket
        return url
    try:
        parts = urlsplit(url if kind is not Kind.MPD else f"//{url}")
        host, port, name = parts.hostname, parts.port, parts.username
    except ValueError as error:
        raise UsageError(f"--notify {kind}: {shown} is no address: {error}") from error
    if name is not None or "@" in url:
        raise UsageError(
            f"--notify {kind}: the address holds a user or a password; leave them out, and"
            f" {_advice(kind)}"
        )
    if not url.isprintable() or not host or " " in url:
        raise UsageError(f"--notify {kind}: {shown} is no address")
    if kind is Kind.MPD:
        if parts.path or (port is None and ":" in url and not url.endswith("]")):
            raise UsageError(f"--notify mpd: {shown}: give HOST:PORT, or the path of a socket")
        return url
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise UsageError(f"--notify {kind}: {shown}: give an address such as {_FACTS[kind].url}")
    return url.rstrip("/")


def _find_secret(kind: Kind, facts: _Facts) -> str:
    """Return a password from the environment, else from the keyring.

    Raises:
        UsageError: there is none, and the server needs one.
    """
    given = os.environ.get(f"GENRETAG_{kind}_{facts.secret}".upper())
    if given is None and kind is Kind.MPD and "@" in os.environ.get("MPD_HOST", "")[1:]:
        given = os.environ["MPD_HOST"].rpartition("@")[0]  # as mpc reads it
    if given is not None:
        return given.strip("\r\n")
    stored, why_not = _from_keyring(kind) if facts.needs_secret or _has_keyring() else (None, "")
    if stored is None and facts.needs_secret:
        raise UsageError(f"--notify {kind}: there is no password{why_not}; {_advice(kind)}")
    return stored or ""


def _has_keyring() -> bool:
    import importlib.util

    return importlib.util.find_spec("keyring") is not None


def _from_keyring(kind: Kind) -> tuple[str | None, str]:
    """Return the password of the system's keyring, and why there is none."""
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None, ""
    try:
        return keyring.get_password(KEYRING_SERVICE, kind.value), ""
    except keyring.errors.NoKeyringError:
        return None, " (this system has no keyring)"
    except keyring.errors.KeyringError as error:
        return None, f" (the keyring: {escape_control(str(error))})"
