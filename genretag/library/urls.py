"""Locations of music: local paths, and URLs of object storage. Both are kept as paths.

``pathlib`` collapses double slashes, so ``s3://bucket/key`` is stored as ``s3:/bucket/key``;
``to_url`` restores it. Files behind a URL can be analysed and reported, but are never written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from genretag.text import escape_control

#: fsspec protocols that are taken for URLs; a local folder may be named ``live:``.
SCHEMES = frozenset(
    "s3 s3a gs gcs az abfs abfss adl oss hdfs webhdfs http https ftp sftp ssh smb".split()
)

_URL = re.compile(r"([a-z][a-z0-9]*):/+(?=[^/])")

#: The reason in a plan for a file behind a URL.
NOT_WRITTEN = "it is on object storage, where genretag does not write"


def is_url(place: str | Path) -> bool:
    """Return whether a location is a URL."""
    match = _URL.match(os.fspath(place))
    return match is not None and match[1] in SCHEMES


def to_url(path: str | Path) -> str:
    """Return a location as text; a URL gets both its slashes back."""
    text = os.fspath(path)
    return _URL.sub(r"\1://", text, count=1) if is_url(text) else text


def absolute(path: Path) -> Path:
    """Return the absolute path, links not resolved, as the databases store it; URLs stay."""
    return path if is_url(path) else Path(os.path.abspath(path))


def home_relative(path: Path) -> str:
    """Return a path for display: control characters escaped, the home folder as ``~``."""
    home = Path.home()
    if path.is_relative_to(home) and path != home:
        return escape_control(Path("~") / path.relative_to(home))
    return escape_control(to_url(path))
