"""Readers of tags that are not mutagen, small and written from the formats' definitions, for the tests alone."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av


def ffmpeg_genre(path: Path) -> list[str]:
    """Return the genres as FFmpeg reads them; it joins several with ';' or NUL by container."""
    with av.open(str(path)) as container:
        streams = container.streams.audio
        metadata = {**container.metadata, **(streams[0].metadata if streams else {})}
    text = next((v for k, v in metadata.items() if k.lower() == "genre"), "")
    return [g for g in text.replace("\0", ";").split(";") if g]


@dataclass(frozen=True)
class Id3:
    """An ID3v2 tag: its version and its frames as (id, raw bytes with header)."""

    version: int
    frames: list[tuple[str, bytes]]

    def others(self) -> list[tuple[str, bytes]]:
        return [f for f in self.frames if f[0] != "TCON"]


def syncsafe(data: bytes) -> int:
    return data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]


def read_id3(data: bytes) -> Id3 | None:
    """Parse an ID3v2.3 or v2.4 tag without unsynchronisation at the start of some bytes."""
    if data[:3] != b"ID3":
        return None
    version, size = data[3], syncsafe(data[6:10])
    body, frames = io.BytesIO(data[10 : 10 + size]), []
    while len(head := body.read(10)) == 10 and head[0]:
        length = syncsafe(head[4:8]) if version == 4 else int.from_bytes(head[4:8], "big")
        frames.append((head[:4].decode(), head + body.read(length)))
    return Id3(version, frames)


def make_id3(version: int, frames: list[tuple[str, bytes]], padding: int = 64) -> bytes:
    """Build an ID3v2.3 or v2.4 tag."""

    def safe(n: int) -> bytes:
        return bytes([n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127])

    body = b"".join(
        name.encode() + (safe(len(data)) if version == 4 else len(data).to_bytes(4, "big")) + b"\0\0" + data for name, data in frames
    )
    body += b"\0" * padding
    return b"ID3" + bytes([version, 0, 0]) + safe(len(body)) + body


def make_apev2(items: list[tuple[str, bytes]]) -> bytes:
    """Build an APEv2 tag with header and footer; values that are not ASCII are marked as binary."""
    body = b"".join(len(v).to_bytes(4, "little") + bytes([0 if v.isascii() else 2, 0, 0, 0]) + k.encode() + b"\0" + v for k, v in items)

    def edge(flags: int) -> bytes:
        return (
            b"APETAGEX"
            + (2000).to_bytes(4, "little")
            + (len(body) + 32).to_bytes(4, "little")
            + len(items).to_bytes(4, "little")
            + flags.to_bytes(4, "little")
            + bytes(8)
        )

    return edge(0xA0000000) + body + edge(0x80000000)


def make_id3v1(title: str, artist: str, genre: int) -> bytes:
    """Build an ID3v1.1 block."""
    return b"TAG" + title.encode().ljust(30, b"\0") + artist.encode().ljust(30, b"\0") + bytes(64) + bytes([genre])


def vorbis_comments(path: Path) -> list[tuple[str, str]]:
    """Return a FLAC file's comments from the raw block."""
    data = path.read_bytes()
    at = 4
    while True:
        last, kind, size = data[at] & 0x80, data[at] & 0x7F, int.from_bytes(data[at + 1 : at + 4], "big")
        if kind == 4:
            return _comments(data[at + 4 : at + 4 + size])
        if last:
            return []
        at += 4 + size


def _comments(block: bytes) -> list[tuple[str, str]]:
    stream = io.BytesIO(block)

    def text() -> str:
        return stream.read(int.from_bytes(stream.read(4), "little")).decode()

    text()
    count = int.from_bytes(stream.read(4), "little")
    pairs = (text().partition("=") for _ in range(count))
    return [(k, v) for k, _, v in pairs]
