"""Tags as other packages know them. Nothing here needs mutagen."""

from __future__ import annotations

from genretag.records import Album, FieldTags, Tags

#: The genre field of ID3v2.2 tags, which are written only on request.
V22 = "TCO"

__all__ = ["V22", "Album", "FieldTags", "Tags"]
