"""Plex: refresh the music libraries that hold the changed files.

``GET /library/sections`` lists the libraries with their folders, and
``GET /library/sections/KEY/refresh?path=FOLDER`` scans one of them (support.plex.tv,
"Plex Media Server URL commands").
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from genretag.notify.http import quote_words, request, request_json
from genretag.notify.servers import Change, Server, ServerError

_MUSIC = "artist"  # the type of a music library


def refresh(server: Server, change: Change) -> str:
    """Refresh the libraries that hold the changed folders; return their names."""
    headers = {"X-Plex-Token": server.secret}
    answer = request_json(f"{server.url}/library/sections", headers=headers)
    libraries = list(_music_libraries(answer))
    if not libraries:
        raise ServerError("it has no music library, or this token may not see it")
    parts = list(_parts(libraries, change.folders))
    # In a container the server sees other paths: then it gets to scan all of its music.
    chosen: list[tuple[str, str, Path | None]] = [*parts] or [(k, n, None) for k, n, _ in libraries]
    for key, _, top in chosen:
        query = "" if top is None else "?" + urlencode({"path": os.fsencode(top)})
        place = f"{server.url}/library/sections/{quote(key, safe='')}/refresh"
        request(place + query, headers=headers)
    names = ", ".join(dict.fromkeys(quote_words(name) for _, name, _ in chosen))
    if parts:
        return f"a scan of {names} has begun"
    return f"none of its folders holds the files by these paths; a scan of {names} has begun"


def _music_libraries(answer: dict[str, Any]) -> Iterator[tuple[str, str, list[Path]]]:
    """Yield (key, name, folders) of the music libraries of an answer."""
    try:
        for section in answer["MediaContainer"].get("Directory", []):
            if section["type"] == _MUSIC:
                folders = [Path(str(place["path"])) for place in section.get("Location", [])]
                yield str(section["key"]), str(section.get("title", "Music")), folders
    except (KeyError, TypeError, AttributeError) as error:
        raise ServerError("it does not answer as a Plex server") from error


def _parts(
    libraries: list[tuple[str, str, list[Path]]], folders: frozenset[Path]
) -> Iterator[tuple[str, str, Path]]:
    """Yield (key, name, deepest folder with all changes) for each folder of a library."""
    for key, name, places in libraries:
        for place in places:
            inside = [folder for folder in folders if folder.is_relative_to(place)]
            if inside:
                yield key, name, Path(os.path.commonpath(inside))
