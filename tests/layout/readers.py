"""What programs other than genretag show of a file; one that is not installed is left out."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Shown:
    """What a reader shows; None: nothing."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None


NAMES = ("title", "artist", "album", "genre")


def _shown(values: list[Any]) -> Shown:
    """Return some values as text; an empty one is none."""
    texts = ["; ".join(map(str, v)) if isinstance(v, list | tuple) else v for v in values]
    return Shown(*(str(t).split("\0")[0] if t else None for t in texts))


def _pyav(path: Path) -> Shown:
    import av

    with av.open(str(path), **_lenient()) as container:
        streams = container.streams.audio
        found = {**container.metadata, **(streams[0].metadata if streams else {})}
    lower = {k.lower(): v for k, v in found.items()}
    return _shown([lower.get(n) for n in NAMES])


def _lenient() -> dict[str, Any]:
    import av

    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def _ffprobe(path: Path) -> Shown:
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", path]
    data = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    found = {**data["format"].get("tags", {}), **data["streams"][0].get("tags", {})}
    lower = {k.lower(): v for k, v in found.items()}
    return _shown([lower.get(n) for n in NAMES])


def _taglib(path: Path) -> Shown:
    import taglib

    with taglib.File(path) as file:
        return _shown([file.tags.get(n.upper()) for n in NAMES])


def _tinytag(path: Path) -> Shown:
    from tinytag import TinyTag

    tag = TinyTag.get(path)
    return _shown([getattr(tag, n) for n in NAMES])


def _mediafile(path: Path) -> Shown:
    from mediafile import MediaFile

    tag = MediaFile(path)
    return _shown([tag.title, tag.artist, tag.album, tag.genres])


_KEYS = (
    ("TIT2", "title", "\xa9nam"),
    ("TPE1", "artist", "\xa9ART", "Author"),
    ("TALB", "album", "\xa9alb", "WM/AlbumTitle"),
    ("TCON", "genre", "\xa9gen", "WM/Genre"),
)


def _mutagen(path: Path) -> Shown:
    import mutagen

    tags = getattr(mutagen.File(path), "tags", None)
    return _shown([_first(tags, keys) for keys in _KEYS])


def _first(tags: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        try:
            value = tags[key]
        except (KeyError, TypeError, ValueError):
            continue
        return list(map(str, value)) if not hasattr(value, "text") else value.text
    return None


_ALL: dict[str, tuple[str, Callable[[Path], Shown]]] = {
    "FFmpeg (PyAV)": ("av", _pyav),
    "ffprobe": ("", _ffprobe),
    "TagLib": ("taglib", _taglib),
    "tinytag": ("tinytag", _tinytag),
    "mediafile": ("mediafile", _mediafile),
    "mutagen": ("mutagen", _mutagen),
}


def _is_there(name: str, module: str) -> bool:
    return bool(importlib.util.find_spec(module) if module else shutil.which(name))


READERS = {name: read for name, (module, read) in _ALL.items() if _is_there(name, module)}


def show(reader: str, path: Path) -> Shown:
    """Return what a reader shows; nothing of a file that it cannot read."""
    try:
        return READERS[reader](path)
    except Exception:  # each library has errors of its own
        return Shown()


#: Field -> its names in the keys of all readers, in lower case.
FIELD_KEYS = {
    "genre": ("tcon", "genre", "\xa9gen", "wm/genre"),
    "mood": ("tmoo", "txxx:mood", "mood", "----:com.apple.itunes:mood", "wm/mood"),
    "style": ("txxx:style", "style", "----:com.apple.itunes:style", "wm/style"),
    "grouping": ("grp1", "grouping", "\xa9grp", "wm/contentgroupdescription"),
    "evidence": ("txxx:genretag", "genretag", "----:com.apple.itunes:genretag"),
}


def _all_of(reader: str, path: Path) -> dict[str, Any]:
    """Return all keys and values that a reader shows of a file."""
    if reader == "FFmpeg (PyAV)":
        import av

        with av.open(str(path), **_lenient()) as container:
            streams = container.streams.audio
            return {**container.metadata, **(streams[0].metadata if streams else {})}
    if reader == "ffprobe":
        command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", path]
        data = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return {**data["format"].get("tags", {}), **data["streams"][0].get("tags", {})}
    if reader == "TagLib":
        import taglib

        with taglib.File(path) as file:
            return dict(file.tags)
    if reader == "tinytag":
        from tinytag import TinyTag

        return dict(TinyTag.get(path).as_dict())
    import mutagen

    tags = mutagen.File(path).tags
    return dict(tags.items()) if tags is not None else {}


def field_text(reader: str, path: Path, field: str) -> str | None:
    """Return what a reader shows of a field; None: nothing."""
    try:
        if reader == "mediafile":
            from mediafile import MediaFile

            return getattr(MediaFile(path), field, None) or None
        found = {str(key).lower(): value for key, value in _all_of(reader, path).items()}
    except Exception:  # each library has errors of its own
        return None
    value = next((found[key] for key in FIELD_KEYS[field] if key in found), None)
    return None if value is None else _one_text(getattr(value, "text", value))


def _one_text(value: Any) -> str:
    """Return a value, or several, as one text."""
    if isinstance(value, list | tuple):
        return "; ".join(map(_one_text, value))
    if isinstance(value, bytes):
        return value.decode()
    return str(value).replace("\0", "; ")
