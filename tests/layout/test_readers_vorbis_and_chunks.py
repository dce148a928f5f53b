"""What other programs read: the new genre where they can, and title, artist and album as before.

A reader can if it shows the genre of a file of that layout which the tests built with one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders_chunks import (
    AIFF,
    DFF,
    WAV,
    Kind,
    build,
    chunk,
    dsf,
    id3,
    info,
    rf64,
    sound,
    streamed,
)
from builders_vorbis import comment_list, flac, ogg
from readers import READERS, Shown, show

from genretag import tags

Build = Callable[[dict[str, bytes], bytes], bytes]
SOUND = sound()
TEXTS = {b"TITLE": b"Title", b"ARTIST": b"Artist", b"ALBUM": b"Album"}
ENTRIES = [name + b"=" + text for name, text in TEXTS.items()]


@dataclass(frozen=True)
class Layout:
    """A layout of tags; ``build`` gets the seeds and a genre, which may be empty."""

    name: str
    extension: str
    build: Build


def vorbis(genre: bytes) -> bytes:
    return comment_list(*ENTRIES, *([b"GENRE=" + genre] if genre else []))


def tag(genre: bytes, version: int = 4) -> bytes:
    frames = zip((b"TIT2", b"TPE1", b"TALB"), TEXTS.values(), strict=True)
    texts = [(name, b"\0" + text) for name, text in frames]
    return id3(*texts, *([(b"TCON", b"\0" + genre)] if genre else []), version=version)


def id3v1(genre: bytes) -> bytes:
    number = {b"": 255, b"Other": 12, b"Jazz": 8}[genre]
    return (
        b"TAG" + b"".join(t.ljust(30, b"\0") for t in TEXTS.values()) + bytes(34) + bytes([number])
    )


def info_list(genre: bytes) -> bytes:
    names = zip((b"INAM", b"IART", b"IPRD"), TEXTS.values(), strict=True)
    return info(*((n, t + b"\0") for n, t in names), *_genre_item(genre))


def _genre_item(genre: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"IGNR", genre + b"\0")] if genre else []


def software(genre: bytes) -> bytes:
    return info((b"ISFT", b"Lavf59\0"), *_genre_item(genre))


NAME = chunk(AIFF, b"NAME", b"Title") + chunk(AIFF, b"AUTH", b"Artist")
DIIN = chunk(
    DFF,
    b"DIIN",
    chunk(DFF, b"DITI", b"\0\0\0\x05Title") + chunk(DFF, b"DIAR", b"\0\0\0\x06Artist"),
)
FRAMING = {".ogg": b"\1", ".opus": b"", ".oga": b""}
PADDING = 1, bytes(40)


Part = Callable[[bytes], bytes]


def _flac(*comments: Part, front: Part | None = None, tail: Part | None = None) -> Build:
    def made(seeds: dict[str, bytes], genre: bytes) -> bytes:
        around = (front(genre) if front else b""), (tail(genre) if tail else b"")
        blocks = [(4, part(genre)) for part in comments]
        return flac(seeds[".flac"], *blocks, PADDING, front=around[0], tail=around[1])

    return made


def _ogg(extension: str) -> Build:
    return lambda seeds, g: ogg(seeds[extension], extension, vorbis(g), FRAMING[extension])


def _chunks(kind: Kind, *behind: Part, before: Part = lambda _: b"") -> Build:
    return lambda _, g: build(kind, SOUND, *(part(g) for part in behind), before=before(g))


def _tag_in(kind: Kind, name: bytes | None = None) -> Part:
    return lambda g: chunk(kind, name or kind.id3, tag(g))


def _genre_in(kind: Kind) -> Part:
    """Return what makes an ID3 tag with nothing but a genre."""
    return lambda g: chunk(kind, kind.id3, id3((b"TCON", b"\0" + g)) if g else id3())


def _empty_in(kind: Kind) -> Part:
    return lambda _: chunk(kind, kind.id3, id3(version=3, padding=10))


def _always(data: bytes) -> Part:
    return lambda _: data


def _genre_alone(genre: bytes) -> bytes:
    return comment_list(*([b"GENRE=" + genre] if genre else []))


def _info_alone(genre: bytes) -> bytes:
    return info(*_genre_item(genre))


def _v23(genre: bytes) -> bytes:
    return tag(genre, version=3)


def _no_comment(_: bytes) -> bytes:
    return comment_list()


_WAV_TAG, _AIFF_TAG, _DFF_TAG = (_tag_in(kind) for kind in (WAV, AIFF, DFF))
LAYOUTS = [
    Layout("comments", ".flac", _flac(vorbis)),
    Layout("two comment blocks", ".flac", _flac(lambda _: vorbis(b""), _genre_alone)),
    Layout("ID3v2", ".flac", _flac(front=tag)),
    Layout("ID3v2 and no comment", ".flac", _flac(_no_comment, front=tag)),
    Layout("ID3v2 and comments", ".flac", _flac(vorbis, front=_v23)),
    Layout("ID3v1", ".flac", _flac(tail=id3v1)),
    Layout("ID3v1 and no comment", ".flac", _flac(_no_comment, tail=id3v1)),
    Layout("ID3v1 and comments", ".flac", _flac(vorbis, tail=id3v1)),
    Layout("ID3v2 and ID3v1", ".flac", _flac(front=tag, tail=id3v1)),
    *(Layout("comments", extension, _ogg(extension)) for extension in FRAMING),
    Layout("ID3", ".wav", _chunks(WAV, _WAV_TAG)),
    Layout("ID3 in capitals", ".wav", _chunks(WAV, _tag_in(WAV, b"ID3 "))),
    Layout("INFO", ".wav", _chunks(WAV, info_list)),
    Layout("INFO in front", ".wav", _chunks(WAV, before=info_list)),
    Layout("INFO, ID3", ".wav", _chunks(WAV, info_list, _WAV_TAG)),
    Layout("ID3, INFO", ".wav", _chunks(WAV, _WAV_TAG, info_list)),
    Layout("program, ID3", ".wav", _chunks(WAV, software, _WAV_TAG)),
    Layout("two INFO", ".wav", _chunks(WAV, info_list, _info_alone)),
    Layout("two ID3", ".wav", _chunks(WAV, _WAV_TAG, _WAV_TAG)),
    Layout("empty ID3, INFO", ".wav", _chunks(WAV, _empty_in(WAV), info_list)),
    Layout("empty ID3, program", ".wav", _chunks(WAV, _empty_in(WAV), software)),
    Layout("empty ID3", ".wav", _chunks(WAV, _empty_in(WAV))),
    Layout("stream, INFO", ".wav", lambda _, g: streamed(build(WAV, SOUND, before=info_list(g)))),
    Layout("stream, ID3", ".wav", lambda _, g: streamed(build(WAV, SOUND, before=_WAV_TAG(g)))),
    Layout("RF64, INFO", ".wav", lambda _, g: rf64(SOUND, info_list(g))),
    Layout("RF64, ID3", ".wav", lambda _, g: rf64(SOUND, _WAV_TAG(g))),
    Layout("ID3", ".aiff", _chunks(AIFF, _AIFF_TAG)),
    Layout("two ID3", ".aiff", _chunks(AIFF, _AIFF_TAG, _AIFF_TAG)),
    Layout("NAME, ID3", ".aiff", _chunks(AIFF, _always(NAME), _AIFF_TAG)),
    Layout("empty ID3, NAME", ".aiff", _chunks(AIFF, _empty_in(AIFF), _always(NAME))),
    Layout("empty ID3, DIIN", ".dff", _chunks(DFF, _empty_in(DFF), _always(DIIN))),
    Layout("empty ID3", ".dsf", lambda _, g: dsf(SOUND, id3(padding=20))),
    Layout("ID3", ".dsf", lambda _, g: dsf(SOUND, tag(g))),
    Layout("ID3", ".dff", _chunks(DFF, _DFF_TAG)),
    Layout("two ID3", ".dff", _chunks(DFF, _DFF_TAG, _DFF_TAG)),
    Layout("DIIN, ID3", ".dff", _chunks(DFF, _always(DIIN), _DFF_TAG)),
]

_STREAM = streamed(build(WAV, SOUND))

#: Layouts without a place for a genre, and references that have it where programs would put it.
BARE: list[tuple[Layout, Build]] = [
    (Layout("nothing", ".flac", _flac()), _flac(_genre_alone)),
    (Layout("nothing", ".wav", _chunks(WAV)), _chunks(WAV, _genre_in(WAV))),
    (
        Layout("program", ".wav", _chunks(WAV, _always(software(b"")))),
        _chunks(WAV, software, _genre_in(WAV)),
    ),
    (
        Layout("stream", ".wav", lambda *_: _STREAM),
        lambda _, g: streamed(build(WAV, SOUND, before=_genre_in(WAV)(g))),
    ),
    (
        Layout("RF64", ".wav", lambda *_: rf64(SOUND)),
        lambda _, g: rf64(SOUND, _genre_in(WAV)(g)),
    ),
    (Layout("nothing", ".aiff", _chunks(AIFF)), _chunks(AIFF, _genre_in(AIFF))),
    (
        Layout("NAME", ".aiff", _chunks(AIFF, _always(NAME))),
        _chunks(AIFF, _always(NAME), _genre_in(AIFF)),
    ),
    (Layout("nothing", ".dsf", lambda *_: dsf(SOUND)), lambda _, g: dsf(SOUND, tag(g))),
    (Layout("nothing", ".dff", _chunks(DFF)), _chunks(DFF, _genre_in(DFF))),
    (
        Layout("DIIN", ".dff", _chunks(DFF, _always(DIIN))),
        _chunks(DFF, _always(DIIN), _DFF_TAG),
    ),
]
CASES = [(layout, layout.build) for layout in LAYOUTS] + BARE
NAMES = [f"{layout.extension} {layout.name}" for layout, _ in CASES]


@pytest.fixture(scope="module")
def seeds(seed_files: dict[str, Path]) -> dict[str, bytes]:
    return {e: seed_files[e].read_bytes() for e in (".flac", ".ogg", ".opus", ".oga")}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("old", [b"", b"Other"], ids=["no genre", "Other"])
@pytest.mark.parametrize(("layout", "reference"), CASES, ids=NAMES)
def test_a_reader_shows_the_new_genre_and_all_else_as_before(
    seeds: dict[str, bytes],
    tmp_path: Path,
    layout: Layout,
    reference: Build,
    old: bytes,
    reader: str,
) -> None:
    path = tmp_path / f"x{layout.extension}"
    path.write_bytes(reference(seeds, b"Other"))
    can = show(reader, path).genre is not None
    path.write_bytes(layout.build(seeds, old))
    before = show(reader, path)
    tags.write(path, ["Jazz"])
    after = show(reader, path)
    assert lost(before, after) == []
    if can or before.genre:
        assert after.genre == "Jazz"


def lost(before: Shown, after: Shown) -> list[str]:
    """Return the texts that a reader showed and does not show any more."""
    pairs = {n: (getattr(before, n), getattr(after, n)) for n in ("title", "artist", "album")}
    return [f"{n}: {a} became {b}" for n, (a, b) in pairs.items() if a is not None and a != b]
