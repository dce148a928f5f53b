"""The fields that genretag writes, and the name of each in every kind of tag.

Sources: ID3v2.4 section 4.2.3 (TMOO), Picard's tag map (docs), Mp3tag's field mappings, Navidrome's
``mappings.yaml``. There is no standard place for a style: ``STYLE`` is what Discogs taggers write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """The names of a field in each kind of tag; of several, the first one is written."""

    frames: tuple[bytes, ...] = ()  # ID3v2.3 and v2.4
    frames_v22: tuple[bytes, ...] = ()
    #: Description of the TXXX frame that holds it where no frame of its own is there.
    description: str | None = None
    first_version: int = 3  # of ID3v2 that knows the frame
    comment: bytes = b""  # Vorbis comments, in upper case
    item: bytes = b""  # APEv2
    atoms: tuple[bytes, ...] = ()  # of MP4's list of tags
    freeform: bytes = b""  # MP4's ----:com.apple.iTunes:NAME
    attributes: tuple[str, ...] = ()  # ASF
    info: bytes | None = None  # RIFF INFO; None: it has no place there


FIELDS: Mapping[str, Names] = {
    "genre": Names(
        frames=(b"TCON",),
        frames_v22=(b"TCO",),
        comment=b"GENRE",
        item=b"Genre",
        atoms=(b"\xa9gen", b"gnre"),
        freeform=b"GENRE",
        attributes=("WM/Genre", "Genre"),
        info=b"IGNR",
    ),
    "mood": Names(
        frames=(b"TMOO",),
        description="MOOD",
        first_version=4,
        comment=b"MOOD",
        item=b"Mood",
        freeform=b"MOOD",
        attributes=("WM/Mood",),
    ),
    "style": Names(
        description="STYLE",
        comment=b"STYLE",
        item=b"Style",
        freeform=b"STYLE",
        attributes=("WM/Style", "Style"),
    ),
    # iTunes 12.6 and programs that follow it read TIT1 as the work, and GRP1 as the grouping.
    "grouping": Names(
        frames=(b"GRP1",),
        frames_v22=(b"GP1",),
        comment=b"GROUPING",
        item=b"Grouping",
        atoms=(b"\xa9grp",),
        attributes=("WM/ContentGroupDescription",),
    ),
    # Where a written value comes from.
    "evidence": Names(
        description="GENRETAG",
        comment=b"GENRETAG",
        item=b"Genretag",
        freeform=b"GENRETAG",
        attributes=("GENRETAG",),
    ),
}
