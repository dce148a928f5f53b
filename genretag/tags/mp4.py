"""MP4: the atom ©gen (and the older, numeric gnre that it takes the place of)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mutagen.mp4 import MP4, Atom, Atoms

KEY = "\xa9gen"
_GENRE_ATOMS = (b"\xa9gen", b"gnre")
_OFFSETS = (b"stco", b"co64", b"tfhd")  # they say where the audio lies, and move with it
_CONTAINERS_SKIPPED = (b"mdat", b"free", b"skip")


def read(audio: MP4) -> list[str]:
    """Return the genres; mutagen resolves gnre's number."""
    return [str(v) for v in (audio.tags or {}).get(KEY, []) if str(v).strip()]


def write(audio: MP4, path: Path, genres: list[str]) -> None:
    """Write the genres as several data values of one ©gen."""
    if audio.tags is None:
        audio.add_tags()
    audio.tags[KEY] = genres
    audio.tags.save(path)


def others(path: Path) -> dict[str, Any]:
    """Return the paths and hashes of all leaf atoms but the genre, the audio, padding and offsets."""
    out: list[tuple[bytes, str]] = []
    with path.open("rb") as handle:
        for atom in Atoms(handle).atoms:
            _collect(handle, atom, b"", out)
    had_tags = any(name.endswith(b"/ilst") or b"/ilst/" in name for name, _ in out)
    return {"atoms": sorted(out) if had_tags else None, "audio": sorted(o for o in out if b"/trak/" in o[0])}


def _collect(handle: Any, atom: Atom, above: bytes, out: list[tuple[bytes, str]]) -> None:
    name = above + b"/" + atom.name
    if atom.name in _GENRE_ATOMS + _OFFSETS + _CONTAINERS_SKIPPED:
        return
    if atom.children is not None:
        for child in atom.children:
            _collect(handle, child, name, out)
        return
    handle.seek(atom.offset)
    out.append((name, hashlib.blake2b(handle.read(atom.length), digest_size=16).hexdigest()))
