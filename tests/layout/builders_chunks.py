"""Build WAV, AIFF, DSF and DSDIFF files byte by byte, and read them by code of the tests' own."""

from __future__ import annotations

import array
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Order = Literal["little", "big"]
RATE = 44_100


@dataclass(frozen=True)
class Kind:
    """How a family of files writes chunks."""

    magic: bytes
    form: bytes
    order: Order
    width: int
    id3: bytes
    audio: bytes


WAV = Kind(b"RIFF", b"WAVE", "little", 4, b"id3 ", b"data")
AIFF = Kind(b"FORM", b"AIFF", "big", 4, b"ID3 ", b"SSND")
DFF = Kind(b"FRM8", b"DSD ", "big", 8, b"ID3 ", b"DSD ")
KINDS = {".wav": WAV, ".aiff": AIFF, ".dff": DFF}


def chunk(kind: Kind, name: bytes, data: bytes, pad: bytes = b"\0") -> bytes:
    """Build a chunk, padded to an even size."""
    size = len(data).to_bytes(kind.width, kind.order)
    return name + size + data + pad[: len(data) & 1]


def sound(seconds: float = 1.2) -> bytes:
    """Build samples of 16 bits, mono, little-endian."""
    count = int(RATE * seconds)
    values = (int(9000 * math.sin(i * i / 90_000)) for i in range(count))
    return b"".join(struct.pack("<h", v) for v in values)


def audio_chunks(kind: Kind, samples: bytes) -> tuple[bytes, bytes]:
    """Build what describes the audio, and the chunk that holds it."""
    if kind is WAV:
        head = chunk(kind, b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
        return head, chunk(kind, b"data", samples)
    if kind is AIFF:
        swapped = array.array("h", samples)
        swapped.byteswap()
        rate = b"\x40\x0e\xac\x44" + bytes(6)  # 44,100 as a float of 80 bits
        head = chunk(kind, b"COMM", struct.pack(">hIh", 1, len(samples) // 2, 16) + rate)
        return head, chunk(kind, b"SSND", bytes(8) + swapped.tobytes())
    properties = (
        chunk(kind, b"FS  ", struct.pack(">I", 64 * RATE))
        + chunk(kind, b"CHNL", struct.pack(">H", 1) + b"C   ")
        + chunk(kind, b"CMPR", b"DSD \x0enot compressed")
    )
    version = chunk(kind, b"FVER", b"\1\5\0\0")
    return version + chunk(kind, b"PROP", b"SND " + properties), chunk(kind, b"DSD ", samples * 4)


def build(
    kind: Kind, samples: bytes, *behind: bytes, before: bytes = b"", tail: bytes = b""
) -> bytes:
    """Build a file: format, chunks ``before`` the audio, audio, those ``behind`` it, the tail."""
    head, audio = audio_chunks(kind, samples)
    body = kind.form + head + before + audio + b"".join(behind)
    return kind.magic + len(body).to_bytes(kind.width, kind.order) + body + tail


def rf64(samples: bytes, *behind: bytes, magic: bytes = b"RF64") -> bytes:
    """Build an RF64 or BW64 file."""
    head, audio = audio_chunks(WAV, samples)
    size = len(audio) - 8
    audio = b"data" + b"\xff" * 4 + audio[8:]
    more = head + audio + b"".join(behind)
    sizes = struct.pack("<QQQI", 4 + 36 + len(more), size, len(samples) // 2, 0)
    return magic + b"\xff" * 4 + b"WAVE" + chunk(WAV, b"ds64", sizes) + more


def streamed(data: bytes, sizes: tuple[int, int] = (0xFFFFFFFF, 0xFFFFFFFF)) -> bytes:
    """Return a WAV whose sizes were never stated; its audio must be its last chunk."""
    at = data.index(b"data") + 4
    whole, audio = (n.to_bytes(4, "little") for n in sizes)
    return data[:4] + whole + data[8:at] + audio + data[at + 4 :]


def info(*items: tuple[bytes, bytes]) -> bytes:
    """Build a LIST of INFO."""
    return chunk(WAV, b"LIST", b"INFO" + b"".join(chunk(WAV, name, text) for name, text in items))


def syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(*frames: tuple[bytes, bytes], version: int = 4, padding: int = 0) -> bytes:
    """Build an ID3v2 tag."""
    body = bytearray()
    for name, data in frames:
        size = syncsafe(len(data)) if version == 4 else len(data).to_bytes(4, "big")
        body += name + size + b"\0\0" + data
    body += bytes(padding)
    return b"ID3" + bytes([version, 0, 0]) + syncsafe(len(body)) + bytes(body)


def read_id3(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, data) of the frames of a plain ID3v2.3 or v2.4 tag."""
    end = 10 + int.from_bytes(bytes(4), "big") + _unsafe(data[6:10])
    at, frames = 10, []
    while at + 10 <= end and data[at]:
        raw = data[at + 4 : at + 8]
        size = _unsafe(raw) if data[3] == 4 else int.from_bytes(raw, "big")
        frames.append((data[at : at + 4], data[at + 10 : at + 10 + size]))
        at += 10 + size
    return frames


def _unsafe(data: bytes) -> int:
    return data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]


def read_chunks(kind: Kind, data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return (name, data) of the chunks, and what lies behind the size of the whole."""
    at, out = 4 + kind.width + 4, []
    stated = int.from_bytes(data[4 : 4 + kind.width], kind.order)
    if kind is WAV and data[:4] != b"RIFF":
        stated = int.from_bytes(data[20:28], "little")
    end = len(data) if stated == 0xFFFFFFFF else 4 + kind.width + stated
    assert end <= len(data), "the size of the whole leads beyond the file"
    while at < end:
        size = int.from_bytes(data[at + 4 : at + 4 + kind.width], kind.order)
        start = at + 4 + kind.width
        if size == 0xFFFFFFFF:
            size = end - start if data[:4] == b"RIFF" else int.from_bytes(data[28:36], "little")
        assert start + size <= end, f"the chunk {data[at : at + 4]!r} leads beyond the whole"
        out.append((data[at : at + 4], data[start : start + size]))
        at = start + size + (size & 1)
    assert at == end, "the last chunk's padding lies outside"
    return out, data[end:]


def read_info(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, data) of the items of a LIST of INFO."""
    assert data[:4] == b"INFO"
    at, out = 4, []
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        assert at + 8 + size <= len(data)
        out.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + (size & 1)
    return out


def dsf(samples: bytes, tag: bytes = b"", tail: bytes = b"", pointer: int | None = None) -> bytes:
    """Build a DSF file; ``pointer`` takes the place of the tag's offset."""
    data = (samples * 4)[: len(samples) * 4 // 4096 * 4096]
    numbers = (52, 1, 0, 1, 1, 64 * RATE, 1, len(data) * 8, 4096, 0)
    head = b"fmt " + struct.pack("<QIIIIIIQII", *numbers)
    body = head + b"data" + struct.pack("<Q", 12 + len(data)) + data
    size = 28 + len(body)
    at = (size if tag else 0) if pointer is None else pointer
    total = size + len(tag) + len(tail)
    return b"DSD " + struct.pack("<QQQ", 28, total, at) + body + tag + tail


def read_dsf(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return (audio, tag, tail); the tag is empty where the offset is zero."""
    total, pointer = struct.unpack("<QQ", data[12:28])
    assert total == len(data)
    end = 80 + int.from_bytes(data[84:92], "little")
    if not pointer:
        return data[28:end], b"", data[end:]
    assert data[pointer : pointer + 3] == b"ID3"
    stop = pointer + 10 + _unsafe(data[pointer + 6 : pointer + 10])
    return data[28:end], data[pointer:stop], data[end:pointer] + data[stop:]


def items_without(items: Sequence[tuple[bytes, bytes]], name: bytes) -> list[tuple[bytes, bytes]]:
    """Return the items of other names, in order."""
    return [i for i in items if i[0] != name]
