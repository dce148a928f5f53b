"""Streams without a container of their own: MP3, AAC, Musepack, WavPack, Monkey's Audio, TTA ...

Their tags stand before and behind the audio, which is one region.
"""

from __future__ import annotations

from collections.abc import Sequence

from genretag.layout import id3, tail
from genretag.layout.account import Account, Kind, Region, UnexplainedError

#: First bytes of the audio -> format.
_MAGIC = {
    b"MAC ": "Monkey's Audio",
    b"MP+": "Musepack",
    b"MPCK": "Musepack",
    b"wvpk": "WavPack",
    b"TTA1": "TTA",
    b"TTA2": "TTA",
    b"tBaK": "TAK",
    b"OFR ": "OptimFROG",
}
HEAD_BYTES = 8  # that show most formats
_MAX_JUNK = 1 << 16  # bytes before the first frame of MPEG audio
_MIN_FRAMES = 16  # in a row behind junk; a few are found by chance in any large file

#: First bytes of other containers, some of them behind four bytes of size.
_CONTAINERS = (b"OggS", b"RIFF", b"RF64", b"BW64", b"riff", b"FORM", b"FRM8", b"DSD ", b"fLaC")
_OTHERS = (b"\x1a\x45\xdf\xa3", b"0&\xb2u", b"caff", b".snd", b"#!AM", b"PK\x03\x04", b"%PDF", b"<")
#: Streams that hold MPEG frames of their own, or bytes that look like them: MPEG systems and
#: elementary streams, DTS in its four orders, AC-3, TrueHD, LOAS.
_OTHER_STREAMS = (
    *(b"\0\0\1", b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x1f\xff\xe8", b"\xff\x1f\x00\xe8"),
    *(b"\x0bw", b"w\x0b", b"\xf8rou", b"\x56\xe0", b"FLV\1"),
)
_ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot", b"uuid")

#: kbit/s of MPEG-1 layers I to III, and MPEG-2 layer I, layers II and III (ISO 11172-3, 13818-3).
_RATES_V1 = (
    (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_RATES_V2 = (
    (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SAMPLE_RATES = (44_100, 48_000, 32_000)


def kind_of(data: memoryview, at: int) -> str | None:
    """Return the format of the audio at an offset; None if it is no bare stream."""
    head = bytes(data[at : at + HEAD_BYTES])
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    # MPEG frames have no magic number beyond 11 bits of sync, so the others come first.
    if (found := _mpeg_frame(head)) is not None:
        return found[0]
    if _is_of_other_kind(head):
        return None
    found = _behind_junk(data, at)
    return found and found[0]


def begins_with_junk(head: bytes) -> bool:
    """Return whether the first ``HEAD_BYTES`` show no format, so that more has to be searched."""
    known = head.startswith(tuple(_MAGIC)) or _is_of_other_kind(head)
    return not known and _mpeg_frame(head) is None


def _is_of_other_kind(head: bytes) -> bool:
    """Return whether the first bytes are those of a container or a stream without tags."""
    return head.startswith((*_CONTAINERS, *_OTHERS, *_OTHER_STREAMS)) or head[4:] in _ATOMS


def _behind_junk(data: memoryview, at: int) -> tuple[str, int] | None:
    """Return format and offset of MPEG audio behind some bytes of junk: frames of one form."""
    # Rippers and web servers have left zeros, HTML or half a frame in front.
    junk = bytes(data[at : at + _MAX_JUNK])
    start = junk.find(b"\xff")
    while start >= 0:
        if (kind := _chain_of_frames(data, at + start)) is not None:
            return kind, at + start
        start = junk.find(b"\xff", start + 1)
    return None


def _check_junk(data: memoryview, at: int) -> None:
    """Raise if the junk in front of MPEG audio holds a tag, which a new one in front would hide.

    TagLib looks for ID3v2 up to the first frame, and mutagen for APEv2 at the start of the file.
    """
    found = None if _mpeg_frame(bytes(data[at : at + 8])) else _behind_junk(data, at)
    junk = bytes(data[at : found[1]]) if found else b""
    if any(mark in junk for mark in (b"ID3", tail.APE_MAGIC)):
        raise UnexplainedError("a tag stands where only some programs look, in front of its audio")


def _chain_of_frames(data: memoryview, at: int) -> str | None:
    """Return the format of the frames that stand in a row from an offset on; None: too few do."""
    kind, form = None, None
    for _ in range(_MIN_FRAMES):
        head = bytes(data[at : at + 8])
        found = _mpeg_frame(head)
        # All frames of a stream have one version, layer and sample rate; its bit rate may vary.
        if found is None or form not in (None, _form(head)):
            return None
        kind, form = found[0], _form(head)
        at += found[1]
    return kind


def _form(head: bytes) -> tuple[int, int]:
    """Return version and layer, and the sample rate, of a frame's header, as they are stored."""
    rates = 0x3C if head[1] & 0xF6 == 0xF0 else 0x0C
    return head[1] & 0xFE, head[2] & rates


def _mpeg_frame(head: bytes) -> tuple[str, int] | None:
    """Return (format, size in bytes) of the MPEG audio frame with a header; None if it is none.

    ISO 11172-3 and 13818-3 (MP3 and its kin), ISO 13818-7 (ADTS, seven bytes).
    """
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return ("AAC", size) if head[2] >> 2 & 0xF < 13 and size > 7 else None
    version, layer = head[1] >> 3 & 3, 3 - (head[1] >> 1 & 3)  # layer: 0 for I, 2 for III
    rate, frequency = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 3 or not 0 < rate < 15 or frequency == 3:
        return None
    bits = (_RATES_V1 if version == 3 else _RATES_V2)[layer][rate - 1] * 1000
    hertz = _SAMPLE_RATES[frequency] >> (0 if version == 3 else 1 if version == 2 else 2)
    padding = head[2] >> 1 & 1
    if layer == 0:
        return "MP3", (12 * bits // hertz + padding) * 4
    samples = 72 if layer == 2 and version != 3 else 144
    return "MP3", samples * bits // hertz + padding


def audio_start(data: memoryview) -> int:
    """Return the first byte behind the ID3v2 tags at the start of the file."""
    front = id3.front_tags(data)
    return front[-1][1] if front else 0


_WAVPACK_HEADER = 8  # bytes of a block before those that its size counts


def _check_blocks(data: memoryview, at: int, stop: int) -> None:
    """Check that WavPack blocks lead to the end: a tag behind a cut one is taken for audio.

    Raises:
        UnexplainedError: they do not.
    """
    while bytes(data[at : at + 4]) == b"wvpk" and at + _WAVPACK_HEADER < stop:
        at += _WAVPACK_HEADER + int.from_bytes(data[at + 4 : at + _WAVPACK_HEADER], "little")
    if at != stop:
        raise UnexplainedError("its WavPack blocks do not lead to its end")


def account(data: memoryview, fields: Sequence[str]) -> Account:
    """Return the account of a bare stream.

    Raises:
        UnexplainedError: it cannot be explained completely.
    """
    front = id3.front_tags(data)
    start = front[-1][1] if front else 0
    kind = kind_of(data, start)
    if kind is None:
        raise UnexplainedError("it is no audio stream that can be explained")
    if kind not in _MAGIC.values() and not front:
        _check_junk(data, start)
    parts = tail.tail_parts(data, start)
    stop = parts[0].start if parts else len(data)
    if kind == "WavPack":
        _check_blocks(data, start, stop)
    regions = [r for at, end in front for r in id3.tag_regions(data, at, end, fields)]
    regions.append(Region(Kind.AUDIO, start, stop, f"{kind} audio"))
    regions += [r for part in parts for r in tail.part_regions(data, part, fields)]
    return Account(kind, len(data), tuple(regions))
