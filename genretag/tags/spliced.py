"""Containers whose fields are spliced into their bytes, as data: the rows of ``CONTAINERS``."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genretag.errors import TrackError
from genretag.layout import asf as asf_layout
from genretag.layout import bare as bare_layout
from genretag.layout import dsf as dsf_layout
from genretag.layout import flac as flac_layout
from genretag.layout import iff as iff_layout
from genretag.layout import mp4 as mp4_layout
from genretag.layout import ogg as ogg_layout
from genretag.layout.account import Account, Kind, UnexplainedError
from genretag.layout.fields import FIELDS
from genretag.layout.id3 import front_tags
from genretag.layout.iff import RIFF, is_info
from genretag.layout.mapping import mapped
from genretag.tags import asf, bare, chunks, comments, dsf, flac, mp4, mp4_edits, ogg, tail
from genretag.tags import embedded as id3
from genretag.tags.album import album_from
from genretag.tags.edits import Edit, apply_edits
from genretag.tags.generic import meaningful
from genretag.tags.options import TagOptions
from genretag.tags.records import Album, FieldTags, Tags

_HEAD_SIZE = 16  # bytes that show a container
_TRIAL_GENRE = "A genre of usual length"


Reader = Callable[[str], list[str]]  # field -> values


@dataclass(frozen=True)
class Spliced:
    """How one container holds the fields."""

    field: Callable[[memoryview], str]  # the genre's, as the container calls it
    matches: Callable[[bytes], bool]  # given the first bytes
    account: Callable[[memoryview, Sequence[str]], Account]
    #: What reads the values of a field: of several places, those that programs prefer.
    reader: Callable[[memoryview], Reader]
    album: Callable[[memoryview], Album]
    edits: Callable[[memoryview, Sequence[str], TagOptions, str], list[Edit]]
    #: Why a field has no place in a file although the genre has one; None: it has.
    no_place: Callable[[memoryview], str | None] = lambda data: None
    field_explains: bool = False  # ``field`` raises for all files that ``account`` raises for


def _first_meaningful(places: Iterable[list[str]]) -> list[str]:
    """Return the genres of the first place that says something; else of the first that has any."""
    all_places = list(places)
    return next(filter(meaningful, all_places), next(filter(None, all_places), []))


# --- FLAC and Ogg ---------------------------------------------------------------------------------


def _flac_start(data: memoryview) -> int:
    front = front_tags(data)
    return front[-1][1] if front else 0


def _flac_reader(data: memoryview) -> Reader:
    parsed = flac_layout.parse_flac(data, _flac_start(data))
    lists = parsed.comments(data)
    front = [t for t in front_tags(data) if id3.has_frames(data, *t)]

    def values(field: str) -> list[str]:
        rest = (tail.tail_values(data, parsed.audio_at, kind, field) for kind in tail.PREFERRED)
        return _first_meaningful(
            [
                comments.values_of(lists, field),
                *(id3.values_of(data, start, field) for start, _ in front),
                *rest,
            ]
        )

    return values


#: Comments with artist, album, album artist and compilation flag.
_COMMENT_NAMES = (b"ARTIST", b"ALBUM", b"ALBUMARTIST", b"COMPILATION")


def _flac_album(data: memoryview) -> Album:
    lists = flac_layout.parse_flac(data, _flac_start(data)).comments(data)
    found = album_from(comments.first_value(lists, name) for name in _COMMENT_NAMES)
    front = [t for t in front_tags(data) if id3.has_frames(data, *t)]
    return found if found != Album() else _id3_album(data, [start for start, _ in front])


def _ogg_reader(data: memoryview) -> Reader:
    lists = ogg.read_comments(data, 0)
    return lambda field: comments.values_of(lists, field)


def _ogg_album(data: memoryview) -> Album:
    lists = ogg.read_comments(data, 0)
    return album_from(comments.first_value(lists, name) for name in _COMMENT_NAMES)


# --- ID3 in chunks --------------------------------------------------------------------------------


def _id3_album(data: memoryview, starts: Sequence[int]) -> Album:
    """Return artist, album and album artist of the first tag that has one of them."""
    for start in starts:
        album = id3.album_of(data, start)
        if album != Album():
            return album
    return Album()


def _iff_tags(data: memoryview, iff: iff_layout.Iff) -> list[int]:
    """Return where the ID3 tags with frames begin."""
    found = (c for c in iff.id3_chunks() if id3.has_frames(data, c.data_at, c.end))
    return [c.data_at for c in found]


def _info_lists(data: memoryview, iff: iff_layout.Iff) -> list[iff_layout.Chunk]:
    return [c for c in iff.chunks if iff.dialect is RIFF and is_info(data, c)]


def _iff_reader(data: memoryview) -> Reader:
    iff = iff_layout.parse_iff(data)
    starts, lists = _iff_tags(data, iff), _info_lists(data, iff)

    def values(field: str) -> list[str]:
        tags = [id3.values_of(data, start, field) for start in starts]
        infos = [chunks.info_values(data, chunk, field) for chunk in lists]
        return _first_meaningful([*tags, *infos])

    return values


def _iff_album(data: memoryview) -> Album:
    iff = iff_layout.parse_iff(data)
    album = _id3_album(data, _iff_tags(data, iff))
    if album != Album():
        return album
    texts = {
        item.name: chunks.info_text(data, item)
        for chunk in _info_lists(data, iff)
        for item in iff_layout.info_items(data, chunk)
    }
    artist = texts.get(b"IART") or chunks.diin_texts(data, iff).get(b"DIAR", "")
    return Album(artist, texts.get(b"IPRD", ""))


def _dsf_tags(data: memoryview) -> list[int]:
    at = dsf_layout.parse_dsf(data).tag_at
    return [] if at is None or not id3.has_frames(data, at, len(data)) else [at]


def _dsf_reader(data: memoryview) -> Reader:
    starts = _dsf_tags(data)
    return lambda field: _first_meaningful(id3.values_of(data, at, field) for at in starts)


def _mp4_reader(data: memoryview) -> Reader:
    others = mp4.reader(data)

    def values(field: str) -> list[str]:
        return _first_meaningful(mp4.genre_places(data)) if field == "genre" else others(field)

    return values


def _bare_reader(data: memoryview) -> Reader:
    places = bare.reader(data)
    return lambda field: _first_meaningful(places(field))


def _iff_matches(head: bytes) -> bool:
    return iff_layout.dialect_of(head) is not None


def _ogg_edits(
    data: memoryview, values: Sequence[str], _: TagOptions, field: str = "genre"
) -> list[Edit]:
    return ogg.ogg_edits(data, 0, field, values)


def _ogg_field(data: memoryview) -> str:
    ogg.try_edits(data, [_TRIAL_GENRE])
    return "GENRE"


def _on_trial(
    field: str, edits: Callable[[memoryview, Sequence[str], TagOptions, str], list[Edit]]
) -> Callable[[memoryview], str]:
    """Return what names a field after making edits on trial, so that a plan can tell a refusal."""

    def name(data: memoryview) -> str:
        edits(data, [_TRIAL_GENRE], TagOptions(), "genre")
        return field

    return name


CONTAINERS = (
    Spliced(
        _on_trial("GENRE", flac.flac_edits),
        flac_layout.matches,
        flac_layout.account,
        _flac_reader,
        _flac_album,
        flac.flac_edits,
    ),
    Spliced(
        _ogg_field,
        ogg_layout.matches,
        ogg_layout.account,
        _ogg_reader,
        _ogg_album,
        _ogg_edits,
        field_explains=True,
    ),
    Spliced(
        _on_trial("TCON", chunks.iff_edits),
        _iff_matches,
        iff_layout.account,
        _iff_reader,
        _iff_album,
        chunks.iff_edits,
        chunks.without_place,
    ),
    Spliced(
        _on_trial("TCON", dsf.dsf_edits),
        dsf_layout.matches,
        dsf_layout.account,
        _dsf_reader,
        lambda data: _id3_album(data, _dsf_tags(data)),
        dsf.dsf_edits,
    ),
    Spliced(
        mp4_edits.field_name,
        mp4_layout.matches,
        mp4_layout.account,
        _mp4_reader,
        mp4.album_of,
        mp4_edits.mp4_edits,
    ),
    Spliced(
        asf.field_name,
        asf_layout.matches,
        asf_layout.account,
        asf.reader,
        asf.album_of,
        asf.asf_edits,
    ),
)


#: Streams without a container: MP3, AAC, Musepack, WavPack, Monkey's Audio, TTA, TAK, OptimFROG.
BARE = Spliced(
    bare.field_of,
    lambda head: False,  # found by their audio
    bare_layout.account,
    _bare_reader,
    bare.album_of,
    bare.edits,
)


def container_of(path: Path) -> Spliced | None:
    """Return how a file's container holds a genre, by its first bytes; None: it is none of these.

    An ID3v2 tag in front of FLAC is skipped; in front of any other container it hides the
    container's own tags from most programs.
    """
    with mapped(path) as data:
        start = 0
        with contextlib.suppress(UnexplainedError):
            start = _flac_start(data)
        head = bytes(data[start : start + _HEAD_SIZE])
        found = next((c for c in CONTAINERS if c.matches(head)), None)
        if found is None and bare_layout.kind_of(data, start) is not None:
            return BARE
    if start and found is not None and found is not CONTAINERS[0]:
        raise TrackError("tags", "an ID3 tag stands in front of it, where it does not belong")
    return found


def read(container: Spliced, path: Path) -> Tags:
    """Return a file's genres, other fields and album; one that cannot be explained is a problem."""
    genres: list[str] = []
    album, fields = Album(), FieldTags()
    with mapped(path) as data:
        try:
            values = container.reader(data)
            genres = values("genre")
            album = container.album(data)
            fields = _read_fields(values, container.no_place(data))
            if not container.field_explains:
                container.account(data, ("genre",))
            field = container.field(data)
        except (UnexplainedError, TrackError) as error:
            return Tags(genres, None, album, str(error), fields)
    return Tags(genres, field, album, fields=fields)


def _read_fields(values: Reader, no_place: str | None) -> FieldTags:
    """Return the values of all fields but the genre, and why some cannot be written."""
    found, problems = dict[str, list[str]](), dict[str, str]()
    for field in (f for f in FIELDS if f != "genre"):
        try:
            found[field] = values(field)
        except TrackError:
            problems[field] = f"its {field} cannot be read"
        if no_place is not None:
            problems[field] = no_place
    return FieldTags({name: words for name, words in found.items() if words}, problems)


def write(
    container: Spliced,
    path: Path,
    values: Sequence[str],
    options: TagOptions,
    field: str = "genre",
) -> None:
    """Write the values of a field into a file.

    Raises:
        TrackError: the file cannot be explained, or the field cannot be written without loss.
    """
    try:
        with mapped(path) as data:
            edits = container.edits(data, values, options, field)
    except UnexplainedError as error:
        raise TrackError("tags", str(error)) from error
    apply_edits(path, edits)


def _is_converted(options: TagOptions) -> bool:
    return options.convert_v22 or options.id3_version is not None


def kept_tags(
    container: Spliced, path: Path, options: TagOptions, fields: Sequence[str] = ("genre",)
) -> dict[str, object]:
    """Return a hash of all bytes besides audio and some fields, by the name of their regions.

    If ID3v2 is written in another version, its frames are compared by their meaning.
    """
    parts: dict[str, list[bytes]] = {}
    kept: dict[str, object] = {}
    with mapped(path) as data:
        for region in container.account(data, fields).kept():
            if region.kind is not Kind.OTHER:
                continue
            parts_of_name = region.name.split("/")
            if not _is_converted(options) or "ID3v2" not in parts_of_name:
                parts.setdefault(region.name, []).append(bytes(data[region.start : region.end]))
            elif parts_of_name[-1] == "ID3v2":
                kept |= id3.meanings_of(data, region.start, fields)
    return kept | {name: hashlib.sha256(b"".join(p)).hexdigest() for name, p in parts.items()}
