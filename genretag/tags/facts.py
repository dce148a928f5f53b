"""What tags say, as the rest of the house knows it. Nothing here needs mutagen."""

from __future__ import annotations

from genretag.records import Album, Tags

#: The field of a tag that is written only where that was asked for: ID3v2.2's.
V22 = "TCO"


__all__ = ["V22", "Album", "Tags"]
