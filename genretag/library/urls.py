"""Where a file lies: on a disk, or behind a URL. The rest of the house knows both as paths.

``pathlib`` makes one slash of two, so that ``s3://bucket/key`` is kept as the path ``s3:/bucket/key``;
here it becomes a URL again. What lies behind a URL can be heard and reported, but is never written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from genretag.text import escape_control

#: What fsspec calls the places whose URLs are understood; a folder may well be named ``live:``.
SCHEMES = frozenset(
    "s3 s3a gs gcs az abfs abfss adl oss hdfs webhdfs http https ftp sftp ssh smb".split()
)

_URL = re.compile(r"([a-z][a-z0-9]*):/+(?=[^/])")

#: What a plan says of a file that lies behind a URL.
NOT_WRITTEN = "it lies on object storage, where genretag writes nothing"


def is_url(place: str | Path) -> bool:
    """Return whether a place is named by a URL."""
    match = _URL.match(os.fspath(place))
    return match is not None and match[1] in SCHEMES


def to_url(path: str | Path) -> str:
    """Return a path as a person gives it: a URL with both its slashes."""
    text = os.fspath(path)
    return _URL.sub(r"\1://", text, count=1) if is_url(text) else text


def absolute(path: Path) -> Path:
    """Return a path from the root on, links not resolved: what the store knows it by. A URL is so already."""
    return path if is_url(path) else Path(os.path.abspath(path))


def home_relative(path: Path) -> str:
    """Return a path with the home folder as ``~``, safe to show."""
    home = Path.home()
    return escape_control(
        Path("~") / path.relative_to(home)
        if path.is_relative_to(home) and path != home
        else to_url(path)
    )
