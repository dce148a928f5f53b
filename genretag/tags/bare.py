"""The fields of streams without a container: MP3, AAC, TTA, Musepack, WavPack, Monkey's Audio ...

A field goes where a file has its tags. A new tag would hide the title and artist of an older one
from programs that prefer it, so it is made only if it can repeat them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from genretag.errors import TrackError
from genretag.layout import bare as layout
from genretag.layout.id3 import MAX_EMPTY_TEXT, front_tags, parse_tag
from genretag.layout.tail import APE_IS_BINARY, Item, parse_ape, tail_parts
from genretag.tags import embedded as id3
from genretag.tags import tail
from genretag.tags.album import album_from
from genretag.tags.edits import Edit
from genretag.tags.id3v1 import NO_NUMBER, number_of
from genretag.tags.options import TagOptions
from genretag.tags.records import V22, Album

#: Formats whose programs prefer ID3v2; those of all others prefer APEv2.
_ID3_FORMATS = frozenset({"MP3", "AAC", "TTA"})

#: Text of an ID3v1 block -> ID3v2 frame, APEv2 item.
ID3V1_NAMES = {
    "title": ("TIT2", "Title"),
    "artist": ("TPE1", "Artist"),
    "album": ("TALB", "Album"),
    "year": ("TDRC", "Year"),
    "comment": ("COMM", "Comment"),
    "track": ("TRCK", "Track"),
    "genre": ("TCON", "Genre"),
}


#: APEv2 items with artist, album, album artist and compilation flag.
_ITEM_KEYS = (b"artist", b"album", b"album artist", b"compilation")


def prefers_id3(data: memoryview) -> bool:
    """Return whether programs prefer ID3v2 tags in this format."""
    return layout.kind_of(data, layout.audio_start(data)) in _ID3_FORMATS


def field_of(data: memoryview) -> str:
    """Return the name of the genre field that is written.

    Raises:
        TrackError: a genre could not be written without loss.
    """
    tags = _full_tags(data) or [start for start, _ in front_tags(data)]
    if tags and data[tags[0] + 3] == 2 and prefers_id3(data):
        return V22
    _hidden_texts(data, _full_tags(data))  # raises where a write would be refused
    return "TCON" if prefers_id3(data) else "Genre"


def _full_tags(data: memoryview) -> list[int]:
    """Return the offsets of the ID3v2 tags with frames at the start of the file."""
    return [start for start, end in front_tags(data) if id3.has_frames(data, start, end)]


def reader(data: memoryview) -> Callable[[str], list[list[str]]]:
    """Return what reads a field: its values in each kind of tag, the preferred ones first.

    Reading raises ``TrackError`` where a value cannot be decoded.
    """
    start, full, front_first = layout.audio_start(data), _full_tags(data), prefers_id3(data)

    def places(field: str) -> list[list[str]]:
        front = [id3.values_of(data, at, field) for at in full]
        ape, *rest = (tail.tail_values(data, start, kind, field) for kind in tail.PREFERRED)
        return [*front, ape, *rest] if front_first else [ape, *front, *rest]

    return places


def album_of(data: memoryview) -> Album:
    """Return artist, album and album artist from the first tag that has one of them."""
    start = layout.audio_start(data)
    albums = [id3.album_of(data, at) for at in _full_tags(data)]
    for part in tail_parts(data, start):
        if part.kind == "APEv2":
            tag = parse_ape(data, part.start, part.end)
            albums.append(album_from(tail.first_item(data, tag, key) for key in _ITEM_KEYS))
    if block := tail.id3v1_of(data, start):
        texts = tail.texts_of(block)
        albums.append(Album(texts.get("artist", ""), texts.get("album", "")))
    return next((album for album in albums if album != Album()), Album())


def edits(
    data: memoryview, values: Sequence[str], options: TagOptions, field: str = "genre"
) -> list[Edit]:
    """Return the edits that give a file the values of a field.

    Raises:
        UnexplainedError: the file cannot be explained completely.
        TrackError: the field cannot be written without loss.
    """
    start = layout.audio_start(data)
    parts = tail_parts(data, start)
    apes = [parse_ape(data, p.start, p.end) for p in parts if p.kind == "APEv2"]
    full = _full_tags(data)
    made = _front_edits(data, full, values, options, field)
    items = [item for ape in apes for item in ape.items]
    shown = any(not item.flags & APE_IS_BINARY for item in items)
    if full or shown or any(_is_repeated(item) for item in items):
        # FFmpeg shows the items of an APEv2 tag alone where there are any, but not in MP3.
        add = not full or (shown and layout.kind_of(data, start) != "MP3")
        return made + tail.tail_edits(data, start, values, field, add_item=add)
    made += tail.tail_edits(data, start, values, field)
    numbered = field == "genre" and len(values) == 1 and number_of(values[0]) != NO_NUMBER
    block = tail.id3v1_of(data, start)
    if block and numbered:
        return made  # the number says it all, and a new tag would hide the rest of ID3v1
    texts = texts_of_block(block, field) if block else {}
    if prefers_id3(data):
        frames = {ID3V1_NAMES[name][0]: text for name, text in texts.items()}
        return made + _new_id3_edits(data, values, frames, options, field)
    named = {ID3V1_NAMES[name][1]: text for name, text in texts.items()}
    if apes:
        return made + tail.item_edits(data, apes[0], field, values, named)
    at = parts[0].start if parts else len(data)
    return [*made, Edit(at, at, tail.new_ape(named, values, field))]


def texts_of_block(block: bytes, field: str) -> dict[str, str]:
    """Return the texts of ID3v1 that a new tag with a field would hide, by their meaning."""
    genres = tail.repeatable_genre(block) if field != "genre" else []
    return tail.texts_of(block) | ({"genre": genres[0]} if genres else {})


def _is_repeated(item: Item) -> bool:
    """Return whether an APEv2 item has the name of a text that ID3v1 holds too."""
    return item.key.lower() in {key.lower().encode() for _, key in ID3V1_NAMES.values()}


#: Initial letters of frames that FFmpeg shows; where a tag has none, it shows ID3v1.
_SHOWN = (b"T", b"COMM", b"USLT")


def _hidden_texts(data: memoryview, full: Sequence[int], field: str = "genre") -> dict[str, str]:
    """Return the texts of ID3v1, by frame, that a field in the ID3v2 tag would hide in FFmpeg.

    Raises:
        TrackError: they cannot be repeated, since the tag has empty frames of the same kind.
    """
    if not full or not prefers_id3(data):
        return {}
    block = tail.id3v1_of(data, layout.audio_start(data))
    frames = [f for at in full for f in parse_tag(data, at).frames if f.name.startswith(_SHOWN)]
    shown = any(f.end - f.start > MAX_EMPTY_TEXT for f in frames)
    if shown or not block or not tail.texts_of(block):
        return {}
    if frames:
        message = "its ID3v2 tag has empty texts, and a genre in it would hide those of ID3v1"
        raise TrackError("tags", message)
    return {ID3V1_NAMES[name][0]: text for name, text in texts_of_block(block, field).items()}


def _front_edits(
    data: memoryview,
    full: Sequence[int],
    values: Sequence[str],
    options: TagOptions,
    field: str,
) -> list[Edit]:
    """Return the edits of the ID3v2 tags in front: the first, and others that have the field."""
    made, texts = list[Edit](), _hidden_texts(data, full, field)
    for number, at in enumerate(full):
        _check_version(data, at, options)
        if not number or id3.values_of(data, at, field):
            end, more = parse_tag(data, at).end, texts if not number else None
            made += id3.tag_edits(data, at, end, values, options, field, more)
    return made


def _check_version(data: memoryview, at: int, options: TagOptions) -> None:
    """Raise ``TrackError`` if the tag at an offset has a version that is not written."""
    if data[at + 3] == 2 and not id3.needs_conversion(data, at, options):
        message = "its ID3v2.2 tag can only be written as v2.3 (--convert-v22 does so)"
        raise TrackError("tags", message)


def _new_id3_edits(
    data: memoryview,
    values: Sequence[str],
    frames: Mapping[str, str],
    options: TagOptions,
    field: str,
) -> list[Edit]:
    """Return the edits that add an ID3v2 tag, or fill an empty one."""
    for start, end in front_tags(data)[:1]:
        _check_version(data, start, options)
        if not id3.needs_conversion(data, start, options):
            return id3.tag_edits(data, start, end, values, options, field, frames)
        return [Edit(start, end, id3.new_tag(values, frames, options, field))]
    return [Edit(0, 0, id3.new_tag(values, frames, options, field))]
