"""ID3: the TCON frame, in MP3 and inside WAV, AIFF, DSF, DSDIFF and TTA.

Every other frame stays byte for byte, in its order, and the version stays as found, unless another was
asked for. With mutagen this needs only TCON to be known and nothing to be translated; all other frames
are then raw.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mutagen.aiff import AIFF
from mutagen.dsdiff import DSDIFF
from mutagen.dsf import DSF
from mutagen.id3 import ID3, TCON, Encoding, ParseID3v1
from mutagen.id3 import ID3NoHeaderError as NoHeader
from mutagen.wave import WAVE

from genretag.audio import mpeg
from genretag.errors import TrackError
from genretag.tags import ape, id3v1, riff, words
from genretag.tags.form import TagOptions
from genretag.tags.frames import carried, frames_of, marked, meanings, raw_of

_ONLY_GENRE: dict[str, Any] = {"translate": False, "known_frames": {"TCON": TCON}, "load_v1": False}
_V1_GENRE_AT = 127
NEW_TAG_VERSION = 4  # ID3v2.4 where there is no tag yet: mutagen's, Picard's and beets' default


def _genres_of(tag: ID3) -> list[str]:
    """Return the words of a tag's TCON frames."""
    values = [str(text) for frame in tag.getall("TCON") for text in frame.text]
    return list(dict.fromkeys(word for value in values for word in id3v1.resolve(value)))


def _set(tag: ID3, genres: list[str], version: int) -> None:
    """Put one TCON frame into a tag, in the old frame's encoding where that can hold the words."""
    old = tag.getall("TCON")
    unicode = Encoding.UTF8 if version == 4 else Encoding.UTF16
    encoding = old[0].encoding if old else Encoding.LATIN1
    if encoding == Encoding.LATIN1 and not all(_is_latin1(g) for g in genres):
        encoding = unicode
    if version == 3 and encoding in (Encoding.UTF8, Encoding.UTF16BE):
        encoding = unicode
    tag.setall("TCON", [TCON(encoding=encoding, text=genres)])


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _version(tag: ID3, form: TagOptions) -> int:
    """Return the version to save a tag in: its own, unless another was asked for; the frames are made ready for it."""
    minor = int(tag.version[1])
    if minor not in (3, 4):
        raise TrackError("tags", f"its ID3v2.{minor} tag can only be written as v2.3 or v2.4")
    version = form.id3_version or minor
    if version != minor:
        tag.unknown_frames = [raw_of(f, version) for f in carried(frames_of(tag), version)]
        tag._unknown_v2_version = version
    else:
        tag.unknown_frames = [bytes(f) for f in _bare(tag)]
    return version


def _bare(tag: ID3) -> list[bytes]:
    """Return a tag's frames besides TCON as bytes that say the same without the tag's header."""
    unsynchronised = tag.version[1] == 4 and tag.f_unsynch
    return [marked(bytes(f)) if unsynchronised else bytes(f) for f in tag.unknown_frames]


# --- MP3 -------------------------------------------------------------------------------------------------------


def read_mp3(path: Path) -> list[str]:
    """Return an MP3's genres: ID3v2's, else APEv2's, else ID3v1's."""
    try:
        genres = _genres_of(ID3(path, load_v1=False) if is_v22(path) else ID3(path, **_ONLY_GENRE))
    except NoHeader:
        genres = []
    if not words.meaningful(genres):
        genres = words.meaningful(ape.read_beside(path)) or genres
    if not words.meaningful(genres) and (block := _v1_block(path)):
        number = block[_V1_GENRE_AT]
        genres = genres or ([id3v1.by_number(str(number))] if number != id3v1.NO_NUMBER else [])
    return genres


def is_v22(path: Path) -> bool:
    """Return whether a file begins with an ID3v2.2 tag."""
    with path.open("rb") as handle:
        return handle.read(4) == b"ID3\x02"


def _v1_block(path: Path) -> bytes | None:
    """Return the ID3v1 block at a file's end, or None."""
    with path.open("rb") as handle:
        length = handle.seek(0, 2)
        if not mpeg.has_id3v1(handle, length):
            return None
        handle.seek(length - mpeg.ID3V1_LENGTH)
        return handle.read(mpeg.ID3V1_LENGTH)


def write_mp3(path: Path, genres: list[str], form: TagOptions) -> None:
    """Write an MP3's genres to ID3v2, and to ID3v1 and APEv2 where these are there.

    A file with nothing but ID3v1 keeps it as its only tag if the word has a number there: a new
    ID3v2 tag with a genre alone would hide its title and artist from players.
    """
    block = _v1_block(path)
    has_v2 = _has_v2(path)
    if not (block and not has_v2 and len(genres) == 1 and id3v1.number_of(genres[0]) != id3v1.NO_NUMBER):
        _write_v2(path, genres, form, with_v1=bool(block and not has_v2))
    ape.write_beside(path, genres)
    if block:
        _put_back_v1(path, block, genres)


def _has_v2(path: Path) -> bool:
    """Return whether there is an ID3v2 tag with a frame in it: an empty one hides ID3v1 from no player."""
    with path.open("rb") as handle:
        if not mpeg.id3v2_size(handle.read(10)):
            return False
    if is_v22(path):
        return True
    tag = ID3(path, **_ONLY_GENRE)
    return bool(tag.unknown_frames or len(tag))


def _empty_version(path: Path) -> int | None:
    """Return the version of a tag without frames, where that can be written; None where there is no tag."""
    with path.open("rb") as handle:
        head = handle.read(10)
    return head[3] if mpeg.id3v2_size(head) and head[3] in (3, 4) else None


def _write_v2(path: Path, genres: list[str], form: TagOptions, with_v1: bool) -> None:
    """Write TCON into the ID3v2 tag, or into a new one that takes over what ID3v1 told."""
    if is_v22(path):
        if not (form.convert_v22 or form.id3_version):
            raise TrackError("tags", "its ID3v2.2 tag can only be written as v2.3 (--convert-v22 does so)")
        version = form.id3_version or 3
        tag = ID3(path, v2_version=version, load_v1=False)
    elif _has_v2(path):
        tag = ID3(path, **_ONLY_GENRE)
        version = _version(tag, form)
    else:
        version = form.id3_version or _empty_version(path) or NEW_TAG_VERSION
        tag = ID3()
        if with_v1 and (block := _v1_block(path)):
            for frame in (ParseID3v1(block) or {}).values():
                tag.add(frame)
        if version == 3:
            tag.update_to_v23()
    _set(tag, genres, version)
    tag.save(path, v1=1, v2_version=version, v23_sep=None)


def _put_back_v1(path: Path, block: bytes, genres: list[str]) -> None:
    """Put the ID3v1 block back as it was, with the genre's number changed.

    mutagen makes a block of its own of the frames that it knows, and drops it where it saves an APEv2 tag.
    """
    with path.open("r+b") as handle:
        length = handle.seek(0, 2)
        handle.seek(length - mpeg.ID3V1_LENGTH if mpeg.has_id3v1(handle, length) else length)
        handle.write(block[:_V1_GENRE_AT] + bytes([id3v1.number_of(genres[0])]))


def others_mp3(path: Path, form: TagOptions) -> dict[str, Any]:
    """Return everything but the genre: ID3v2's frames, ID3v1, APEv2 items. None: it is not there."""
    block = _v1_block(path)
    tag = ID3(path, **_ONLY_GENRE) if _has_v2(path) and not is_v22(path) else None
    return {**_others(tag, form), "ID3v1": block[:_V1_GENRE_AT] if block else None, "APEv2": ape.others_beside(path)}


def _others(tag: ID3 | None, form: TagOptions) -> dict[str, Any]:
    """Return a tag's version and its raw frames in order; where a version was asked for, what the frames say."""
    if tag is None:
        return {"ID3v2": None}
    if form.id3_version is None:
        return {"ID3v2": [tuple(tag.version), *_bare(tag)]}
    return {f"ID3v2: {text}": n for text, n in meanings(tag).items()}


# --- ID3 in a chunk of another container -----------------------------------------------------------------------

_CHUNKED: dict[str, Any] = {"wav": WAVE, "aiff": AIFF, "dsf": DSF, "dsdiff": DSDIFF}


def read_chunk(kind: str, path: Path) -> list[str]:
    """Return the genres of the ID3 tag in a chunk; for WAV else those of RIFF INFO."""
    tag = _CHUNKED[kind](path, **_ONLY_GENRE).tags
    genres = _genres_of(tag) if tag is not None else []
    if kind == "wav" and not words.meaningful(genres):
        genres = riff.read_info_genre(path) or genres
    return genres


def write_chunk(kind: str, path: Path, genres: list[str], form: TagOptions) -> None:
    """Write TCON into the ID3 tag of a chunk, and RIFF INFO's genre where there is one."""
    audio = _CHUNKED[kind](path, **_ONLY_GENRE)
    if audio.tags is None:
        audio.add_tags()
        version = form.id3_version or NEW_TAG_VERSION
    else:
        version = _version(audio.tags, form)
    _set(audio.tags, genres, version)
    audio.tags.save(path, v2_version=version, v23_sep=None)
    if kind == "wav":
        riff.write_info_genre(path, genres)


def others_chunk(kind: str, path: Path, form: TagOptions) -> dict[str, Any]:
    """Return everything but the genre: ID3v2's frames, and for WAV the other chunks. None: it is not there."""
    tag = _CHUNKED[kind](path, **_ONLY_GENRE).tags
    return {**_others(tag, form), "chunks": riff.others(path) if kind == "wav" else None}
