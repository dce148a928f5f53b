"""ID3v2 frames as bytes, and their conversion from v2.3 to v2.4 or back without losing one.

A body stays byte for byte wherever both versions spell it alike. What the other version has a place
of its own for is moved there (TYER, TDAT and TIME are v2.4's TDRC); what it has none for stays the
frame that it was, which readers skip. ID3v2.3 and v2.4: M. Nilsson 1999 and 2000.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from mutagen.id3 import Frames
from mutagen.id3._specs import EncodingSpec
from mutagen.id3._util import ID3SaveConfig, unsynch

from genretag.errors import TrackError

_HEAD = struct.Struct(">4s4sH")

#: v2.4's format flags of a frame; the others say what programs do that do not know the frame.
_GROUPED, _COMPRESSED, _ENCRYPTED, _UNSYNCHRONISED, _LENGTH_TOLD = 0x40, 0x08, 0x04, 0x02, 0x01

_RENAMED = {"TORY": "TDOR", "IPLS": "TIPL"}  # v2.3 -> v2.4
_DATE = ("TYER", "TDAT", "TIME")
_NESTED = ("CHAP", "CTOC")  # they hold frames of their own


@dataclass(frozen=True)
class RawFrame:
    """One frame of a tag; ``flags`` are v2.4's."""

    name: str
    flags: int
    body: bytes


def split_frame(
    name: bytes, flags: int, body: bytes, version: int, *, unsynchronised: bool
) -> RawFrame:
    """Return a frame of a v2.3 or v2.4 tag, its flags as v2.4's.

    ``unsynchronised``: the v2.4 tag bears the mark for all of its frames.
    """
    text = name.decode("latin-1")
    if version == 4:
        return RawFrame(text, flags | (_UNSYNCHRONISED if unsynchronised else 0), body)
    return RawFrame(text, *_form_of_v24(flags, body))


def _form_of_v24(flags: int, body: bytes) -> tuple[int, bytes]:
    """Return v2.3's flags as v2.4's, and the body in the order that these ask for."""
    out = flags >> 1 & 0x7000
    packed, encrypted, grouped = flags & 0x80, flags & 0x40, flags & 0x20
    if packed:
        out |= _COMPRESSED | _LENGTH_TOLD
        body = _syncsafe(int.from_bytes(body[:4], "big")) + body[4:]
    return out | (_ENCRYPTED if encrypted else 0) | (_GROUPED if grouped else 0), body


def _syncsafe(n: int) -> bytes:
    return bytes([n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127])


def raw_of(frame: RawFrame, version: int) -> bytes:
    """Return a frame as the bytes of a tag; for v2.3 its form must be plain."""
    size = _syncsafe(len(frame.body)) if version == 4 else len(frame.body).to_bytes(4, "big")
    flags = frame.flags if version == 4 else (frame.flags & 0x7000) << 1
    return _HEAD.pack(frame.name.encode("ascii"), size, flags) + frame.body


def carried(frames: list[RawFrame], version: int) -> list[RawFrame]:
    """Return frames as the other version, ``version``, has them.

    Raises:
        TrackError: a frame is such that it cannot be carried over.
    """
    plain = [_plain(f, version) for f in frames]
    return _to_v24(plain) if version == 4 else [_recoded(f) for f in _to_v23(plain)]


def _plain(frame: RawFrame, version: int) -> RawFrame:
    """Return a frame that is neither compressed nor unsynchronised."""
    if frame.flags & (_ENCRYPTED | _GROUPED) or frame.name in _NESTED:
        what = "encrypted or grouped" if frame.name not in _NESTED else "one that holds others"
        raise TrackError(
            "tags", f"its frame {frame.name} is {what}, and cannot be carried to ID3v2.{version}"
        )
    body = frame.body[4:] if frame.flags & _LENGTH_TOLD else frame.body
    try:
        body = unsynch.decode(body) if frame.flags & _UNSYNCHRONISED else body
        body = zlib.decompress(body) if frame.flags & _COMPRESSED else body
    except (ValueError, zlib.error) as error:
        raise TrackError("tags", f"its frame {frame.name} cannot be unpacked: {error}") from error
    return RawFrame(frame.name, frame.flags & 0x7000, body)


def _to_v24(frames: list[RawFrame]) -> list[RawFrame]:
    """Rename what v2.4 calls otherwise, and make its TDRC out of v2.3's year, day and time."""
    names = {f.name for f in frames}
    date = (
        None
        if "TDRC" in names
        else _date_of({f.name: _text(f) for f in reversed(frames) if f.name in _DATE})
    )
    out, put = list[RawFrame](), False
    for f in frames:
        if date is not None and f.name in _DATE:
            if not put:
                out.append(RawFrame("TDRC", f.flags, b"\x00" + date.encode("latin-1")))
            put = True
        else:
            new = _RENAMED.get(f.name, f.name)
            out.append(RawFrame(new if new not in names else f.name, f.flags, f.body))
    return out


def _date_of(parts: dict[str, str]) -> str | None:
    """Return v2.3's year, day (DDMM) and time (HHMM) as one timestamp; None if they are none."""
    year, day, time = (parts.get(name, "") for name in _DATE)
    if not re.fullmatch(r"\d{4}", year) or (time and not day):
        return None
    if not all(re.fullmatch(r"(\d{4})?", p) for p in (day, time)):
        return None
    return (
        year
        + (f"-{day[2:]}-{day[:2]}" if day else "")
        + (f"T{time[:2]}:{time[2:]}" if time else "")
    )


def _to_v23(frames: list[RawFrame]) -> Iterator[RawFrame]:
    """Rename frames to v2.3's names and split v2.4's timestamps.

    A timestamp that is finer than v2.3's frames stays beside them.
    """
    names = {f.name for f in frames}
    old = {new: before for before, new in _RENAMED.items()}
    for f in frames:
        if f.name == "TDRC" and not names & set(_DATE):
            match = re.fullmatch(r"(\d{4})(?:-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?)?", _text(f))
            year = match or re.match(r"(\d{4})", _text(f))
            yield from (
                RawFrame(n, f.flags, b"\x00" + v.encode("latin-1"))
                for n, v in _parts(year, whole=match is not None)
            )
            if match is None:
                yield f
        elif f.name == "TDOR" and "TORY" not in names and re.match(r"\d{4}", _text(f)):
            yield RawFrame("TORY", f.flags, b"\x00" + _text(f)[:4].encode("latin-1"))
            if len(_text(f)) > 4:
                yield f
        elif f.name in old and f.name != "TDOR" and old[f.name] not in names:
            yield RawFrame(old[f.name], f.flags, f.body)
        else:
            yield f


def _parts(match: re.Match[str] | None, whole: bool) -> Iterator[tuple[str, str]]:
    """Yield v2.3's frames of a timestamp; only the year where the timestamp is not ``whole``."""
    if match is None:
        return
    yield "TYER", match.group(1)
    if whole and match.group(2):
        yield "TDAT", match.group(3) + match.group(2)
        if match.group(4):
            yield "TIME", match.group(4) + match.group(5)


def _is_text(name: str) -> bool:
    return (name.startswith("T") and name != "TXXX") or name == "IPLS"


def _text(frame: RawFrame) -> str:
    """Return the values of a text frame with NUL between them; empty if it cannot be decoded."""
    codec = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}.get(
        frame.body[0] if frame.body else 0, "latin-1"
    )
    try:
        return frame.body[1:].decode(codec).replace("\0\ufeff", "\0").rstrip("\0")
    except UnicodeDecodeError:
        return ""


def _recoded(frame: RawFrame) -> RawFrame:
    """Return a frame in an encoding of v2.3: UTF-16 with a byte order mark, or Latin-1."""
    if not frame.body or frame.body[0] not in (2, 3) or not _has_encoding(frame.name):
        return frame
    if _is_text(frame.name) and (text := _text(frame)):
        return RawFrame(
            frame.name,
            frame.flags,
            b"\x01" + b"\0\0".join(value.encode("utf-16") for value in text.split("\0")),
        )
    try:
        body = _parsed(frame, 4)._writeData(ID3SaveConfig(3, None))
    except Exception as error:  # mutagen raises more than its own errors on broken frames
        raise TrackError(
            "tags", f"its frame {frame.name} cannot be carried to ID3v2.3: {error}"
        ) from error
    return RawFrame(frame.name, frame.flags, bytes(body))


def _has_encoding(name: str) -> bool:
    """Return whether a frame's body begins with the number of an encoding."""
    kind = Frames.get(name)
    return _is_text(name) or (kind is not None and isinstance(kind._framespec[0], EncodingSpec))


def _parsed(frame: RawFrame, version: int) -> Any:
    """Return mutagen's view of a plain frame."""
    header = SimpleNamespace(
        version=(2, version, 0), _V24=(2, 4, 0), _V23=(2, 3, 0), f_unsynch=False
    )
    return Frames[frame.name]._fromData(header, 0, frame.body)


def meanings(frames: list[RawFrame], version: int) -> dict[str, int]:
    """Return the contents of frames, each with its count, equal for equal frames of both versions.

    A converted tag is judged by them: its bytes differ.
    """
    plain = [_plain(f, version) for f in frames]
    names = {f.name for f in plain}
    doubled = (
        *(_DATE if "TDRC" in names else ()),
        *(old for old, new in _RENAMED.items() if new in names),
    )
    date = _date_of(
        {f.name: _text(f) for f in reversed(plain) if f.name in _DATE and f.name not in doubled}
    )
    counted = [f for f in plain if f.name not in doubled and (date is None or f.name not in _DATE)]
    counts = Counter(_meaning(f, version) for f in counted)
    if date is not None:
        counts[f"TDRC {date}"] += 1
    return dict(counts)


def _meaning(frame: RawFrame, version: int) -> str:
    name = _RENAMED.get(frame.name, frame.name)
    if _is_text(frame.name):
        return f"{name} {_text(frame).replace(' ', 'T', 1) if name == 'TDRC' else _text(frame)}"
    try:
        parsed = _parsed(frame, version)
    except Exception:
        return f"{name} {frame.body!r}"
    return (
        f"{name} {[getattr(parsed, s.name) for s in parsed._framespec if s.name != 'encoding']!r}"
    )
