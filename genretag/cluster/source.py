"""Music behind a URL, through fsspec: list it, and fetch one file at a time.

Endpoint, region and credentials come from the usual settings of fsspec and its packages, such as
``AWS_ENDPOINT_URL``, ``FSSPEC_S3_...`` or their configuration files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from genretag.errors import TrackError, UsageError
from genretag.library.urls import is_url, to_url
from genretag.library.walk import Found, Unreadable, is_music, lies_in

_BLOCK = 4 << 20  # bytes that are copied at once

# Protocols whose listings fsspec caches for good unless that is switched off.
_CACHING = frozenset("s3 s3a gs gcs az abfs abfss adl oss http https".split())


def file_system(url: str) -> tuple[Any, str]:
    """Return (fsspec's file system, the path in it) of a URL.

    Raises:
        UsageError: a package for this kind of place is missing, or the URL holds a password.
    """
    parts = urlsplit(url)
    if parts.password:
        raise UsageError(
            "a password in a URL would be kept in plans and reports; give it to fsspec's own "
            "settings instead"
        )
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(
            url, **({"use_listings_cache": False} if parts.scheme in _CACHING else {})
        )
    except ImportError as error:
        raise UsageError(f"{url}: this kind of place needs another package: {error}") from error
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from error
    return system, str(path)


def listing(url: str, exclude: tuple[str, ...] = ()) -> Iterator[Found | Unreadable]:
    """Yield the music at a URL, folder by folder, sorted by name; hidden files, folders and
    ``exclude`` are left out.

    Raises:
        UsageError: nothing is there, or the place cannot be reached.
    """
    system, root = file_system(url)
    try:
        top = system.info(root)
    except FileNotFoundError as error:
        raise UsageError(f"{url}: there is nothing there") from error
    except Exception as error:  # each file system raises errors of its own
        raise UsageError(f"{url}: it cannot be reached: {_cause(error)}") from error
    if top["type"] != "directory":
        yield _found(url, top)
        return

    # fsspec's own inverse loses the host of some protocols.
    def url_of(name: str) -> str:
        return url.rstrip("/") + name.rstrip("/").removeprefix(root.rstrip("/"))

    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(system.ls(folder, detail=True), key=lambda e: str(e["name"]))
        except Exception as error:
            yield Unreadable(Path(url_of(folder)), _cause(error))
            continue
        below = [
            (url_of(str(e["name"])), e)
            for e in entries
            if str(e["name"]).rstrip("/") != folder.rstrip("/")
        ]
        below = [(u, e) for u, e in below if _is_listed(u, e["type"] == "directory", exclude)]
        yield from (_found(u, e) for u, e in below if e["type"] != "directory")
        folders += [str(e["name"]) for _, e in reversed(below) if e["type"] == "directory"]


def _is_listed(url: str, is_folder: bool, exclude: tuple[str, ...]) -> bool:
    """Return whether an entry is a folder or music, not hidden and not excluded."""
    name = url.rpartition("/")[2]
    return (
        not name.startswith(".")
        and not any(lies_in(url, g) for g in exclude)
        and (is_folder or is_music(name))
    )


def _found(url: str, entry: dict[str, Any]) -> Found | Unreadable:
    """Return the file of a listing's entry; inode and device are not known."""
    if to_url(Path(url)) != url:
        return Unreadable(
            Path(url),
            "its name has an empty part or a dot for a part, and paths cannot tell it from another",
        )
    when = next(
        (
            entry[k]
            for k in ("LastModified", "last_modified", "mtime", "updated", "modified")
            if entry.get(k)
        ),
        0,
    )
    return Found(
        os.fspath(Path(url)), int(entry["size"] or 0), _nanoseconds(when), 0, 0, 1, link=False
    )


def _nanoseconds(when: Any) -> int:
    """Return the time of a listing in nanoseconds since the epoch; 0 if its form is unknown."""
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            return 0
    if isinstance(when, datetime):
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6) * 1000
    return int(when * 1e9) if isinstance(when, int | float) else 0


@contextmanager
def fetched(file: str, folder: str | None = None) -> Iterator[Path]:
    """Give a file's path on this machine; what lies behind a URL is copied for the while.

    Raises:
        TrackError: it cannot be fetched.
    """
    if not is_url(file):
        yield Path(file)
        return
    near = Path(tempfile.mkdtemp(prefix="genretag-", dir=folder))
    try:
        path = near / f"track{os.path.splitext(file)[1]}"
        try:
            system, name = file_system(to_url(file))
            with system.open(name, "rb", block_size=_BLOCK) as source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy, _BLOCK)
        except Exception as error:
            raise TrackError("read", f"it cannot be fetched: {_cause(error)}") from error
        yield path
    finally:
        shutil.rmtree(near, ignore_errors=True)


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if text else type(error).__name__
