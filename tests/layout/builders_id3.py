"""Tags of the ID3 and APE family as bytes, written by none of the libraries under test."""

from __future__ import annotations

from collections.abc import Iterable

TEXTS = {"title": b"Title", "artist": b"Artist", "album": b"Album"}
ID3V1_NUMBERS = {b"": 255, b"Other": 12, b"Jazz": 8}


def syncsafe(n: int) -> bytes:
    return bytes([n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127])


def frame(name: bytes, body: bytes, version: int = 4, flags: int = 0, plain: bool = False) -> bytes:
    if version == 2:
        return name + len(body).to_bytes(3, "big") + body
    size = len(body).to_bytes(4, "big") if version == 3 or plain else syncsafe(len(body))
    return name + size + flags.to_bytes(2, "big") + body


def id3v2(
    frames: bytes, version: int = 4, *, padding: int = 0, flags: int = 0, extended: bytes = b""
) -> bytes:
    """Return a tag; with the flag of a footer, with one."""
    body = extended + frames + bytes(padding)
    rest = bytes([version, 0, flags]) + syncsafe(len(body))
    return b"ID3" + rest + body + (b"3DI" + rest if flags & 0x10 else b"")


def id3v2_texts(genre: bytes, version: int = 4, padding: int = 64) -> bytes:
    """Return a tag with title, artist and album, and a genre unless it is empty."""
    names = {2: (b"TT2", b"TP1", b"TAL", b"TCO")}.get(version, (b"TIT2", b"TPE1", b"TALB", b"TCON"))
    texts = [*TEXTS.values(), *([genre] if genre else [])]
    frames = (frame(n, b"\0" + t, version) for n, t in zip(names, texts, strict=False))
    return id3v2(b"".join(frames), version, padding=padding)


def id3v1(genre: bytes, texts: Iterable[bytes] = TEXTS.values()) -> bytes:
    fields = b"".join(t.ljust(30, b"\0") for t in texts)
    return b"TAG" + fields + bytes(34) + bytes([ID3V1_NUMBERS[genre]])


def item(key: bytes, value: bytes, flags: int = 0) -> bytes:
    return len(value).to_bytes(4, "little") + flags.to_bytes(4, "little") + key + b"\0" + value


def ape(items: Iterable[bytes], *, header: bool = True) -> bytes:
    body = list(items)
    whole = b"".join(body)
    flags = (1 << 31) if header else 0

    def end(extra: int) -> bytes:
        numbers = (2000, len(whole) + 32, len(body), flags | extra)
        return b"APETAGEX" + b"".join(n.to_bytes(4, "little") for n in numbers) + bytes(8)

    return (end(1 << 29) if header else b"") + whole + end(0)


def ape_texts(genre: bytes) -> bytes:
    items = [item(name.title().encode(), text) for name, text in TEXTS.items()]
    return ape([*items, *([item(b"Genre", genre)] if genre else [])])


def lyrics3_v2() -> bytes:
    body = b"LYRICSBEGIN" + b"IND00002" + b"10" + b"LYR00005" + b"la la"
    return body + str(len(body)).zfill(6).encode() + b"LYRICS200"
