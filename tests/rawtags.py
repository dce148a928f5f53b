"""Small readers of tags that are not mutagen, written from the formats' definitions."""

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
        name.encode()
        + (safe(len(data)) if version == 4 else len(data).to_bytes(4, "big"))
        + b"\0\0"
        + data
        for name, data in frames
    )
    body += b"\0" * padding
    return b"ID3" + bytes([version, 0, 0]) + safe(len(body)) + body


def make_apev2(items: list[tuple[str, bytes]]) -> bytes:
    """Build an APEv2 tag with header and footer; values that are not ASCII are marked as binary."""
    body = b"".join(
        len(v).to_bytes(4, "little")
        + bytes([0 if v.isascii() else 2, 0, 0, 0])
        + k.encode()
        + b"\0"
        + v
        for k, v in items
    )

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
    return (
        b"TAG"
        + title.encode().ljust(30, b"\0")
        + artist.encode().ljust(30, b"\0")
        + bytes(64)
        + bytes([genre])
    )


def vorbis_comments(path: Path) -> list[tuple[str, str]]:
    """Return a FLAC file's comments from the raw block."""
    data = path.read_bytes()
    at = 4
    while True:
        last, kind, size = (
            data[at] & 0x80,
            data[at] & 0x7F,
            int.from_bytes(data[at + 1 : at + 4], "big"),
        )
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


def ogg_comments(path: Path) -> list[tuple[str, str]]:
    """Return the comments of the second packet of an Ogg Vorbis or Opus file, from its pages."""
    data, at, packets, packet = path.read_bytes(), 0, [], b""
    while len(packets) < 2 and data[at : at + 4] == b"OggS":
        sizes = data[at + 27 : at + 27 + data[at + 26]]
        body = at + 27 + len(sizes)
        for size in sizes:
            packet += data[body : body + size]
            body += size
            if size < 255:
                packets.append(packet)
                packet = b""
        at = body
    head = packets[1]
    return _comments(head[8:] if head[:8] == b"OpusTags" else head[7:])


def flac_blocks(path: Path) -> list[tuple[int, bytes]]:
    """Return (type, data) of a FLAC file's metadata blocks."""
    data, at, out, last = path.read_bytes(), 4, [], 0
    while not last:
        last, kind, size = (
            data[at] & 0x80,
            data[at] & 0x7F,
            int.from_bytes(data[at + 1 : at + 4], "big"),
        )
        out.append((kind, data[at + 4 : at + 4 + size]))
        at += 4 + size
    return out


def mp4_leaves(path: Path) -> list[tuple[str, bytes]]:
    """Return (path, data) of the leaves below moov/udta/meta/ilst and of freeform atoms."""
    data = path.read_bytes()
    out: list[tuple[str, bytes]] = []

    def walk(at: int, stop: int, above: str) -> None:
        while at + 8 <= stop:
            size, name = (
                int.from_bytes(data[at : at + 4], "big"),
                data[at + 4 : at + 8].decode("latin-1"),
            )
            if size < 8:
                return
            skip = 4 if name == "meta" else 0
            if name in ("moov", "udta", "meta"):
                walk(at + 8 + skip, at + size, f"{above}/{name}")
            elif name == "ilst":
                walk(at + 8, at + size, f"{above}/ilst")
            elif above.endswith("ilst"):
                out.append((name, data[at : at + size]))
            at += size

    walk(0, len(data), "")
    return out


def iff_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Return (name, data) of a WAV's or AIFF's chunks."""
    data, at, out = path.read_bytes(), 12, []
    order = "little" if data[:4] == b"RIFF" else "big"
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        out.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + (size & 1)
    return out


def ape_items(data: bytes) -> dict[str, bytes]:
    """Return the items of the APEv2 tag that ends some bytes (or stands before an ID3v1 block)."""
    if data[-128:-125] == b"TAG" and data[-131:-125] != b"APETAG":
        data = data[:-128]
    footer = data[-32:]
    if footer[:8] != b"APETAGEX":
        return {}
    size, count = int.from_bytes(footer[12:16], "little"), int.from_bytes(footer[16:20], "little")
    body, out = io.BytesIO(data[-size:-32]), {}
    for _ in range(count):
        length = int.from_bytes(body.read(4), "little")
        flags, key = body.read(4), b""
        while (c := body.read(1)) != b"\0":
            key += c
        out[key.decode()] = flags + body.read(length)
    return out


def asf_strings(path: Path) -> list[tuple[str, bytes]]:
    """Return (name, type and value) of the extended content description of an ASF file."""
    data = path.read_bytes()
    guid = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
    at = data.find(guid)
    if at < 0:
        return []
    body = io.BytesIO(data[at + 24 :])
    out = []
    for _ in range(int.from_bytes(body.read(2), "little")):
        name = body.read(int.from_bytes(body.read(2), "little")).decode("utf-16-le").rstrip("\0")
        kind = body.read(2)
        out.append((name, kind + body.read(int.from_bytes(body.read(2), "little"))))
    return out
