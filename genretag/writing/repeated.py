"""What a new tag may hold besides the planned fields: its framing, and texts that it repeats.

A new tag hides an older one from many programs, so it repeats the older one's texts. Each of them
is decoded and compared with the text in the original; any other content is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from genretag.errors import TrackError
from genretag.layout.account import Account, Kind, Region
from genretag.layout.id3 import MAX_EMPTY_TEXT, parse_tag
from genretag.layout.iff import DIALECTS, RIFF, Iff, info_items, is_info, parse_iff
from genretag.layout.tail import APE_HAS_HEADER, APE_IS_HEADER, APE_MAGIC, ID3V1_SIZE
from genretag.layout.vorbis import LENGTH_SIZE, pack_comments
from genretag.tags import bare, chunks, flac, id3_splice

_ID3_HEADERS = frozenset(b"ID3" + bytes([version, 0, 0]) for version in (3, 4))
_APE_VERSION = (2000).to_bytes(4, "little")
_APE_FLAGS = (APE_HAS_HEADER, APE_HAS_HEADER | APE_IS_HEADER)
_APE_ENDS = frozenset(
    [APE_MAGIC + _APE_VERSION, *(flags.to_bytes(4, "little") + bytes(8) for flags in _APE_FLAGS)]
)
_VENDORS = frozenset([pack_comments(flac.VENDOR, [])[:-LENGTH_SIZE]])
_COMMENTS = "FLAC/VORBIS_COMMENT"
_ID3_CHUNKS = ("id3 ", "ID3 ")
_DIALECTS = {dialect.name for dialect in DIALECTS}

#: Frames with a text that programs show; where an ID3v2 tag has one, nothing of ID3v1 is hidden.
_SHOWN = ("ID3v2/T", "ID3v2/COMM", "ID3v2/USLT")


def new_names(
    before: Account, old: memoryview, after: Account, new: memoryview, *, converted: bool = False
) -> frozenset[str]:
    """Return the names of kept regions of the copy that may be new, each of them checked.

    ``converted``: an ID3v2 tag without frames may have got another header.
    """
    held = {r.name for r in before.kept() if not (converted and _is_id3v2(r))}
    texts, framing = _texts(before, old), _framing(before.container)
    if converted:
        # The version may be the old one after all, and the old header is kept then.
        for region in filter(_is_id3v2, before.kept()):
            known = framing.get(region.name, frozenset())
            framing[region.name] = known | {bytes(old[region.start : region.end])}
    found = dict[str, list[Region]]()
    for region in after.kept():
        found.setdefault(region.name, []).append(region)
    return frozenset(
        name
        for name, regions in found.items()
        if name not in held
        and (
            _is_framing(new, regions, framing.get(name, frozenset()))
            or _is_text(new, after, regions, texts.get(name))
        )
    )


def _is_id3v2(region: Region) -> bool:
    return "ID3v2" in region.name.split("/")


def _is_framing(data: memoryview, regions: list[Region], known: frozenset[bytes]) -> bool:
    return all(bytes(data[r.start : r.end]) in known for r in regions)


def _is_text(data: memoryview, after: Account, regions: list[Region], text: str | None) -> bool:
    """Return whether regions of one name are one region with a text."""
    if text is None or len(regions) != 1:
        return False
    try:
        return _parts(_decoded(data, after, regions[0])) == _parts(text)
    except (TrackError, UnicodeDecodeError):
        return False


def _parts(text: str) -> list[str]:
    """Return the values of a text; NUL separates them in ID3v2."""
    return [p for part in text.split("\0") if (p := part.strip(id3_splice.AROUND_TEXT))]


def _decoded(data: memoryview, after: Account, region: Region) -> str:
    """Return the text of a frame, an APEv2 item or a comment.

    Raises:
        TrackError, UnicodeDecodeError: it is no text.
    """
    raw = bytes(data[region.start : region.end])
    if region.name.startswith(_COMMENTS):
        return raw[LENGTH_SIZE:].partition(b"=")[2].decode()
    if region.name.startswith("APEv2/"):
        flags, (_, _, value) = raw[4:8], raw[8:].partition(b"\0")
        # Flags mark an item that is read-only, or holds no text.
        return value.decode() if not any(flags) else ""
    above = region.name.rpartition("/")[0]
    starts = (r.start for r in after.regions if r.name == above and r.start < region.start)
    tag = parse_tag(data, max(starts))
    frame = next(f for f in tag.frames if f.start == region.start)
    return "\0".join(id3_splice.texts_of_frame(data, tag, frame))


def _framing(container: str) -> dict[str, frozenset[bytes]]:
    """Return what the framing of a new tag may be, by the names of its regions."""
    if container == "FLAC":
        return {f"{_COMMENTS}/vendor": _VENDORS}
    if container == "DSF":
        return {"DSF/ID3v2": _ID3_HEADERS}
    if container in _DIALECTS:
        names = {f"{container}/{n}/name": frozenset([n.encode()]) for n in _ID3_CHUNKS}
        return names | {f"{container}/{n}/ID3v2": _ID3_HEADERS for n in _ID3_CHUNKS}
    return {"ID3v2": _ID3_HEADERS, "APEv2/header": _APE_ENDS, "APEv2/footer": _APE_ENDS}


# --- the texts of the original that a new tag repeats ---------------------------------------------


def _texts(before: Account, old: memoryview) -> Mapping[str, str]:
    """Return the texts that the copy may repeat, by the names of their new regions."""
    held = [r for r in before.regions if r.kind in (Kind.OTHER, Kind.FIELD) and r.size]
    if before.container in _DIALECTS:
        above = tuple(f"{before.container}/{n}/ID3v2" for n in _ID3_CHUNKS)
        has_frames = any(r.name.startswith(tuple(a + "/" for a in above)) for r in held)
        frames = {} if has_frames else dict(_chunk_texts(old, parse_iff(old)))
        return {f"{a}/{name}": text for a in above for name, text in frames.items()}
    starts = [r.start for r in held if r.name == "ID3v1"]
    block = bytes(old[starts[-1] : starts[-1] + ID3V1_SIZE]) if starts else b""
    if not block:
        return {}
    if before.container == "FLAC":
        entries = (r for r in held if r.name.startswith(f"{_COMMENTS}/"))
        if any(not r.name.endswith("/vendor") for r in entries):
            return {}
        named = flac.id3v1_texts(block, field="")
        return {f"{_COMMENTS}/{name.decode()}": text for name, text in named}
    return _bare_texts(held, bare.texts_of_block(block, field=""))


def _bare_texts(held: list[Region], texts: Mapping[str, str]) -> Mapping[str, str]:
    """Return texts of ID3v1 as frames and items, but not beside those that programs show."""
    names = bare.ID3V1_NAMES
    items = {f"APEv2/{names[meaning][1]}": text for meaning, text in texts.items()}
    keys = {key.casefold() for key in items}
    if any(r.name.casefold() in keys for r in held):
        items = {}
    frames = {f"ID3v2/{names[meaning][0]}": text for meaning, text in texts.items()}
    # ID3v2.3 has a frame of its own for the year.
    if "year" in texts:
        frames["ID3v2/TYER"] = texts["year"]
    if any(r.name.startswith(_SHOWN) and r.size > MAX_EMPTY_TEXT for r in held):
        frames = {}
    return frames | items


def _chunk_texts(data: memoryview, iff: Iff) -> Iterator[tuple[str, str]]:
    """Yield the texts, by frame, that a new ID3 chunk would hide."""
    for name, text in chunks.diin_texts(data, iff).items():
        yield chunks.DIIN_FRAMES[name], text
    lists = [c for c in iff.chunks if iff.dialect is RIFF and is_info(data, c)]
    programs = (
        text
        for chunk in lists
        for item in info_items(data, chunk)
        if item.name == chunks.SOFTWARE and (text := chunks.info_text(data, item))
    )
    if program := next(programs, ""):
        yield "TSSE", program
    genres = [g for chunk in lists for g in chunks.info_values(data, chunk, "genre")]
    if genres:
        yield "TCON", chunks.INFO_SEPARATOR.join(genres)
