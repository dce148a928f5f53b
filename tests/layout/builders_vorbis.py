"""Build FLAC and Ogg files byte by byte, and read them by code that genretag does not use."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from genretag.layout.account import Account

VENDOR = b"a vendor"


def comment_list(*entries: bytes, vendor: bytes = VENDOR) -> bytes:
    """Build a comment list of raw entries."""
    sized = [len(e).to_bytes(4, "little") + e for e in entries]
    head = len(vendor).to_bytes(4, "little") + vendor + len(entries).to_bytes(4, "little")
    return head + b"".join(sized)


def read_list(data: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return vendor, entries and what follows them."""
    size = int.from_bytes(data[:4], "little")
    vendor, at = data[4 : 4 + size], 8 + size
    entries = []
    for _ in range(int.from_bytes(data[at - 4 : at], "little")):
        size = int.from_bytes(data[at : at + 4], "little")
        entries.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return vendor, entries, data[at:]


def without_genre(entries: Sequence[bytes]) -> list[bytes]:
    """Return the entries but GENRE=..., in order."""
    return [e for e in entries if not (b"=" in e and e.split(b"=")[0].upper() == b"GENRE")]


def genres_in(entries: Sequence[bytes]) -> list[bytes]:
    """Return the values of GENRE, in order."""
    return [e.split(b"=", 1)[1] for e in entries if e.upper().startswith(b"GENRE=")]


# --- FLAC -----------------------------------------------------------------------------------------


def flac_audio(seed: bytes) -> tuple[bytes, bytes]:
    """Return (STREAMINFO's data, audio) of a FLAC file."""
    blocks, audio = read_flac(seed)
    return blocks[0][1], audio


def flac(seed: bytes, *blocks: tuple[int, bytes], front: bytes = b"", tail: bytes = b"") -> bytes:
    """Build a FLAC file with a seed's audio from (type, data) of the blocks behind STREAMINFO."""
    info, audio = flac_audio(seed)
    everything = [(0, info), *blocks]
    packed = [
        bytes([kind | (0x80 if i == len(everything) - 1 else 0)])
        + len(data).to_bytes(3, "big")
        + data
        for i, (kind, data) in enumerate(everything)
    ]
    return front + b"fLaC" + b"".join(packed) + audio + tail


def read_flac(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return (type, data) of the blocks, and what follows them."""
    at, last, blocks = data.index(b"fLaC") + 4, 0, []
    while not last:
        last, kind = data[at] & 0x80, data[at] & 0x7F
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        blocks.append((kind, data[at + 4 : at + 4 + size]))
        at += 4 + size
    return blocks, data[at:]


# --- Ogg ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """A page as it is stored."""

    flags: int
    granule: int
    serial: int
    sequence: int
    lacing: bytes
    body: bytes
    sound: bool = True  # its checksum is right


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        register = value << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
        table.append(register & 0xFFFFFFFF)
    return table


_TABLE = _crc_table()


# Examples of a property share most of their pages.
@lru_cache(maxsize=512)
def crc(data: bytes) -> int:
    """Return Ogg's checksum, a byte at a time (RFC 3533, section 6)."""
    register = 0
    for byte in data:
        register = ((register << 8) & 0xFFFFFFFF) ^ _TABLE[(register >> 24) ^ byte]
    return register


def pack(page: Page) -> bytes:
    """Return a page's bytes."""
    head = b"OggS" + struct.pack("<BBQII", 0, page.flags, page.granule, page.serial, page.sequence)
    tail = bytes([len(page.lacing)]) + page.lacing + page.body
    checksum = crc(head + bytes(4) + tail) ^ (not page.sound)
    return head + checksum.to_bytes(4, "little") + tail


def pages_of(data: bytes) -> Iterator[Page]:
    """Yield the pages of a file, up to what is none."""
    at = 0
    while data[at : at + 4] == b"OggS":
        _, flags, granule, serial, sequence, checksum = struct.unpack_from("<BBQIII", data, at + 4)
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        body = at + 27 + len(lacing)
        end = body + sum(lacing)
        raw = data[at : at + 22] + bytes(4) + data[at + 26 : end]
        yield Page(flags, granule, serial, sequence, lacing, data[body:end], crc(raw) == checksum)
        at = end


def packets_of(pages: Sequence[Page], serial: int) -> list[bytes]:
    """Return the packets of a logical stream."""
    packets, packet = [], b""
    for page in pages:
        at = 0
        for size in page.lacing if page.serial == serial else b"":
            packet += page.body[at : at + size]
            at += size
            if size < 255:
                packets.append(packet)
                packet = b""
    return packets


def paged(packets: Sequence[bytes], serial: int, sequence: int, segments: int = 255) -> list[Page]:
    """Return header packets as pages of so many segments at most."""
    lacing = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    body, pages, at, flags = b"".join(packets), [], 0, 0
    for start in range(0, len(lacing), segments):
        values = lacing[start : start + segments]
        size = sum(values)
        granule = 0 if min(values) < 255 else (1 << 64) - 1
        pages.append(
            Page(flags, granule, serial, sequence + len(pages), values, body[at : at + size])
        )
        at, flags = at + size, int(values[-1] == 255)
    return pages


#: Extension -> bytes in front of the comments; Ogg FLAC's are the header of a metadata block.
OGG_PREFIXES = {".ogg": b"\x03vorbis", ".opus": b"OpusTags", ".oga": b""}


def header_packets(extension: str, first: bytes) -> int:
    """Return how many header packets follow the identification."""
    flac_headers = int.from_bytes(first[7:9], "big")
    return {".ogg": 2, ".opus": 1, ".oga": flac_headers}[extension]


def comment_packet(extension: str, old: bytes, comments: bytes, rest: bytes) -> bytes:
    """Build a comment packet; ``old`` is the one that it takes the place of."""
    if extension == ".oga":
        return old[:1] + len(comments + rest).to_bytes(3, "big") + comments + rest
    return OGG_PREFIXES[extension] + comments + rest


def ogg(
    seed: bytes, extension: str, comments: bytes, rest: bytes = b"", segments: int = 255
) -> bytes:
    """Build an Ogg file with a seed's audio and some comments; ``rest`` follows the comments.

    ``segments`` is how many a page of the comment header holds at most.
    """
    pages = list(pages_of(seed))
    serial = pages[0].serial
    packets = packets_of(pages, serial)
    count = header_packets(extension, packets[0])
    taken, ended = 1, 0
    while ended < count:
        ended += sum(v < 255 for v in pages[taken].lacing)
        taken += 1
    first = comment_packet(extension, packets[1], comments, rest)
    heads = paged([first, *packets[2 : 1 + count]], serial, 1, segments)
    shift = len(heads) + 1 - taken
    audio = [replace(p, sequence=p.sequence + shift) for p in pages[taken:]]
    return b"".join(map(pack, [pages[0], *heads, *audio]))


def read_comments(extension: str, packet: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return vendor, entries and what follows them of a comment packet."""
    return read_list(packet[4 if extension == ".oga" else len(OGG_PREFIXES[extension]) :])


# --- the account ----------------------------------------------------------------------------------


def kept(account: Account, data: bytes) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of the regions that a write must keep, neighbours of one name joined."""
    joined: list[tuple[str, list[bytes]]] = []
    for region in account.kept():
        if not joined or joined[-1][0] != region.name:
            joined.append((region.name, []))
        joined[-1][1].append(data[region.start : region.end])
    return [(name, b"".join(parts)) for name, parts in joined]
